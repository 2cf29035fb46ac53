"""A challenge over HTTP: each prompt is a step of its own, for a door with a display of its own."""

from pathlib import Path
from typing import Any

from cameras import Scripted
from devices import Device, pool, shipped_engine, until
from document import assert_success
from doors import HEIGHT, WIDTH, head
from people import add, assert_enrolled, body

from appliance.access.challenge import ChallengeMode
from appliance.access.policy import Rules
from appliance.imaging.codec import EncodedPicture
from appliance.vision.loading import Choice

ALWAYS = Rules(challenge=ChallengeMode.ALWAYS)


def test_each_prompt_is_a_step_and_one_decision_ends_it(choice: Choice, hopper: bytes, tmp_path: Path) -> None:
    photo = EncodedPicture(hopper, 10**6).frame(1.0).pixels
    pictures = [head(photo, number) for number in range(30)]
    camera = Scripted(lambda number: pictures[number % 30].copy(), 1 / 15)
    engines = pool(shipped_engine(choice))
    with Device(engines, source=camera, size=(WIDTH, HEIGHT), gallery=tmp_path, choice=choice, rules=ALWAYS) as device:
        add(device.client, "hopper", "Grace Hopper")
        assert_enrolled(device.client.post("/people/hopper/templates", hopper))
        assert until(lambda: device.ring.spaced(4, 0.3))

        def posted(path: str, content: object) -> dict[str, Any]:
            answer = device.client.ask("POST", path, body(content))
            keys = ["pending"] if "pending" in answer.document else ["decision", "token"]
            return assert_success(answer, *keys)

        first = posted("/access/decide", {"nonce": "nonce-of-a-challenge"})["pending"]
        assert (first["kind"], first["prompt"], first["text"]) == (
            "challenge",
            "look_front",
            "Look straight at the camera.",
        )
        second = posted(f"/access/decide/{first['handle']}", {})["pending"]
        assert second["prompt"] in {"turn_left", "turn_right", "look_up"}
        assert second["handle"] != first["handle"]
        assert device.client.ask("POST", f"/access/decide/{first['handle']}", b"{}").status == 404
        decision = posted(f"/access/decide/{second['handle']}", {"cancel": True})["decision"]
        assert (decision["result"], decision["reason"]) == ("denied", "challenge_required")
