#!/usr/bin/env python3
"""A door controller in Python: asks a device who is at its camera, verifies the answer, and opens for a grant.

Usage: door.py URL DEVICE PUBLIC_KEY [in|out]
DEVICE and PUBLIC_KEY are from `GET /access/key`, stored when the door was set up; API_KEY in the environment is a key with the
scope decide. Prints "open PERSON" and exits with 0, or prints "shut: REASON" and exits with 1.
"""

import os
import sys

from face_appliance_client import ApplianceError, Direction, FaceAppliance, TokenError


def main(url: str, device: str, public_key: str, direction: str = "in") -> int:
    with FaceAppliance(url, key=os.environ.get("API_KEY")) as appliance:
        try:
            decision = appliance.door(public_key, device).decide(Direction(direction))
        except (ApplianceError, TokenError, ValueError) as error:
            print(
                f"shut: {error}"
            )  # never open: no answer, one that is late, altered or another device's, a wrong argument …
            return 1
    if not decision.granted:
        print(f"shut: {decision.reason}")
        return 1
    print(f"open {decision.person}")  # here the lock is released
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: door.py URL DEVICE PUBLIC_KEY [in|out]")
    sys.exit(main(*sys.argv[1:]))
