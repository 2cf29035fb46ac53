"""Where an output finds what it must not tell: a file that is configured, else a credential from systemd."""

import os
from pathlib import Path

MOST_BYTES = 4096
"""A secret or a password is some dozen bytes; more is another file."""


class SecretError(Exception):
    """There is no usable secret; the text says why and what to do, and has nothing of its content."""


def read(configured: Path | None, credential: str) -> str:
    """The one line of `configured`, or when that is None of `$CREDENTIALS_DIRECTORY/credential` (systemd.exec(5)).

    Raises SecretError: it is not there, or others can read it.
    """
    path = configured or _credential(credential)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror}") from error
    if mode & 0o007:
        raise SecretError(f"{path} can be read by everybody: chmod o= {path}")
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(content) > MOST_BYTES or "\n" in text:
        raise SecretError(f"{path} has not one line")
    return text


def is_there(credential: str) -> bool:
    """Whether systemd has handed this credential over."""
    return "CREDENTIALS_DIRECTORY" in os.environ and _credential(credential).exists()


def _credential(name: str) -> Path:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        raise SecretError(f"no file is configured, and systemd has no credential {name}")
    return Path(folder) / name
