"""The model files: what manifest.toml says of each, and their bytes once their sha256 is proven."""

import hashlib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from appliance.faults import ReportedError


class Role(StrEnum):
    """The question a model answers."""

    DETECTOR = "detector"
    LANDMARKS = "landmarks"
    ALIGNMENT = "alignment"
    EMBEDDER = "embedder"
    STRONG_EMBEDDER = "strong_embedder"
    STRONG_HEAD = "strong_head"
    LIVENESS = "liveness"


class ModelError(ReportedError):
    """A model file is missing, is not the one the manifest names, or does not work."""


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Gate(_Facts):
    """The accuracy a file was held to before it may be chosen: its own figure against the reference precision's."""

    measure: str
    value: float
    reference: float
    margin: float
    passed: bool


class OperatingPoint(_Facts):
    """The cosine, or score of two networks, at which the false match rate is `fmr`, measured on `impostor_pairs` pairs."""

    cosine: float
    fmr: float
    impostor_pairs: int


Thresholds = Mapping[str, float]
"""Where this device has its operating points, by the sha256 of the model they were found for: the cosine of an embedder, the
log odds of a liveness network. A model that is not in it keeps its shipped one."""

SHIPPED: Thresholds = MappingProxyType({})


class ModelFile(_Facts):
    """One `[[model]]` of the manifest. A tensor value is (pixel - mean) / scale, before the tensor's own quantisation."""

    role: Annotated[Role, Field(strict=False)]
    name: str
    file: str
    sha256: str
    precision: Literal["int8", "float16"]
    height: int
    width: int
    colour: Literal["BGR", "RGB"]
    mean: float
    scale: float
    source: str
    licence: str
    gate: Gate
    operating_point: OperatingPoint | None = None
    joint_point: OperatingPoint | None = None
    """Of the strong embedder: that of its score together with the fast one's."""

    @property
    def area(self) -> int:
        return self.height * self.width


_MANIFEST = TypeAdapter(dict[Literal["model"], list[ModelFile]])


@dataclass(frozen=True, slots=True)
class ModelStore:
    """A folder of models with its manifest."""

    folder: Path
    models: Sequence[ModelFile]

    @classmethod
    def open(cls, folder: Path) -> "ModelStore":
        """Reads `folder`/manifest.toml. Raises ModelError."""
        path = folder / "manifest.toml"
        try:
            return cls(folder, _MANIFEST.validate_python(tomllib.loads(path.read_text("utf-8")))["model"])
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{path}: {error}") from error

    def candidates(self, role: Role, precision: str) -> list[ModelFile]:
        """The files that may serve `role`: of the named precision, or with "auto" all that passed their accuracy gate.

        Raises ModelError when there is none.
        """
        files = [model for model in self.models if model.role == role]
        chosen = [m for m in files if m.precision == precision or (precision == "auto" and m.gate.passed)]
        if not chosen:
            shipped = ", ".join(sorted({model.precision for model in files})) or "none"
            raise ModelError(f"no {role} model in precision {precision} (there is: {shipped})")
        return chosen

    def content(self, model: ModelFile) -> bytes:
        """The file's bytes. Raises ModelError when it is missing or its sha256 is not the manifest's."""
        try:
            content = (self.folder / model.file).read_bytes()
        except OSError as error:
            raise ModelError(f"{model.file}: {error.strerror}") from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != model.sha256:
            raise ModelError(f"{model.file}: sha256 is {digest}, the manifest says {model.sha256}")
        return content


HOPELESS = 2.0
"""A precision whose first run takes this many times the best one's median is not timed further: it saves a start half a
second where a runtime has no fast int8."""


def fastest(models: Iterable[ModelFile], measure: Callable[[ModelFile, float], float]) -> tuple[str, dict[str, float]]:
    """Chooses a precision for one role by timing its smallest input: (the fastest precision, seconds by precision).

    `measure` takes a file and the seconds from which its time does not matter any more: none for the only precision, which
    so runs once.
    """
    smallest: dict[str, ModelFile] = {}
    for model in sorted(models, key=lambda model: model.area, reverse=True):
        smallest[model.precision] = model
    seconds: dict[str, float] = {}
    for precision in sorted(smallest):
        best = min(seconds.values(), default=float("inf") if len(smallest) > 1 else 0.0)
        seconds[precision] = measure(smallest[precision], best * HOPELESS)
    return min(seconds, key=seconds.__getitem__), seconds
