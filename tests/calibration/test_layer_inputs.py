"""The rows of a layer's input are what its weights are multiplied with, for every kind of convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import helper
from torch.nn import functional as F

from calibration.layer_inputs import (
    geometry_from_node,
    matrix_of_weight,
    mean_row,
    rows_of_windows,
    weight_of_matrix,
    windows,
)
from calibration.layers import Layer, Role


def layer_of(shape: tuple[int, ...], channel_axis: int = 0) -> Layer:
    return Layer("layer", Role.CONVOLUTION, "x", "w", shape, channel_axis, "y")


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (3, 5)])
@pytest.mark.parametrize(
    ("strides", "dilations", "pads"),
    [((1, 1), (1, 1), (0, 0, 0, 0)), ((2, 2), (1, 1), (0, 0, 1, 1)), ((1, 2), (2, 1), (3, 2, 1, 0))],
)
def test_rows_times_matrix_is_the_convolution(
    groups: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> None:
    generator = torch.Generator().manual_seed(groups)
    values = torch.randn(2, 6, 9, 11, generator=generator)
    weight = torch.randn(12, 6 // groups, *kernel, generator=generator)
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], strides=strides, dilations=dilations, pads=pads, group=groups, name="layer"
    )
    layer = layer_of(tuple(weight.shape))
    geometry = geometry_from_node(node, layer)
    top, left, bottom, right = pads
    expected = F.conv2d(F.pad(values, (left, right, top, bottom)), weight, None, strides, 0, dilations, groups)
    seen = windows(values, geometry)
    assert seen.shape[2:4] == expected.shape[2:]
    positions = torch.arange(expected.shape[0] * expected.shape[2] * expected.shape[3])
    rows = rows_of_windows(seen, positions, groups)
    matrix = matrix_of_weight(weight, layer, groups)
    product = (rows @ matrix.transpose(1, 2)).permute(1, 0, 2).reshape(len(positions), -1)
    by_position = expected.permute(0, 2, 3, 1).reshape(len(positions), -1)
    np.testing.assert_allclose(product.numpy(), by_position.numpy(), atol=1e-4)
    means = torch.einsum("gok,gk->go", matrix.double(), mean_row(seen, groups)).reshape(-1)
    np.testing.assert_allclose(means.numpy(), by_position.double().mean(0).numpy(), atol=1e-5)
    assert torch.equal(weight_of_matrix(matrix, layer), weight)


def test_some_positions_are_those_rows_of_all() -> None:
    values = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=(1, 1, 1, 1), name="layer")
    seen = windows(values, geometry_from_node(node, layer_of((2, 4, 3, 3))))
    everything = rows_of_windows(seen, torch.arange(75), 1)
    some = torch.tensor([3, 40, 74])
    assert torch.equal(rows_of_windows(seen, some, 1), everything[:, some])


@pytest.mark.parametrize("channel_axis", [0, 1])
@pytest.mark.parametrize("shape", [(4, 6), (4, 5, 6)])
def test_rows_of_a_matrix_product(channel_axis: int, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    values, weight = torch.randn(*shape, generator=generator), torch.randn(3, 6, generator=generator)
    stored = weight if channel_axis == 0 else weight.T.contiguous()
    layer = layer_of(tuple(stored.shape), channel_axis)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="layer")
    seen = windows(values, geometry_from_node(node, layer))
    rows = rows_of_windows(seen, torch.arange(values.numel() // 6), 1)
    matrix = matrix_of_weight(stored, layer, 1)
    expected = (values @ weight.T).reshape(-1, 3)
    np.testing.assert_allclose((rows[0] @ matrix[0].T).numpy(), expected.numpy(), atol=1e-5)
    assert torch.equal(weight_of_matrix(matrix, layer), stored)
