"""What a layer multiplies with its weights, as matrices: one row per output position, one column per weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn import functional as F

from calibration.graph_index import attribute

if TYPE_CHECKING:
    import onnx
    import torch

    from calibration.layers import Layer


@dataclass(frozen=True)
class LayerGeometry:
    """How a layer reads its input.

    Attributes:
        kernel: Height and width of a convolution's kernel; None for a matrix product.
        strides: Steps between output positions.
        dilations: Steps between the positions that one output reads.
        pads: Zeros added at the top, left, bottom and right.
        groups: Number of groups of channels that do not mix.
    """

    kernel: tuple[int, int] | None = None
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1


def geometry_from_node(node: onnx.NodeProto, layer: Layer) -> LayerGeometry:
    """Reads the attributes of a layer's node."""
    if node.op_type != "Conv":
        return LayerGeometry()
    top, left, bottom, right = attribute(node, "pads", (0, 0, 0, 0))
    height, width = layer.weight_shape[2:]
    return LayerGeometry(
        kernel=(height, width),
        strides=tuple(attribute(node, "strides", (1, 1))),
        dilations=tuple(attribute(node, "dilations", (1, 1))),
        pads=(top, left, bottom, right),
        groups=attribute(node, "group", 1),
    )


def windows(values: torch.Tensor, geometry: LayerGeometry) -> torch.Tensor:
    """Returns a view of everything a layer reads, output position by output position.

    Args:
        values: The layer's input: (N, C, H, W) of a convolution, (N, ..., C) of a matrix product.
        geometry: How the layer reads it.

    Returns:
        (N, C, height, width, kernel height, kernel width) with the height and width of the output; (N, C, rows, 1,
        1, 1) for a matrix product.
    """
    if geometry.kernel is None:
        return values.reshape(len(values), -1, values.shape[-1], 1, 1, 1).transpose(1, 2)
    top, left, bottom, right = geometry.pads
    padded = F.pad(values, (left, right, top, bottom)) if any(geometry.pads) else values
    for axis, (size, step, dilation) in enumerate(
        zip(geometry.kernel, geometry.strides, geometry.dilations, strict=True)
    ):
        padded = padded.unfold(2 + axis, dilation * (size - 1) + 1, step)
    return padded[..., :: geometry.dilations[0], :: geometry.dilations[1]]


def rows_of_windows(seen: torch.Tensor, positions: torch.Tensor, groups: int) -> torch.Tensor:
    """Returns the rows (groups, positions, columns) of some output positions of all images.

    Args:
        seen: What `windows` returned.
        positions: Numbers of positions, counted through images, rows and columns of the output.
        groups: Number of groups of channels.
    """
    height, width = seen.shape[2:4]
    image, place = positions // (height * width), positions % (height * width)
    picked = seen[image, :, place // width, place % width]
    return picked.reshape(len(positions), groups, -1).permute(1, 0, 2)


def mean_row(seen: torch.Tensor, groups: int) -> torch.Tensor:
    """Returns the mean row (groups, columns) over all output positions, in float64."""
    return seen.mean(dim=(2, 3)).double().mean(dim=0).reshape(groups, -1)


def matrix_of_weight(weight: torch.Tensor, layer: Layer, groups: int) -> torch.Tensor:
    """Returns a weight as (groups, outputs of a group, columns)."""
    flat = weight.T if layer.channel_axis == 1 else weight
    return flat.reshape(groups, len(flat) // groups, -1)


def weight_of_matrix(matrix: torch.Tensor, layer: Layer) -> torch.Tensor:
    """Returns a matrix of `matrix_of_weight` in the shape of the weight."""
    flat = matrix.reshape(matrix.shape[0] * matrix.shape[1], -1)
    return flat.T.contiguous() if layer.channel_axis == 1 else flat.reshape(layer.weight_shape)
