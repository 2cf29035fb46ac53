"""The passphrase of an archive: from a file, from systemd, or from whoever sits there."""

import getpass
import os
import sys
from pathlib import Path

from appliance.gallery import envelope
from appliance.gallery.envelope import ArchiveError

CREDENTIAL = "archive-passphrase"
"""Its name among systemd's credentials (systemd.exec(5), LoadCredential=)."""


def of_new(file: Path | None) -> str:
    """That of an archive which is to be made; asked for twice. Raises ArchiveError when it is too short, OSError."""
    passphrase = _kept(file)
    if passphrase is None:
        passphrase = _asked("Passphrase of the new archive: ")
        if _asked("The same again: ") != passphrase:
            raise ArchiveError("the two are not the same")
    envelope.check_passphrase(passphrase)
    return passphrase


def of_old(file: Path | None) -> str:
    """That of an archive which is there. Raises ArchiveError, OSError."""
    passphrase = _kept(file)
    return _asked("Passphrase of the archive: ") if passphrase is None else passphrase


def _kept(file: Path | None) -> str | None:
    """The first line of the file, else of systemd's credential; None without either."""
    if file is None and (folder := os.environ.get("CREDENTIALS_DIRECTORY")):
        credential = Path(folder) / CREDENTIAL
        file = credential if credential.exists() else None
    if file is None:
        return None
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{file}: a passphrase is text in UTF-8") from error
    return lines[0] if lines else ""


def _asked(question: str) -> str:
    if not sys.stdin.isatty():
        raise ArchiveError(
            f"there is nobody to ask for the passphrase: --passphrase-file FILE, or the credential {CREDENTIAL}"
        )
    try:
        return getpass.getpass(question)
    except EOFError as error:
        raise ArchiveError("no passphrase was given") from error
