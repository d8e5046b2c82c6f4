from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from calibration.placement import PlacementPolicy
from engines import head_without_gemm
from engines.backend import BuildOptions, backend_from_name
from engines.head_without_gemm import without_gemm
from export.errors import BackendError
from export.half_precision import fp16_from_fp32
from export.runners import OnnxRunner
from tests.calibration.planted import quantized_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

FEATURES = 96
TURING = BuildOptions(compute_capabilities=("7.5",))
CONVERSIONS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "fp32": lambda model: model,
    "fp16": fp16_from_fp32,
    "int8": lambda model: fp16_from_fp32(quantized_model(model, PlacementPolicy())),
}


def product(
    weight: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    element_type: int = TensorProto.FLOAT,
    **kwargs: float,
) -> onnx.ModelProto:
    outputs = weight.shape[0] if kwargs.get("transB") else weight.shape[1]
    constants = {"w": weight} if bias is None else {"w": weight, "b": bias}
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["image", *constants], ["logit"], name="fc", **kwargs)],
        "g",
        [helper.make_tensor_value_info("image", element_type, ["batch", FEATURES])],
        [helper.make_tensor_value_info("logit", element_type, ["batch", outputs])],
        [
            numpy_helper.from_array(value.astype(helper.tensor_dtype_to_np_dtype(element_type)), name)
            for name, value in constants.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("outputs", [1, 2, 7])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", ["one per output", "as a row", "one for all", "none"])
def test_numbers_are_those_of_the_product(outputs: int, transposed: int, bias: str) -> None:
    generator = np.random.default_rng(5)
    weight = generator.standard_normal((outputs, FEATURES)).astype(np.float32)
    values = generator.standard_normal(outputs).astype(np.float32)
    given = {"one per output": values, "as a row": values.reshape(1, -1), "one for all": values[:1], "none": None}[bias]
    features = generator.standard_normal((5, FEATURES)).astype(np.float32)
    model = product(weight if transposed else weight.T, given, transB=transposed)
    made = without_gemm(model)
    with OnnxRunner(made) as runner:
        got = runner.infer(features).reshape(5, outputs)
    exact = features.astype(np.float64) @ weight.T.astype(np.float64) + (
        0 if given is None else given.astype(np.float64)
    )
    np.testing.assert_allclose(got, exact, atol=2e-5)
    operators = [node.op_type for node in made.graph.node]
    assert operators == ["Unsqueeze"] * (outputs > 1) + ["Mul", "ReduceSum"] + ["Add"] * (given is not None)
    assert made.graph.node[-1].name == "fc"


@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_detector_scores_the_same_for_any_batch(conversion: str, fp32_model: onnx.ModelProto) -> None:
    model = CONVERSIONS[conversion](fp32_model)
    before = model.SerializeToString(deterministic=True)
    made = without_gemm(model)
    assert model.SerializeToString(deterministic=True) == before
    assert "Gemm" in {node.op_type for node in model.graph.node}
    assert "Gemm" not in {node.op_type for node in made.graph.node}
    assert list(made.metadata_props) == list(model.metadata_props)
    images = np.random.default_rng(1).standard_normal((3, 3, 64, 64)).astype(np.float32)
    with OnnxRunner(model) as source, OnnxRunner(made) as rewritten:
        for count in (1, 3):
            np.testing.assert_allclose(rewritten.infer(images[:count]), source.infer(images[:count]), atol=2e-6)


def test_half_precision_products_stay() -> None:
    model = product(np.ones((1, FEATURES), np.float32), None, TensorProto.FLOAT16, transB=1)
    assert [node.op_type for node in without_gemm(model).graph.node] == ["Gemm"]


@pytest.mark.parametrize("scaled", [{"alpha": 2.0}, {"beta": 0.5}, {"transA": 1}])
def test_other_products_are_refused(scaled: dict[str, float]) -> None:
    weight = np.ones((1, FEATURES), np.float32)
    model = product(weight, np.ones(1, np.float32), transB=1, **scaled)
    with pytest.raises(BackendError, match=r"Gemm fc scales .*7\.5"):
        without_gemm(model)


def test_computed_weight_is_refused(fp32_model: onnx.ModelProto) -> None:
    model = quantized_model(fp32_model, PlacementPolicy(classifier=True))
    with pytest.raises(BackendError, match=r"weight of Gemm classifier is computed or quantized"):
        without_gemm(model)


@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_turing_builds_what_it_refuses_otherwise(
    conversion: str, fp32_model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    onnx.save(CONVERSIONS[conversion](fp32_model), tmp_path / "m.onnx")
    rtx = backend_from_name("tensorrt-rtx")
    facts = rtx.build(tmp_path / "m.onnx", tmp_path / "m.plan", TURING)
    assert "7.5" in facts["rewritten"]
    assert (tmp_path / "m.plan").read_bytes()[:4] == b"vtrt"
    monkeypatch.setattr(head_without_gemm, "without_gemm", lambda model: model)
    with pytest.raises(BackendError, match="FP32 GEMM"):
        rtx.build(tmp_path / "m.onnx", tmp_path / "n.plan", TURING)
