"""What an output is to the rest of the machine: told of decisions, run by a thread of its own, asked how it is."""

from dataclasses import dataclass
from typing import Protocol

from appliance.access_control.decision import Signed


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an output, as `/healthz` says it: `part` is its name, `state` for programs, `text` for people."""

    part: str
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Decisions since the start: handed over, given up, and those still to be handed over."""

    delivered: int
    dropped: int
    waiting: int


class Output(Protocol):
    """One way out. `tell`, `stop`, `problem` and `tally` may be called from any thread and return at once."""

    name: str

    def tell(self, signed: Signed) -> None: ...

    def run(self) -> None: ...

    def stop(self) -> None: ...

    def problem(self) -> Problem | None: ...

    def tally(self) -> Tally: ...
