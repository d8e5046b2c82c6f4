"""What only TensorRT for RTX has: its own CUDA graphs, kernels compiled on the device, and the file that keeps them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest

from engines.runtime_cache import RuntimeCache
from export.errors import BackendError
from export.sidecar import Artifact, Recipe
from tests.engines.fake_tensorrt import KERNELS
from tests.engines.host_cuda import HostCuda
from tests.engines.pretended_gpu import PretendedGpu, assert_clean, assert_right, installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def gpu(tmp_path: Path) -> Iterator[PretendedGpu]:
    with installed(PretendedGpu(tmp_path, "rtx", HostCuda())) as pretended:
        yield pretended


def cache_of(folder: Path, plan_sha256: str) -> RuntimeCache:
    return RuntimeCache(Artifact(folder / "x.plan", plan_sha256, Recipe("engine", {}), {}, "key"))


def test_rtx_captures_each_shape_once_per_slot(gpu: PretendedGpu) -> None:
    with gpu.runner() as runner:
        for _ in range(50):
            runner.infer(gpu.images(9))
        assert gpu.trt.captures == 2
        list(islice(runner.queries(gpu.images(2)), 20))
        assert gpu.trt.captures == 4
        assert "graph" not in gpu.cuda.live, "no graph of ours"
        assert runner.conditions["CUDA graph"] == "yes (captured by TensorRT for RTX)"
        assert runner.notes == ()
    assert_clean(gpu)


def test_kernels_are_kept_and_reused(gpu: PretendedGpu) -> None:
    kernels = gpu.artifact.path.with_name("x.plan.kernels")
    with gpu.runner() as runner:
        assert not kernels.exists()
        conditions = runner.conditions
        runner.cold_start(gpu.images(2))
        assert runner.notes == ()
        list(islice(runner.queries(gpu.images(2)), 3))
        assert kernels.exists(), "after the first batch of a size, not at the end"
        first = kernels.read_bytes()
        list(islice(runner.queries(gpu.images(2)), 3))
        assert kernels.read_bytes() == first
        runner.infer(gpu.images(1))
        assert kernels.read_bytes() != first
    compiled = gpu.trt.compiled
    with gpu.runner() as runner:
        assert runner.notes == ()
        runner.cold_start(gpu.images(2))
        assert runner.notes == ("its cold start took kernels that an earlier start had compiled and kept",)
        assert runner.conditions == conditions, "variants with other conditions are not compared"
        assert_right(gpu, runner.infer(gpu.images(3)), gpu.images(3))
    assert gpu.trt.compiled == compiled
    assert sorted(path.name for path in kernels.parent.iterdir()) == ["x.plan", "x.plan.kernels"]
    assert_clean(gpu)


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "other plan", "other device"])
def test_damaged_or_foreign_kernels_are_compiled_anew(damage: str, gpu: PretendedGpu) -> None:
    with gpu.runner() as runner:
        runner.infer(gpu.images(1))
    path = gpu.artifact.path.with_name("x.plan.kernels")
    good = path.read_bytes()
    if damage == "other plan":
        cache_of(path.parent, "0" * 64).write(good[32:])
    elif damage == "other device":
        cache_of(path.parent, gpu.artifact.sha256).write(b"of another device")
    else:
        flipped = good[:-1] + bytes([good[-1] ^ 1])
        path.write_bytes({"empty": b"", "truncated": good[:-1], "flipped": flipped}[damage])
    with gpu.runner() as runner:
        runner.cold_start(gpu.images(4))
        assert_right(gpu, runner.infer(gpu.images(3)), gpu.images(3))
        assert runner.notes == ()
    assert path.read_bytes() == good


def test_folder_that_cannot_be_written_is_noted(gpu: PretendedGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: RuntimeCache, kernels: bytes) -> None:
        assert kernels.startswith(KERNELS)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(RuntimeCache, "write", refused)
    with gpu.runner() as runner:
        for size in (1, 2):
            list(islice(runner.queries(gpu.images(size)), 3))
        [note] = runner.notes
        assert "cannot be kept" in note
        assert note.endswith("(Permission denied)")
    assert_clean(gpu)


@pytest.mark.parametrize("content", [b"x", b"kernels" * 1000])
def test_cache_file_round_trip(content: bytes, tmp_path: Path) -> None:
    cache_of(tmp_path, "a" * 64).write(content)
    assert cache_of(tmp_path, "a" * 64).read() == content
    assert cache_of(tmp_path, "b" * 64).read() is None
    assert cache_of(tmp_path / "absent", "a" * 64).read() is None


# Names of TensorRT 8.6.0, 10 and 11 (NVIDIA's Python API reference) that TensorRT for RTX shares.
CLASSIC = {
    "Runtime": ["deserialize_cuda_engine", "engine_host_code_allowed"],
    "ICudaEngine": [
        "create_execution_context",
        "get_tensor_dtype",
        "get_tensor_mode",
        "get_tensor_name",
        "get_tensor_profile_shape",
        "get_tensor_shape",
        "num_io_tensors",
    ],
    "IExecutionContext": [
        "execute_async_v3",
        "get_tensor_shape",
        "set_input_shape",
        "set_optimization_profile_async",
        "set_tensor_address",
    ],
    "TensorIOMode": ["INPUT", "OUTPUT"],
    "DataType": ["FLOAT", "UINT8"],
}
NEWER = {
    "Runtime": ["get_engine_validity"],
    "ICudaEngine": ["create_runtime_config", "device_memory_size_v2"],
    "IExecutionContext": ["set_device_memory", "update_device_memory_size_for_shapes"],
    "IRuntimeConfig": [
        "create_runtime_cache",
        "cuda_graph_strategy",
        "dynamic_shapes_kernel_specialization_strategy",
        "set_execution_context_allocation_strategy",
        "set_runtime_cache",
    ],
    "IRuntimeCache": ["deserialize", "serialize"],
    "CudaGraphStrategy": ["DISABLED", "WHOLE_GRAPH_CAPTURE"],
    "DynamicShapesKernelSpecializationStrategy": ["EAGER"],
    "ExecutionContextAllocationStrategy": ["STATIC", "USER_MANAGED"],
}


@pytest.mark.parametrize("names", [CLASSIC, NEWER])
def test_real_module_has_the_names_that_are_used(names: dict[str, list[str]]) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    missing = [
        f"{owner}.{name}" for owner, known in names.items() for name in known if not hasattr(getattr(trt, owner), name)
    ]
    assert missing == []


def test_real_runtime_refuses_host_code_by_default() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    from engines.tensorrt_module import message_log

    assert trt.Runtime(message_log("tensorrt_rtx")).engine_host_code_allowed is False


def test_real_deserializer_is_quoted(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    with installed(PretendedGpu(tmp_path, "rtx", HostCuda()), real_package=True) as gpu:
        with pytest.raises(BackendError, match=r"does not deserialize x\.plan: .*Error Code \d.*; reason \d+$"):
            gpu.runner().__enter__()
        assert gpu.gates == ["open", "preflight", "digest", "kind"]
        assert_clean(gpu)
