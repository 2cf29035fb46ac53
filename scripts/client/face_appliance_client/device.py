"""A device as its client sees it, and a door that acts on its decisions."""

from __future__ import annotations

import json
import os
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Union
from urllib.parse import quote

import httpx

from face_appliance_client import answers
from face_appliance_client.answers import (
    AlignedFace,
    Capture,
    Comparison,
    Connected,
    Enrolled,
    Event,
    Face,
    Feature,
    FleetInvitation,
    FleetStatus,
    Health,
    IdentifiedFace,
    ImportedRow,
    Invitation,
    ListedDecision,
    Mask,
    Person,
    PicturedFeature,
    PinState,
    Place,
    PublicKeyAnswer,
    Receipt,
    Version,
    VisitorPass,
)
from face_appliance_client.decision import LIFE, TOLERANCE, Decision, Direction, PublicKey
from face_appliance_client.streams import Streamed, events_of, failing, unreachable
from face_appliance_client.transport import (
    TIMEOUT,
    NotReadyError,
    UnexpectedAnswerError,
    UnreachableError,
    checked,
    connection,
    pinned,
)
from face_appliance_client.verifier import ANSWER, Verifier

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

Photo = Union[bytes, str, "os.PathLike[str]"]
"""A picture as JPEG or PNG: its bytes, or the name of its file."""

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before a broken event stream is tried again; each further attempt waits twice as long."""


class FaceAppliance:
    """A device. Every method but `events` and `stream` sends one request, and raises the ApplianceErrors of `transport`.
    Thread-safe.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        fingerprint: str | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """`url` such as "http://192.168.1.23:9297", or "https://…:9443" with the `fingerprint` of its certificate, or with a
        `tls` context of your own. `key` is needed everywhere but on the device itself. Raises ValueError for a fingerprint that
        is none, or without HTTPS.
        """
        if fingerprint is not None:
            if not url.startswith("https://"):
                raise ValueError("a fingerprint is checked over https only")
            tls = pinned(fingerprint)
        self._http = connection(url, key, tls, timeout)
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections, and ends `events`."""
        self._closed.set()
        self._http.close()

    def faces(self, photo: Photo | None = None, **limits: int) -> tuple[Face, ...]:
        """The faces of a photograph, largest first; without one, those of the camera's newest frame. `limits`: minsize,
        maxsize, detectcount.
        """
        return self._about(tuple[Face, ...], "faces", "/faces", photo, limits)

    def aligned_faces(self, photo: Photo | None = None, **limits: int) -> tuple[AlignedFace, ...]:
        """The same faces, cut out."""
        return self._about(tuple[AlignedFace, ...], "aligned_faces", "/alignedfaces", photo, limits)

    def identify(self, photo: Photo | None = None, **limits: int) -> tuple[IdentifiedFace, ...]:
        """Who the faces are."""
        return self._about(tuple[IdentifiedFace, ...], "faces", "/identify", photo, limits)

    def similarity(self, image_a: Photo, image_b: Photo) -> float:
        """How alike two aligned faces are, 0..1."""
        return self._posted(float, "similarity", "/similarity/v2", files=_parts(image_a=image_a, image_b=image_b))

    def compare(self, image_a: Photo, image_b: Photo) -> Comparison:
        """How alike the largest faces of two photographs are."""
        return self._posted(Comparison, None, "/compare", files=_parts(image_a=image_a, image_b=image_b))

    def liveness(self, images: Photo | None = None, frame_counts: int = 4, filename_extension: str = "jpg") -> float:
        """The liveness of four to ten frames in a zip, 0..1; without one, of the person at the camera."""
        path = "/liveness/multiframe"
        if images is None:
            return self._got(float, "confidence", path)
        parts = _parts(
            images=images, frame_counts=str(frame_counts).encode(), filename_extension=filename_extension.encode()
        )
        return self._posted(float, "confidence", f"{path}/v2", files=parts)

    def single_liveness(self, photo: Photo) -> float:
        """The liveness of one picture, on a device with `liveness.mode = "single"`."""
        return self._posted(float, "confidence", "/liveness", content=_content(photo))

    def masks(self, photo: Photo, **limits: int) -> tuple[Mask, ...]:
        """Whether the faces of a photograph wear masks."""
        return self._about(tuple[Mask, ...], "masks", "/masks", photo, limits)

    def features(self, photo: Photo, **limits: int) -> tuple[Feature, ...]:
        """The embeddings of the faces of a photograph: biometric data in clear."""
        return self._about(tuple[Feature, ...], "face_features", "/facefeatures", photo, limits)

    def features_with_images(self, photo: Photo, **limits: int) -> tuple[PicturedFeature, ...]:
        """The same, with the faces cut out."""
        kind = tuple[PicturedFeature, ...]
        return self._about(kind, "face_features", "/facefeatures/withimages", photo, limits)

    def feature(self, aligned_face: Photo) -> Feature:
        """The embedding of an aligned face."""
        return self._posted(Feature, None, "/feature/floats", content=_content(aligned_face))

    def feature_bytes(self, aligned_face: Photo) -> bytes:
        """The same in 512 signed bytes."""
        return self._posted(bytes, "feature_data", "/feature/bytes", content=_content(aligned_face))

    def compare_features(self, feature_a: bytes, feature_b: bytes) -> float:
        """How alike two embeddings are, each the `feature_data` of a Feature or what `feature_bytes` returned."""
        parts = _parts(feature_a=b64encode(feature_a), feature_b=b64encode(feature_b))
        return self._posted(float, "similarity", "/compare/feature", files=parts)

    def version(self) -> Version:
        """What runs on the device."""
        return self._got(Version, None, "/version")

    def health(self) -> Health:
        """The state of the device; trouble is an answer here, not an error."""
        response = self._sent("GET", "/healthz")
        return _read(Health, (response if response.status_code == 503 else checked(response)))

    def metrics(self) -> str:
        """What Prometheus reads."""
        text: str = checked(self._sent("GET", "/metrics")).text
        return text

    def frame(self) -> bytes:
        """The camera's newest frame, a JPEG."""
        picture: bytes = checked(self._sent("GET", "/camera/frame.jpg")).content
        return picture

    def stream(self) -> Iterator[bytes]:
        """The camera's frames as they come, each a JPEG, until the device ends the stream."""
        with Streamed(self._http, "/camera/stream.mjpg") as response:
            waiting = b""
            for chunk in failing(response.iter_bytes()):
                waiting += chunk
                head, blank, rest = waiting.partition(b"\r\n\r\n")
                while blank:
                    length = int(head.lower().partition(b"content-length:")[2].split()[0])
                    if len(rest) < length:
                        break
                    yield rest[:length]
                    waiting = rest[length:]
                    head, blank, rest = waiting.partition(b"\r\n\r\n")

    def events(self) -> Iterator[Event]:
        """What happens, as it happens, for ever: a lost connection is made again, and `Connected` says so. Ends after `close`.
        Raises NotAdmittedError, and RefusedError for a device without events.
        """
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            wait = None
            try:
                with Streamed(self._http, "/events") as response:
                    pause = FIRST_PAUSE
                    yield Connected()
                    yield from events_of(failing(response.iter_lines()))
            except NotReadyError as error:
                wait = error.retry_after
            except UnreachableError:
                pass
            self._closed.wait(pause if wait is None else wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    def people(self, query: str = "") -> tuple[Person, ...]:
        """The enrolled people whose id, name or groups contain `query`."""
        return self._got(tuple[Person, ...], "people", f"/people?query={quote(query)}")

    def person(self, identity: str) -> Person:
        """The person with an id."""
        return self._got(Person, "person", _person(identity))

    def add_person(
        self,
        identity: str,
        name: str,
        *,
        groups: Sequence[str] = (),
        valid_from: date | None = None,
        valid_until: date | None = None,
        credential: dict[str, Any] | None = None,
    ) -> Person:
        """Adds a person without templates."""
        fields = _fields(name, groups, valid_from, valid_until, credential)
        return self._posted(
            Person, "person", "/people", content=json.dumps({"id": identity, **fields}, default=date.isoformat)
        )

    def replace_person(
        self,
        identity: str,
        name: str,
        *,
        groups: Sequence[str] = (),
        valid_from: date | None = None,
        valid_until: date | None = None,
        credential: dict[str, Any] | None = None,
    ) -> Person:
        """Replaces everything about a person but the id and the templates."""
        fields = _fields(name, groups, valid_from, valid_until, credential)
        return self._put("PUT", identity, fields)

    def change_person(self, identity: str, **fields: Any) -> Person:
        """Changes what is given of `name`, `groups`, `valid_from`, `valid_until` and `credential`."""
        return self._put("PATCH", identity, fields)

    def erase_person(self, identity: str) -> Receipt:
        """Erases a person."""
        return _read(Receipt, checked(self._sent("DELETE", _person(identity))), "receipt")

    def enrol(
        self,
        identity: str,
        photo: Photo,
        *,
        face: tuple[float, float] | None = None,
        allow_duplicate: bool = False,
        allow_mismatch: bool = False,
    ) -> Enrolled:
        """Adds a template from a photograph of this person. If it shows others as well, `face` is a point (x, y) of theirs, in
        pixels; without it RefusedError has the boxes of all.
        """
        query = {**_meant(face), **_allowed(allow_duplicate, allow_mismatch)}
        return self._posted(Enrolled, None, f"{_person(identity)}/templates", params=query, content=_content(photo))

    def enrol_from_camera(
        self, identity: str, pose: str = "front", *, allow_duplicate: bool = False, allow_mismatch: bool = False
    ) -> Enrolled:
        """Adds a template of the live person at the camera, who looks to the `front`, `left`, `right`, `up` or `down`. Raises
        RefusedError, whose `text` is to be shown to them, until the pose is right.
        """
        query = {"pose": pose, **_allowed(allow_duplicate, allow_mismatch)}
        return self._posted(Enrolled, None, f"{_person(identity)}/templates/camera", params=query)

    def capture(self, identity: str, photo: Photo, *, face: tuple[float, float] | None = None) -> Capture:
        """The face of a photograph as `enrol` would enrol it. It is held for ten minutes, until `confirm`."""
        content, path = _content(photo), f"{_person(identity)}/captures"
        return self._posted(Capture, None, path, params=_meant(face), content=content)

    def capture_from_camera(self, identity: str, pose: str = "front") -> Capture:
        """The same of the person at the camera, as `enrol_from_camera` would enrol them."""
        return self._posted(Capture, None, f"{_person(identity)}/captures/camera", params={"pose": pose})

    def confirm(
        self, identity: str, capture: str, *, allow_duplicate: bool = False, allow_mismatch: bool = False
    ) -> Enrolled:
        """Adds a template from a capture, by its name."""
        query, path = (
            _allowed(allow_duplicate, allow_mismatch),
            f"{_person(identity)}/captures/{quote(capture)}/confirm",
        )
        return self._posted(Enrolled, None, path, params=query)

    def forget(self, identity: str, number: int) -> Person:
        """Erases a template."""
        answer = checked(self._sent("DELETE", f"{_person(identity)}/templates/{number}"))
        return _read(Person, answer, "person")

    def import_people(
        self, table: Photo, photos: Photo | None = None, *, on_conflict: str = "refuse", dry_run: bool = False
    ) -> tuple[ImportedRow, ...]:
        """Imports the people of a CSV table (its bytes or file name) with a zip of their photos; `on_conflict`: "refuse",
        "skip" or "replace".
        """
        query = {"on_conflict": on_conflict, **({"dry_run": "1"} if dry_run else {})}
        parts = _parts(people=table, **({} if photos is None else {"photos": photos}))
        return self._posted(tuple[ImportedRow, ...], "rows", "/people/import", params=query, files=parts)

    def people_table(self, query: str = "") -> bytes:
        """The people whose id, name or groups contain `query` as a CSV table, without biometrics."""
        content: bytes = checked(self._sent("GET", "/people.csv", params={"query": query})).content
        return content

    def decisions_table(self, **filters: str) -> bytes:
        """The decisions as a CSV table. `filters`: `since` and `until` (days or times), `person`, `result`, `reason`,
        `direction`.
        """
        query = {"from" if name == "since" else name: value for name, value in filters.items()}
        content: bytes = checked(self._sent("GET", "/access/decisions.csv", params=query)).content
        return content

    def fleet(self, query: str = "", limit: int = 100, after: str = "") -> FleetStatus:
        """The devices of the fleet, and where the people are known whose id, name or groups contain `query`: so many at most,
        from the one behind the id `after` on.
        """
        return self._got(FleetStatus, None, f"/fleet.json?query={quote(query)}&limit={limit}&after={quote(after)}")

    def invite_device(self) -> FleetInvitation:
        """Makes a code with which a device joins the fleet of this one."""
        return self._posted(FleetInvitation, "invitation", "/fleet/invitation")

    def invite(self, identity: str) -> Invitation:
        """Makes a link with which a person enrols on a phone; it ends an earlier one."""
        return self._posted(Invitation, "invitation", f"{_person(identity)}/invitation")

    def withdraw_invitation(self, identity: str) -> None:
        """Ends the link of a person."""
        checked(self._sent("DELETE", f"{_person(identity)}/invitation"))

    def has_pin(self, identity: str) -> bool:
        """Whether a person has a PIN."""
        return self._pin("GET", identity)

    def set_pin(self, identity: str, pin: str, duress: str | None = None) -> None:
        """Sets a person's PIN, and the one that raises a silent alarm."""
        self._pin("PUT", identity, content=json.dumps({"pin": pin, "duress": duress}))

    def remove_pin(self, identity: str) -> None:
        """Removes a person's PIN."""
        self._pin("DELETE", identity)

    def public_key(self) -> PublicKeyAnswer:
        """The public key and the id of the device: fetched once, when a door is set up, and stored there."""
        return self._got(PublicKeyAnswer, None, "/access/key")

    def key_set(self) -> dict[str, Any]:
        """The same key for JWT libraries (JWKS)."""
        found: dict[str, Any] = checked(self._sent("GET", "/.well-known/jwks.json")).json()
        return found

    def door(
        self,
        public_key: str,
        device: str,
        *,
        answer: timedelta = ANSWER,
        tolerance: timedelta | None = TOLERANCE,
    ) -> Door:
        """A door that acts on the decisions of the device with this stored key and id. `answer`: how long a decision may take,
        longer where people enter a PIN; `tolerance`: by how much the clocks may differ, None for a computer whose clock is not
        set. Raises decision.PublicKeyError.
        """
        verifier = Verifier(PublicKey.read(public_key), device, answer=answer, tolerance=tolerance)
        return Door(self, verifier, (answer + LIFE).total_seconds())

    def passes(self) -> tuple[VisitorPass, ...]:
        """The visitor passes of the device."""
        return self._got(tuple[VisitorPass, ...], "passes", "/access/passes")

    def issue_pass(
        self, name: str, valid_until: datetime, *, valid_from: datetime | None = None, single_use: bool = False
    ) -> VisitorPass:
        """Issues a pass; its times are aware datetimes."""
        validity = {"valid_from": valid_from, "valid_until": valid_until}
        fields = {"name": name, "single_use": single_use, **{each: time for each, time in validity.items() if time}}
        return self._passed("POST", "", content=json.dumps(fields, default=datetime.isoformat))

    def visitor_pass(self, identity: str) -> VisitorPass:
        """The pass with an id."""
        return self._passed("GET", f"/{quote(identity, safe='')}")

    def revoke_pass(self, identity: str) -> VisitorPass:
        """Revokes a pass."""
        return self._passed("DELETE", f"/{quote(identity, safe='')}")

    def pass_picture(self, identity: str, kind: str = "svg") -> bytes:
        """The QR code of a pass as "svg" or "png"."""
        path = f"/access/passes/{quote(identity, safe='')}/code.{kind}"
        picture: bytes = checked(self._sent("GET", path)).content
        return picture

    def decisions(self, count: int = 20) -> tuple[ListedDecision, ...]:
        """The newest decisions on record."""
        return self._got(tuple[ListedDecision, ...], "decisions", f"/access/decisions?count={count}")

    def open_door(self) -> Place | None:
        """Releases the relay without asking who is there; returns the place of the entry in the record."""
        answer = checked(self._sent("POST", "/access/open")).json()
        return _read_part(Place, answer["record"]) if answer.get("record") else None

    def ask_for_decision(self, path: str, question: dict[str, Any], timeout: float) -> dict[str, Any]:
        """The bare answer to a question of a `Door`, which alone should act on it."""
        sent = self._sent("POST", path, content=json.dumps(question), timeout=timeout)
        found: dict[str, Any] = checked(sent).json()
        return found

    def _sent(self, method: str, path: str, **sent: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **sent)
        except httpx.HTTPError as error:
            raise unreachable(error) from error

    def _got(self, kind: type[T], name: str | None, path: str) -> T:
        return _read(kind, checked(self._sent("GET", path)), name)

    def _posted(self, kind: type[T], name: str | None, path: str, **sent: Any) -> T:
        return _read(kind, checked(self._sent("POST", path, **sent)), name)

    def _pin(self, method: str, identity: str, **sent: Any) -> bool:
        answer = checked(self._sent(method, f"{_person(identity)}/pin", **sent))
        return _read(PinState, answer, "pin").set

    def _passed(self, method: str, path: str, **sent: Any) -> VisitorPass:
        answer = checked(self._sent(method, f"/access/passes{path}", **sent)).json()
        return _read_part(VisitorPass, {**answer["pass"], "code": answer["code"]})

    def _put(self, method: str, identity: str, fields: dict[str, Any]) -> Person:
        answer = checked(self._sent(method, _person(identity), content=json.dumps(fields, default=date.isoformat)))
        return _read(Person, answer, "person")

    def _about(self, kind: type[T], name: str, path: str, photo: Photo | None, limits: dict[str, int]) -> T:
        if photo is None:
            return _read(kind, checked(self._sent("GET", path, params=limits)), name)
        return self._posted(kind, name, path, params=limits, content=_content(photo))


@dataclass(frozen=True)
class Step:
    """What a person has yet to do before there is a decision: `kind` is "pin" or "challenge", `text` a sentence for the
    display, `seconds` the time left; `facts` is the whole answer.
    """

    handle: str
    kind: str
    text: str
    seconds: float
    facts: dict[str, Any]


def wait_at_the_device(_step: Step) -> dict[str, Any]:
    """The answer to a step that is taken at the device itself, on its display."""
    return {}


class Door:
    """Asks one device for decisions and verifies each: with a new nonce, once, in time, by the device's key. Thread-safe."""

    def __init__(self, appliance: FaceAppliance, verifier: Verifier, seconds: float) -> None:
        """`seconds`: how long an answer may take, after which the verifier would not accept it."""
        self.appliance, self._verifier, self._seconds = appliance, verifier, seconds

    def decide(
        self, direction: Direction | str = Direction.IN, step: Callable[[Step], dict[str, Any]] = wait_at_the_device
    ) -> Decision:
        """Whether the person at the camera may pass. `step` answers each further step, such as {"pin": "4711"} or
        {"cancel": true}. Raises decision.TokenError for an answer on which a door must not act, and ApplianceErrors.
        """
        nonce = self._verifier.challenge(Direction(direction))
        question = {"nonce": nonce, "direction": str(direction)}
        answer = self.appliance.ask_for_decision("/access/decide", question, self._seconds)
        while "pending" in answer:
            pending = _read_part(Step, {**answer["pending"], "facts": answer["pending"]})
            path = f"/access/decide/{quote(pending.handle, safe='')}"
            answer = self.appliance.ask_for_decision(path, step(pending), pending.seconds + self._seconds)
        if not isinstance(answer.get("token"), str):
            raise UnexpectedAnswerError("there is no token in the answer")
        return self._verifier.verify(answer["token"])


def _read(kind: type[T], response: httpx.Response, name: str | None = None) -> T:
    try:
        document = response.json()
        return _read_part(kind, document if name is None else document[name])
    except (ValueError, KeyError, TypeError) as error:
        raise UnexpectedAnswerError(f"not the answer of a face appliance: {response.text[:80]!r}") from error


def _read_part(kind: type[T], document: Any) -> T:
    try:
        found: T = answers.read(kind, document)
    except (ValueError, TypeError, AttributeError) as error:
        raise UnexpectedAnswerError(f"not the answer of a face appliance: {error}") from error
    return found


def _content(photo: Photo) -> bytes:
    return photo if isinstance(photo, bytes) else Path(photo).read_bytes()


def _parts(**photos: Photo) -> dict[str, tuple[str, bytes]]:
    return {name: (name, _content(photo)) for name, photo in photos.items()}


def _person(identity: str) -> str:
    return f"/people/{quote(identity, safe='')}"


def _fields(
    name: str,
    groups: Sequence[str],
    valid_from: date | None,
    valid_until: date | None,
    credential: dict[str, Any] | None,
) -> dict[str, Any]:
    validity = {"valid_from": valid_from, "valid_until": valid_until}
    return {"name": name, "groups": list(groups), **validity, "credential": credential}


def _meant(face: tuple[float, float] | None) -> dict[str, str]:
    return {} if face is None else {"face": f"{face[0]:.1f},{face[1]:.1f}"}


def _allowed(allow_duplicate: bool, allow_mismatch: bool) -> dict[str, int]:  # noqa: FBT001 # as the device names them
    return {"allow_duplicate": int(allow_duplicate), "allow_mismatch": int(allow_mismatch)}
