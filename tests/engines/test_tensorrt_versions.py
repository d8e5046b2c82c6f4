"""Whole builds against modules that look like TensorRT 8.6, 10 and 11: what each is asked, and what is recorded."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.backend import BuildOptions, backend_from_name
from engines.cuda import CudaDevice
from engines.opset17 import WeaklyTyped, weakly_typed_from_typed
from engines.tensorrt_api import api_from_module
from engines.tensorrt_module import message_log
from engines.weak_typing import precision_of
from export.errors import BackendError
from export.half_precision import fp16_from_fp32
from tests.engines.fake_tensorrt_builder import VERSIONS, fake_tensorrt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

STRONG = VERSIONS[1:]
DEVICE = {"name": "NVIDIA GPU A", "compute_capability": "8.6", "driver": "535.1", "cuda": "12.2"}
OWN_TACTICS = {"EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"}


def open_cuda(gpu: int = 0) -> Any:
    return SimpleNamespace(device=CudaDevice(index=gpu, memory_bytes=1 << 33, **DEVICE))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes `import tensorrt` give a release, on a machine with a GPU."""

    def install(version: str, device: str = "GPU A") -> Any:
        module = fake_tensorrt(version, device)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        message_log.cache_clear()
        return module

    cuda_choice: Any = ModuleType("engines.cuda_choice")
    cuda_choice.open_cuda = open_cuda
    monkeypatch.setitem(sys.modules, "engines.cuda_choice", cuda_choice)
    yield install
    message_log.cache_clear()


@pytest.fixture
def fp16_path(fp32_model: onnx.ModelProto, tmp_path: Path) -> Path:
    onnx.save(fp16_from_fp32(fp32_model), tmp_path / "q16.onnx")
    return tmp_path / "q16.onnx"


def built(path: Path, options: BuildOptions | None = None) -> Mapping[str, Any]:
    return backend_from_name("tensorrt").build(path, path.with_suffix(".plan"), options or BuildOptions())


@pytest.mark.parametrize(
    ("version", "flags"), [("8.6.0", 0b1), ("10.0.1", 0b11), ("11.1.0", 0b1)], ids=["8.6", "10", "11"]
)
def test_the_bit_of_strong_typing_is_that_of_the_release(
    version: str, flags: int, installed: Callable[..., Any], fp16_path: Path
) -> None:
    module = installed(version)
    facts = built(fp16_path)
    assert module.record.network_flags == flags
    assert fp16_path.with_suffix(".plan").read_bytes() == b"ftrt plan"
    assert facts["batch"] == [1, 8, 32]
    assert facts["device"] == DEVICE
    assert facts["compute_capabilities"] == ["8.6"]
    assert facts["layers_before_fusion"] == len(module.record.layers)
    assert facts["weights_bytes"] == sum(
        numpy_helper.to_array(tensor).nbytes for tensor in onnx.load(fp16_path).graph.initializer
    )
    assert (facts["version_compatible"], facts["hardware_compatible"]) == (False, False)
    assert facts["build_seconds"] >= 0
    assert facts["warnings"] == []


@pytest.mark.parametrize(("known", "recorded"), [({"tensorrt": 12}, 12), ({}, None)])
def test_the_cuda_of_a_package_is_recorded_where_it_tells(
    known: dict[str, int],
    recorded: int | None,
    installed: Callable[..., Any],
    fp16_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """JetPack's packages do not tell, and nothing is guessed."""
    installed("10.0.1")
    monkeypatch.setattr("engines.tensorrt_backend.cuda_major_of", known.get)
    facts = built(fp16_path)
    assert facts.get("cuda_major") == recorded
    assert ("cuda_major" in facts) == (recorded is not None)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_release_builds_the_reference_without_tf32(
    version: str, installed: Callable[..., Any], fp32_model: onnx.ModelProto, tmp_path: Path
) -> None:
    module = installed(version)
    onnx.save(fp32_model, tmp_path / "m.onnx")
    built(tmp_path / "m.onnx", BuildOptions(2, 4, 6, workspace_mib=77))
    assert module.record.flags == ({"OBEY_PRECISION_CONSTRAINTS"} if version == "8.6.0" else set())
    assert module.record.settings["workspace"] == 77 << 20
    assert module.record.settings["tactics"] == OWN_TACTICS
    assert module.record.settings["profiling_verbosity"] is module.ProfilingVerbosity.DETAILED
    assert "builder_optimization_level" not in module.record.settings, "TensorRT's default was overridden"
    assert module.record.shapes == {"image": tuple((batch, 3, 64, 64) for batch in (2, 4, 6))}


@pytest.mark.parametrize("version", STRONG)
def test_strongly_typed_releases_get_the_graph_as_it_is(
    version: str, installed: Callable[..., Any], fp16_path: Path
) -> None:
    module = installed(version)
    built(fp16_path)
    assert module.record.flags == set()
    assert any(layer.get_output(0).dtype is module.DataType.HALF for layer in module.record.layers)
    assert all(layer.bound is None for layer in module.record.layers)


def test_a_weakly_typed_release_is_bound_to_the_types_of_the_graph(
    installed: Callable[..., Any], fp16_path: Path
) -> None:
    """What each layer is bound to is compared with shape inference on the typed graph itself."""
    module = installed("8.6.0")
    typed = onnx.shape_inference.infer_shapes(onnx.load(fp16_path))
    types = {value.name: value.type.tensor_type.elem_type for value in [*typed.graph.value_info, *typed.graph.output]}
    expected = {node.name: types[node.output[0]] for node in typed.graph.node if node.op_type != "Cast"}
    assert set(expected.values()) == {TensorProto.FLOAT, TensorProto.FLOAT16}

    built(fp16_path)

    assert module.record.flags == {"FP16", "OBEY_PRECISION_CONSTRAINTS"}
    of_type = {TensorProto.FLOAT: module.DataType.FLOAT, TensorProto.FLOAT16: module.DataType.HALF}
    computing = [layer for layer in module.record.layers if layer.type is not module.LayerType.CONSTANT]
    bound = {layer.name: layer.bound for layer in computing if layer.name in expected}
    assert bound == {name: of_type[kind] for name, kind in expected.items()}
    bias = next(layer for layer in computing if layer.name.startswith("classifier_"))
    assert bias.bound is module.DataType.FLOAT, "the second layer of the Gemm is free"
    for layer in computing:
        returned = layer.get_output(0).is_network_output
        assert layer.bound_outputs == ({} if returned else {0: layer.bound}), layer.name
    constants = [layer for layer in module.record.layers if layer.type is module.LayerType.CONSTANT]
    assert all(layer.bound is None and not layer.bound_outputs for layer in constants)


def quantized(path: Path) -> Path:
    """A convolution between quantizers, then a float one."""
    values = {
        "s": np.float32(0.1),
        "z": np.int8(0),
        "w": np.ones((4, 3, 1, 1), np.int8),
        "ws": np.full(4, 0.01, np.float32),
        "wz": np.zeros(4, np.int8),
        "v": np.ones((2, 4, 1, 1), np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"], name="quantizer"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"], name="dequantizer"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], name="weight", axis=0),
        helper.make_node("Conv", ["dq", "dw"], ["x"], name="int8"),
        helper.make_node("Conv", ["x", "v"], ["logit"], name="float"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch", 2, 8, 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_layers_between_quantizers_are_left_to_them(installed: Callable[..., Any], tmp_path: Path) -> None:
    module = installed("8.6.0")
    built(quantized(tmp_path / "q8.onnx"))
    assert module.record.flags == {"INT8", "OBEY_PRECISION_CONSTRAINTS"}
    bound = {layer.name: layer.bound for layer in module.record.layers if layer.bound is not None}
    assert bound == {"float": module.DataType.FLOAT}


def test_constants_and_quantizers_are_never_bound(
    installed: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A constant may be called like a node: here every name is in the table."""
    module = installed("8.6.0")

    def everything(model: onnx.ModelProto) -> WeaklyTyped:
        weak = weakly_typed_from_typed(model)
        names = [item.name for item in (*weak.model.graph.node, *weak.model.graph.initializer)]
        return replace(weak, precisions=dict.fromkeys(names, "FP32"))

    monkeypatch.setattr("engines.opset17.weakly_typed_from_typed", everything)
    built(quantized(tmp_path / "q8.onnx"))
    bound = {layer.type for layer in module.record.layers if layer.bound is not None or layer.bound_outputs}
    assert bound == {module.LayerType.CONVOLUTION}


def test_strongly_typed_releases_get_no_int8_flag(installed: Callable[..., Any], tmp_path: Path) -> None:
    module = installed("10.0.1")
    built(quantized(tmp_path / "q8.onnx"))
    assert module.record.flags == set()


@pytest.mark.parametrize(
    ("layer", "precision"),
    [("conv", "FP16"), ("conv_12", "FP16"), ("conv_1", "FP32"), ("conv_1_7", "FP32"), ("other", ""), ("other_3", "")],
)
def test_a_node_s_second_layer_has_its_precision(layer: str, precision: str) -> None:
    assert precision_of(layer, {"conv": "FP16", "conv_1": "FP32"}) == precision


@pytest.mark.parametrize("version", VERSIONS)
def test_options_reach_the_configuration(version: str, installed: Callable[..., Any], fp16_path: Path) -> None:
    module = installed(version)
    options = BuildOptions(version_compatible=True, hardware_compatible=True, optimization_level=5)
    facts = built(fp16_path, options)
    assert "VERSION_COMPATIBLE" in module.record.flags
    assert module.record.settings["hardware_compatibility_level"] is module.HardwareCompatibilityLevel.AMPERE_PLUS
    assert module.record.settings["builder_optimization_level"] == 5
    assert (facts["version_compatible"], facts["hardware_compatible"]) == (True, True)


@pytest.mark.parametrize("version", VERSIONS)
def test_classic_tensorrt_builds_for_no_other_gpu(version: str, installed: Callable[..., Any], fp16_path: Path) -> None:
    installed(version)
    options = BuildOptions(compute_capabilities=("8.9",))
    with pytest.raises(BackendError, match=r"--sm is unsupported by TensorRT .*the GPU of this machine"):
        built(fp16_path, options)
    with pytest.raises(BackendError, match="--sm is unsupported"):
        backend_from_name("tensorrt").options_that_matter(options)


def test_a_missing_flag_is_named(installed: Callable[..., Any], fp16_path: Path) -> None:
    module = installed("11.1.0")
    module.BuilderFlag = SimpleNamespace(TF32=module.BuilderFlag.TF32)
    with pytest.raises(BackendError, match=r"VERSION_COMPATIBLE is unsupported by TensorRT 11\.1\.0"):
        built(fp16_path, BuildOptions(version_compatible=True))


def test_releases_before_8_6_are_too_old(installed: Callable[..., Any]) -> None:
    module = installed("8.6.0")
    module.__version__ = "8.5.3"
    module.IBuilderConfig = type("IBuilderConfig", (), {})
    with pytest.raises(BackendError, match=r"TensorRT 8\.5\.3 is too old: expected 8\.6 or later"):
        api_from_module(module)


def test_a_release_without_the_flag_of_strong_typing_and_without_fp16_is_strongly_typed() -> None:
    """TensorRT 11 ignores the flag already, so a later one may drop it."""
    module = fake_tensorrt("11.1.0")
    module.NetworkDefinitionCreationFlag = type("Flags", (), {"__members__": {}})
    api = api_from_module(module)
    assert api.strongly_typed
    assert api.network_flags() == 0


def test_precisions_come_from_the_inspector_at_the_typical_batch(
    installed: Callable[..., Any], fp16_path: Path
) -> None:
    module = installed("10.0.1")
    precisions = built(fp16_path)["precisions"]
    assert precisions["source"] == "inspector"
    assert precisions["layers"]["FP16"] == 1
    assert module.record.inspected_shapes == {"image": (8, 3, 64, 64)}


def no_runtime(log: object) -> None:
    raise TypeError("pybind11::init(): factory function returned nullptr")


@pytest.mark.parametrize("trouble", ["no runtime", "unloadable", "opaque", "version-compatible"])
def test_precisions_come_from_the_graph_where_the_plan_does_not_tell(
    trouble: str, installed: Callable[..., Any], fp16_path: Path
) -> None:
    module = installed("10.0.1")
    module.record.loadable = trouble != "unloadable"
    if trouble == "no runtime":
        module.Runtime = no_runtime
    module.record.inspected = "{}" if trouble == "opaque" else module.record.inspected
    facts = built(fp16_path, BuildOptions(version_compatible=trouble == "version-compatible"))
    assert facts["precisions"]["source"] == "graph"
    assert facts["precisions"]["layers"]["FP16"] > 1
    assert bool(facts["warnings"]) == (trouble != "version-compatible")


@pytest.mark.parametrize("version", VERSIONS)
def test_parser_errors_name_node_and_remedy(version: str, installed: Callable[..., Any], tmp_path: Path) -> None:
    module = installed(version)
    nodes = [
        helper.make_node("Relu", ["image"], ["x"], name="first"),
        helper.make_node("Sigmoid", ["x"], ["logit"], name="culprit"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch", 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")
    module.record.refused = "Sigmoid"
    with pytest.raises(BackendError, match=r"rejects m\.onnx: node culprit: .*; what to do: .* later release"):
        built(tmp_path / "m.onnx")
    assert not (tmp_path / "m.plan").exists()


@pytest.mark.parametrize("version", VERSIONS)
def test_builder_errors_carry_tensorrt_s_words(version: str, installed: Callable[..., Any], fp16_path: Path) -> None:
    module = installed(version)

    def fail(config: Any) -> None:
        log = message_log("tensorrt")
        log.log(log.Severity.ERROR, "10: Could not find any implementation for node conv_stem.")

    module.record.answer = fail
    with pytest.raises(BackendError, match=r"cannot build q16\.onnx: .*node conv_stem.*raise --workspace"):
        built(fp16_path)
    module.record.answer = None
    assert built(fp16_path)["warnings"] == [], "an earlier build's messages were kept"


@pytest.mark.parametrize("version", VERSIONS)
def test_only_releases_with_progress_get_a_monitor_and_can_be_stopped(
    version: str, installed: Callable[..., Any], fp16_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, steps = installed(version), []

    def stopped(call: Callable[[], bytes], stop: Callable[[], None] | None) -> bytes:
        assert (stop is None) == (version == "8.6.0")
        result = call()
        if stop is not None:
            stop()
            call()
        return result

    monkeypatch.setattr("engines.tensorrt_build.interruptible", stopped)

    def report(config: Any) -> bytes:
        monitor = getattr(config, "progress_monitor", None)
        if monitor is not None:
            monitor.phase_start("Building engine", None, 3)
            steps.extend(monitor.step_complete("Building engine", step) for step in range(2))
            monitor.phase_finish("Building engine")
        return b"plan"

    module.record.answer = report
    built(fp16_path)
    assert steps == ([] if version == "8.6.0" else [True, True, False, False])


def cache_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".timing")


@pytest.mark.parametrize("version", VERSIONS)
def test_times_are_kept_for_the_next_build(
    version: str, installed: Callable[..., Any], fp16_path: Path, tmp_path: Path
) -> None:
    module, folder = installed(version), tmp_path / "cache"
    options = BuildOptions(timing_cache=folder)
    built(fp16_path, options)
    assert cache_files(folder) == [f"NVIDIA-GPU-A-sm8.6-tensorrt{version}.timing"]
    module.record.cache = None

    def known(config: Any) -> bytes:
        assert config.get_timing_cache().times == {"measured now"}
        config.get_timing_cache().times.add("measured later")
        return b"plan"

    module.record.answer = known
    assert built(fp16_path, options)["warnings"] == []
    assert b"measured later|measured now" in (folder / cache_files(folder)[0]).read_bytes()


def test_two_builds_at_once_merge_their_times(installed: Callable[..., Any], fp16_path: Path, tmp_path: Path) -> None:
    module, folder = installed("10.0.1"), tmp_path / "cache"
    options = BuildOptions(timing_cache=folder)

    def meanwhile(config: Any) -> bytes:
        mine = module.record.cache
        module.record.answer, module.record.cache = None, None
        built(fp16_path, options)
        module.record.cache = mine
        mine.times = {"mine"}
        return b"plan"

    module.record.answer = meanwhile
    built(fp16_path, options)
    assert b"|measured now|mine" in (folder / cache_files(folder)[0]).read_bytes()


def test_times_of_another_device_are_replaced_with_a_warning(
    installed: Callable[..., Any], fp16_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    options = BuildOptions(timing_cache=folder)
    installed("10.0.1", device="GPU with the same name")
    built(fp16_path, options)
    installed("10.0.1")
    (warning,) = built(fp16_path, options)["warnings"]
    assert "was ignored: it is another device's or release's" in warning
    assert built(fp16_path, options)["warnings"] == []


def test_damaged_times_never_reach_tensorrt(installed: Callable[..., Any], fp16_path: Path, tmp_path: Path) -> None:
    module, folder = installed("10.0.1"), tmp_path / "cache"
    options = BuildOptions(timing_cache=folder)
    built(fp16_path, options)
    path = folder / cache_files(folder)[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    module.record.cache = None
    (warning,) = built(fp16_path, options)["warnings"]
    assert "is damaged" in warning
    assert module.record.cache.times == {"measured now"}


def test_a_build_outlives_times_that_cannot_be_written(
    installed: Callable[..., Any], fp16_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed("10.0.1")

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engines.timing_cache.write_atomically", full)
    (warning,) = built(fp16_path, BuildOptions(timing_cache=tmp_path / "cache"))["warnings"]
    assert "was not written: No space left" in warning


def test_the_gpu_is_told_apart_from_its_driver(installed: Callable[..., Any]) -> None:
    installed("10.0.1")
    backend = backend_from_name("tensorrt")
    assert backend.build_device() == DEVICE
    assert backend.device() == DEVICE["name"]
