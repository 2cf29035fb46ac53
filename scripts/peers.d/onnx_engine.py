"""The same weights under ONNX Runtime: this program's pipeline, with another runtime for its networks.

Detector and landmarks are converted from the .tflite files (tf2onnx), embedder and liveness are the published ONNX files
that the .tflite files are built from.
"""

import sys
from pathlib import Path

import appliance_models
import cv2
import onnxruntime
from lab.bench.entrant import look
from lab.bench.protocol import serve

from appliance.face.types import Pixels
from appliance.vision import loading, selftest
from appliance.vision.manifest import ModelFile, ModelStore, Role
from appliance.vision.runtime import Floats, Runs

FOLDER = Path("onnx")
"""Where scripts/peers puts the networks, in the peer's folder."""

PRECISION = "float16"
"""Of the files whose places the networks take."""

PUBLISHED = {Role.EMBEDDER: "fr_feature.onnx", Role.LIVENESS: "fr_liveness.onnx"}


class OnnxNetwork:
    """A network as the program's parts see it: RGB pixels in, arrays out."""

    def __init__(self, file: ModelFile, path: Path) -> None:
        self.file = file
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (self._input,) = (node.name for node in self._session.get_inputs())

    def run(self, pixels: Pixels) -> list[Floats]:
        """The outputs without their batch axis. The input has its channels first."""
        size, mean = (self.file.width, self.file.height), (self.file.mean,) * 3
        tensor = cv2.dnn.blobFromImage(pixels, 1 / self.file.scale, size, mean, swapRB=self.file.colour == "BGR")
        return [output[0] for output in self._session.run(None, {self._input: tensor})]


class OnnxModels:
    """The networks of a role, as the program's choice of a role's files has them."""

    def __init__(self, role: Role) -> None:
        files = ModelStore.open(appliance_models.FOLDER).models
        self._files = [file for file in files if file.role is role and file.precision == PRECISION]

    def networks(self, _threads: int) -> list[Runs]:
        """One a file."""
        names = (PUBLISHED.get(file.role, Path(file.file).with_suffix(".onnx").name) for file in self._files)
        return [OnnxNetwork(file, FOLDER / name) for file, name in zip(self._files, names, strict=True)]


def main() -> int:
    """The exit status: 0 at the end of standard input, 1 when the answers are not those of the .tflite files."""
    peer = loading.build({role: OnnxModels(role) for role in Role}, 1)
    portrait = loading.portrait(appliance_models.FOLDER)
    recorded = selftest.read(appliance_models.FOLDER / loading.SELFTEST)
    wrong = selftest.complaints(peer, portrait, recorded, dict.fromkeys(Role, PRECISION))
    if wrong:
        print("; ".join(f"{role}: {text}" for role, text in wrong.items()), file=sys.stderr)
        return 1
    serve(f"same weights, ONNX Runtime {onnxruntime.__version__}", lambda pixels: look(peer, pixels))
    return 0


if __name__ == "__main__":
    sys.exit(main())
