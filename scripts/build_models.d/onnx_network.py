"""An ONNX network as a Keras graph: the few operators that the embedder and the liveness network are made of.

ONNX keeps channels first, TensorFlow Lite last; reading the graph operator by operator settles that at build time and
leaves no transposition in the model.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from errors import BuildError
from onnx import numpy_helper
from onnxruntime import InferenceSession

layers = tf.keras.layers

SHAPE_OPERATORS = {"Constant", "Shape", "Gather", "Unsqueeze", "Concat"}
"""Operators that only compute the target of the one Reshape, which is a flattening."""

TOLERANCE = 1e-3
"""Largest difference from ONNX Runtime over its largest value: float32 rounding through some 50 layers."""


def read_network(content: bytes) -> tf.keras.Model:
    """The network of an ONNX file (opset 9, one input, one output) with channels last: float32, batch 1.

    Raises BuildError for an operator that is not translated, and when the result does not compute what ONNX does.
    """
    model = onnx.load_model_from_string(content)
    _, channels, height, width = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    picture = tf.keras.Input((height, width, channels), batch_size=1, name="picture")
    translation = _Translation(model.graph)
    tensors = {model.graph.input[0].name: picture}
    for node in model.graph.node:
        if node.op_type not in SHAPE_OPERATORS:
            tensors[node.output[0]] = translation.apply(node, tensors)
    network = tf.keras.Model(picture, tensors[model.graph.output[0].name])
    _compare(content, network)
    return network


def _compare(content: bytes, network: tf.keras.Model) -> None:
    picture = np.random.default_rng(0).uniform(-1, 1, network.input_shape).astype(np.float32)
    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {session.get_inputs()[0].name: picture.transpose(0, 3, 1, 2)})
    difference = float(np.abs(network(picture).numpy() - expected).max() / np.abs(expected).max())
    if difference > TOLERANCE:
        raise BuildError(f"the network differs from its ONNX file by {difference:.1e}; mend onnx_network.py")


class _Translation:
    """One Keras layer for each ONNX node."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._translators: dict[str, Callable[..., tf.Tensor]] = {
            "Conv": self._convolution,
            "PRelu": self._prelu,
            "Add": lambda _, x, y: layers.Add()([x, y]),
            "Mul": lambda _, x, y: layers.Multiply()([x, y]),
            "Relu": lambda _, x: layers.ReLU()(x),
            "Sigmoid": lambda _, x: layers.Activation("sigmoid")(x),
            "GlobalAveragePool": lambda _, x: layers.GlobalAveragePooling2D(keepdims=True)(x),
            "Reshape": self._flatten,
            "MatMul": self._product,
            "BatchNormalization": self._normalisation,
        }

    def apply(self, node: onnx.NodeProto, tensors: dict[str, tf.Tensor]) -> tf.Tensor:
        """The node's output; of its inputs, those in `tensors` are computed and the others constant."""
        if node.op_type not in self._translators:
            raise BuildError(f"the network has an operator {node.op_type}; translate it in onnx_network.py")
        return self._translators[node.op_type](node, *(tensors[name] for name in node.input if name in tensors))

    def _convolution(self, node: onnx.NodeProto, x: tf.Tensor) -> tf.Tensor:
        attributes = _attributes(node)
        kernel, *bias = (self._constants[name] for name in node.input[1:])
        size, stride, pad = kernel.shape[2], attributes["strides"][0], attributes["pads"][0]
        symmetric = stride == 1 and size == 2 * pad + 1  # with stride 2, "same" would pad one side only
        if pad and not symmetric:
            x = layers.ZeroPadding2D(pad)(x)
        options = {"strides": stride, "padding": "same" if symmetric else "valid", "use_bias": bool(bias)}
        if attributes["group"] == 1:
            layer, axes = layers.Conv2D(kernel.shape[0], size, **options), (2, 3, 1, 0)
        elif attributes["group"] == kernel.shape[0] == x.shape[-1]:
            layer, axes = layers.DepthwiseConv2D(size, **options), (2, 3, 0, 1)
        else:
            raise BuildError(f"{node.name} is a grouped convolution; translate it in onnx_network.py")
        return _with_weights(layer, x, [kernel.transpose(axes), *bias])

    def _prelu(self, node: onnx.NodeProto, x: tf.Tensor) -> tf.Tensor:
        slope = self._constants[node.input[1]].reshape(1, 1, -1)
        return _with_weights(layers.PReLU(shared_axes=[1, 2]), x, [slope])

    def _flatten(self, node: onnx.NodeProto, x: tf.Tensor) -> tf.Tensor:
        if x.shape[1:3] != (1, 1):  # otherwise the order of the channels would matter
            raise BuildError(f"{node.name} reshapes a map larger than 1 x 1; translate it in onnx_network.py")
        return layers.Flatten()(x)

    def _product(self, node: onnx.NodeProto, x: tf.Tensor) -> tf.Tensor:
        matrix = self._constants[node.input[1]]
        return _with_weights(layers.Dense(matrix.shape[1], use_bias=False), x, [matrix])

    def _normalisation(self, node: onnx.NodeProto, x: tf.Tensor) -> tf.Tensor:
        layer = layers.BatchNormalization(epsilon=_attributes(node)["epsilon"])
        return _with_weights(layer, x, [self._constants[name] for name in node.input[1:]])


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _with_weights(layer: tf.keras.layers.Layer, x: tf.Tensor, weights: list[np.ndarray]) -> tf.Tensor:
    y = layer(x)
    layer.set_weights(weights)
    return y
