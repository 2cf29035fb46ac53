"""This program as one of the peers: `python -m lab.bench.entrant` speaks their protocol."""

import sys
import time
from collections.abc import Mapping

from appliance.camera.source import CameraFrame
from appliance.face.types import DetectLimits, Pixels
from appliance.faults import Fault
from appliance.sections import EngineSection
from appliance.stages import recording
from appliance.vision import loading
from appliance.vision.engine import FaceEngine
from appliance.vision.runtime import RUNTIME, RUNTIME_VERSION
from lab.bench.protocol import serve

MOST_FACES = 50  # faces that each peer may find in a picture


def look(engine: FaceEngine, pixels: Pixels) -> tuple[int, Mapping[str, float | None]]:
    """Finds the faces, cuts them out by their points and embeds them: how many, and the processor seconds of each step, taken
    in proportion to the time that passed in it.
    """
    begun, processor = time.perf_counter(), time.process_time()
    with recording() as recorder:
        faces = engine.align(CameraFrame(pixels, 0.0), DetectLimits(count=MOST_FACES))
        for face in faces:
            engine.embed(face)
    steps = {"detect": ("detect",), "align": ("landmarks", "align"), "embed": ("embed",)}
    share = (time.process_time() - processor) / (time.perf_counter() - begun)
    taken = {step: share * sum(recorder.seconds.get(each, 0.0) for each in own) for step, own in steps.items()}
    return len(faces), taken


def main() -> int:
    """The exit status: 0 at the end of standard input, 1 when a model does not work."""
    choice, engine = loading.first_engine(EngineSection().folder, {}, 1)
    if faults := [str(chosen) for chosen in choice.values() if isinstance(chosen, Fault)]:
        print("\n".join(faults), file=sys.stderr)
        return 1
    serve(f"appliance, {RUNTIME} {RUNTIME_VERSION}", lambda pixels: look(engine, pixels))
    return 0


if __name__ == "__main__":
    sys.exit(main())
