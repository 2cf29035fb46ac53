"""What is built and from what, read from recipe.toml."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).with_name("recipe.toml")


@dataclass(frozen=True, slots=True)
class Package:
    """A pinned package of a registry; `files` has the sha256 (hexadecimal) of each file that is used from it."""

    name: str
    registry: str
    version: str
    archive: str
    sha256: str
    files: dict[str, str]
    wheel_for: list[str] = field(default_factory=list)
    """pip's options that choose one platform's wheel; empty when there is one for all."""


@dataclass(frozen=True, slots=True)
class Output:
    """One .tflite file to build; `side` is its input's height and width in pixels."""

    file: str
    side: int
    precision: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """One role's network and what is made of it; recipe.toml explains the fields."""

    role: str
    name: str
    package: Package
    file: str
    licence: str
    sides: list[int]
    precisions: list[str]
    colour: str
    mean: float
    scale: float
    measure: str
    margin: float = 0.0
    pictures: str = ""
    licence_file: str = ""
    samples: int = 0

    @property
    def source(self) -> str:
        """Package and file, in words."""
        return f"{self.package.registry} {self.package.name} {self.package.version}, {self.file}"

    def outputs(self) -> list[Output]:
        """The files to build, those of the reference precision first."""
        return [
            Output(self._file(side, precision), side, precision) for precision in self.precisions for side in self.sides
        ]

    def _file(self, side: int, precision: str) -> str:
        size = f"{side}_" if len(self.sides) > 1 else ""
        return f"{self.role}_{size}{precision}.tflite"


def read_recipes(path: Path = RECIPE) -> list[Recipe]:
    """The recipe of each role."""
    document: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    packages = {name: Package(name=name, **facts) for name, facts in document["packages"].items()}
    return [
        Recipe(**{**facts, "role": role, "package": packages[facts["package"]]})
        for role, facts in document["roles"].items()
    ]
