"""Stands in for libcamera's Python binding, as far as `appliance/camera/picamera.py` uses it."""

from dataclasses import dataclass
from enum import Enum


@dataclass
class Transform:
    """How a camera turns its pictures."""

    hflip: bool = False
    vflip: bool = False
    transpose: bool = False


class controls:  # noqa: N801, a module there
    """Values of controls."""

    class AfModeEnum(Enum):
        """Who moves the lens."""

        Manual = 0
        Auto = 1
        Continuous = 2
