"""The tables of the configuration for what is connected to the door: relay, inputs, access panels, webhook, MQTT."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from appliance.sections import File, Section


class RelaySection(Section):
    """A relay on the device's own pins, switched on briefly for each granted decision."""

    pin: int | None = Field(default=None, ge=0, le=53)
    """GPIO (BCM) number; unset: no relay."""
    active_high: bool = True
    """false: the relay is on while the pin is low."""
    pulse_s: float = Field(default=3.0, ge=0.1, le=30)
    """Seconds for which the relay is on; a further decision meanwhile restarts the time."""
    until_opened: bool = False
    """true: the relay goes off as soon as the door is open; this takes a door contact."""


class InputSection(Section):
    """One input: a contact between a pin and ground (with pull = "down": 3.3 V)."""

    pin: int = Field(ge=0, le=53)
    normally: Literal["open", "closed"]
    pull: Literal["up", "down"] = "up"


class InputsSection(Section):
    """The door's inputs, such as {pin = 5, normally = "closed"}: what the circuit is while there is nothing to report."""

    contact: InputSection | None = None
    """Door contact; its circuit is normal while the door is shut."""
    exit: InputSection | None = None
    """Exit button: releases the relay."""
    button: InputSection | None = None
    """Button that starts a decision, with door.trigger = "button"."""
    fire: InputSection | None = None
    """Contact of the fire alarm panel: the relay is on for as long as there is a fire."""
    tamper: InputSection | None = None
    """Contact of the device's case."""
    debounce_s: float = Field(default=0.05, ge=0, le=1)
    """Seconds after a change for which further ones are ignored, because contacts bounce. A shorter press is not missed."""


class OsdpSection(Section):
    """An access panel to which this device is a reader (OSDP on RS-485); needs libosdp, the extra `osdp`."""

    port: File | None = None
    """Serial port, preferably as /dev/serial/by-id/…; unset: no OSDP."""
    baud: Literal[9600, 19200, 38400, 57600, 115200, 230400] = 9600
    """Speed of the line, as the panel has it."""
    address: int = Field(default=0, ge=0, le=126)
    """The address by which the panel polls this reader."""
    format: Literal["wiegand", "raw"] = "wiegand"
    """How the bits of a credential are labelled; "raw": of no format."""
    secure: bool = True
    """false: credentials are also sent without a secure channel, in clear."""


class WiegandSection(Section):
    """An access panel without OSDP, to which a grant sends the person's credential on two pins."""

    data0: int | None = Field(default=None, ge=0, le=53)
    """GPIO (BCM) number of D0; unset: no Wiegand."""
    data1: int | None = Field(default=None, ge=0, le=53)
    """GPIO (BCM) number of D1."""
    active_high: bool = True
    """true: a pin that is high pulls its line low, through a transistor. false: the pins are the lines."""
    pulse_us: int = Field(default=50, ge=20, le=200)
    """How long a bit pulls its line low, in microseconds."""
    gap_us: int = Field(default=1950, ge=150, le=20_000)
    """How long the lines rest after each bit, in microseconds."""

    @model_validator(mode="after")
    def _two_pins(self) -> Self:
        if (self.data0 is None) != (self.data1 is None):
            raise ValueError("data0 and data1 are needed together")
        return self


def _is_a_path(path: Path) -> Path:
    """A secret in the place of its file's name would be printed and logged like any path."""
    if path.name.startswith("whsec_"):
        raise ValueError("this must be the name of a file with the secret, not the secret")
    return path


def _can_be_asked_for(host: str) -> str:
    """Checks that it is a valid host name (RFC 1035: labels of 1 to 63 bytes)."""
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError("this is not a valid host name") from None
    return host


def _can_be_posted_to(url: str) -> str:
    """Checks that it has a host, a valid port, and no credentials that the log could reveal."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or port == 0:
        raise ValueError("a host is required; a port is 1 to 65535")
    if parts.username is not None or parts.fragment:
        raise ValueError("user name, password and fragment (#) are not allowed")
    _can_be_asked_for(parts.hostname)
    return url


class WebhookSection(Section):
    """Decisions posted to another system, signed (Standard Webhooks)."""

    url: Annotated[str, Field(pattern=r"^https?://[!-~]+$"), AfterValidator(_can_be_posted_to)] | None = None
    """Where decisions are posted; unset: no webhook."""
    secret_file: Annotated[File, AfterValidator(_is_a_path)] | None = None
    """File with the secret, whsec_ and base64, readable by the service's user only; unset: systemd's credential webhook-secret.
    """
    ca_file: File | None = None
    """Certificates (PEM) that are trusted instead of the system's."""
    timeout_s: float = Field(default=5, ge=0.1, le=60)
    """Longest wait for an answer in seconds, from its first byte on."""
    give_up_s: float = Field(default=600, ge=0, le=86_400)
    """Seconds for which a decision is retried; 0: posted once."""
    waiting: int = Field(default=256, ge=1, le=10_000)
    """Decisions that may wait; beyond that the oldest is dropped."""


class MqttSection(Section):
    """Decisions and health published to an MQTT 5 broker."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]+$"), AfterValidator(_can_be_asked_for)] | None = None
    """The broker; unset: no MQTT."""
    port: int = Field(default=1883, ge=1, le=65535)
    """Usually 1883, or 8883 with TLS."""
    tls: bool = False
    """true: connect by TLS."""
    ca_file: File | None = None
    """Certificates (PEM) that are trusted instead of the system's."""
    username: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]+$")] | None = None
    """User name at the broker; unset: none."""
    password_file: File | None = None
    """File with the password, readable by the service's user only; unset: systemd's credential mqtt-password, if there is one.
    """
    prefix: Annotated[str, Field(pattern=r"^[^$#+\x00][^#+\x00]{0,63}$")] = "face-appliance"
    """First part of every topic; the device's id follows."""
    home_assistant: bool = True
    """Announced to Home Assistant (MQTT discovery)."""
    picture_s: float | None = Field(default=None, ge=1, le=3600)
    """Seconds between pictures of the camera that are published, and one with each decision; unset: none. Every client that
    may read the topics sees them.
    """
