"""An ONNX network as Keras graphs: the few operators that the embedders and the liveness network are made of.

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

SHAPE_OPERATORS = {"Shape", "Gather", "Unsqueeze", "Concat"}
"""Operators that only compute the target of the one Reshape, which is a flattening."""

TOLERANCE = 1e-3
"""Largest difference from ONNX Runtime over its largest value: float32 rounding through some 50 layers."""


def read_networks(content: bytes, low: float, high: float) -> list[tf.keras.Model]:
    """The network of an ONNX file (one input, one output) with channels last: float32, batch 1. One that flattens a map is cut
    there in two, and the second takes what the first gives. Its input has values from `low` to `high`.

    Raises BuildError for an operator that is not translated, and when the result does not compute what ONNX does.
    """
    model = onnx.load_model_from_string(content)
    _, channels, height, width = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    entry = tf.keras.Input((height, width, channels), batch_size=1, name="picture")
    translation = _Translation(model.graph)
    tensors, networks = {model.graph.input[0].name: entry}, []
    for node in model.graph.node:
        if node.op_type == "Flatten":
            networks.append(tf.keras.Model(entry, tensors[node.input[0]]))
            entry = tf.keras.Input(networks[-1].output_shape[1:], batch_size=1, name="features")
            tensors[node.input[0]] = entry
        if node.op_type not in SHAPE_OPERATORS and not translation.constant(node):
            tensors[node.output[0]] = translation.apply(node, tensors)
    networks.append(tf.keras.Model(entry, tensors[model.graph.output[0].name]))
    values = np.random.default_rng(0).uniform(low, high, networks[0].input_shape).astype(np.float32)
    _compare(content, networks, values)
    return networks


def _compare(content: bytes, networks: list[tf.keras.Model], values: np.ndarray) -> None:
    """Inputs other than the picture are left from weights that were replaced; no operator uses them."""
    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    picture, *unused = session.get_inputs()
    fed = {each.name: np.zeros(each.shape, np.float32) for each in unused}
    (expected,) = session.run(None, {picture.name: values.transpose(0, 3, 1, 2), **fed})
    for network in networks:
        values = network(values).numpy()
    difference = float(np.abs(values - expected).max() / np.abs(expected).max())
    if difference > TOLERANCE:
        raise BuildError(f"the network differs from its ONNX file by {difference:.1e}; fix onnx_network.py")


class _Translation:
    """One Keras layer for each ONNX node."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            self._compute(node)
        self._translators: dict[str, Callable[..., tf.Tensor]] = {
            "Conv": self._convolution,
            "PRelu": self._prelu,
            "Add": lambda _, x, y: layers.Add()([x, y]),
            "Sub": lambda node, x: x - self._constants[node.input[1]],
            "Mul": lambda node, x, *y: layers.Multiply()([x, *y]) if y else x * self._constants[node.input[1]],
            "Relu": lambda _, x: layers.ReLU()(x),
            "Sigmoid": lambda _, x: layers.Activation("sigmoid")(x),
            "GlobalAveragePool": lambda _, x: layers.GlobalAveragePooling2D(keepdims=True)(x),
            "Dropout": lambda _, x: x,
            "Flatten": lambda _, x: x,
            "Reshape": self._flatten,
            "MatMul": self._product,
            "Gemm": self._product_of_map,
            "BatchNormalization": self._normalisation,
        }

    def _compute(self, node: onnx.NodeProto) -> None:
        """Adds the output of a node whose inputs are constant."""
        known, attributes = self._constants, _attributes(node)
        if node.op_type == "Constant":
            known[node.output[0]] = numpy_helper.to_array(attributes["value"])
        elif node.op_type == "DequantizeLinear":
            values, scales, *zero = (known[name] for name in node.input)

            def spread(blocks: np.ndarray) -> np.ndarray:
                """One value for each of the values that share a block."""
                repeated = np.repeat(blocks, attributes["block_size"], attributes["axis"])
                return repeated.take(range(values.shape[attributes["axis"]]), attributes["axis"])

            offset = spread(zero[0]).astype(np.float32) if zero else np.float32(0)
            known[node.output[0]] = (values.astype(np.float32) - offset) * spread(scales)
        elif node.op_type == "Reshape" and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]].reshape(known[node.input[1]])

    def constant(self, node: onnx.NodeProto) -> bool:
        """Whether a node's output is known without a picture."""
        return node.output[0] in self._constants

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

    def _product_of_map(self, node: onnx.NodeProto, x: tf.Tensor) -> tf.Tensor:
        """Of a map that ONNX flattens channels first. The columns are scaled to one largest value, so that a single int8 scale,
        which is all that TensorFlow Lite 2.14 takes here, rounds each as finely as a scale of its own.
        """
        _, height, width, channels = x.shape
        matrix = self._constants[node.input[1]]
        matrix = (matrix if _attributes(node).get("transB") else matrix.T).reshape(-1, channels, height, width)
        matrix = matrix.transpose(2, 3, 1, 0).reshape(height * width * channels, -1)
        largest = np.abs(matrix).max(0)
        product = layers.Dense(matrix.shape[1], use_bias=False)
        return (
            _with_weights(product, layers.Flatten()(x), [matrix / largest]) * largest + self._constants[node.input[2]]
        )

    def _normalisation(self, node: onnx.NodeProto, x: tf.Tensor) -> tf.Tensor:
        layer = layers.BatchNormalization(epsilon=_attributes(node)["epsilon"])
        return _with_weights(layer, x, [self._constants[name] for name in node.input[1:]])


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _with_weights(layer: tf.keras.layers.Layer, x: tf.Tensor, weights: list[np.ndarray]) -> tf.Tensor:
    y = layer(x)
    layer.set_weights(weights)
    return y
