"""Vectors of pictures by EfficientNetB0 with the weights of a file on this machine. Nothing is downloaded."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ml.contract.errors import ContractError
from ml.contract.manifest import file_entry
from ml.contract.types import Floats
from ml.dataset.pictures import SIDE, Pixels

DEVIATIONS = (0.229, 0.224, 0.225)
"""Of red, green and blue in ImageNet."""
PUBLISHED = "efficientnetb0_notop.h5"


@dataclass(frozen=True)
class ImageEncoder:
    """EfficientNetB0 without its last layer: the mean, over the places of a picture, of what it says of each (Tan and Le 2019)."""

    length: ClassVar[int] = 1_280
    """Numbers in each vector."""

    weights: Path

    @classmethod
    def open(cls, weights: Path) -> Self:
        """Of a file as Keras publishes it, or as `save_weights` of the network without its top writes it. It is read when the first
        picture is.

        Raises:
            ContractError: there is no such file.
        """
        if not weights.is_file() or weights.suffix != ".h5":
            state = "which is no .h5 file" if weights.is_file() else "which is not there"
            raise _no_weights(weights, state)
        return cls(weights)

    @cached_property
    def digest(self) -> str:
        """Changes with the weights, and with what is made of a picture before they see it."""
        return sha256(f"{file_entry(self.weights).sha256} {SIDE} white bilinear".encode()).hexdigest()[:16]

    def encode(self, pictures: list[Pixels]) -> Floats:
        """`[n, length]`; a few dozen at once, as all of them are held at full width.

        Raises:
            ContractError: the file holds other weights.
        """
        if not pictures:
            return np.empty((0, self.length), np.float32)
        found: Floats = self._network(np.stack(pictures).astype(np.float32)).numpy()
        return found

    @cached_property
    def _network(self) -> Callable[[Floats], Any]:
        from ml.retrieval.legacy_keras import tf

        try:
            network = tf.keras.applications.EfficientNetB0(include_top=False, pooling="avg", weights=str(self.weights))
        except (OSError, ValueError, KeyError) as error:
            raise _no_weights(self.weights, f"of which Keras says: {str(error)[:200]}") from error
        _scale_as_published(network)
        return tf.function(
            lambda pictures: network(pictures, training=False),
            input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32)],
        )


def _scale_as_published(network: Any) -> None:
    """The published file has deviations where the layer expects variances. Keras mends that for `weights="imagenet"`, which downloads,
    and not for the very same file by its path: its pictures would be half as bright as those the weights were learned from."""
    [normalise] = [layer for layer in network.layers if type(layer).__name__ == "Normalization"]
    if np.allclose(normalise.adapt_variance.numpy(), DEVIATIONS, atol=1e-4):
        normalise.adapt_variance.assign(np.square(DEVIATIONS))
        normalise.finalize_state()


def _no_weights(weights: Path, state: str) -> ContractError:
    return ContractError(
        f"Weights of EfficientNetB0 without its top are an .h5 file, {PUBLISHED} as Keras publishes it say. Received: {weights}, {state}. Put that file "
        "there, or name none: none is downloaded."
    )
