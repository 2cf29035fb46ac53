"""A new database in the place of one that is of no use any more: it is damaged, or its key is lost."""

from collections.abc import Iterable
from pathlib import Path

from appliance import state
from appliance.gallery import database as storage_errors
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Dossier
from appliance.gallery.vault import SiteKey

_LOGS = ("-wal", "-shm")
"""Of a database, beside it. Those of the old one would be taken for the new one's (sqlite.org/howtocorrupt.html, 4.4)."""


def put_in_place(path: Path, key: SiteKey, dossiers: Iterable[Dossier]) -> int:
    """Makes a gallery of these people beside the one at `path`, and puts it there once it is whole; how many they are. A
    running device takes over by itself. Raises GalleryError's classes, and nothing is different then.
    """
    new = path.with_name(f".{path.name}.restored")
    with storage_errors.translated(path):
        _remove(new)
        try:
            gallery = Gallery.open(new, key)
            try:
                count = gallery.replace(dossiers)
            finally:
                gallery.close()  # its log goes into the file
            with state.held(path):
                for log in _LOGS:
                    path.with_name(path.name + log).unlink(missing_ok=True)
                state.move(new, path)
        finally:
            _remove(new)
    return count


def _remove(database: Path) -> None:
    for name in ("", *_LOGS):
        database.with_name(database.name + name).unlink(missing_ok=True)
