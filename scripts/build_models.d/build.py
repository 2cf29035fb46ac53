"""Builds models/*.tflite and models/manifest.toml from pinned packages."""

import argparse
import logging
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf
from calibration import Calibration
from conversion import to_float16, to_int8, to_int8_weights
from errors import BuildError
from gates import accept, keep, measure
from manifest import Models
from onnx_network import read_networks
from packages import PackageCache
from recipe import Output, Recipe, read_recipes
from yunet import SymbolArrays, build_yunet

from appliance.faults import Fault
from appliance.vision.manifest import ModelError

PROJECT = Path(__file__).resolve().parents[2]

MODELS = PROJECT / "models"


class Builder:
    """Turns recipes into model files."""

    def __init__(self, packages: PackageCache, calibration: Calibration, models: Models) -> None:
        """`models` takes the files in."""
        self._packages = packages
        self._calibration = calibration
        self._models = models

    def build(self, recipe: Recipe) -> None:
        """Builds every file of a role. Raises BuildError."""
        source = self._packages.read(recipe.package, recipe.file)
        for output in recipe.outputs():
            print(f"building {output.file}", flush=True)
            self._models.add(recipe, output, self._content(recipe, output, source))

    def licence(self, recipe: Recipe) -> dict[str, bytes]:
        """The licence text in a recipe's package, by the name it gets; empty when there is none. Raises BuildError."""
        if not recipe.licence_file:
            return {}
        return {f"{recipe.package.name}.txt": self._packages.read(recipe.package, recipe.licence_file)}

    def _content(self, recipe: Recipe, output: Output, source: bytes) -> bytes:
        if recipe.file.endswith(".tflite"):
            return source
        tf.keras.backend.clear_session()  # numbers layers anew: what was built before leaves no trace in the file
        detects = recipe.role == "detector"
        if detects:
            network = build_yunet(SymbolArrays(source), output.width, output.height)
        else:
            low, high = ((pixel - recipe.mean) / recipe.scale for pixel in (0, 255))
            network = read_networks(source, low, high)[recipe.part]
        if output.precision == "float16":
            return to_float16(network)
        if not recipe.samples:
            return to_int8_weights(network)
        samples = self._calibration.samples(recipe, output)
        return to_int8(network, samples, takes_pixels=detects)


def main() -> int:
    """The exit status: 0 when everything is written, 1 with one line when nothing is."""
    recipes = read_recipes()
    options = _parser([recipe.role for recipe in recipes]).parse_args()
    # the engine logs which of its models do not exist yet; what is needed of it and missing comes back as a Fault
    logging.getLogger("appliance").setLevel(logging.CRITICAL)
    before, models = Models.read(MODELS), Models.read(MODELS)
    try:
        builder = Builder(PackageCache(PROJECT / ".cache"), Calibration(options.calibration), models)
        licences: dict[str, bytes] = {}
        for recipe in recipes:
            if not options.only or recipe.role in options.only:
                builder.build(recipe)
                licences |= builder.licence(recipe)
                _judge(recipe, models, before, options)
        models.only([output.file for recipe in recipes for output in recipe.outputs()]).write(MODELS)
        for name, text in licences.items():
            (MODELS / "LICENSES" / name).write_bytes(text)
    except (BuildError, Fault, ModelError, OSError) as error:
        print(f"build_models: {error}", file=sys.stderr)
        return 1
    return 0


def _judge(recipe: Recipe, models: Models, before: Models, options: argparse.Namespace) -> None:
    """Gives a role's files their figures: measured on its labelled pictures, or kept when nothing has changed."""
    if not recipe.pictures:
        accept(models, recipe)
    elif getattr(options, recipe.pictures) is not None:
        measure(models, recipe, getattr(options, recipe.pictures))
    else:
        keep(models, recipe, before)


def _parser(roles: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/build_models",
        description=__doc__,
        epilog="A file that changes must be measured: name the labelled pictures of its role.",
    )
    folder = {"type": _folder, "metavar": "FOLDER"}
    parser.add_argument("--calibration", required=True, help=".jpg files, square, one face in the middle", **folder)
    parser.add_argument("--detection", help="detector: labels.csv and images/", **folder)
    parser.add_argument("--verification", help="embedders: pairs.csv and images/ named PERSON_NUMBER.jpg", **folder)
    parser.add_argument("--liveness", help="liveness: sequences.csv and a folder for each, 1.jpg to 4.jpg", **folder)
    parser.add_argument("--only", nargs="+", choices=roles, metavar="ROLE", help=", ".join(roles))
    return parser


def _folder(name: str) -> Path:
    path = Path(name)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{name} is not a folder")
    return path


if __name__ == "__main__":
    sys.exit(main())
