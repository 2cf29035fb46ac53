"""No picture ever reaches a file: a device that reports every file it opens for writing. Its state is written at the start."""

from pathlib import Path

import pytest
from bodies import MIB, form, frames, group, jpeg, moving, opened
from client import request
from devices import Child
from document import assert_faces, assert_fraction, assert_refusal
from PIL import Image

REPORTING = """
import os, sys

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC

def report(event, arguments):
    opened = event == "open" and not isinstance(arguments[0], int)  # a descriptor has been reported before
    if opened and isinstance(arguments[2], int) and arguments[2] & WRITES or event.startswith("tempfile."):
        os.write(2, f"WRITES {event} {arguments}\\n".encode())

sys.addaudithook(report)
from appliance.cli.main import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Child:
    folder = tmp_path_factory.mktemp("reporting")
    nowhere = str(folder / "nowhere")
    environment = {"TMPDIR": nowhere, "TEMP": nowhere, "TMP": nowhere, "PYTHONDONTWRITEBYTECODE": "1"}
    config = '[engine]\nengines = 1\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\n'
    with Child(folder, config, program=("-c", REPORTING), environment=environment) as child:
        child.ready()
        yield child


def test_the_report_notices_a_write(tmp_path: Path) -> None:
    program = REPORTING.replace("from appliance.cli.main import main", "open('x', 'w').close()\ndef main(): return 0")

    with Child(tmp_path, program=("-c", program)) as child:
        child.process.wait(30)

        assert "WRITES open" in child.log


def test_pictures_of_several_megabytes_are_answered_without_a_file(reporting: Child, portrait: bytes) -> None:
    client = reporting.ready()
    large = padded(opened(portrait), 6 * MIB)
    headers, pair = form({"image_a": large, "image_b": large[: 1 * MIB]})
    live, body = form({"images": frames([padded(opened(frame), 1 * MIB) for frame in moving(opened(portrait))])})

    assert len(assert_faces(client.post("/faces", large))) == 1
    assert client.post("/alignedfaces", large).status == 200
    assert_refusal(client.post("/similarity", pair, headers), 400, "INF-05")
    assert_fraction(client.post("/liveness/multiframe", body, live), "confidence")
    assert_refusal(client.post("/faces", bytes(9 * MIB)), 413, "INF-01")

    assert_nothing_written(reporting)


def test_an_answer_of_half_a_megabyte_needs_no_file(reporting: Child, portrait: bytes) -> None:
    crowd = group([opened(portrait).crop((90, 0, 360, 280))] * 10, [280] * 10)

    answer = reporting.ready().post("/alignedfaces", jpeg(crowd))

    assert len(answer.content) > 500_000
    assert_nothing_written(reporting)


def test_a_chunked_picture_is_answered_without_a_file(reporting: Child, portrait: bytes) -> None:
    large = padded(opened(portrait), 6 * MIB)
    with reporting.ready().wire() as wire:
        wire.send(request("POST", "/faces", None, {"Transfer-Encoding": "chunked"}))
        wire.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(large), large))

        assert len(assert_faces(wire.answer())) == 1

    assert_nothing_written(reporting)


def padded(image: Image.Image, size: int) -> bytes:
    """A JPEG of at least `size` bytes: comments stand between its first marker and the rest."""
    content = jpeg(image)
    comment = b"\xff\xfe\xff\xff" + bytes(65_533)
    return content[:2] + comment * (1 + (size - len(content)) // len(comment)) + content[2:]


def assert_nothing_written(child: Child) -> None:
    folder = child.log_file.parent
    own = (f"{child.state}/", f"{folder}/config/face-appliance/.gallery.key.", "'/dev/null'")
    writes = [line for line in child.log.splitlines() if line.startswith("WRITES") and not any(map(line.count, own))]
    assert writes == []
    assert sorted(path.name for path in folder.iterdir()) == ["config", "config.toml", "log", "state"]
    assert {path.name.partition("-")[0] for path in child.state.iterdir()} == {
        "configuration.json",
        "decisions.db",
        "gallery.db",
        "in",  # "in-use"
    }
    assert sum(path.stat().st_size for path in child.state.rglob("*")) < MIB // 2
