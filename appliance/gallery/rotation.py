"""The rotation: templates are kept turned by a matrix of this site's own, so that a stolen one fits no other device's.

Cosines stay as they are, for it is orthogonal. Who draws a new matrix makes every old template useless ("cancellable
biometrics": Ratha, Connell and Bolle, Enhancing security and privacy in biometrics-based authentication systems, 2001).
"""

import secrets

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from appliance.face.types import Embedding

DIMENSIONS = 512
"""Of an embedding."""

SEED_BYTES = 32

Rotated = npt.NDArray[np.float32]
"""An embedding turned by the matrix: a unit vector (512)."""


def new_seed() -> bytes:
    """What a new rotation is made from."""
    return secrets.token_bytes(SEED_BYTES)


class Rotation:
    """An orthogonal 512 x 512 matrix, uniformly distributed (Haar), always the same for a seed of 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        turned, upper = np.linalg.qr(_normal(seed, DIMENSIONS))
        # a QR decomposition is unique, and Haar, when the diagonal of R is positive (Mezzadri, 2007, arXiv math-ph/0609050)
        self.matrix: npt.NDArray[np.float64] = turned * np.sign(np.diag(upper))
        self._matrix = self.matrix.astype(np.float32)

    def turn(self, embedding: Embedding) -> Rotated:
        """An embedding as it is kept and compared."""
        return np.asarray(self._matrix @ embedding, np.float32)

    def turn_back(self, rotated: Rotated) -> Embedding:
        """The embedding that was turned."""
        return _unit(self.matrix.T @ rotated.astype(np.float64))

    def renewed(self, rotated: Rotated, after: "Rotation") -> Rotated:
        """What was turned by this rotation, as if it had been turned by another."""
        return _unit(after.matrix @ (self.matrix.T @ rotated.astype(np.float64)))


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Unit length again, so that rounding does not add up over many rotations."""
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _normal(seed: bytes, side: int) -> npt.NDArray[np.float64]:
    """A square of standard normal numbers: AES-256 in counter mode, then Box and Muller (1958)."""
    count = side * side
    stream = Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor().update(bytes(8 * count))
    # 53 bits each, as a double has; the half keeps the logarithm finite
    uniform = ((np.frombuffer(stream, "<u8") >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log(uniform[0::2])), 2 * np.pi * uniform[1::2]
    normal: npt.NDArray[np.float64] = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return normal.reshape(side, side)
