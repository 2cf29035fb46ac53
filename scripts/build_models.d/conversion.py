"""Keras graphs to TensorFlow Lite files: float16 or int8 weights, or full integer after calibration."""

import io
import warnings
from collections.abc import Iterable
from contextlib import redirect_stdout

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from errors import BuildError

Tensor = npt.NDArray[np.float32]
"""One input of a network: 1 x height x width x 3, preprocessed as the recipe says."""


def to_float16(model: tf.keras.Model) -> bytes:
    """The .tflite with float16 weights; its inputs and outputs stay float32."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _converted(converter)


def to_int8_weights(model: tf.keras.Model) -> bytes:
    """The .tflite with int8 weights, one scale for each; its inputs and outputs stay float32."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # TensorFlow Lite 2.14 does not know the version of the operator with a scale for each column
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001
    return _converted(converter)


def to_int8(model: tf.keras.Model, samples: Iterable[Tensor], *, takes_pixels: bool) -> bytes:
    """The .tflite in full integer, ranges taken from `samples`; float32 outputs.

    `takes_pixels`: the input is uint8 and the pixels 0..255 are fed as they are; otherwise it is float32. Raises
    BuildError when the samples do not span 0..255 and pixels would have to be rescaled.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if takes_pixels:
        converter.inference_input_type = tf.uint8
    content = _converted(converter)
    (details,) = Interpreter(model_content=content).get_input_details()
    if takes_pixels and details["quantization"] != (1.0, 0):
        raise BuildError(f"the int8 input is {details['quantization']}, not (1, 0): add a black and a white pixel")
    return content


def _converted(converter: tf.lite.TFLiteConverter) -> bytes:
    """Hides the messages of the converter, which do not concern the build."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = converter.convert()
    assert isinstance(content, bytes)
    return content
