"""One flipped bit in a file of the state folder, or in its name: a reason in the health, never an exit or another answer."""

import json
import re
from pathlib import Path

import pytest
from devices import Child, until

from appliance import identity, keys, state
from appliance.calibration import points
from appliance.calibration.points import Basis, CalibrationError, CalibrationStore, Kind, Measured, SimilarityEntry, now
from appliance.keys import KeysError, KeyStore, Scope

pytestmark = pytest.mark.logs_errors("no key is accepted|operating points are used|device id|gallery|record")

QUICK = '[engine]\nengines = 1\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\n[camera]\ndriver = "none"\n'

MODEL = "a" * 64


def entry(threshold: float = 0.4) -> SimilarityEntry:
    rates = {"fmr": Measured(count=1, total=1000, lower=0.0001, upper=0.005)}
    return SimilarityEntry(
        model=MODEL,
        threshold=threshold,
        wanted={"fmr": 0.001},
        measured=rates,
        counts={},
        basis=Basis.PHOTOS,
        date=now(),
    )


def flips(content: bytes) -> list[bytes]:
    return [
        content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
        for place in range(len(content))
        for bit in range(8)
    ]


def names(name: str) -> list[str]:
    """The names that one flipped bit makes of a name, as far as a file can have them."""
    return [
        flipped.decode("utf-8", "surrogateescape")
        for flipped in flips(name.encode())
        if not {b"/", b"\0"} & {bytes([byte]) for byte in flipped}
    ]


def test_every_flipped_bit_in_the_keys_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / keys.FILE
    keys.add(path, "door", [Scope.LIVE])
    sound, content = keys.read(path), path.read_bytes()
    for flipped in flips(content):
        path.write_bytes(flipped)
        try:
            assert keys.read(path) == sound, "what cannot be noticed is the same"
            assert json.loads(flipped) == json.loads(content)
        except KeysError as error:
            assert "is damaged" in str(error)  # noqa: PT017


def test_every_flipped_bit_in_the_calibration_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / points.FILE
    points.keep(path, Kind.SIMILARITY, (entry(),))
    sound, content = points.read(path), path.read_bytes()
    for flipped in flips(content):
        path.write_bytes(flipped)
        try:
            assert points.read(path) == sound
            assert json.loads(flipped) == json.loads(content)
        except CalibrationError as error:
            assert "is damaged" in str(error)  # noqa: PT017


def test_a_flipped_name_of_the_keys_is_a_problem_and_no_open_door(tmp_path: Path) -> None:
    path = tmp_path / keys.FILE
    keys.add(path, "door", [Scope.LIVE])
    for name in names(keys.FILE):
        path.rename(tmp_path / name)
        store = KeyStore(path)
        assert not store.empty()
        assert "one bit away" in store.problem()
        (tmp_path / name).rename(path)


def test_a_flipped_name_of_the_calibration_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / points.FILE
    points.keep(path, Kind.SIMILARITY, (entry(),))
    for name in names(points.FILE):
        path.rename(tmp_path / name)
        assert "one bit away" in CalibrationStore(path).problem()
        (tmp_path / name).rename(path)


def test_other_files_are_no_problem(tmp_path: Path) -> None:
    for name in ("keys.json.bak", "calibration.jso", "notes", ".keys.json.x1y2z3"):
        (tmp_path / name).write_text("{}")
    assert KeyStore(tmp_path / keys.FILE).empty()
    assert CalibrationStore(tmp_path / points.FILE).problem() is None
    assert identity.problems(tmp_path) == []


def test_a_flipped_bit_in_the_device_id_is_a_problem_or_no_difference(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    own = identity.device_id(tmp_path, nowhere, nowhere)
    content = (tmp_path / identity.FILE).read_bytes()
    for flipped in flips(content):
        (tmp_path / identity.FILE).write_bytes(flipped)
        digits = identity._read(tmp_path / identity.FILE)[:12]
        assert identity.problems(tmp_path) or digits == own
    for name in names(identity.FILE):
        for path in tmp_path.iterdir():
            path.unlink()
        (tmp_path / name).write_bytes(content)
        assert identity.problems(tmp_path)
        assert identity.device_id(tmp_path, nowhere, nowhere) == own


def test_a_flipped_bit_in_the_last_configuration_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tables = {"camera": {"fps": 15}}
    for flipped in (b'"fps": 14', b'"fpr": 15'):
        state.audit_configuration(tmp_path, tables)
        path = tmp_path / state.CONFIGURATION
        path.write_bytes(path.read_bytes().replace(b'"fps": 15', flipped))
        caplog.clear()
        state.audit_configuration(tmp_path, tables)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "its checksum is wrong" in caplog.text


def test_a_device_starts_with_all_of_them_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    keys.add(folder / keys.FILE, "door", [Scope.LIVE])
    (folder / keys.FILE).rename(folder / "keyr.json")
    points.keep(folder / points.FILE, Kind.SIMILARITY, (entry(),))
    content = (folder / points.FILE).read_bytes()
    (folder / points.FILE).write_bytes(content.replace(b"0.4", b"0.5"))
    (folder / identity.FILE).write_text("0123456789ab ffff\n", "ascii")
    with Child(tmp_path, QUICK, ("--host", "0.0.0.0", "--port", "0")) as child:
        client = child.ready()
        wanted = {"keys_damaged", "calibration_damaged", "device_id_damaged"}
        assert until(lambda: wanted <= {each["state"] for each in client.get("/healthz").document["reasons"]}), (
            client.get("/healthz").document
        )
        assert re.search("keyr.json: rename that", child.log)
        assert child.terminate() == 0
