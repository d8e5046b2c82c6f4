"""Real builds with TensorRT for RTX, whose builder needs no GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines import tensorrt_backend
from engines.backend import BuildOptions, backend_from_name
from engines.tensorrt_module import message_log, tensorrt_module
from export.errors import BackendError
from export.half_precision import fp16_from_fp32

if TYPE_CHECKING:
    from pathlib import Path

    from engines.backend import Backend


@pytest.fixture(scope="module")
def rtx() -> Backend:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    return backend_from_name("tensorrt-rtx")


def saved(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_plans_are_built(precision: str, rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    model = fp32_model if precision == "fp32" else fp16_from_fp32(fp32_model)
    facts = rtx.build(saved(model, tmp_path / "m.onnx"), tmp_path / "m.plan", BuildOptions())
    plan = (tmp_path / "m.plan").read_bytes()
    assert plan[:4] == b"vtrt"
    assert len(plan) > 10_000
    assert facts["batch"] == [1, 8, 32]
    assert facts["layers_before_fusion"] >= len(model.graph.node)


@pytest.mark.parametrize("capability", ["8.6", "8.9", "12.0"])
def test_each_target_is_built(capability: str, rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    options = BuildOptions(compute_capabilities=(capability,))
    path = saved(fp16_from_fp32(fp32_model), tmp_path / "m.onnx")
    assert rtx.build(path, tmp_path / "m.plan", options)["compute_capabilities"] == [capability]


def test_unsupported_target_lists_those_that_are(rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    options = BuildOptions(compute_capabilities=("9.0",))
    with pytest.raises(BackendError, match=r"does not support SM 9\.0; it knows .*SM89"):
        rtx.build(saved(fp32_model, tmp_path / "m.onnx"), tmp_path / "m.plan", options)
    assert not (tmp_path / "m.plan").exists()


def sparse_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """Zeroes two of any four neighbouring input channels of every weight that has as many."""
    for tensor in model.graph.initializer:
        weight = numpy_helper.to_array(tensor).copy()
        if weight.ndim == 4 and weight.shape[1] % 4 == 0:
            weight[:, 0::4] = weight[:, 2::4] = 0
            tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    return model


class RecordingConfig:
    """Keeps the flags that are set."""

    def __init__(self) -> None:
        self.flags: list[Any] = []

    def set_flag(self, flag: Any) -> None:
        self.flags.append(flag)


def test_sparsity_that_rtx_does_not_mention_is_unknown(
    rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path
) -> None:
    path = saved(sparse_model(fp16_from_fp32(fp32_model)), tmp_path / "m.onnx")
    facts = rtx.build(path, tmp_path / "m.plan", BuildOptions(sparse_weights=True))
    assert facts["sparsity"] == {"eligible": None, "picked": None}
    assert "sparsity" not in rtx.build(path, tmp_path / "n.plan", BuildOptions())


def test_what_the_log_tells_about_sparsity_becomes_a_fact(
    rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration, the last step before TensorRT builds, says what classic TensorRT says during a build."""
    log, info = message_log("tensorrt_rtx"), tensorrt_module("tensorrt_rtx").ILogger.Severity.INFO
    allow = tensorrt_backend._allow_sparsity

    def telling(trt: Any, config: Any, messages: Any) -> None:
        allow(trt, config, messages)
        assert config.get_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
        log.log(info, "(Sparsity) Layers eligible for sparse math: conv1, conv2")
        log.log(info, "(Sparsity) TRT inference plan picked sparse implementation for layers: conv2")

    monkeypatch.setattr(tensorrt_backend, "_allow_sparsity", telling)
    path = saved(fp32_model, tmp_path / "m.onnx")
    facts = rtx.build(path, tmp_path / "m.plan", BuildOptions(sparse_weights=True))
    assert facts["sparsity"] == {"eligible": 2, "picked": 1}
    monkeypatch.undo()
    facts = rtx.build(path, tmp_path / "m.plan", BuildOptions(sparse_weights=True))
    assert facts["sparsity"] == {"eligible": None, "picked": None}, "an earlier build's messages were kept"


def test_other_information_is_not_kept(rtx: Backend) -> None:
    log, severity = message_log("tensorrt_rtx"), tensorrt_module("tensorrt_rtx").ILogger.Severity
    before = [*log.errors, *log.warnings, *log.sparsity]
    log.log(severity.INFO, "Engine generation completed in 0.03 seconds.")
    assert [*log.errors, *log.warnings, *log.sparsity] == before


@pytest.mark.parametrize("known", [True, False])
def test_a_package_without_the_flag_is_warned_of(known: bool) -> None:
    flags = SimpleNamespace(SPARSE_WEIGHTS=7) if known else SimpleNamespace()
    config, log = RecordingConfig(), SimpleNamespace(errors=[], warnings=[], sparsity=[])
    tensorrt_backend._allow_sparsity(SimpleNamespace(BuilderFlag=flags, __version__="9"), config, log)
    assert config.flags == ([7] if known else [])
    assert len(log.warnings) == (0 if known else 1)


def test_sparsity_is_part_of_a_plan_s_identity() -> None:
    backend = backend_from_name("tensorrt")
    allowed, not_allowed = (backend.options_that_matter(BuildOptions(sparse_weights=told)) for told in (True, False))
    assert allowed != not_allowed


def quantized_convolution(zero_point: np.generic) -> onnx.ModelProto:
    values = {"s": np.float32(0.1), "z": zero_point, "w": np.ones((4, 3, 1, 1), np.float32)}
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"], name="quantizer"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"], name="dequantizer"),
        helper.make_node("Conv", ["dq", "w"], ["logit"], name="conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_parser_errors_name_the_node(rtx: Backend, tmp_path: Path) -> None:
    path = saved(quantized_convolution(np.int8(3)), tmp_path / "m.onnx")
    with pytest.raises(BackendError, match=r"rejects m\.onnx: node quantizer: .*zero point"):
        rtx.build(path, tmp_path / "m.plan", BuildOptions())


def test_misread_quantizers_are_an_error(rtx: Backend, tmp_path: Path) -> None:
    path = saved(quantized_convolution(np.uint8(0)), tmp_path / "m.onnx")
    with pytest.raises(BackendError, match="TensorRT misreads as int8"):
        rtx.build(path, tmp_path / "m.plan", BuildOptions())


def test_missing_package_names_the_remedy() -> None:
    with pytest.raises(BackendError, match="pip install tensorrt"):
        backend_from_name("tensorrt").versions()


def test_unknown_backend_lists_the_known() -> None:
    with pytest.raises(BackendError, match="onnxruntime, tensorrt-rtx, tensorrt"):
        backend_from_name("openvino")


@pytest.mark.parametrize("sizes", [(0, 1, 2), (2, 1, 3), (1, 4, 3)])
def test_batch_profile_must_be_ordered(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(BackendError, match="smallest <= typical <= largest"):
        BuildOptions(*sizes)
