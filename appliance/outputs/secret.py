"""Where an output finds what it must not tell: a file that is configured, else a credential from systemd."""

import os
from pathlib import Path

MOST_BYTES = 4096
"""A secret or a password is some dozen bytes; more is another file."""


class SecretError(Exception):
    """There is no usable secret; the text says why and what to do, and has nothing of its content."""


def read(configured: Path | None, credential: str) -> str | None:
    """The one line of `configured`, or when that is None of `$CREDENTIALS_DIRECTORY/credential` (systemd.exec(5)); None when
    nothing is configured and that is not there, or blank: the unit's stand-in for a file that is missing.

    Raises SecretError: it cannot be read, others can read it, or it has not one line.
    """
    path = configured or _credential(credential)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        if configured is None:
            return None
        raise SecretError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror}") from error
    if mode & 0o007:
        raise SecretError(f"{path} can be read by everybody: chmod o= {path}")
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise SecretError(f"{path} is no text") from error
    if configured is None and not text:
        return None
    if not text or len(content) > MOST_BYTES or "\n" in text:
        raise SecretError(f"{path} has not one line")
    return text


def _credential(name: str) -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return None if folder is None else Path(folder) / name
