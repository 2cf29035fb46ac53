"""All outputs of a device: what a decision sets off outside."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from appliance.access_control.decision import Signed
from appliance.outputs.output import Output, Problem, Tally


class Outputs:
    """Tells each output of each decision; none of them keeps the caller or another output waiting."""

    def __init__(self, outputs: Iterable[Output] = ()) -> None:
        self._outputs = tuple(outputs)
        self._threads: list[threading.Thread] = []

    def tell(self, signed: Signed) -> None:
        """Hands a decision to all; from any thread. Returns at once and never raises."""
        for output in self._outputs:
            output.tell(signed)

    def start(self, start: Callable[[str, Callable[[], None]], threading.Thread]) -> None:
        """Runs each on a thread that `start` makes, by name."""
        self._threads = [start(output.name, output.run) for output in self._outputs]

    def stop(self, seconds: float) -> None:
        """Ends all: the relay is off, MQTT has said goodbye. Returns when they have ended, after so many seconds at most."""
        for output in self._outputs:
            output.stop()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now."""
        return tuple(problem for output in self._outputs if (problem := output.problem()))

    def tallies(self) -> Mapping[str, Tally]:
        """What became of the decisions, by output."""
        return {output.name: output.tally() for output in self._outputs}
