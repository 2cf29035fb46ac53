"""Who is it, among all who are known? Exact cosines of one embedding with every template."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What a search of the gallery came to."""

    IDENTIFIED = "identified"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person (their reference) and the best cosine of their templates with the embedding that is looked for."""

    reference: str
    cosine: float
