"""What is known of the shipped models without a picture at hand: scores of labelled pictures, as numbers alone.

`models/impostors.toml` and `models/attacks.toml` are written by the hidden option `--record` of `appliance calibrate`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self, TypeVar

import numpy as np
import tomlkit
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, model_validator

from appliance.calibration.bounds import Pairs, genuine_bounds, impostor_bounds
from appliance.calibration.choice import fewest_pairs
from appliance.calibration.entries import CalibrationError, Measured, Sha256
from appliance.evaluation.measures import Reals

T = TypeVar("T")

IMPOSTORS, ATTACKS = "impostors.toml", "attacks.toml"

STEP = 0.002
"""Between two cosines of the table: one step changes the false match rate by some 4 %."""

LOOSEST = 0.1
"""False match rate from which on the table is kept, and the loosest that can be asked for."""

HEADER = "# Written by `appliance calibrate {} --record FOLDER`: of which pictures, models/CARDS.md says.\n\n"


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Impostors(_Facts):
    """The tail of an embedder's impostor cosines: at each of rising cosines how many pairs reach it, and the bounds of FMR
    and TMR there.
    """

    model: Sha256
    file: str
    people: int
    pictures: int
    impostor_pairs: int
    genuine_pairs: int
    cosine: tuple[FiniteFloat, ...]
    false_matches: tuple[int, ...]
    fmr_lower: tuple[FiniteFloat, ...]
    fmr_upper: tuple[FiniteFloat, ...]
    true_matches: tuple[int, ...]
    tmr_lower: tuple[FiniteFloat, ...]
    tmr_upper: tuple[FiniteFloat, ...]

    @model_validator(mode="after")
    def _rows(self) -> Self:
        columns = [
            self.false_matches,
            self.fmr_lower,
            self.fmr_upper,
            self.true_matches,
            self.tmr_lower,
            self.tmr_upper,
        ]
        if not self.cosine or any(len(column) != len(self.cosine) for column in columns):
            raise ValueError("the columns are not of one length")
        if any(b <= a for a, b in pairwise(self.cosine)):
            raise ValueError("the cosines do not rise")
        return self

    def row(self, fmr: float) -> int:
        """The row of the least cosine whose false match rate is at most `fmr`. Raises CalibrationError when there are too few
        pairs for it.
        """
        if self.impostor_pairs < fewest_pairs(fmr):
            raise CalibrationError(
                f"FMR {fmr:g} needs {fewest_pairs(fmr):,} pairs of different people, the bundled statistics have "
                f"{self.impostor_pairs:,}: name a folder of photos, or a larger --fmr"
            )
        return next(row for row, count in enumerate(self.false_matches) if count <= fmr * self.impostor_pairs)

    def false_match_rate(self, row: int) -> Measured:
        """The FMR at a row's cosine."""
        bounds = {"lower": self.fmr_lower[row], "upper": self.fmr_upper[row]}
        return Measured(count=self.false_matches[row], total=self.impostor_pairs, **bounds)

    def true_match_rate(self, row: int) -> Measured:
        """The TMR at a row's cosine."""
        bounds = {"lower": self.tmr_lower[row], "upper": self.tmr_upper[row]}
        return Measured(count=self.true_matches[row], total=self.genuine_pairs, **bounds)


class Attacks(_Facts):
    """A liveness model's log odds of labelled attack sequences by species, rising; those that can never pass have the least."""

    model: Sha256
    file: str
    species: dict[str, Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]]

    def odds(self) -> dict[str, Reals]:
        """The log odds of each species."""
        return {species: np.array(odds) for species, odds in self.species.items()}


@dataclass(frozen=True, slots=True)
class Statistics:
    """The bundled statistics by the sha256 of their model."""

    impostors: Mapping[str, Impostors]
    attacks: Mapping[str, Attacks]

    @classmethod
    def read(cls, folder: Path) -> "Statistics":
        """Those beside the models of a folder; none where there is no file. Raises CalibrationError."""
        impostors = _tables(folder / IMPOSTORS, TypeAdapter(list[Impostors]))
        attacks = _tables(folder / ATTACKS, TypeAdapter(list[Attacks]))
        return cls({each.model: each for each in impostors}, {each.model: each for each in attacks})


def tabulated(model: str, file: str, impostors: Pairs, genuine: Pairs) -> Impostors:
    """The table of an embedder, from its impostor and genuine pairs."""
    start = np.ceil(np.quantile(impostors.scores, 1 - LOOSEST) / STEP)
    end = np.floor(impostors.scores.max() / STEP) + 1
    cosines = np.arange(start, end + 1) * STEP
    false, true = impostor_bounds(impostors, cosines), genuine_bounds(genuine, cosines)
    return Impostors(
        model=model,
        file=file,
        people=impostors.people,
        pictures=int(impostors.pictures.sum()),
        impostor_pairs=int(impostors.scores.size),
        genuine_pairs=int(genuine.scores.size),
        cosine=tuple(round(float(each), 3) for each in cosines),
        false_matches=tuple(each.count for each in false),
        fmr_lower=tuple(_short(each.lower) for each in false),
        fmr_upper=tuple(_short(each.upper) for each in false),
        true_matches=tuple(each.count for each in true),
        tmr_lower=tuple(_short(each.lower) for each in true),
        tmr_upper=tuple(_short(each.upper) for each in true),
    )


def written(kind: str, tables: list[Impostors] | list[Attacks]) -> str:
    """The file of these tables, as TOML."""
    document = {"model": [table.model_dump(mode="json") for table in tables]}
    return HEADER.format(kind) + tomlkit.dumps(document)


def _short(share: float) -> float:
    """Three digits are more than any bound is worth."""
    return float(f"{share:.3g}")


def _tables(path: Path, adapter: TypeAdapter[list[T]]) -> list[T]:
    try:
        return adapter.validate_python(tomllib.loads(path.read_text("utf-8"))["model"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError) as error:
        raise CalibrationError(f"{path}: {error}") from error
