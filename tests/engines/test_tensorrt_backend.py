"""Real builds with TensorRT for RTX, whose builder needs no GPU."""

from __future__ import annotations

import itertools
import os
import re
import signal
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from calibration.int8_weights import make_weight_only
from calibration.placement import PlacementPolicy
from engines import tensorrt_build
from engines.backend import BuildOptions, backend_from_name
from engines.tensorrt_module import message_log, tensorrt_module
from export.errors import BackendError
from export.half_precision import fp16_from_fp32
from tests.calibration.planted import DIGEST, quantized_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from engines.backend import Backend
    from engines.tensorrt_module import Cancellation


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


PRECISIONS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "fp32": lambda model: model,
    "fp16": fp16_from_fp32,
    "int8": lambda model: fp16_from_fp32(quantized_model(model, PlacementPolicy())),
    "int8-weights": lambda model: make_weight_only(model, DIGEST, ()).model,
    "2-of-4": lambda model: sparse_model(fp16_from_fp32(model)),
}


@pytest.mark.parametrize(
    ("capability", "precision"),
    [*itertools.product(["7.5", "8.6", "8.9", "12.0"], PRECISIONS), ("8.0", "int8"), ("12.1", "int8")],
)
def test_each_target_is_built_in_each_precision(
    capability: str, precision: str, rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path
) -> None:
    """Pruned variants have these graphs with fewer channels or more zeros."""
    options = BuildOptions(compute_capabilities=(capability,), sparse_weights=precision == "2-of-4")
    path = saved(PRECISIONS[precision](fp32_model), tmp_path / "m.onnx")
    facts = rtx.build(path, tmp_path / "m.plan", options)
    assert (tmp_path / "m.plan").read_bytes()[:4] == b"vtrt"
    assert facts["compute_capabilities"] == [capability]
    # Scales of an FP16 graph are FP16; what they scale is the same.
    assert [warning for warning in facts["warnings"] if not warning.endswith("scales to fp32.")] == []
    kind = {"int8": "INT8", "int8-weights": "INT8 weights"}.get(precision)
    assert {name for name in ("INT8", "INT8 weights") if facts["precisions"]["layers"][name]} == ({kind} - {None})
    assert ("rewritten" in facts) == (capability == "7.5")


def test_a_matrix_product_is_what_turing_refuses(
    rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.head_without_gemm.without_gemm", lambda model: model)
    options = BuildOptions(compute_capabilities=("7.5",))
    with pytest.raises(BackendError, match=r"'classifier' for Turing.*FP32 GEMM.*leave 7\.5 out of --sm"):
        rtx.build(saved(fp32_model, tmp_path / "m.onnx"), tmp_path / "m.plan", options)


def test_turing_among_others_is_warned_of(rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    """One program serves all targets: that for 7.5, which is another than the one for the rest."""
    path = saved(fp32_model, tmp_path / "m.onnx")
    sizes = []
    for targets in [("7.5",), ("8.6", "7.5"), ("8.6",)]:
        facts = rtx.build(path, tmp_path / "m.plan", BuildOptions(compute_capabilities=targets))
        sizes.append((tmp_path / "m.plan").stat().st_size)
        assert any("build 7.5 on its own" in warning for warning in facts["warnings"]) == (len(targets) > 1)
    alone, mixed, without = sizes
    assert abs(mixed - alone) < 100 < abs(mixed - without)


def test_facts_tell_what_a_plan_holds(rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    path = saved(fp16_from_fp32(fp32_model), tmp_path / "m.onnx")
    facts = rtx.build(path, tmp_path / "m.plan", BuildOptions())
    layers = [node for node in onnx.load(path).graph.node if node.op_type in ("Conv", "Gemm")]
    assert facts["compute_capabilities"] == "portable default"
    assert facts["precisions"] == {
        "source": "graph",
        "layers": {"INT8": 0, "INT8 weights": 0, "FP16": len(layers) - 1, "FP32": 1},
    }
    assert facts["weights_bytes"] == sum(
        numpy_helper.to_array(tensor).nbytes for tensor in onnx.load(path).graph.initializer
    )
    assert facts["build_seconds"] > 0
    assert (facts["version_compatible"], facts["hardware_compatible"]) == (False, False)
    assert "device" not in facts
    assert rtx.build_device() == {}
    owners = packages_distributions()["tensorrt_rtx_libs"]
    assert [f"cu{facts['cuda_major']}" in owner for owner in owners] == [True]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (BuildOptions(version_compatible=True), "--version-compatible is unsupported by TensorRT for RTX"),
        (BuildOptions(hardware_compatible=True), "--hardware-compatible is unsupported by .* with --sm"),
        (BuildOptions(timing_cache=Path("cache")), "--timing-cache is unsupported by TensorRT for RTX"),
    ],
)
def test_what_rtx_would_ignore_is_refused(
    options: BuildOptions, told: str, rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path
) -> None:
    with pytest.raises(BackendError, match=told):
        rtx.options_that_matter(options)
    with pytest.raises(BackendError, match=told):
        rtx.build(saved(fp32_model, tmp_path / "m.onnx"), tmp_path / "m.plan", options)
    assert not (tmp_path / "m.plan").exists()


def test_options_reach_the_configuration(
    rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT is asked itself, in the last step before it builds."""
    trt = tensorrt_module("tensorrt_rtx")
    seen = []

    def look(_: Any, config: Any, log: Any) -> None:
        targets = [config.get_compute_capability(index) for index in range(config.num_compute_capabilities)]
        assert targets == [trt.ComputeCapability.SM89, trt.ComputeCapability.SM120]
        assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 77 << 20
        assert config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
        assert not config.get_flag(trt.BuilderFlag.TF32)
        seen.append(config.builder_optimization_level)

    monkeypatch.setattr(tensorrt_build, "allow_sparsity", look)
    path = saved(fp32_model, tmp_path / "m.onnx")
    options = BuildOptions(workspace_mib=77, compute_capabilities=("8.9", "12.0"), sparse_weights=True)
    for level in (0, 5, None):
        rtx.build(path, tmp_path / "m.plan", replace(options, optimization_level=level))
    assert seen == [0, 5, 3], "3 is TensorRT's own"


def test_too_little_workspace_names_the_option(
    rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_build, "_MIB", 1)
    with pytest.raises(BackendError, match=r"workspace limit.*; what to do: raise --workspace"):
        rtx.build(saved(fp32_model, tmp_path / "m.onnx"), tmp_path / "m.plan", BuildOptions(workspace_mib=1))


def test_ctrl_c_cancels_a_build(
    rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = tensorrt_module("tensorrt_rtx")
    answers = []

    def pressing(package: str, label: str, show: bool, cancellation: Cancellation) -> Any:
        pressed, asked = Event(), Event()
        request = cancellation.request

        def requested() -> None:
            request()
            asked.set()

        cancellation.request = requested  # type: ignore[method-assign]

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
                pass

            def phase_finish(self, phase_name: str) -> None:
                pass

            def step_complete(self, phase_name: str, step: int) -> bool:
                if not pressed.is_set():
                    pressed.set()
                    os.kill(os.getpid(), signal.SIGINT)
                    answers.append(asked.wait(60))
                return not cancellation.requested

        return Monitor()

    monkeypatch.setattr(tensorrt_build, "progress_monitor", pressing)
    with pytest.raises(KeyboardInterrupt):
        rtx.build(saved(fp32_model, tmp_path / "m.onnx"), tmp_path / "m.plan", BuildOptions())
    assert answers == [True]
    assert any("Cancel" in error for error in message_log("tensorrt_rtx").errors)
    assert not (tmp_path / "m.plan").exists()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_build_draws_one_bar_on_a_terminal_alone(
    terminal: bool,
    rtx: Backend,
    fp32_model: onnx.ModelProto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    rtx.build(saved(fp32_model, tmp_path / "m.onnx"), tmp_path / "m.plan", BuildOptions())
    shown = capsys.readouterr().err
    assert len(re.findall(r"building m\.onnx: .*?\| 0/\d+", shown)) == terminal


def test_unsupported_target_lists_those_that_are(rtx: Backend, fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    options = BuildOptions(compute_capabilities=("9.0",))
    with pytest.raises(BackendError, match=r"does not support SM 9\.0; pass --sm some of 7\.5 .*8\.9 12\.0"):
        rtx.build(saved(fp32_model, tmp_path / "m.onnx"), tmp_path / "m.plan", options)
    assert not (tmp_path / "m.plan").exists()
    with pytest.raises(BackendError, match=r"does not support SM 9\.0"):  # so that it is told before hours of work
        rtx.options_that_matter(options)


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
    allow = tensorrt_build.allow_sparsity

    def telling(trt: Any, config: Any, messages: Any) -> None:
        allow(trt, config, messages)
        assert config.get_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
        log.log(info, "(Sparsity) Layers eligible for sparse math: conv1, conv2")
        log.log(info, "(Sparsity) TRT inference plan picked sparse implementation for layers: conv2")

    monkeypatch.setattr(tensorrt_build, "allow_sparsity", telling)
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
    tensorrt_build.allow_sparsity(SimpleNamespace(BuilderFlag=flags, __version__="9"), config, log)
    assert config.flags == ([7] if known else [])
    assert len(log.warnings) == (0 if known else 1)


def test_sparsity_is_part_of_a_plan_s_identity(rtx: Backend) -> None:
    allowed, not_allowed = (rtx.options_that_matter(BuildOptions(sparse_weights=told)) for told in (True, False))
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
    with pytest.raises(BackendError, match=r"onnxruntime, onnxruntime-cuda, .*, tensorrt-rtx, tensorrt"):
        backend_from_name("openvino")


@pytest.mark.parametrize("sizes", [(0, 1, 2), (2, 1, 3), (1, 4, 3)])
def test_batch_profile_must_be_ordered(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(BackendError, match="smallest <= typical <= largest"):
        BuildOptions(*sizes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"workspace_mib": 0}, "workspace of 0 MiB; expected 1 or more"),
        ({"optimization_level": 6}, "optimization level 6; expected 0 to 5"),
        ({"optimization_level": -1}, "optimization level -1; expected 0 to 5"),
        ({"input_form": "float16"}, "input 'float16'; expected one of float32, uint8"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BackendError, match=told):
        BuildOptions(**changes)


def test_a_timing_cache_is_no_part_of_a_plan_s_identity() -> None:
    assert BuildOptions(timing_cache=Path("cache")).to_dict() == BuildOptions().to_dict()
    assert BuildOptions(optimization_level=5).to_dict() != BuildOptions().to_dict()
