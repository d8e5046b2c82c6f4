from __future__ import annotations

import pytest

from engines.sparsity import SparsityTold, sparsity_told

ELIGIBLE = "(Sparsity) Layers eligible for sparse math: "
PICKED = "(Sparsity) TRT inference plan picked sparse implementation for layers: "
FOUND = "(Sparsity) Found 39 layer(s) eligible to use sparse tactics"
CHOSE = "(Sparsity) Chose 0 layer(s) using sparse tactics"


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([f"{ELIGIBLE}Conv_619 + Relu_620, MatMul_401, Conv_626", f"{PICKED}Conv_626"], SparsityTold(3, 1)),
        ([f"[I] {ELIGIBLE}conv1, conv2", f"[I] {PICKED}conv2"], SparsityTold(2, 1)),
        ([ELIGIBLE, PICKED.rstrip()], SparsityTold(0, 0)),
        ([FOUND, CHOSE], SparsityTold(39, 0)),
        ([f"{FOUND}: conv1, conv2", "(Sparsity) Chose 12 layer(s) using sparse tactics: conv1"], SparsityTold(39, 12)),
        ([FOUND], SparsityTold(39, None)),
        ([CHOSE], SparsityTold(None, 0)),
        ([], SparsityTold(None, None)),
        (["Engine generation completed in 0.03 seconds.", "(Sparsity) Please provide"], SparsityTold(None, None)),
    ],
)
def test_each_wording_is_read(messages: list[str], told: SparsityTold) -> None:
    assert sparsity_told(messages) == told


def test_commas_within_a_fused_layer_do_not_count() -> None:
    line = f"{ELIGIBLE}Conv_1 + PWN(PWN(Sigmoid_2), Mul_3), {{ForeignNode[Conv_4...Add_9]}}, Conv_10"
    assert sparsity_told([line]).eligible == 3


def test_the_last_pass_counts() -> None:
    later = [
        "(Sparsity) Found 4 layer(s) eligible to use sparse tactics",
        "(Sparsity) Chose 2 layer(s) using sparse tactics",
    ]
    assert sparsity_told([FOUND, CHOSE, *later]) == SparsityTold(4, 2)
