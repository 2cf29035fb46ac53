"""Prints what the integrations of the test need, with Home Assistant's own constraints, for pip."""

import json
from pathlib import Path

from homeassistant import bootstrap, components

FOLDER = Path(components.__path__[0])
wanted = ["mqtt", "binary_sensor", "camera", "event", "image", "generic", "stream", "zeroconf"]
wanted += [*bootstrap.CORE_INTEGRATIONS, *bootstrap.CRITICAL_INTEGRATIONS, *bootstrap.DEFAULT_INTEGRATIONS]
known: set[str] = set()
print("-c", FOLDER.parent / "package_constraints.txt")
while wanted:
    if (name := wanted.pop()) not in known:
        known.add(name)
        manifest = json.loads((FOLDER / name / "manifest.json").read_text())
        wanted += manifest.get("dependencies", [])
        for requirement in manifest.get("requirements", []):
            print(requirement)
