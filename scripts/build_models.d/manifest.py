"""The model files as they stand in this build, and models/manifest.toml, which says what each is and what it measured."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import tomlkit
from errors import BuildError
from recipe import Output, Recipe

from appliance.vision import loading
from appliance.vision.engine import FaceEngine
from appliance.vision.manifest import Gate, ModelError, ModelFile, ModelStore, Role
from appliance.vision.runtime import Network

HEADER = """\
# Written by scripts/build_models. A tensor value is (pixel - mean) / scale, before any quantisation of the tensor. `gate`
# holds a file against the float16 one; at the cosine of `operating_point` the share `fmr` of impostor pairs is accepted.

"""

THREADS = 2
"""For measuring; the figures do not depend on it."""


@dataclass(slots=True)
class Models:
    """Model files by name: what is known of each, and its bytes."""

    files: dict[str, ModelFile] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Models":
        """The models of a folder; none when it has no usable manifest."""
        models = cls()
        try:
            store = ModelStore.open(folder)
            for file in store.models:
                models.contents[file.file] = store.content(file)
                models.files[file.file] = file
        except ModelError:
            return cls()
        return models

    def add(self, recipe: Recipe, output: Output, content: bytes) -> None:
        """Takes a file in, not measured and therefore not to be chosen, in place of the one of that name."""
        self.contents[output.file] = content
        self.files[output.file] = ModelFile.model_validate(
            {
                "role": recipe.role,
                "name": recipe.name,
                "file": output.file,
                "sha256": hashlib.sha256(content).hexdigest(),
                "precision": output.precision,
                "height": output.height,
                "width": output.width,
                "colour": recipe.colour,
                "mean": recipe.mean,
                "scale": recipe.scale,
                "source": recipe.source,
                "licence": recipe.licence,
                "gate": Gate(measure=recipe.measure, value=0.0, reference=0.0, margin=recipe.margin, passed=False),
            }
        )

    def network(self, file: str) -> Network:
        """The file in an interpreter. Raises ModelError."""
        return Network(self.files[file], self.contents[file], THREADS)

    def engine(self, liveness_precision: str = "float16") -> FaceEngine:
        """The device's engine of these files, float16 except perhaps for liveness; a part whose files are not built, or not
        measured yet, answers with a Fault.
        """
        precisions = {Role.DETECTOR: "float16", Role.LIVENESS: liveness_precision}
        with TemporaryDirectory() as folder:
            self.write(Path(folder))
            return loading.build(loading.choose(ModelStore.open(Path(folder)), precisions, THREADS), THREADS)

    def only(self, names: Sequence[str]) -> "Models":
        """The models of these file names, in this order. Raises BuildError when one was never built."""
        missing = [name for name in names if name not in self.files]
        if missing:
            raise BuildError(f"{missing[0]} was never built: build all roles, without --only")
        return Models({name: self.files[name] for name in names}, {name: self.contents[name] for name in names})

    def write(self, folder: Path) -> None:
        """Writes the files and the manifest."""
        for name, content in self.contents.items():
            (folder / name).write_bytes(content)
        tables = [file.model_dump(mode="json", exclude_none=True) for file in self.files.values()]
        (folder / "manifest.toml").write_text(HEADER + tomlkit.dumps({"model": tables}), "utf-8")
