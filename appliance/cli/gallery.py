"""The gallery of this device, as the command line opens it: beside the running service, or without it."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance import state
from appliance.config import Config
from appliance.gallery import vault
from appliance.gallery.gallery import FILE, Gallery, rebuild
from appliance.gallery.people import GalleryUnavailableError, PersonExport


@contextmanager
def opened(settings: Config, *, make: bool = True) -> Iterator[Gallery]:
    """The gallery, within: what root does there is done as the owner of the state folder. Unless it is to `make` one, that
    there is none is an error: an empty one in the place of one that was lost would be taken for it. Raises GalleryError.
    """
    section, folder = settings.gallery, state.folder(settings.state.folder)
    if not make and not (folder / FILE).exists():
        raise GalleryUnavailableError(f"there is no gallery in {folder}: nobody has been enrolled, or it was deleted")
    key = vault.obtain_site_key(_key_file(section.key_file, folder), folder / FILE)
    with state.as_owner(folder):
        gallery = Gallery.open(
            folder / FILE, key, keep_pictures=section.pictures, most_templates=section.most_templates
        )
        try:
            yield gallery
        finally:
            gallery.close()


def begun_anew(settings: Config, people: Iterable[PersonExport]) -> Path:
    """Puts a gallery of these people in the place of one that is of no use any more, with a new key when there is none. The
    file of the key. Raises GalleryError, OSError.
    """
    folder = state.folder(settings.state.folder)
    path = _key_file(settings.gallery.key_file, folder)
    key = vault.read_site_key(path) if path.exists() else vault.make_site_key(path)
    with state.as_owner(folder):
        rebuild(folder / FILE, key, people)
    return path


def _key_file(configured: Path | None, folder: Path) -> Path:
    """To be found and read with root's own rights. Where a service works in the folder, it finds no key of root's home."""
    path = vault.find_site_key(configured)
    if configured or path.exists() or os.geteuid() != 0:
        return path
    return vault.SYSTEM_FILE if folder.is_dir() and folder.stat().st_uid != 0 else path
