"""The sequences that were judged before this camera so far, round by round: log odds, no picture."""

from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat, StringConstraints, ValidationError

from appliance import state
from appliance.calibration.entries import CalibrationError, Sha256
from appliance.evaluation.measures import Reals

FILE = "liveness-rounds.json"

REAL = "real"
"""Real people, beside the species of attacks."""

Species = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]


class Rounds(BaseModel):
    """Log odds of all rounds with one liveness model, by what was shown: REAL, or a species of attack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Sha256
    sequences: dict[Species, tuple[FiniteFloat, ...]] = {}

    def with_round(self, shown: str, odds: tuple[float, ...]) -> Self:
        """With a further round."""
        together = {**self.sequences, shown: (*self.sequences.get(shown, ()), *odds)}
        return self.model_copy(update={"sequences": {name: each for name, each in together.items() if each}})

    def real(self) -> Reals:
        """The log odds of real people."""
        return np.array(self.sequences.get(REAL, ()))

    def attacks(self) -> dict[str, Reals]:
        """The log odds of each species that was tried."""
        return {name: np.array(odds) for name, odds in self.sequences.items() if name != REAL}


def read(path: Path, model: str) -> Rounds:
    """The rounds with this model so far; none of another. Raises CalibrationError when the file is damaged."""
    try:
        kept = Rounds.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Rounds(model=model)
    except OSError as error:
        raise CalibrationError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise CalibrationError(f"{path} is damaged: `appliance calibrate liveness --reset` begins anew") from error
    return kept if kept.model == model else Rounds(model=model)


def add(path: Path, model: str, shown: str, odds: tuple[float, ...]) -> Rounds:
    """Keeps a further round, and returns all. Raises CalibrationError, OSError."""
    with state.held(path):
        rounds = read(path, model).with_round(shown, odds)
        _write(path, rounds)
    return rounds


def put(path: Path, rounds: Rounds) -> None:
    """Keeps these rounds in the place of all others. Raises OSError."""
    with state.held(path):
        _write(path, rounds)


def forget(path: Path) -> None:
    """Drops all rounds. Raises OSError."""
    path.unlink(missing_ok=True)


def _write(path: Path, rounds: Rounds) -> None:
    state.write_atomically(path, rounds.model_dump_json().encode() + b"\n", 0o600)
