"""This device's gallery as the command line opens it, with or without a running service."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance import state
from appliance.access.log import RECORD_FILE, Record
from appliance.config import Config
from appliance.gallery import vault
from appliance.gallery.gallery import FILE, Gallery, rebuild
from appliance.gallery.people import GalleryUnavailableError, PersonExport
from appliance.gallery.vault import SiteKey


@contextmanager
def opened(settings: Config, *, create: bool = False, fresh: bool = False) -> Iterator[Gallery]:
    """The open gallery. Inside, root has the rights of the state folder's owner. Raises GalleryError; without `create` also if
    there is no gallery, and without `fresh` if the record of decisions knows a missing one, so that an empty one never takes
    the place of a lost one.
    """
    section, folder = settings.gallery, state.folder(settings.state.folder)
    if not create and not (folder / FILE).exists():
        raise GalleryUnavailableError(f"there is no gallery in {folder}: no person was added yet, or it was deleted")
    key = site_key(settings)
    with state.as_owner(folder):
        gallery = Gallery(
            folder / FILE,
            key,
            keep_pictures=section.pictures,
            most_templates=section.most_templates,
            record=Record(folder / RECORD_FILE),
            fresh=fresh,
        )
        try:
            yield gallery
        finally:
            gallery.close()


def site_key(settings: Config) -> SiteKey:
    """The site key of this device, which is made while there is no gallery yet. Raises NoKeyError."""
    folder = state.folder(settings.state.folder)
    return vault.obtain_site_key(_key_file(settings.gallery.key_file, folder), folder / FILE)


def replace_unusable(settings: Config, people: Iterable[PersonExport]) -> Path:
    """Replaces a gallery that cannot be opened by one of these people, with a new key if there is none; returns the key's file.
    Raises GalleryError, OSError.
    """
    folder = state.folder(settings.state.folder)
    path = _key_file(settings.gallery.key_file, folder)
    key = vault.read_site_key(path) if path.exists() else vault.make_site_key(path)
    with state.as_owner(folder):
        rebuild(folder / FILE, key, people, Record(folder / RECORD_FILE))
    return path


def _key_file(configured: Path | None, folder: Path) -> Path:
    """Found and read with root's own rights; for a service's folder never a key in root's home."""
    path = vault.find_site_key(configured)
    if configured or path.exists() or os.geteuid() != 0:
        return path
    return vault.SYSTEM_FILE if folder.is_dir() and folder.stat().st_uid != 0 else path
