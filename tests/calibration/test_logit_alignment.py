from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import helper
from scipy.stats import linregress

from calibration.errors import QuantizationError
from calibration.logit_alignment import Alignment, aligned, fitted_alignment, with_corrected_biases
from export.contract import OUTPUT_NAME
from tests.calibration.small_networks import (
    NetworkMaker,
    constant_of,
    copied,
    images_for_tests,
    logits_of,
    small_network,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (0.8, -0.3), (1.7, 12.0)])
def test_planted_line_is_recovered(scale: float, offset: float) -> None:
    logits = np.random.default_rng(0).standard_normal(50)
    found = fitted_alignment(logits, scale * logits + offset)
    assert (found.scale, found.offset) == pytest.approx((scale, offset))


@pytest.mark.parametrize("seed", range(5))
def test_noisy_line_is_that_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(3, 2, 60)
    reference = 1.2 * logits - 1 + rng.standard_normal(60)
    found, expected = fitted_alignment(logits, reference), linregress(logits, reference)
    assert (found.scale, found.offset) == pytest.approx((expected.slope, expected.intercept))


def test_constant_logits_are_only_moved() -> None:
    assert fitted_alignment(np.full(4, 2.0), np.array([1.0, 2, 3, 4])) == Alignment(1.0, 0.5)


def without_bias(model: onnx.ModelProto) -> None:
    """Leaves out the classifier's bias, as the exporter does with zeros."""
    node = next(node for node in model.graph.node if node.name == "fc")
    del node.input[2:]
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "fc.bias")
    model.graph.initializer.remove(bias)


def as_convolution(model: onnx.ModelProto) -> None:
    """Makes the classifier a 1x1 convolution before the flattening, as some networks have it."""
    nodes = model.graph.node
    flatten, classifier = (next(node for node in nodes if node.name == name) for name in ("flatten", "fc"))
    pooled = flatten.input[0]
    nodes.remove(flatten)
    nodes.remove(classifier)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "fc.weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(constant_of(model, "fc.weight")[:, :, None, None], "fc.weight"))
    nodes.append(helper.make_node("Conv", [pooled, "fc.weight", "fc.bias"], ["fc.out"], name="fc", pads=[0] * 4))
    nodes.append(helper.make_node("Flatten", ["fc.out"], [OUTPUT_NAME], name="flatten"))


@pytest.mark.parametrize("change", [lambda _: None, without_bias, as_convolution], ids=["gemm", "no bias", "conv"])
def test_folded_alignment_is_what_onnx_runtime_computes(change: Callable[[onnx.ModelProto], None]) -> None:
    model, images = copied(small_network(1)), images_for_tests(5)
    change(model)
    before = model.SerializeToString(deterministic=True)
    folded = aligned(model, Alignment(1.3, -0.7))
    onnx.checker.check_model(folded, full_check=True)
    np.testing.assert_allclose(logits_of(folded, images), 1.3 * logits_of(model, images) - 0.7, atol=3e-5)
    assert model.SerializeToString(deterministic=True) == before


def test_real_network_too(fp32_model: onnx.ModelProto) -> None:
    images = images_for_tests(3, 64)
    folded = logits_of(aligned(fp32_model, Alignment(0.5, 2.0)), images)
    np.testing.assert_allclose(folded, 0.5 * logits_of(fp32_model, images) + 2, atol=1e-4)


def test_graph_with_two_last_layers_is_refused() -> None:
    make = NetworkMaker()
    pooled = make.node("Flatten", "flatten", [make.pooled("pool", "image")])
    for name in ("a", "b"):
        weight = make.constant(f"{name}.weight", make.rng.standard_normal((1, 3)).astype(np.float32))
        make.node("Gemm", name, [pooled, weight], transB=1)
    make.nodes.append(helper.make_node("Add", ["a.out", "b.out"], [OUTPUT_NAME], name="sum"))
    with pytest.raises(QuantizationError, match="does not end in one linear layer"):
        aligned(make.model(), Alignment(2.0, 0.0))


def test_corrected_biases_are_added_and_nothing_else_changes() -> None:
    model = small_network(2)
    added = {"stem": np.linspace(-1, 1, 8, dtype=np.float32)}
    corrected = with_corrected_biases(model, added, {"stem": "stem.bias", "head": "head.bias"})
    for tensor in model.graph.initializer:
        expected = constant_of(model, tensor.name) + (added["stem"] if tensor.name == "stem.bias" else 0)
        np.testing.assert_array_equal(constant_of(corrected, tensor.name), expected)
    assert corrected.graph.node == model.graph.node
