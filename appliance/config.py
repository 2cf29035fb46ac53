"""The whole configuration, and the TOML and environment that set it."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator

from appliance import sections, wires
from appliance.faults import ReportedError, wrong_value
from appliance.sections import Section

NOT_SHOWN = ("webhook.url", "webhook.secret_file", "mqtt.password_file")
"""Invalid values of these keys are not printed: they may be secrets in the wrong place."""


VARIABLES = "APPLIANCE_"
"""Beginning of the environment variables that set a key: APPLIANCE_SERVER__PORT is server.port."""

VARIABLE = "the environment variable " + VARIABLES + "{section}__{KEY}"

Tables = dict[str, dict[str, Any]]
"""Section -> key -> value."""


class ConfigError(ReportedError):
    """The configuration is invalid; the text has one line per mistake, with the dotted path of the key."""


class Config(Section):
    """The whole configuration."""

    server: sections.ServerSection = sections.ServerSection()
    engine: sections.EngineSection = sections.EngineSection()
    liveness: sections.LivenessSection = sections.LivenessSection()
    camera: sections.CameraSection = sections.CameraSection()
    live: sections.LiveSection = sections.LiveSection()
    access: sections.AccessSection = sections.AccessSection()
    lan: sections.LanSection = sections.LanSection()
    gallery: sections.GallerySection = sections.GallerySection()
    door: sections.DoorSection = sections.DoorSection()
    relay: wires.RelaySection = wires.RelaySection()
    inputs: wires.InputsSection = wires.InputsSection()
    osdp: wires.OsdpSection = wires.OsdpSection()
    wiegand: wires.WiegandSection = wires.WiegandSection()
    webhook: wires.WebhookSection = wires.WebhookSection()
    mqtt: wires.MqttSection = wires.MqttSection()
    fleet: sections.FleetSection = sections.FleetSection()
    compat: sections.CompatSection = sections.CompatSection()
    state: sections.StateSection = sections.StateSection()
    log: sections.LogSection = sections.LogSection()

    @model_validator(mode="after")
    def _wired(self) -> Self:
        wired = {f"inputs.{key}": each.pin for key, each in self.inputs if isinstance(each, wires.InputSection)}
        others = {"relay.pin": self.relay.pin, "wiegand.data0": self.wiegand.data0, "wiegand.data1": self.wiegand.data1}
        wired |= {key: pin for key, pin in others.items() if pin is not None}
        for pin in wired.values():
            if len(keys := [key for key, each in wired.items() if each == pin]) > 1:
                raise ValueError(f"GPIO {pin} can be one of these only: {', '.join(keys)}")
        if self.door.trigger == "button" and self.inputs.button is None:
            raise ValueError('door.trigger = "button" needs inputs.button')
        if self.fleet.enabled and not self.gallery.enabled:
            raise ValueError("fleet.enabled = true needs gallery.enabled = true")
        if self.osdp.port is not None and self.wiegand.data0 is not None:
            raise ValueError("osdp.port and wiegand.data0 exclude each other: a door has one reader")
        if self.relay.until_opened and self.inputs.contact is None:
            raise ValueError("relay.until_opened = true needs inputs.contact")
        return self

    @property
    def fleet_settings(self) -> dict[str, Any]:
        """What `FleetHandle` takes."""
        return {**self.fleet.model_dump(), "stale_hours": self.door.stale_hours, "merge": self.door.merged_rules}


def load(path: Path | None, overrides: Tables) -> Config:
    """The configuration in a TOML file (None: the defaults), above it that of the environment, above both `overrides`. Raises
    ConfigError that names every mistake.
    """
    sources: dict[str, str] = {}
    try:
        tables = tomllib.loads(path.read_text("utf-8-sig")) if path else {}  # editors on Windows begin with a BOM
        for source, place in ((from_environment(os.environ), VARIABLE), (overrides, "--{key}")):
            for section, values in source.items():
                sources |= {
                    f"{section}.{key}": place.format(section=section.upper(), key=key, KEY=key.upper())
                    for key in values
                }
                if values and isinstance(tables.setdefault(section, {}), dict):
                    tables[section] |= values
        return Config.model_validate(tables)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: invalid TOML: {error}") from error
    except ValidationError as error:
        raise ConfigError("\n".join(_mistakes(error, path, sources))) from error


def from_environment(variables: Mapping[str, str]) -> Tables:
    """What the variables of the form APPLIANCE_SECTION__KEY set, whose values are TOML; any other text is a string."""
    tables: Tables = {}
    for name, text in variables.items():
        section, separator, key = name.removeprefix(VARIABLES).lower().partition("__")
        if separator and name.startswith(VARIABLES):
            try:
                (value,) = tomllib.loads(f"value = {text}").values()
            except ValueError:  # not TOML, or several lines of it
                value = text
            tables.setdefault(section, {})[key] = value
    return tables


def _mistakes(error: ValidationError, path: Path | None, sources: Mapping[str, str]) -> Iterator[str]:
    """One line per field, with where it is set. pydantic lists the alternatives of a union (`int`, `"auto"`) separately; here
    they are together.
    """
    reasons: dict[str, list[str]] = {}
    inputs: dict[str, str] = {}
    for mistake in error.errors(include_url=False):
        location = [str(part) for part in mistake["loc"]]
        inside = location[2:] and (location[2].isdigit() or location[0] == "inputs")
        field = ".".join(location if inside else location[:2])
        reason = "unknown key" if mistake["type"] == "extra_forbidden" else wrong_value(mistake)
        reasons.setdefault(field, []).append(reason)
        if len(location) > 1 and field not in NOT_SHOWN and mistake["type"] != "missing":
            inputs[field] = f" (got {mistake['input']!r})"
    for field, found in reasons.items():
        own = (
            place
            for name, place in sources.items()
            if f"{name}.".startswith(f"{field}.") or field.startswith(f"{name}.")
        )
        place = next(own, path)
        line = f"{field}: ".lstrip(": ") + " or ".join(dict.fromkeys(found)) + inputs.get(field, "")
        yield f"{line}, in {place}" if place else line
