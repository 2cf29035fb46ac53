"""How Home Assistant learns of the device by itself: MQTT discovery for a device (since Home Assistant 2024.11)."""

from typing import Any

EVENT = (
    "{{ {'event_type': value_json.result, 'reason': value_json.reason, 'person': value_json.person, "
    "'direction': value_json.direction, 'decision': value_json.id} | to_json }}"
)
"""Of a decision what its event shows; the token is not kept in Home Assistant's history."""

PROBLEM = "{{ 'OFF' if value_json.status == 'ok' else 'ON' }}"


def topic(device: str) -> str:
    """Where it is looked for, under Home Assistant's usual prefix."""
    return f"homeassistant/device/{device}/config"


def discovery(base: str, device: str, *, name: str, model: str, version: str) -> dict[str, Any]:
    """The retained message: `base` is the topic below which the device publishes. An `event` entity has no state, so that
    nothing of a decision is repeated when Home Assistant or the broker starts.
    """
    return {
        "device": {"identifiers": [f"face-appliance-{device}"], "name": name, "model": model, "sw_version": version},
        "origin": {"name": "face-appliance", "sw_version": version},
        "availability_topic": f"{base}/status",
        "components": {
            "decision": {
                "platform": "event",
                "unique_id": f"face-appliance-{device}-decision",
                "name": "Decision",
                "icon": "mdi:door",
                "event_types": ["granted", "denied"],
                "state_topic": f"{base}/decision",
                "value_template": EVENT,
            },
            "problem": {
                "platform": "binary_sensor",
                "unique_id": f"face-appliance-{device}-problem",
                "name": "Problem",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "state_topic": f"{base}/health",
                "value_template": PROBLEM,
                "json_attributes_topic": f"{base}/health",
            },
        },
    }
