"""The tables of the gallery's database, and how an older one becomes the newest."""

import sqlite3
from pathlib import Path

from appliance.gallery.people import GalleryUnavailableError

MIGRATIONS = (
    """
    CREATE TABLE facts (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE people (number INTEGER PRIMARY KEY AUTOINCREMENT, tag BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL);
    CREATE TABLE templates (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        person INTEGER NOT NULL REFERENCES people (number) ON DELETE CASCADE,
        sealed BLOB NOT NULL
    );
    CREATE INDEX templates_of_a_person ON templates (person);
    CREATE TABLE pictures (
        number INTEGER PRIMARY KEY REFERENCES templates (number) ON DELETE CASCADE,
        sealed BLOB NOT NULL
    );
    CREATE TABLE passages (
        number INTEGER PRIMARY KEY REFERENCES people (number) ON DELETE CASCADE,
        sealed BLOB NOT NULL
    );
    """,
)
"""Each makes the next version (PRAGMA user_version) of the one before; what is here once never changes.

`people.tag` is an HMAC of the id; `pictures.number` is that of the template, `passages.number` that of the person.
"""


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Brings a database to the newest version, one transaction a step. Raises GalleryUnavailableError when it is newer than
    this program, and SQLite's errors.
    """
    while (version := _version(connection)) < len(MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) == version:
                for statement in MIGRATIONS[version].split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    if version > len(MIGRATIONS):
        raise GalleryUnavailableError(f"{path} was made by a newer version of this program: install that one again")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
