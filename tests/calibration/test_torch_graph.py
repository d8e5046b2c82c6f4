from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from calibration.errors import QuantizationError
from calibration.torch_graph import TorchGraph
from export.contract import INPUT_NAME, OUTPUT_NAME
from export.runners import session_from_model
from tests.calibration.planted import with_outputs
from tests.calibration.small_networks import NetworkMaker, images_for_tests, logits_of, small_network


@pytest.mark.parametrize("seed", range(3))
def test_logits_are_those_of_onnx_runtime(seed: int) -> None:
    model, images = small_network(seed), images_for_tests(5, seed=seed)
    graph = TorchGraph(model)
    np.testing.assert_allclose(graph.logits(torch.from_numpy(images)).numpy(), logits_of(model, images), atol=2e-5)
    assert len(graph) == len(model.graph.node)


@pytest.mark.parametrize("fixture", ["fp32_model", "b0_model", "mobilenet_model"])
def test_real_networks_too(fixture: str, request: pytest.FixtureRequest) -> None:
    """SAME padding at even sizes, HardSwish, HardSigmoid, residual additions."""
    model, images = request.getfixturevalue(fixture), images_for_tests(2, 64)
    expected = logits_of(model, images)
    got = TorchGraph(model).logits(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-4 * max(1.0, np.abs(expected).max()))


def test_going_on_from_every_cut_gives_the_same_logits() -> None:
    """What arrives at a cut comes from ONNX Runtime, so nothing before it can have helped."""
    model, images = small_network(1), images_for_tests(3, seed=1)
    graph = TorchGraph(model)
    assert graph.cuts[0] == (0, INPUT_NAME)
    names = [name for _, name in graph.cuts[1:]]
    values = session_from_model(with_outputs(model, names)).run(names, {INPUT_NAME: images})
    for (position, name), value in zip(graph.cuts[1:], values, strict=True):
        got = graph.run({name: torch.from_numpy(value)}, begin=position)
        assert list(got) == [OUTPUT_NAME]
        np.testing.assert_allclose(got[OUTPUT_NAME].reshape(-1).numpy(), logits_of(model, images), atol=2e-5)


def test_cuts_are_all_the_places_that_one_tensor_crosses(b0_model: onnx.ModelProto) -> None:
    """Counted by the definition: made before the place, read behind it."""
    for model in (small_network(), b0_model):
        nodes = model.graph.node
        expected = [(0, INPUT_NAME)]
        for place in range(1, len(nodes)):
            made = {INPUT_NAME, *(name for node in nodes[:place] for name in node.output)}
            crossing = made & {name for node in nodes[place:] for name in node.input}
            if len(crossing) == 1:
                expected.append((place, *crossing))
        assert list(TorchGraph(model).cuts) == expected


def test_overrides_replace_what_one_node_reads() -> None:
    """The same change written into the graph: only the addition sees three times the skip."""
    model, images = small_network(2), images_for_tests(4, seed=2)
    changed = with_outputs(model, [])
    addition = next(node for node in changed.graph.node if node.op_type == "Add")
    position = list(changed.graph.node).index(addition)
    changed.graph.initializer.append(numpy_helper.from_array(np.array(3, np.float32), "three"))
    changed.graph.node.insert(position, helper.make_node("Mul", [addition.input[1], "three"], ["m"], name="m"))
    addition.input[1] = "m"
    got = TorchGraph(model).logits(torch.from_numpy(images), {("second/Add", 1): lambda value: 3 * value})
    np.testing.assert_allclose(got.numpy(), logits_of(changed, images), atol=3e-5)
    assert np.abs(got.numpy() - logits_of(model, images)).max() > 0.01


def test_constants_can_be_overridden_and_kept_tensors_come_back() -> None:
    model, images = small_network(3), torch.from_numpy(images_for_tests(2, seed=3))
    graph = TorchGraph(model)
    logits = graph.logits(images, {("fc", 1): torch.zeros_like, ("fc", 2): lambda _: torch.tensor([7.0])})
    assert logits.tolist() == [7.0, 7.0]
    found = graph.run({INPUT_NAME: images}, end=graph.position("head"), keep={"stem.out", INPUT_NAME})
    assert set(found) == {"stem.out", INPUT_NAME, "second/Add.out"}
    expected = session_from_model(with_outputs(model, ["stem.out"])).run(["stem.out"], {INPUT_NAME: images.numpy()})
    np.testing.assert_allclose(found["stem.out"].numpy(), expected[0], atol=1e-5)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("scaled", [{}, {"alpha": 0.5, "beta": 2.0}])
def test_matrix_products_agree_with_onnx_runtime(transposed: int, scaled: dict[str, float]) -> None:
    make = NetworkMaker(4)
    flat = make.node("Flatten", "flat", [make.pooled("pool", INPUT_NAME)])
    weight = make.constant("w", make.rng.standard_normal((5, 3) if transposed else (3, 5)).astype(np.float32))
    bias = make.constant("b", make.rng.standard_normal(5).astype(np.float32))
    wide = make.node("Gemm", "wide", [flat, weight, bias], transB=transposed, **scaled)
    last = make.constant("v", make.rng.standard_normal((5, 1)).astype(np.float32))
    make.nodes.append(helper.make_node("MatMul", [wide, last], [OUTPUT_NAME], name="last"))
    model, images = make.model(), images_for_tests(4)
    got = TorchGraph(model).logits(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(got, logits_of(model, images), atol=1e-5)


def test_unknown_operator_is_named_with_the_way_out() -> None:
    node = helper.make_node("Atan", [INPUT_NAME], [OUTPUT_NAME], name="odd")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in (INPUT_NAME, OUTPUT_NAME)]
    model = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]))
    with pytest.raises(QuantizationError, match=r"node odd is a Atan, .*build q16"):
        TorchGraph(model)
