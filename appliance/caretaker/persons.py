"""What is said of people: made from what was typed, and shown."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from appliance.api import people as answers
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Known, Person, new_reference

_WORDS = ("name", "groups", "valid_from", "valid_until")


def new(options: argparse.Namespace) -> Person:
    """Somebody who is not known yet."""
    nobody = Person(options.id, "", (), None, None, new_reference(), datetime.now(UTC).replace(microsecond=0))
    return changed(nobody, options)


def changed(person: Person, options: argparse.Namespace) -> Person:
    """A person with the words that were typed, and their own where none were."""
    return replace(person, **{word: getattr(options, word) for word in _WORDS if hasattr(options, word)})


def documents(gallery: Gallery) -> dict[str, Any]:
    """Everybody, as `GET /people` answers."""
    people = gallery.people()
    return {
        "count": len(people),
        "templates": gallery.templates,
        "people": [document(gallery, known) for known in people],
    }


def document(gallery: Gallery, known: Known) -> dict[str, Any]:
    """A person as JSON; usable are the templates of the embedder that made the newest of all."""
    return answers.record(known, gallery.embedder())


def lines(gallery: Gallery) -> Iterator[str]:
    """A line a person."""
    for known in gallery.people():
        person, count = known.person, len(known.templates)
        words = f"{count} template{'' if count == 1 else 's'}"
        yield f"{person.id:<20} {person.name:<28} {words:<13} {','.join(person.groups):<16} {_validity(person)}".rstrip()


def details(known: Known) -> Iterator[str]:
    """A person, and a line a template."""
    person = known.person
    yield f"{person.id}: {person.name}"
    yield f"groups: {', '.join(person.groups) or 'none'}; {_validity(person) or 'at any time'}; reference {person.reference}"
    for template in known.templates:
        picture = ", with its picture" if template.pictured else ""
        yield (
            f"template {template.number}: {template.source} of {template.created.astimezone():%Y-%m-%d %H:%M}, "
            f"quality {template.quality:.2f}{picture}"
        )


def _validity(person: Person) -> str:
    begin = f"from {person.valid_from} " if person.valid_from else ""
    return f"{begin}{f'until {person.valid_until}' if person.valid_until else ''}".rstrip()
