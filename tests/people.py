"""What a device says of the people it knows, key by key; and people to tell it of."""

import json
import re
from typing import Any

from client import Answer, Client
from document import assert_signed, assert_success, message

NAMES = {
    "latin": "Eileen Marie Collins",
    "greek": "Ελένη Παπαδοπούλου",
    "cyrillic": "Светлана Савицкая",
    "arabic": "ياسمين مقبلي",
    "persian": "علی\u200cرضا",  # noqa: RUF001
    "hebrew": "אילן רמון",
    "sinhala": "ශ්\u200dරී",
    "hindi": "कल्पना चावला",
    "chinese": "王亚平",
    "korean": "이소연",
    "japanese": "向井 千秋",
    "combining": "Zoe\u0301 O\u2019Brien-Smith",
    "astral": "𠮷田 🙂",
}

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

QUALITY = {"overall", "weakest", "size", "sharpness", "light", "pose", "visibility"}


def assert_person(found: dict[str, Any]) -> dict[str, Any]:
    """A person as JSON."""
    assert set(found) == {
        "id",
        "name",
        "groups",
        "valid_from",
        "valid_until",
        "created",
        "credential",
        "templates",
        "fit",
    }
    assert TIME.fullmatch(found["created"])
    for template in found["templates"]:
        assert_template(template)
    return found


def assert_template(found: dict[str, Any]) -> dict[str, Any]:
    """What is said of a template."""
    assert set(found) == {"number", "quality", "source", "created", "pictured", "usable", "strong"}
    assert type(found["number"]) is int
    assert 0 <= found["quality"] <= 1
    assert found["source"] in ("photo", "camera")
    assert TIME.fullmatch(found["created"])
    return found


def assert_one(answer: Answer) -> dict[str, Any]:
    """An answer about one person; returns them."""
    return assert_person(assert_success(answer, "person")["person"])


def assert_added(answer: Answer) -> dict[str, Any]:
    """The answer to a person who was added; returns them."""
    added = assert_person(assert_success(answer, "person", status=201)["person"])
    assert answer.headers["Location"] == f"people/{added['id']}"
    return added


def assert_all(answer: Answer) -> list[dict[str, Any]]:
    """An answer about everybody; returns them."""
    found = assert_success(answer, "count", "templates", "people")
    people = [assert_person(person) for person in found["people"]]
    assert found["count"] == len(people)
    assert found["templates"] == sum(len(person["templates"]) for person in people)
    return people


def assert_enrolled(answer: Answer) -> dict[str, Any]:
    """The answer to an enrolment that succeeded."""
    found = assert_success(answer, "template", "quality", "warnings", status=201)
    assert_template(found["template"])
    assert set(found["quality"]) == QUALITY
    for warning in found["warnings"]:
        assert set(warning) == {"kind", "person"}
        assert warning["kind"] in ("duplicate", "look-alike")
    return found


def assert_refused(answer: Answer, status: int, code: str, reason: str, **facts: object) -> str:
    """A failure that says why; returns its text for people."""
    assert (answer.status, answer.code, answer.document.get("reason")) == (status, code, reason)
    assert_signed(answer)
    text = answer.document["text"]
    assert answer.document == {"reason": reason, "text": text, **facts, "return_msg": message(code)}
    assert 8 < len(text) < 200
    assert "/" not in text.replace("and/or", "")
    return text


def add(client: Client, identity: str, name: str = "Somebody", **words: object) -> dict[str, Any]:
    """Makes somebody known."""
    return assert_added(client.ask("POST", "/people", body({"id": identity, "name": name, **words})))


def body(words: object) -> bytes:
    """What a client posts."""
    return json.dumps(words, ensure_ascii=False).encode()
