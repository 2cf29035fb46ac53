"""The client library of a face appliance: faces, people, events, and decisions for doors that it verifies."""

from face_appliance_client.decision import Decision, Direction, TokenError
from face_appliance_client.device import Door, FaceAppliance, Step
from face_appliance_client.discovery import Announced, discover
from face_appliance_client.transport import (
    ApplianceError,
    NotAdmittedError,
    NotReadyError,
    RefusedError,
    UnexpectedAnswerError,
    UnreachableError,
)

__all__ = [
    "Announced",
    "ApplianceError",
    "Decision",
    "Direction",
    "Door",
    "FaceAppliance",
    "NotAdmittedError",
    "NotReadyError",
    "RefusedError",
    "Step",
    "TokenError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "discover",
]
