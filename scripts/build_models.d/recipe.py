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
    """One .tflite file to build, with its input's width and height in pixels."""

    file: str
    width: int
    height: int
    precision: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """One role's network and what is made of it; recipe.toml explains the fields."""

    role: str
    name: str
    package: Package
    file: str
    licence: str
    sizes: list[str]
    precisions: list[str]
    colour: str
    mean: float
    scale: float
    measure: str
    margin: float = 0.0
    pictures: str = ""
    licence_file: str = ""
    samples: int = 0
    part: int = 0

    @property
    def source(self) -> str:
        """Package and file, in words."""
        return f"{self.package.registry} {self.package.name} {self.package.version}, {self.file}"

    def outputs(self) -> list[Output]:
        """The files to build, those of the reference precision first."""
        return [self._output(size, precision) for precision in self.precisions for size in self.sizes]

    def _output(self, size: str, precision: str) -> Output:
        width, height = (int(side) for side in size.split("x"))
        part = f"{width if width == height else size}_" if len(self.sizes) > 1 else ""
        return Output(f"{self.role}_{part}{precision}.tflite", width, height, precision)


def read_recipes(path: Path = RECIPE) -> list[Recipe]:
    """The recipe of each role."""
    document: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    packages = {name: Package(name=name, **facts) for name, facts in document["packages"].items()}
    return [
        Recipe(**{**facts, "role": role, "package": packages[facts["package"]]})
        for role, facts in document["roles"].items()
    ]
