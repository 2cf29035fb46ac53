"""YuNet, the face detector, as a Keras graph with the weights of libfacedetection.

Network: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research, 2023. The weights
are float32 arrays under exported symbols of a shared library, which is read as a file and never loaded: nothing in it
runs.
"""

import io

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from elftools.elf.elffile import ELFFile
from errors import BuildError

Floats = npt.NDArray[np.float32]

layers = tf.keras.layers

STRIDES = (8, 16, 32)

HEADS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""What is said of each cell, with its channels: face class and objectness (0..1), box (centre and log size, in strides)
and five points (x, y in strides)."""

CHANNELS = 64
"""Channels of the three feature maps that the heads read."""

STEM = 16
"""Channels of the first convolution."""


class SymbolArrays:
    """The float32 arrays of a shared library, by the name of their exported symbol."""

    def __init__(self, library: bytes) -> None:
        """Reads the dynamic symbols of an ELF file."""
        elf = ELFFile(io.BytesIO(library))
        self._library = library
        self._places: dict[str, tuple[int, int]] = {}
        for symbol in elf.get_section_by_name(".dynsym").iter_symbols():
            for offset in elf.address_offsets(symbol["st_value"]):
                self._places[symbol.name] = (offset, symbol["st_size"])

    def read(self, name: str, *shape: int) -> Floats:
        """The array under a symbol. Raises BuildError when it has fewer values than `shape`."""
        count = int(np.prod(shape))
        offset, size = self._places.get(name, (0, 0))
        if size < count * 4:
            raise BuildError(f"the detector's library has no {count} values under {name}; is it another version?")
        return np.frombuffer(self._library, "<f4", count, offset).reshape(shape)


def build_yunet(weights: SymbolArrays, width: int, height: int) -> tf.keras.Model:
    """YuNet for a picture whose sides (pixels) are multiples of 32.

    Input: 1 x height x width x 3, BGR, 0..255. Outputs: `cls_8`, `obj_8`, `bbox_8`, `kps_8`, then the same for strides 16 and
    32, each 1 x height/stride x width/stride x channels.
    """
    picture = tf.keras.Input((height, width, 3), batch_size=1, name="picture")
    blocks = _Blocks(weights)
    outputs = {}
    for level, (stride, features) in enumerate(zip(STRIDES, _feature_maps(blocks, picture), strict=True)):
        for head, channels in HEADS.items():
            x = blocks.unit(features, f"bbox_head__multi_level_{head}__{level}", channels, activation=None)
            outputs[f"{head}_{stride}"] = layers.Activation("sigmoid")(x) if channels == 1 else x
    return tf.keras.Model(picture, outputs)


def _feature_maps(blocks: "_Blocks", picture: tf.Tensor) -> list[tf.Tensor]:
    """Backbone and feature pyramid: one map for each stride."""
    x = blocks.unit(blocks.stem(picture), "backbone__model0_dp", STEM)
    x = blocks.pair(layers.MaxPool2D()(x), 1, 16, 32)
    x = blocks.pair(x, 2, 32, CHANNELS)
    fine = blocks.pair(layers.MaxPool2D()(x), 3, CHANNELS, CHANNELS)
    middle = blocks.pair(layers.MaxPool2D()(fine), 4, CHANNELS, CHANNELS)
    coarse = blocks.pair(layers.MaxPool2D()(middle), 5, CHANNELS, CHANNELS)
    coarse = blocks.unit(coarse, "neck__lateral_convs__2", CHANNELS)
    middle = blocks.unit(_upsampled_sum(coarse, middle), "neck__lateral_convs__1", CHANNELS)
    fine = blocks.unit(_upsampled_sum(middle, fine), "neck__lateral_convs__0", CHANNELS)
    return [fine, middle, coarse]


def _upsampled_sum(coarse: tf.Tensor, fine: tf.Tensor) -> tf.Tensor:
    return layers.Add()([layers.UpSampling2D()(coarse), fine])


class _Blocks:
    """What YuNet is built of, each block with its weights from the library."""

    def __init__(self, weights: SymbolArrays) -> None:
        self._weights = weights

    def stem(self, x: tf.Tensor) -> tf.Tensor:
        """3 x 3 convolution with stride 2, and ReLU."""
        stored = self._weights.read("backbone__model0_pw_weight", STEM, 32)  # 27 values, filled up for alignment
        kernel = stored[:, :27].reshape(STEM, 3, 3, 3).transpose(1, 2, 3, 0)
        bias = self._weights.read("backbone__model0_pw_bias", STEM)
        convolution = layers.Conv2D(STEM, 3, strides=2, activation="relu")
        return _with_weights(convolution, layers.ZeroPadding2D(1)(x), kernel, bias)

    def pair(self, x: tf.Tensor, stage: int, middle: int, out: int) -> tf.Tensor:
        """Two units, to `middle` and to `out` channels."""
        x = self.unit(x, f"backbone__model{stage}_dp1", middle)
        return self.unit(x, f"backbone__model{stage}_dp2", out)

    def unit(self, x: tf.Tensor, name: str, out: int, activation: str | None = "relu") -> tf.Tensor:
        """1 x 1 convolution to `out` channels, then 3 x 3 depthwise convolution and the activation."""
        across = self._weights.read(f"{name}_pw_weight", out, x.shape[-1]).T[np.newaxis, np.newaxis]
        x = _with_weights(layers.Conv2D(out, 1), x, across, self._weights.read(f"{name}_pw_bias", out))
        depthwise = layers.DepthwiseConv2D(3, padding="same", activation=activation)
        kernel = self._weights.read(f"{name}_dw_weight", 3, 3, out, 1)
        return _with_weights(depthwise, x, kernel, self._weights.read(f"{name}_dw_bias", out))


def _with_weights(layer: tf.keras.layers.Layer, x: tf.Tensor, kernel: Floats, bias: Floats) -> tf.Tensor:
    y = layer(x)
    layer.set_weights([kernel, bias])
    return y
