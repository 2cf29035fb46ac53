"""A device before a replayed camera, as a process of its own, and a door that trusts its signature."""

import subprocess
import sys
import time
from pathlib import Path

import cv2
from client import Client
from devices import Child, until
from doors import HEIGHT, WIDTH, head
from face_appliance_client.verifier import Verifier
from people import add, assert_enrolled, body

from appliance.access.token import LIFE, PublicKey
from appliance.imaging.codec import EncodedPicture

CONFIG = """
[gallery]
key_file = "{folder}/site.key"
[camera]
driver = "replay"
source = "{folder}/film"
width = {width}
height = {height}
fps = 15
"""


def film(folder: Path, hopper: bytes) -> None:
    """Two seconds of Hopper before a camera."""
    folder.mkdir()
    photo = EncodedPicture(hopper, 10**6).frame(1.0).pixels
    for number in range(30):
        picture = cv2.cvtColor(head(photo, number), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{number:02d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])


def device(folder: Path) -> Child:
    return Child(folder, CONFIG.format(folder=folder, width=WIDTH, height=HEIGHT))


def seen(client: Client) -> Client:
    """The client, as soon as the camera has shown enough."""
    assert until(lambda: client.get("/liveness/multiframe").status == 200)
    return client


def decide(client: Client, verifier: Verifier) -> tuple[dict, str]:
    """A decision that was in time: other tests may keep this computer busy."""

    def answered() -> dict | None:
        answer = client.ask("POST", "/access/decide", body({"nonce": verifier.challenge()})).document
        return None if answer["decision"]["reason"] == "camera_blind" else answer

    answer = until(answered, 60)
    return answer["decision"], answer["token"]


def command(folder: Path, running: Child, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "STATE_DIRECTORY": str(running.state)}
    line = [sys.executable, "-m", "appliance", *map(str, arguments)]
    root = str(Path(__file__).parent.parent.parent)
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**environment, "PYTHONPATH": root},
        check=False,
        timeout=60,
    )


def test_a_door_grants_and_trusts_the_same_key_after_a_restart(tmp_path: Path, hopper: bytes) -> None:
    film(tmp_path / "film", hopper)
    with device(tmp_path) as running:
        client = seen(running.ready())
        add(client, "hopper", "Grace Hopper")
        assert_enrolled(client.post("/people/hopper/templates", hopper))
        told = client.get("/access/key")
        (tmp_path / "device.json").write_bytes(told.content)
        key, patient = PublicKey.read(told.document["public_key"]), 20 * LIFE
        verifier = Verifier(key, told.document["device"], answer=patient, tolerance=patient)
        begun = time.monotonic()
        decision, token = decide(client, verifier)
        print(f"answered after {time.monotonic() - begun:.3f} s: {decision['reason']}")
        assert decision["result"] == "granted", decision
        assert verifier.verify(token).person == "hopper"
        options = ("--key", "device.json", "--tolerance", "60", f"--nonce={decision['nonce']}", "--ledger", "used")
        first, second = (command(tmp_path, running, "verify-decision", *options, token) for _ in range(2))
        assert (first.returncode, first.stdout) == (0, "hopper\n")
        assert (second.returncode, second.stdout) == (1, "")
        assert running.terminate() == 0
    with device(tmp_path) as running:
        client = seen(running.ready())
        assert client.get("/access/key").document == told.document
        assert verifier.verify(decide(client, verifier)[1]).granted
        assert command(tmp_path, running, "decisions", "verify").returncode == 0
        assert {"granted"} <= {each["result"] for each in client.get("/access/decisions").document["decisions"]}
        assert "Grace" not in running.log
        assert "hopper" not in running.log.replace("hopper.jpg", "").replace("/people/hopper", "")
