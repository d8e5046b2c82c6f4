from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from onnx import TensorProto

from calibration.errors import QuantizationError
from calibration.int8_images import Int8Images, LabelledImages
from calibration.int8_weights import make_weight_only, weight_only_record
from calibration.layers import layers_from_graph
from calibration.qdq_lint import lint_qdq
from tests.calibration.planted import DIGEST
from tests.calibration.small_networks import (
    constant_of,
    copied,
    images_for_tests,
    logits_of,
    replace_constants,
    small_network,
)
from tests.calibration.torch_graph import fake_quantized_weight

if TYPE_CHECKING:
    import onnx


def with_rounded_weights(model: onnx.ModelProto, kept: set[str]) -> onnx.ModelProto:
    """Rounds the weights by torch.fake_quantize_per_channel_affine and leaves everything FP32."""
    rounded = copied(model)
    replace_constants(
        rounded,
        {
            layer.weight: fake_quantized_weight(
                torch.from_numpy(constant_of(model, layer.weight).copy()), layer.channel_axis
            ).numpy()
            for layer in layers_from_graph(model.graph)
            if layer.name not in kept
        },
    )
    return rounded


@pytest.mark.parametrize("fixture", ["fp32_model", "b0_model"])
def test_logits_are_those_of_weights_that_torch_rounded(fixture: str, request: pytest.FixtureRequest) -> None:
    model, images = request.getfixturevalue(fixture), images_for_tests(8, 64)
    made = make_weight_only(model, DIGEST, ())
    assert lint_qdq(made.model) == ()
    expected = logits_of(with_rounded_weights(model, {"classifier"}), images)
    got, plain = logits_of(made.model, images), logits_of(model, images)
    effect = np.abs(expected - plain).max()
    assert effect > 1e-3
    # The written graph is FP16 around its weights, which costs a thousandth of the logit.
    assert np.abs(got - expected).max() < 0.35 * effect


def test_file_has_a_quarter_of_the_bytes(b0_model: onnx.ModelProto) -> None:
    made = make_weight_only(b0_model, DIGEST, ())
    assert 0.25 < made.model.ByteSize() / b0_model.ByteSize() < 0.29
    stored = sum(np.prod(t.dims) for t in made.model.graph.initializer if t.data_type == TensorProto.INT8)
    weights = sum(layer.weight_count for layer in layers_from_graph(b0_model.graph) if layer.name != "classifier")
    assert stored == weights
    assert not any(node.op_type == "QuantizeLinear" for node in made.model.graph.node)


def test_kept_layers_are_float_with_their_reason() -> None:
    made = make_weight_only(small_network(), DIGEST, ("second.*", "head"))
    reasons = {layer.name: layer.reason for layer in made.placement.float_layers}
    assert reasons.pop("fc").startswith("the classifier decides")
    assert set(reasons.values()) == {"matches second.*", "matches head"}
    assert len(reasons) == 6
    assert made.placement.activations == made.placement.layers == ()
    with pytest.raises(QuantizationError, match="'nothing' matches no layer"):
        make_weight_only(small_network(), DIGEST, ("nothing",))


def test_record_is_what_the_graph_shows() -> None:
    model, images = small_network(3), images_for_tests(40, seed=3)
    is_fake = np.arange(40) % 2 == 0
    made = make_weight_only(model, DIGEST, ("head",))
    labelled = [
        LabelledImages((torch.from_numpy(images[part]),), is_fake[part]) for part in (slice(0, 16), slice(16, 40))
    ]
    record = weight_only_record(model, made, Int8Images(*labelled), ("beware",))
    expected, got = logits_of(model, images).astype(np.float64), logits_of(made.model, images).astype(np.float64)
    signal = np.mean([np.var(expected[is_fake == label]) for label in (True, False)])
    assert record.sqnr_db == pytest.approx(10 * np.log10(signal / np.mean((got - expected) ** 2)), abs=0.05)
    assert record.flipped == np.sum((got >= 0) != (expected >= 0))
    assert (record.held_back_images, record.fitted_images, record.warnings) == (40, 0, ("beware",))
    assert record.size_mib == made.model.ByteSize() / 2**20
    kinds = {group.name: group.arithmetic for group in record.groups}
    assert {name for name, kind in kinds.items() if kind == "float"} == {"head", "fc"}
    assert record.int8_mac_share == 0
