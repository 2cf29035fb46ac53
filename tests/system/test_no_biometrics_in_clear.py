"""No template, key, picture or name in any log, error or backup in clear: everything is done once, then all is searched."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import QUICK, replayed
from cameras import on_canvas
from clear_text import files_of, forms_of_bytes, forms_of_vector, leaks
from client import Answer, Client
from devices import Child, until
from people import add, assert_enrolled, body

from appliance import keys
from appliance.gallery import vault
from appliance.gallery.gallery import Gallery
from appliance.keys import Scope

NAME, IDENTITY, PASSPHRASE = "Wilhelmina Featherstonehaugh", "badge-90125-x", "a passphrase that nobody knows"

CONFIG = """
[log]
level = "debug"
[liveness]
mode = "single"
[gallery]
key_file = "{folder}/site.key"
pictures = true
[door]
clock = "plausible"
[webhook]
url = "http://127.0.0.1:9/"
secret_file = "{folder}/secret"
[camera]
{camera}
"""

SECRET = "whsec_" + base64.b64encode(bytes(range(100, 132))).decode()


@contextmanager
def device(folder: Path, camera: str) -> Iterator[tuple[Client, Child]]:
    with Child(folder, QUICK + CONFIG.format(folder=folder, camera=camera)) as child:
        client = child.ready()
        assert until(lambda: client.get("/camera/frame.jpg").status == 200)
        yield client, child


def command(folder: Path, *arguments: str) -> bytes:
    """What `appliance people …` prints, on both of its outputs."""
    (folder / "passphrase").write_text(PASSPHRASE)
    line = [sys.executable, "-m", "appliance", "people", *arguments, "--config", str(folder / "config.toml")]
    done = subprocess.run(
        line,
        capture_output=True,
        check=False,
        timeout=60,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "STATE_DIRECTORY": str(folder / "state")}
        | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    return done.stdout + done.stderr


def mistakes(client: Client, hopper: bytes) -> Iterator[Answer]:
    """Questions that are refused, with people's data in them."""
    yield client.post(
        f"/people/{IDENTITY}/templates", cv2.imencode(".png", np.full((99, 99, 3), 9, np.uint8))[1].tobytes()
    )
    yield client.post(f"/people/{IDENTITY}/templates", hopper[: len(hopper) // 2])
    yield client.post(f"/people/{IDENTITY}/templates", hopper)
    yield client.ask("POST", "/people", body({"id": IDENTITY, "name": NAME}))
    yield client.ask("POST", "/people", body({"id": "other", "name": NAME, "groups": "x"}))
    yield client.ask("POST", "/people", f"{NAME} is not JSON".encode())
    yield client.ask("PUT", f"/people/{IDENTITY}-not", body({"name": NAME}))
    yield client.get(f"/people/{IDENTITY}/{NAME.replace(' ', '-')}")
    yield client.post("/identify", hopper[:500])
    yield client.post("/faces?minsize=0", hopper)
    yield client.ask("POST", "/access/decide", body({"nonce": NAME}))


def text_of(answer: Answer) -> bytes:
    return str(answer.headers).encode() + answer.content


def damage(database: Path) -> None:
    with database.open("r+b") as file:
        file.seek(4096)  # all tables, not the page that makes it a database
        file.write(b"\xff" * (database.stat().st_size - 4096))


@pytest.mark.logs_errors("the gallery cannot be opened")
@pytest.mark.timeout(240)
def test_everything_is_done_once_and_nothing_is_in_clear(tmp_path: Path, portrait: bytes, hopper: bytes) -> None:
    film = tmp_path / "film"
    film.mkdir()
    camera = replayed(film, on_canvas(portrait, 1280, 720, left=0.3))
    folder = tmp_path / "device"
    folder.mkdir()
    (folder / "secret").write_text(SECRET)
    places: dict[str, bytes] = {}
    with device(folder, camera) as (client, child):
        token = keys.add(child.state / keys.FILE, "door", [Scope.ADMIN])
        (face,) = client.post("/facefeatures", portrait).document["face_features"]
        (aligned,) = client.post("/alignedfaces", portrait).document["aligned_faces"]
        add(client, IDENTITY, NAME, groups=["staff"])
        assert_enrolled(client.post(f"/people/{IDENTITY}/templates", portrait))
        held = client.post(f"/people/{IDENTITY}/captures", portrait).document["capture"]
        assert_enrolled(client.ask("POST", f"/people/{IDENTITY}/captures/{held}/confirm"))
        assert client.post("/identify", portrait).document["faces"][0]["person"]["id"] == IDENTITY
        assert client.get("/identify").document["faces"][0]["result"] == "identified"
        assert client.ask("POST", "/access/decide", body({"nonce": "0123456789abcdefghij"})).status == 200
        for number, answer in enumerate(mistakes(client, hopper)):
            assert answer.status >= 400, answer.document
            places[f"refusal {number}"] = text_of(answer)
        for given in (token, f"{token[:-1]}_"):
            places["keyed"] = text_of(client.get("/healthz", headers={"Authorization": f"Bearer {given}"}))
        rotated = _rotated(child.state, folder)
        child.process.kill()
        places["log"] = child.log.encode()
    archives = tmp_path / "archives"
    archives.mkdir()
    for act in ("backup", "export"):
        said = command(folder, act, str(archives / act), "--passphrase-file", str(folder / "passphrase"))
        places[f"words of {act}"] = said
    assert all(path.stat().st_size > 5000 for path in archives.iterdir()), places
    places |= files_of(archives) | {f"state: {name}": content for name, content in files_of(folder / "state").items()}
    damage(folder / "state" / "gallery.db")
    with device(folder, camera) as (client, child):
        places["health of a damaged one"] = text_of(client.get("/healthz"))
        places["refusal of a damaged one"] = text_of(client.ask("POST", "/people", body({"id": "z", "name": NAME})))
        child.process.kill()
        places["log of a damaged one"] = child.log.encode()
    key = vault.read_site_key(folder / "site.key")
    (folder / "site.key").rename(folder / "elsewhere")
    with device(folder, camera) as (client, child):
        places["health of a locked one"] = text_of(client.get("/healthz"))
        child.process.kill()
        places["log of a locked one"] = child.log.encode()

    raw_key = bytes.fromhex((folder / "elsewhere").read_text().strip())
    assert key.derive("x") != raw_key
    secrets = {
        "the site key": list(forms_of_bytes(raw_key)),
        "the template": list(forms_of_vector(np.frombuffer(base64.b64decode(face["feature_data"]), "<f4"))),
        **{f"the rotated template {n}": list(forms_of_vector(vector)) for n, vector in enumerate(rotated)},
        "the photograph": list(forms_of_bytes(portrait)),
        "the other photograph": list(forms_of_bytes(hopper)),
        "the aligned face": list(forms_of_bytes(base64.b64decode(aligned["image_data"]))),
        "the passphrase": [PASSPHRASE.encode()],
        "the secret of the webhook": [SECRET.encode(), *forms_of_bytes(base64.b64decode(SECRET[6:]))],
        "the API key": [token.encode(), *forms_of_bytes(token.encode())],
        "the name": [NAME.encode(), NAME.split()[-1].encode()],
    }
    assert leaks(secrets, places) == []
    logs = {
        place: content for place, content in places.items() if place.startswith(("log", "state", "backup", "export"))
    }
    assert leaks({"the id": [IDENTITY.encode()]}, logs) == []


def _rotated(state: Path, folder: Path) -> list[np.ndarray]:
    """The templates as the gallery holds them."""
    with closing(Gallery(state / "gallery.db", vault.read_site_key(folder / "site.key"))) as gallery:
        rotation = gallery.snapshot.rotation
        return [rotation.apply(vector) for export in gallery.export() for vector in _embeddings(export)]


def _embeddings(export) -> list[np.ndarray]:
    return [each.embedding for each in export.templates]


PLANTED = np.random.default_rng(1).normal(size=512).astype("<f4")


@pytest.mark.parametrize(
    "form",
    [
        PLANTED.tobytes(),
        PLANTED.tobytes()[700:900],
        PLANTED.astype("<f2").tobytes(),
        PLANTED.tobytes().hex().encode(),
        repr(float(PLANTED[3])).encode(),
        f"{PLANTED[0]:.6f}".encode(),
        *(base64.b64encode(b"x" * shift + PLANTED.tobytes()) for shift in range(3)),
        *(base64.urlsafe_b64encode(PLANTED.tobytes()[shift:]) for shift in range(3)),
    ],
)
def test_a_template_that_is_somewhere_is_found(form: bytes) -> None:
    secrets = {"it": list(forms_of_vector(PLANTED))}
    assert leaks(secrets, {"there": b"some" + form + b"where"}) == ["it in there"]
    assert leaks(secrets, {"there": b"somewhere" * 99}) == []
