"""The EfficientNets: how many blocks each has, and the image size that goes with it.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the numbers are
those of the TensorFlow original, which all projects share. Those of version 2 are of Tan and Le, "EfficientNetV2:
Smaller Models and Faster Training", ICML 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_BLOCKS_OF_B0 = (1, 2, 2, 3, 3, 4, 1)


@dataclass(frozen=True)
class EfficientNetSize:
    """One of the EfficientNets.

    Attributes:
        depth: Factor by which its stages have more blocks than those of b0.
        image_size: Height and width of the images it was designed for, in pixels.
    """

    depth: float
    image_size: int

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of blocks in each stage."""
        return tuple(math.ceil(self.depth * count) for count in _BLOCKS_OF_B0)


EFFICIENTNET_SIZES = {
    "b0": EfficientNetSize(1.0, 224),
    "b1": EfficientNetSize(1.1, 240),
    "b2": EfficientNetSize(1.2, 260),
    "b3": EfficientNetSize(1.4, 300),
    "b4": EfficientNetSize(1.8, 380),
    "b5": EfficientNetSize(2.2, 456),
    "b6": EfficientNetSize(2.6, 528),
    "b7": EfficientNetSize(3.1, 600),
    "b8": EfficientNetSize(3.6, 672),
    "l2": EfficientNetSize(5.3, 800),
}


@dataclass(frozen=True)
class EfficientNetV2Size:
    """One of the EfficientNets of version 2.

    Attributes:
        blocks: Number of blocks in each stage.
        image_size: Height and width of the images it is evaluated on, in pixels.
    """

    blocks: tuple[int, ...]
    image_size: int


EFFICIENTNET_V2_SIZES = {
    "s": EfficientNetV2Size((2, 4, 4, 6, 9, 15), 384),
    "m": EfficientNetV2Size((3, 5, 5, 7, 14, 18, 5), 480),
    "l": EfficientNetV2Size((4, 7, 7, 10, 19, 25, 7), 480),
}
