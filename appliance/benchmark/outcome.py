"""Everything that a run of the bench found out, and the record of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from appliance import __version__
from appliance.benchmark.board import Board
from appliance.benchmark.contest import Row
from appliance.benchmark.figures import Curve
from appliance.evaluation.report import Finding, as_json


@dataclass(frozen=True, slots=True)
class Outcome:
    """The machine, the body of the device's `/version`, and all figures."""

    board: Board
    version: Mapping[str, Any]
    findings: Sequence[Finding]
    curves: Sequence[Curve]
    rows: Sequence[Row]

    def record(self) -> dict[str, Any]:
        """All of it as plain JSON: no infinities, no NaN."""
        return {
            "program": __version__,
            "board": asdict(self.board),
            "runtime": self.version["runtime"],
            "models": self.version["models"],
            "findings": as_json(self.findings),
            "curves": [asdict(curve) for curve in self.curves],
            "peers": [asdict(row) for row in self.rows],
        }
