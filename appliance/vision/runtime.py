"""A TFLite model and its interpreter: pixels in, arrays out. The only file that imports the runtime."""

import threading
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from appliance.face.types import Pixels
from appliance.vision.manifest import ModelError, ModelFile

try:
    from ai_edge_litert.interpreter import Interpreter

    RUNTIME = "ai-edge-litert"
except ImportError:
    from tflite_runtime.interpreter import Interpreter

    RUNTIME = "tflite-runtime"

RUNTIME_VERSION = metadata.version(RUNTIME)

Floats = npt.NDArray[np.float32]

COLOURS = 3
"""Channels of a picture; a map of features has more."""


class Network:
    """One model in one interpreter. Not thread-safe: its owner runs it from one thread at a time."""

    def __init__(self, file: ModelFile, content: bytes, threads: int, *, warm_up: bool = True) -> None:
        """Loads `content`, allocates and warms up. Raises ModelError when the runtime refuses the model."""
        self.file = file
        try:
            self._interpreter: Any = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
            (self._input,) = self._interpreter.get_input_details()
            self._outputs = self._interpreter.get_output_details()
            self._table = self._lookup_table()
            if warm_up:
                self.run(self._blank())
        except (ValueError, RuntimeError, cv2.error) as error:
            raise ModelError(f"{file.file}: {error}") from error

    def run(self, pixels: Pixels | Floats) -> list[Floats]:
        """One inference on height x width x 3 RGB pixels of the model's input size, or on the output of the network before.

        Returns copies of the outputs, dequantised, without their batch axis, in the model's order.
        """
        if self.file.colour == "BGR":
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)
        self._fill(pixels)
        self._interpreter.invoke()
        return [self._read(output) for output in self._outputs]

    def seconds(self, rounds: int, hopeless: float = float("inf")) -> float:
        """Least processor time of one inference, which other work disturbs least; the first one's when that is `hopeless`
        already.
        """
        pixels = self._blank()
        times: list[float] = []
        while len(times) < rounds and not (times and times[0] > hopeless):
            start = time.thread_time()
            self.run(pixels)
            times.append(time.thread_time() - start)
        return min(times)

    def _blank(self) -> Pixels | Floats:
        """A black picture, or a map of zeros."""
        shape = (self.file.height, self.file.width, int(self._input["shape"][-1]))
        return np.zeros(shape, np.uint8) if shape[-1] == COLOURS else np.zeros(shape, np.float32)

    def _fill(self, pixels: Pixels | Floats) -> None:
        """Writes the pixels' values into the input tensor, in place. Raises cv2.error or ValueError for another size.

        The interpreter refuses to run while anything refers to its memory, as this frame does as long as an error from it is
        kept.
        """
        tensor = self._interpreter.tensor(self._input["index"])()[0]
        try:
            if tensor.shape != pixels.shape:
                raise ValueError(f"pixels {pixels.shape} for an input of {tensor.shape}")
            if self._table is None or pixels.dtype == np.float32:
                tensor[:] = pixels
            else:
                cv2.LUT(pixels, self._table, dst=tensor)
        finally:
            del tensor

    def _lookup_table(self) -> npt.NDArray[Any] | None:
        """What each of the 256 pixel values becomes in the input tensor; None when it stays what it is."""
        values = (np.arange(256) - self.file.mean) / self.file.scale
        kind = np.dtype(self._input["dtype"])
        if kind.kind == "f":
            return values.astype(kind)
        scale, zero_point = self._input["quantization"]
        limits = np.iinfo(kind)
        table = np.clip(np.round(values / scale + zero_point), limits.min, limits.max).astype(kind)
        identity = kind == np.uint8 and np.array_equal(table, np.arange(256))
        return None if identity else table

    def _read(self, output: dict[str, Any]) -> Floats:
        values: Floats = self._interpreter.get_tensor(output["index"])[0].astype(np.float32, copy=False)
        if output["dtype"] is np.float32:
            return values
        scale, zero_point = output["quantization"]
        return (values - np.float32(zero_point)) * np.float32(scale)


class Runs(Protocol):
    """A network: one engine's own, or one that engines share."""

    file: ModelFile

    def run(self, pixels: Pixels | Floats) -> list[Floats]: ...


class Courteous:
    """A network that waits before each run until it disturbs no request."""

    def __init__(self, network: Runs, step_aside: Callable[[], object]) -> None:
        """`step_aside` returns when the run may begin."""
        self.file = network.file
        self._network = network
        self._step_aside = step_aside

    def run(self, pixels: Pixels | Floats) -> list[Floats]:
        self._step_aside()
        return self._network.run(pixels)


class LazyNetwork:
    """A network that is built for its first run, which then takes about twice as long as others, and may be freed. Engines
    that share it run it one at a time.
    """

    def __init__(self, file: ModelFile, content: bytes, threads: int) -> None:
        self.file = file
        self._content = content
        self._threads = threads
        self._lock = threading.Lock()
        self._network: Network | None = None
        self._last_run = 0.0

    def run(self, pixels: Pixels | Floats) -> list[Floats]:
        """As `Network.run`; waits while another engine runs it. Raises ModelError."""
        with self._lock:
            if self._network is None:
                self._network = Network(self.file, self._content, self._threads, warm_up=False)
            try:
                return self._network.run(pixels)
            finally:
                self._last_run = time.monotonic()

    def give_up(self, idle_seconds: float) -> None:
        """Frees the memory when the last run was at least so long ago."""
        with self._lock:
            if self._network is not None and time.monotonic() - self._last_run >= idle_seconds:
                self._network = None
