"""A sealed file of the state folder that the running device and its commands change: objects by name."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from appliance import state
from appliance.gallery.people import GalleryUnavailableError
from appliance.gallery.vault import BrokenSealError, Seal, SiteKey

T = TypeVar("T")


class SealedBook(Generic[T]):
    """Thread-safe. Raises GalleryError without a site key, and GalleryUnavailableError when the file cannot be used."""

    def __init__(
        self, path: Path, site_key: Callable[[], SiteKey], kind: TypeAdapter[dict[str, T]], remedy: str
    ) -> None:
        """`remedy`: what is to be done, in the error of a damaged file, after it was deleted."""
        self.path, self._site_key, self._kind, self._remedy = path, site_key, kind, remedy
        self.trouble = ""
        """Why it could not be used when that was last noted; empty since it was opened."""
        self._lock = threading.Lock()

    @contextmanager
    def opened(self, *, writing: bool = True) -> Iterator[dict[str, T]]:
        """The objects by name; those in it at the end are written unless the block raises."""
        seal, name = Seal(self._site_key()), self.path.name
        try:
            with self._lock, state.held(self.path):
                sealed = self.path.read_bytes() if self.path.exists() else None
                book = {} if sealed is None else self._kind.validate_json(seal.open(sealed, name))
                before = dict(book)
                yield book
                self.trouble = ""
                if writing and book != before:
                    state.write_atomically(self.path, seal.close(self._kind.dump_json(book), name), 0o600)
        except OSError as error:
            raise GalleryUnavailableError(f"{self.path} cannot be used: {error.strerror}") from error
        except (BrokenSealError, ValidationError) as error:
            raise GalleryUnavailableError(
                f"{self.path} is damaged, or sealed with another site key: put that back, or delete the file, and "
                f"{self._remedy}"
            ) from error
