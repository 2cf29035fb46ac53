"""The description of the API: of every route, true of every answer, and shown on a page."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from client import HOST, Client
from devices import Device, pool, shipped_engine
from people import add

from appliance.api import description
from appliance.vision.loading import Choice

STREAMS = ("/events", "/kiosk/events", "/camera/stream.mjpg")
"""They do not end."""

CHECKS = (
    "status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,unsupported_method"
)


@pytest.fixture(scope="module")
def served(choice: Choice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """A device that knows a person, without a camera."""
    folder = tmp_path_factory.mktemp("described")
    with Device(pool(shipped_engine(choice)), gallery=folder, choice=choice) as running:
        add(running.client, "x", credential={"format": "26", "facility": 1, "card": 2})
        yield running


@pytest.fixture(scope="module")
def document(served: Device) -> dict[str, Any]:
    answer = served.client.get("/openapi.json")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.content)


def test_every_route_but_the_pages_and_their_files_is_described(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert found == {tuple(re.sub("<(.*?)>", r"{\1}", each).split()) for each in description.ROUTES}


def test_every_operation_says_in_a_sentence_of_its_own_what_it_does(document: dict[str, Any]) -> None:
    said = [operation["summary"] for methods in document["paths"].values() for operation in methods.values()]
    assert [each for each in said if not re.fullmatch(r"[A-Z].{8,180}[.]", each)] == []
    assert [each for each in said if re.search(r"partial|Raises|self|None\b|\bThe same\b", each)] == []


def test_the_rule_of_a_nonce_and_the_parts_of_a_decision_are_described(document: dict[str, Any]) -> None:
    models = document["components"]["schemas"]
    nonce = jsonschema_rs.Draft202012Validator(models["Question"]["properties"]["nonce"])
    assert "16 to 86 letters" in models["Question"]["properties"]["nonce"]["description"]
    for text, good in (
        ("a" * 16, True),
        ("-_" * 43, True),
        ("a" * 15, False),
        ("a" * 87, False),
        ("a" * 15 + "ü", False),
    ):
        assert nonce.is_valid(text) is good, text
    decided = jsonschema_rs.Draft202012Validator({**models["DecidedJson"], "components": document["components"]})
    result = {"return_msg": {"return_code": "INF-00", "return_msg": "OK."}}
    denied = {"result": "denied", "reason": "unknown", "text": "not enrolled", "name": None}
    assert decided.is_valid({"decision": denied, **result})
    assert not decided.is_valid({"decision": {**denied, "more": 1}, **result})
    assert not decided.is_valid({"decision": {}, **result})


def test_every_route_of_the_api_has_its_types(served: Device) -> None:
    routes = [
        f"{route.method} {route.rule}" for route in served.table if route.scopes or route.part or route.method != "GET"
    ]
    assert set(routes) == set(description.ROUTES)


def test_what_needs_a_key_says_which(document: dict[str, Any]) -> None:
    assert "security" not in document["paths"]["/key"]["delete"]
    assert document["paths"]["/people"]["get"]["security"][0] == {"bearer": ["admin"]}
    assert document["paths"]["/version"]["get"]["security"][0] == {"bearer": []}


def test_any_key_may_read_it_and_none_may_not(tmp_path: Path) -> None:
    with Device(pool(), keys=tmp_path / "keys.json", loopback=False) as device:
        assert device.client.get("/openapi.json").status == 401
        assert device.client.get("/docs").status == 200


@pytest.mark.timeout(1200)
def test_no_answer_differs_from_the_description(served: Device, tmp_path: Path, thorough: bool) -> None:  # noqa: FBT001
    """schemathesis asks a live device whatever the description allows, and what it does not."""
    extent = (["coverage,fuzzing", "10"], ["fuzzing", "3"])[not thorough]
    excluded = [word for path in STREAMS for word in ("--exclude-path", path)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"http://{HOST}:{served.client.port}/openapi.json"),
            *("--phases", extent[0], "--max-examples", extent[1], "--checks", CHECKS, *excluded),
            *(
                "--request-timeout",
                "20",
                "--seed",
                "1",
                "--generation-database",
                "none",
                "--no-color",
            ),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=1100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_real_answers_are_as_described(served: Device, document: dict[str, Any], portrait: bytes) -> None:
    """Of requests that succeed, which no generator finds."""
    client: Client = served.client
    for path in ("/faces", "/alignedfaces", "/facefeatures", "/facefeatures/withimages", "/masks", "/identify"):
        answer = client.post(path, portrait)
        schema = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        validator = jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
        validator.validate(answer.document)
        assert not validator.is_valid({**answer.document, "more": 1}), path
    enrolled = client.post("/people/x/templates", portrait)
    schema = document["paths"]["/people/{identity}/templates"]["post"]["responses"]["201"]["content"]
    kind = {**schema["application/json"]["schema"], "components": document["components"]}
    jsonschema_rs.Draft202012Validator(kind).validate(enrolled.document)
