"""The tables of the configuration: what can be configured."""

import json
import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import appliance_models
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Auto = Literal["auto"]
File = Annotated[Path, Field(strict=False)]
Precision = Literal["auto", "int8", "float16"]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")]
Origin = Annotated[str, Field(pattern=r"^https?://[a-z0-9.\[\]:-]+$")]
RestrictablePath = Literal[
    "/faces",
    "/alignedfaces",
    "/similarity",
    "/liveness/multiframe",
    "/compare",
    "/compare/feature",
    "/feature/floats",
    "/feature/bytes",
    "/facefeatures",
    "/facefeatures/withimages",
    "/masks",
    "/liveness",
    "/identify",
]


class Section(BaseModel):
    """A table of the file: no unknown keys, no wrong types, no later changes. The text below a key is its description."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


def _time_of_day(value: object) -> str:
    """A time of day; midnight at the end of a day is 24:00."""
    if isinstance(value, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", value):
        return value
    raise ValueError('a time of day is a string from "00:00" to "24:00"')


def _not_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    """Unlike min_length, it does not also report values that are invalid themselves."""
    if not values:
        raise ValueError("at least one value is required")
    return values


def _before_midnight(value: str) -> str:
    if value == "24:00":
        raise ValueError('a period cannot begin at the end of a day: use "00:00" and the next day')
    return value


def _fits_a_label(name: str) -> str:
    """A DNS label has 63 bytes (RFC 1035, 2.3.4), and "-99" must fit in case the name is taken."""
    if len(name.encode()) > 60:
        raise ValueError("at most 60 bytes of UTF-8")
    return name


class ServerSection(Section):
    """The HTTP server."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on: "127.0.0.1" accepts connections from this device only, "0.0.0.0" listens on all IPv4 addresses,
    "::" on all IPv4 and IPv6 addresses.
    """
    port: int = Field(default=9297, ge=0, le=65535)
    """TCP port; 0 takes a free one."""
    front_port: int | None = Field(default=None, ge=0, le=65535)
    """Port on 127.0.0.1 for a TLS front that begins each connection with a PROXY protocol line (version 1); `scripts/install
    --tls` sets it. Unset: none.
    """
    front_certificate: File | None = None
    """Certificate of the TLS front; its fingerprint is announced on the LAN so that clients can pin it."""
    base_path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = ""
    """The path below which a reverse proxy shows this device, such as "/door"; paths without it are answered as well."""
    frame_ancestors: Annotated[tuple[Origin, ...], Field(strict=False)] = ()
    """Origins whose pages may show the pages of this device in a frame, such as "https://dashboard.example". Empty: none."""
    max_body_mib: int = Field(default=8, ge=1, le=64)
    """Largest request body in MiB; a larger one is answered 413."""
    max_megapixels: float = Field(default=40, gt=0, le=200)
    """Largest picture in megapixels, read from its header before decoding."""
    decoded_mib: Annotated[int, Field(ge=16, le=65_536)] | Auto = "auto"
    """Memory in MiB for the decoded pictures of all requests together. A request that needs more than is free waits; one that
    needs more than this is decoded alone. A pixel needs 4 bytes (of a PNG or CMYK 8), and 3 more when the picture is turned.
    "auto": a third of the memory of the board.
    """
    queue: int = Field(default=16, ge=0, le=256)
    """Requests that may wait for an engine; the next one is answered 503 at once."""
    patience_s: float = Field(default=10, gt=0, le=30)
    """Longest wait for an engine in seconds, then 503."""
    connections: int = Field(default=256, ge=8, le=4096)
    """Open connections. When there are more, idle and unfinished ones are closed, the oldest first and those without a key
    before others; a few places are kept for clients on the device itself.
    """
    connections_without_key: int = Field(default=32, ge=1, le=4096)
    """Open connections per address (with IPv6, per /64) of clients that have not sent a valid key."""

    @property
    def http_settings(self) -> dict[str, Any]:
        """What `server.HttpServer` takes."""
        taken = {"host", "port", "connections", "connections_without_key", "front_port", "base_path"}
        return self.model_dump(include=taken)

    @property
    def max_body(self) -> int:
        return self.max_body_mib * 2**20

    @property
    def decoded_bytes(self) -> int:
        if self.decoded_mib == "auto":
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 3
        return self.decoded_mib * 2**20


class EngineSection(Section):
    """The face engine."""

    models: File | None = None
    """Folder with a manifest.toml; unset: the models that came with the program."""
    engines: Annotated[int, Field(ge=1, le=16)] | Auto = "auto"
    """Pictures processed at the same time; "auto": one per core, at most four; on a board of 1 GB one."""
    threads: int = Field(default=1, ge=1, le=16)
    """Threads of each model of an engine."""
    detector: Precision = "auto"
    """"int8", "float16", or "auto": the faster one on this device."""
    embedder: Literal["auto", "float16"] = "auto"
    """"float16", whatever is faster: runtimes round int8 differently, and templates have to outlive them."""
    liveness: Precision = "auto"
    """As for the detector."""
    recognition: Literal["fast", "strong", "auto"] = "auto"
    """"fast": one embedder; "strong": a second one as well, which confuses fewer people, takes three times as long and 44 MB;
    "auto": that too, except on a board of 1 GB.
    """

    @property
    def folder(self) -> Path:
        """The configured folder of models, or that of the models that came with the program."""
        return self.models or appliance_models.FOLDER

    @property
    def precisions(self) -> dict[str, str]:
        """The configured precision by role."""
        return {"detector": self.detector, "liveness": self.liveness}


class LivenessSection(Section):
    """The liveness check."""

    mode: Literal["multi", "single"] = "multi"
    """"multi" answers POST /liveness/multiframe about four frames, "single" POST /liveness about one picture, which tells far
    less; the other one is switched off (INF-25, 406).
    """

    @property
    def multi(self) -> bool:
        return self.mode == "multi"


class CameraSection(Section):
    """The camera behind the live page, the GET endpoints and the door."""

    driver: Literal["auto", "picamera", "v4l2", "replay", "demonstration", "none"] = "auto"
    """"auto": the camera module (picamera), else the first USB camera (v4l2); "replay" plays `source`; "demonstration" plays
    a bundled portrait; "none": no camera, only posted pictures are answered.
    """
    module: int = Field(default=0, ge=0, le=8)
    """Number of the camera module, as `rpicam-hello --list-cameras` counts."""
    device: File | None = None
    """USB camera, preferably as /dev/v4l/by-id/…; unset: the first one."""
    source: File | None = None
    """What is replayed: a picture, a folder of pictures, or a video."""
    width: int = Field(default=1280, ge=160, le=4096, multiple_of=2)
    """Width of the upright picture in pixels."""
    height: int = Field(default=720, ge=120, le=4096, multiple_of=2)
    """Height of the upright picture in pixels."""
    fps: float = Field(default=15, ge=1, le=120)
    """Frames per second."""
    rotation: Literal[0, 90, 180, 270] = 0
    """Clockwise rotation in degrees that makes the picture upright."""
    mirror: bool = False
    """true: mirrored left to right, after the rotation."""
    autofocus: Literal["continuous", "manual"] | None = None
    """"continuous" or "manual"; unset: the camera's own default."""
    lens_position: float | None = Field(default=None, ge=0, le=32)
    """Camera module with manual focus: 1 / distance in metres."""
    exposure_us: int | None = Field(default=None, ge=1, le=1_000_000)
    """Fixed exposure time in microseconds; unset: automatic."""
    gain: float | None = Field(default=None, ge=1, le=64)
    """Fixed analogue gain; unset: automatic."""
    hold_s: float = Field(default=0, ge=0, le=3600)
    """Replay: seconds for which each picture is shown; 0: one frame."""
    real_time: bool = True
    """Replay: false plays as fast as the source can be read."""
    restart_after_s: float = Field(default=60, ge=5, le=3600)
    """Seconds after which the process ends, so that systemd restarts it, when a camera that worked has not come back or its
    driver hangs.
    """
    watchdog: bool = False
    """true: systemd also restarts a device whose camera shows nothing new for half a minute."""

    @model_validator(mode="after")
    def _source_for_replay(self) -> Self:
        if self.driver == "replay" and self.source is None:
            raise ValueError('driver = "replay" needs a source')
        return self

    @model_validator(mode="after")
    def _exposure_within_frame(self) -> Self:
        if self.exposure_us is not None and self.exposure_us > 1e6 / self.fps:
            raise ValueError(f"exposure_us = {self.exposure_us} is longer than a frame at fps = {self.fps:g}")
        return self

    @property
    def source_settings(self) -> dict[str, Any]:
        """What `drivers.camera_source` takes."""
        return self.model_dump(exclude={"restart_after_s", "watchdog"})


class LiveSection(Section):
    """The live page, its stream and its events."""

    viewers: int = Field(default=4, ge=0, le=64)
    """Picture streams at the same time; the next one is answered 503."""
    listeners: int = Field(default=8, ge=0, le=64)
    """Event streams at the same time; the next one is answered 503."""
    stream_fps: float = Field(default=10, gt=0, le=60)
    """Most pictures per second in a stream."""
    jpeg_quality: int = Field(default=80, ge=10, le=100)
    """JPEG quality of those pictures."""
    analysis_fps: float = Field(default=5, gt=0, le=60)
    """Most analyses per second while a client listens to the events."""

    @property
    def stream_settings(self) -> dict[str, Any]:
        """What `streams.Streams` takes."""
        return {"viewers": self.viewers, "listeners": self.listeners, "fps": self.stream_fps}


class AccessSection(Section):
    """Keys, names and origins: which requests are answered."""

    open: bool = False
    """true: no key is required; every client that reaches this device is answered."""
    loopback: bool = True
    """true: clients on this device itself (127.0.0.1, ::1) need no key."""
    hosts: Annotated[tuple[HostName, ...], Field(strict=False)] = ()
    """Further names of this device, besides IP addresses, localhost, its host name and its name on the LAN; each also with
    .local.
    """
    origins: Annotated[tuple[Origin, ...], Field(strict=False)] = ()
    """Origins whose pages may use the API (CORS), such as "https://door.example"; each still needs a key."""
    restricted: Annotated[tuple[RestrictablePath, ...], Field(strict=False)] = ()
    """Face endpoints that are switched off (INF-25, 406), such as "/similarity"."""
    expires: date | None = None
    """Last day on which the API answers, such as 2027-12-31; afterwards INF-26, 406. Unset: no expiry."""

    @property
    def exempt_settings(self) -> dict[str, Any]:
        """What `access.Access` takes."""
        return {"everyone": self.open, "loopback": self.loopback}


class LanSection(Section):
    """How the device is found on the LAN."""

    enabled: bool = True
    """Announced by multicast DNS, unless the server listens on loopback only."""
    name: Annotated[str, Field(min_length=1, pattern=r"^[^.\x00-\x1f\x7f]+$"), AfterValidator(_fits_a_label)] | None = (
        None
    )
    """Display name on the LAN, at most 60 bytes without dots; everyone there can read it. Unset: "Face Appliance" and six
    digits of the device id.
    """


class GallerySection(Section):
    """The people known to this device."""

    enabled: bool = True
    """false: people are neither enrolled nor identified on this device."""
    key_file: File | None = None
    """The site key that seals the gallery; keep it apart from the state folder. Unset: systemd's credential gallery-key, else
    /etc/face-appliance/gallery.key, else ~/.config/face-appliance/gallery.key, which is created while there is no gallery yet.
    """
    pictures: bool = False
    """true: the aligned picture of each template is kept as well, sealed, so that people can be enrolled again for another
    embedder.
    """
    most_templates: int = Field(default=5, ge=1, le=32)
    """Most templates per person."""
    min_quality: float = Field(default=0.6, ge=0, le=1)
    """Least quality of an enrolment picture, 0..1."""
    fpir: float = Field(default=0.01, ge=1e-4, le=0.1)
    """Wanted false positive identification rate: the share of strangers that may be identified as an enrolled person. The
    number of templates is taken into account.
    """
    margin: float = Field(default=0.05, ge=0, le=0.5)
    """Cosine by which the best match must lead the second person; otherwise the result is ambiguous."""
    refresh: bool = False
    """true: after a granted decision of high quality and a high score the picture becomes a template as well, at most one
    per person and month.
    """
    erase_expired_after_days: int | None = Field(default=None, ge=0, le=36_500)
    """Days after valid_until when a person is erased; unset: never."""
    erase_templates_after_days: int | None = Field(default=None, ge=1, le=36_500)
    """Age in days at which a template is erased; unset: never."""
    consent: str = Field(default="", max_length=4000)
    """What people who enrol by an invitation agree to; "": `invitation.consent` of the pages' texts, in their language. The
    record of decisions keeps its SHA-256.
    """

    @property
    def handle_settings(self) -> dict[str, Any]:
        """What `identify.GalleryHandle` takes."""
        return self.model_dump(include={"key_file", "pictures", "most_templates", "fpir", "margin"})

    @property
    def retention_settings(self) -> dict[str, Any]:
        """What `retention.Retention` takes."""
        return {"people_days": self.erase_expired_after_days, "template_days": self.erase_templates_after_days}


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday"]
Share = Annotated[float, Field(ge=0, le=1)]
GroupName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
Answer = Literal["deny", "grant"]
TimeOfDay = Annotated[str, BeforeValidator(_time_of_day)]


class ScheduleSection(Section):
    """When some groups may pass, in local time; an end at or before the begin is on the next day."""

    groups: Annotated[tuple[GroupName, ...], Field(strict=False), AfterValidator(_not_empty)]
    days: Annotated[tuple[Day, ...], Field(strict=False), AfterValidator(_not_empty)] = (
        "mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday",
    )  # fmt: skip
    begin: Annotated[TimeOfDay, AfterValidator(_before_midnight)] = "00:00"
    end: TimeOfDay = "24:00"


class OpenPeriodSection(ScheduleSection):
    """When the door is open for everyone; with groups, from the first grant of one of their people on."""

    groups: Annotated[tuple[GroupName, ...], Field(strict=False)] = ()
    begin: Annotated[TimeOfDay, AfterValidator(_before_midnight)]
    end: TimeOfDay


class FactorSection(ScheduleSection):
    """What is required of some groups at some times; without groups, of everyone."""

    factors: Literal["face", "face+pin", "face|pin"]
    groups: Annotated[tuple[GroupName, ...], Field(strict=False)] = ()


def _factors(value: object) -> object:
    """A single word holds for everyone at all times."""
    return ({"factors": value},) if isinstance(value, str) else value


SHARED_RULES = {"schedules", "holidays", "factors", "challenge", "prompts", "passback_s", "passback_strict"}
"""The settings of `[door]` that a fleet can share. Open periods are those of one door, the others depend on its parts."""


class DoorSection(Section):
    """Who may pass, and when: POST /access/decide."""

    enabled: bool = True
    """false: no decisions are made (INF-25, 406)."""
    schedules: Annotated[tuple[ScheduleSection, ...], Field(strict=False)] = ()
    """When groups may pass, in local time, such as {groups = ["staff"], days = ["mon", "tue"], begin = "07:00", end = "19:00"}.
    One match is enough. An end at or before the begin is on the next day. Empty: every enrolled person may pass at any time.
    """
    holidays: Annotated[tuple[date, ...], Field(strict=False)] = ()
    """Days such as 2026-12-25, on which schedules and open_periods hold only if they name the day "holiday", or no days."""
    open_periods: Annotated[tuple[OpenPeriodSection, ...], Field(strict=False)] = ()
    """When the relay stays on, such as {days = ["mon"], begin = "09:00", end = "17:00", groups = ["staff"]}: with groups, from
    the first grant of one of their people in that period on. This takes a clock as `clock` requires it.
    """
    factors: Annotated[tuple[FactorSection, ...], Field(strict=False), BeforeValidator(_factors)] = ()
    """"face", "face+pin" (a PIN besides the face) or "face|pin" (people who are not recognised may type their id and a PIN); or
    a list such as {factors = "face+pin", groups = ["staff"], begin = "19:00", end = "07:00"}, of which the first that is about
    a person and holds at the time decides. Empty: the face is enough.
    """
    min_quality: float = Field(default=0.4, ge=0, le=1)
    """Least quality of the face in the frames of a decision, 0..1."""
    challenge: Literal["never", "unsure", "always"] = "never"
    """When a person has to turn the head as asked before they are granted: "unsure", when liveness is not beyond doubt."""
    prompts: int = Field(default=1, ge=1, le=2)
    """How many directions a challenge asks for, one after the other."""
    passback_s: int = Field(default=0, ge=0, le=86_400)
    """Anti-passback: seconds in which the same person is not granted again in the same direction; 0: off."""
    passback_strict: bool = False
    """true: a person must leave before entering again, and the other way round; a person without a passage may do either.
    """
    clock: Literal["synchronised", "plausible"] = "synchronised"
    """What is required of the clock when a schedule, a validity or passback_s depends on it: "synchronised" by a time service
    since the last start, or "plausible", not certainly wrong. The latter is for a device with a battery-backed clock (RTC) and
    no network.
    """
    without_liveness: Answer = "deny"
    """What happens when liveness.mode is "single"; "grant" lets a photograph open the door."""
    without_clock: Answer = "deny"
    """What happens when the clock does not satisfy `clock` and the time matters: "grant" uses a plausible clock anyway, and
    skips validity, schedules and passback_s while the clock is certainly wrong.
    """
    without_record: Answer = "deny"
    """What happens when the decision cannot be recorded because the disk is full or read-only; "grant" grants without a record.
    """
    trigger: Literal["asked", "approach", "button"] = "asked"
    """What starts a decision besides POST /access/decide: "approach", a face that comes near and stands still; "button",
    inputs.button.
    """
    least_side: int | None = Field(default=None, ge=48, le=4096)
    """Pixels from which a face is near: only a near one starts a decision, is decided about, or counts as a second person.
    Unset: 48, with trigger = "approach" 96.
    """
    region: Annotated[tuple[Share, Share, Share, Share], Field(strict=False)] = (0.0, 0.0, 1.0, 1.0)
    """Where the centre of a face starts a decision: left, top, right and bottom as shares of the picture."""
    pause_s: float = Field(default=5, ge=1, le=600)
    """Seconds from one decision that the device starts to the next."""
    direction: Literal["in", "out"] = "in"
    """The direction of decisions that the device starts."""
    stale_hours: float | None = Field(default=None, gt=0, le=8784)
    """Hours after which a device that has not heard from its fleet denies everyone; unset: it goes on with what it knows."""
    held_s: float = Field(default=30, ge=1, le=3600)
    """Seconds after which a door that is still open is an alarm; this takes a door contact."""
    record_days: int = Field(default=90, ge=1, le=3650)
    """Days for which decisions are kept; a day more at most."""
    record_mib: int = Field(default=64, ge=1, le=4096)
    """Size of the record at most, in MiB: some 2,000 decisions each. Beyond it the oldest day is dropped."""

    @property
    def rules(self) -> dict[str, Any]:
        """What `policy.Rules.of` takes."""
        return self.model_dump(
            exclude={"enabled", "held_s", "record_days", "record_mib", "stale_hours", *self.trigger_settings}
        )

    @property
    def shared_rules(self) -> dict[str, Any]:
        """The rules that a fleet can share, as JSON: those that are not about one door, its camera and its clock."""
        return self.model_dump(mode="json", include=SHARED_RULES)

    def merged_rules(self, shared: Mapping[str, Any]) -> dict[str, Any]:
        """What `policy.Rules.of` takes, with `shared` rules, as JSON, in the place of those here. Raises ValueError."""
        if unknown := sorted(set(shared) - SHARED_RULES):
            raise ValueError(f"{', '.join(unknown)}: not a rule that a fleet can share")
        merged = json.dumps(self.model_dump(mode="json") | dict(shared))
        return type(self).model_validate_json(merged).rules if shared else self.rules

    @property
    def near(self) -> int:
        """Pixels from which a face is near."""
        return self.least_side or (96 if self.trigger == "approach" else 48)

    @property
    def trigger_settings(self) -> dict[str, Any]:
        """What `trigger.DoorTrigger` takes."""
        return {**self.model_dump(include={"trigger", "region", "pause_s", "direction"}), "least_side": self.near}

    @model_validator(mode="after")
    def _region_has_an_inside(self) -> Self:
        left, top, right, bottom = self.region
        if left >= right or top >= bottom:
            raise ValueError("region is left, top, right, bottom: left < right and top < bottom")
        return self


DeviceId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


class FleetSection(Section):
    """The people whom all devices of a site share, over NATS JetStream."""

    enabled: bool = False
    """true: this device shares its people with the fleet that `appliance fleet create` or `join` has made it a member of."""
    ca_file: File | None = None
    """Certificates (PEM) that are trusted instead of the system's."""
    nkey_file: File | None = None
    """File with the nkey seed by which the servers know this device; unset: they ask for none."""
    policy: bool = True
    """false: what `appliance fleet publish-policy` publishes does not hold on this device; its own [door] does."""
    policy_from: Annotated[tuple[DeviceId, ...], Field(strict=False)] = ()
    """Ids of the devices whose policies hold on this one; empty: those of each device of the fleet."""


class CompatSection(Section):
    """The APIs of other products on this device's people."""

    compreface: bool = False
    """true: CompreFace's REST API (/api/v1/…), for its SDKs and Double Take."""


class StateSection(Section):
    """What outlives the program: keys, operating points, people, decisions and the configuration of the last start."""

    folder: File | None = None
    """Unset: $STATE_DIRECTORY, which systemd sets, else ~/.local/state/face-appliance."""


class LogSection(Section):
    """The log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is written: "debug", "info", "warning" or "error"."""
