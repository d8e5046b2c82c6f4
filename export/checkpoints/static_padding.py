"""TensorFlow's "same" padding for one image size, whatever the image: what EfficientNet-PyTorch computes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from timm.layers import Conv2dSame
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    import torch


class StaticallyPaddedConv2d(nn.Conv2d):
    """A strided convolution that gets zeros at its input's sides, as many as its construction says.

    Args:
        layer: The convolution whose geometry and weight it has; it must have no bias.
        before: Rows of zeros at the top and columns at the left.
        after: Rows of zeros at the bottom and columns at the right.
    """

    def __init__(self, layer: nn.Conv2d, before: int, after: int) -> None:
        height, width = layer.kernel_size
        rows, columns = layer.stride
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            (height, width),
            stride=(rows, columns),
            groups=layer.groups,
            bias=False,
            device="meta",
        )
        self.weight = layer.weight
        self.sides = (before, after, before, after)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # nn.Conv2d names it so
        """Returns the convolution of the padded input."""
        return F.conv2d(F.pad(input, self.sides), self.weight, None, self.stride, 0, 1, self.groups)

    def extra_repr(self) -> str:
        """Shows the padding, which networks of other sizes have otherwise."""
        return f"{super().extra_repr()}, sides={self.sides}"  # type: ignore[no-untyped-call]  # of PyTorch


def fix_padding(module: nn.Module, image_size: int) -> None:
    """Makes a timm network pad every image as it would pad one of a given size, in place.

    Convolutions of stride 1 pad all sizes alike and are left as they are.

    Args:
        module: A network whose strided convolutions pad by the size of their input (timm's `tf_` networks) and stand
            in the order in which they compute.
        image_size: Height and width of the image to pad for, in pixels.
    """
    size = image_size
    for name, layer in list(module.named_modules()):
        if isinstance(layer, Conv2dSame):
            stride, kernel = layer.stride[0], layer.kernel_size[0]
            left_over = math.ceil(size / stride)
            zeros = max((left_over - 1) * stride + kernel - size, 0)
            module.set_submodule(name, StaticallyPaddedConv2d(layer, zeros // 2, zeros - zeros // 2))
            size = left_over


def unpadded(layer: nn.Conv2d) -> nn.Conv2d:
    """Returns a convolution without bias that has the weight and the stride of another and pads nothing."""
    height, width = layer.kernel_size
    rows, columns = layer.stride
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (height, width),
        (rows, columns),
        groups=layer.groups,
        bias=False,
        device="meta",
    )
    plain.weight = layer.weight
    return plain
