"""ONNX Runtime's providers: on the CPU for real, and on a GPU as far as a machine without one can tell."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from engines import onnxruntime_backend, onnxruntime_runner, onnxruntime_session
from engines.backend import BuildOptions, backend_from_name
from engines.engine_runner import RunOptions
from engines.onnxruntime_binding import DeviceBinding
from engines.onnxruntime_placement import placement_from_profile, placement_notes, placement_text
from engines.onnxruntime_provider import CPU, CUDA, TENSORRT
from engines.onnxruntime_runner import OnnxEngineRunner, at_least
from engines.onnxruntime_session import refusal
from export.errors import ArtifactError, BackendError
from export.sidecar import Recipe, make_artifact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.sidecar import Artifact

# What onnxruntime-gpu 1.31.1 wrote where CUDA's libraries, the driver, TensorRT and the GPU were missing.
_LOAD = "[E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] provider_bridge_ort.cc:2043 Failed to load "
NO_CUBLAS = (
    f"{_LOAD}library libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file"
)
NO_DRIVER = f"{_LOAD}library libonnxruntime_providers_cuda.so with error: libcuda.so.1: cannot open shared object file"
NO_TENSORRT = (
    f"{_LOAD}library libonnxruntime_providers_tensorrt.so with error: libnvinfer.so.10: cannot open shared object file"
)
NO_GPU = 'Failed to parse provider option "device_id": CUDA failure 100: no CUDA-capable device is detected ; GPU=-1'


@pytest.fixture
def images() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(3, 3, 64, 64)).astype(np.float32)


def built(model: onnx.ModelProto, folder: Path, backend: str = "onnxruntime", **options: Any) -> Artifact:
    """Builds an engine as a run folder holds it."""
    graph = folder / "graph.onnx"
    onnx.save(model, graph)
    made = backend_from_name(backend)
    return make_artifact(
        folder / f"m.{backend}.onnx",
        Recipe("engine", {}),
        lambda path: made.build(graph, path, BuildOptions(**options)),
    )


def plain_logits(model: onnx.ModelProto, images: NDArray[Any]) -> NDArray[np.float32]:
    """Runs a model without any of the code under test."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": images})[0]).reshape(-1)


def pixel_model() -> onnx.ModelProto:
    """Takes uint8 (N, 4, 4, 3) and returns the sum of all pixels of each image."""
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["real", "axes"], ["sum"], keepdims=0),
        helper.make_node("Reshape", ["sum", "column"], ["logit"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pixels",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 4, 4, 3])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch", 1])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
            helper.make_tensor("column", TensorProto.INT64, [2], [-1, 1]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_a_cpu_engine_scores_like_the_graph(
    fp32_model: onnx.ModelProto, images: NDArray[np.float32], tmp_path: Path
) -> None:
    engine = built(fp32_model, tmp_path)
    assert engine.facts["proven_on"] == "CPUExecutionProvider"
    with backend_from_name("onnxruntime").runner(engine, RunOptions(3)) as runner:
        cold = runner.cold_start(images[:1])
        scores = list(runner.infer_each(iter([images, images[:1]])))
        query = next(iter(runner.queries(images)))
        conditions = runner.conditions
    np.testing.assert_allclose(scores[0], plain_logits(fp32_model, images), atol=1e-5)
    np.testing.assert_allclose(scores[1], scores[0][:1], atol=1e-5)
    assert cold.load_ms > 0
    assert cold.first_inference_ms > 0
    assert query.to_device_ms is None
    assert query.latency_ms == query.compute_ms == pytest.approx(1000 * (query.ended - query.started))
    assert conditions["provider"] == "CPUExecutionProvider"
    assert conditions["threads"].endswith(f"{len(os.sched_getaffinity(0))} processors")


@pytest.mark.parametrize("inferences", [2, 3, 64])
def test_inferences_at_a_time_give_the_same_logits_in_order(
    inferences: int, fp32_model: onnx.ModelProto, images: NDArray[np.float32], tmp_path: Path
) -> None:
    engine, backend = built(fp32_model, tmp_path), backend_from_name("onnxruntime")
    random = np.random.default_rng()
    batches = [random.normal(size=(size, *images.shape[1:])).astype(np.float32) for size in (3, 1, 2, 3, 3, 1, 3)]
    with (
        backend.runner(engine, RunOptions(3)) as one,
        backend.runner(engine, RunOptions(3, inferences=inferences)) as many,
    ):
        expected, got = list(one.infer_each(batches)), list(many.infer_each(batches))
        told = many.conditions
    assert len(got) == len(expected)
    for logits, reference in zip(got, expected, strict=True):
        np.testing.assert_array_equal(logits, reference)
    processors = len(os.sched_getaffinity(0))
    assert told["inferences at a time"] == str(inferences)
    assert told["threads"] == f"{max(1, processors - inferences + 1)} on {processors} processors"
    assert "inferences at a time" not in one.conditions


def test_what_a_session_refuses_is_one_line(fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    engine = built(fp32_model, tmp_path)
    runner = backend_from_name("onnxruntime").runner(engine, RunOptions(2))
    with runner, pytest.raises(BackendError, match="failed on 2 images: ") as caught:
        runner.infer(np.zeros((2, 3, 7, 9), np.float32))
    assert "\n" not in str(caught.value)


def test_pixels_simply_work(tmp_path: Path) -> None:
    engine = built(pixel_model(), tmp_path)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 4, 4, 3), np.uint8)
    assert engine.facts["input"] == "uint8"
    with OnnxEngineRunner(engine, RunOptions(2)) as runner:
        np.testing.assert_array_equal(runner.infer(pixels), pixels.sum((1, 2, 3), dtype=np.float32))


def test_a_changed_engine_is_not_loaded(fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    engine = built(fp32_model, tmp_path)
    onnx.save(pixel_model(), engine.path)
    with pytest.raises(ArtifactError, match="was changed after it was made"), OnnxEngineRunner(engine, RunOptions()):
        pass


def test_bound_memory_gives_the_same_scores(fp32_model: onnx.ModelProto, images: NDArray[np.float32]) -> None:
    """The device is the CPU here; on a GPU, only the name of the device differs."""
    session = onnxruntime.InferenceSession(fp32_model.SerializeToString(), providers=["CPUExecutionProvider"])
    binding = DeviceBinding(session, "cpu", 0)
    kept = []
    for batch in (images, images[::-1], images[1:2], images):
        logits, query = binding.run(batch)
        kept.append((logits, plain_logits(fp32_model, batch)))
        assert query.to_device_ms is not None
        assert query.to_host_ms is not None
        assert query.latency_ms == pytest.approx(1000 * (query.ended - query.started))
    for got, expected in kept:  # afterwards, so that memory that is used again would show
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_nodes_are_counted_from_a_profile(fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    session = onnxruntime.InferenceSession(fp32_model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, {"image": np.zeros((1, 3, 64, 64), np.float32)})
    counted = placement_from_profile(json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")))
    assert counted == {"CPUExecutionProvider": len(onnx.load(tmp_path / "optimized.onnx").graph.node)}


def event(provider: str, name: str = "conv_kernel_time") -> dict[str, Any]:
    return {"cat": "Node", "name": name, "args": {"provider": provider}}


def test_what_others_ran_is_told() -> None:
    events = [event("CUDAExecutionProvider")] * 231 + [event("CPUExecutionProvider")] * 2
    others = [{"cat": "Session", "name": "model_run"}, event("CPUExecutionProvider", "conv_fence_before")]
    placement = placement_from_profile([*events, *others])
    assert placement_text(placement) == "CUDAExecutionProvider 231 nodes, CPUExecutionProvider 2"
    assert placement_notes(placement, CUDA) == (
        "ONNX Runtime's CUDA provider left a part of the graph to others: CPUExecutionProvider 2 nodes.",
    )
    assert placement_notes({"CUDAExecutionProvider": 231}, CUDA) == ()
    assert placement_text({"TensorrtExecutionProvider": 1}) == "TensorrtExecutionProvider 1 node"


@pytest.mark.parametrize("placement", [{}, {"CPUExecutionProvider": 233}, {"CUDAExecutionProvider": 233}])
def test_a_provider_that_ran_nothing_is_an_error(placement: dict[str, int]) -> None:
    with pytest.raises(BackendError, match="TensorRT provider took no node of the graph"):
        placement_notes(placement, TENSORRT)


@pytest.mark.parametrize(
    ("provider", "logged", "raised", "expected"),
    [
        (CUDA, NO_CUBLAS, "", r"libcublasLt\.so\.13 is missing; run: pip install 'onnxruntime-gpu\[cuda,cudnn\]'"),
        (CUDA, NO_DRIVER, "", r"libcuda\.so\.1 is missing; it belongs to NVIDIA's driver"),
        (TENSORRT, NO_TENSORRT, "x.cc:729 Please install TensorRT libraries", r"'tensorrt==10\.\*'"),
        (
            CUDA,
            "",
            NO_GPU,
            "cannot run m.onnx: CUDA failure 100: no CUDA-capable device is detected; see what nvidia-smi shows",
        ),
        (CUDA, "", "a signature\n" + 400 * "x" + " the reason", "x the reason$"),
        (CUDA, "[E:onnxruntime:, x.cc:1 f()] odd \n", "", "cannot run m.onnx: odd$"),
        (CUDA, "", "", "it gave no reason"),
    ],
)
def test_what_is_missing_is_told_with_its_remedy(provider: Any, logged: str, raised: str, expected: str) -> None:
    with pytest.raises(BackendError, match=expected) as caught:
        raise refusal(provider, "m.onnx", raised, logged)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_tensorrt_that_is_there_instead_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_session, "versions_of", lambda *_: {"tensorrt": "11.1.0"})
    with pytest.raises(BackendError, match=r"needs TensorRT 10 \(tensorrt 11\.1\.0 is installed\): pip install"):
        raise refusal(TENSORRT, "m.onnx", "", NO_TENSORRT)


@pytest.mark.parametrize("provider", [CUDA, TENSORRT])
def test_a_provider_that_is_not_there_is_an_error(provider: Any, fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    if provider.name in onnxruntime.get_available_providers():
        pytest.skip("the installed ONNX Runtime has the provider")
    with (
        pytest.raises(BackendError, match=provider.title),
        OnnxEngineRunner(built(fp32_model, tmp_path), RunOptions(), provider),
    ):
        pass


def test_a_silent_fallback_is_an_error(
    fp32_model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As onnxruntime-gpu does where a library is missing: a log entry, a session on the CPU and no exception."""
    session_class = onnxruntime.InferenceSession

    def fallen_back(model: bytes, options: Any, **_: Any) -> Any:
        os.write(2, NO_CUBLAS.encode())
        return session_class(model, options, providers=["CPUExecutionProvider"])

    engine = built(fp32_model, tmp_path)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fallen_back)
    with (
        pytest.raises(BackendError, match=r"libcublasLt\.so\.13 is missing"),
        OnnxEngineRunner(engine, RunOptions(), CUDA),
    ):
        pass
    assert not capfd.readouterr().err  # it became the message


def on_host_memory(monkeypatch: pytest.MonkeyPatch, asked: Any) -> list[Any]:
    """Lets the GPU's code work on the CPU: the session has another provider, and memory of the host is bound."""
    made: list[Any] = []

    class Session(onnxruntime.InferenceSession):
        def __init__(self, model: bytes, options: Any, providers: Any, **rest: Any) -> None:
            made.append((providers, rest))
            super().__init__(model, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return [asked.name]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(
        onnxruntime_runner, "DeviceBinding", lambda session, _device, index: DeviceBinding(session, "cpu", index)
    )
    return made


def test_a_gpu_engine_is_timed_in_three_parts_and_placed(
    fp32_model: onnx.ModelProto, images: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine, expected = built(fp32_model, tmp_path), plain_logits(fp32_model, images)
    called_cpu = replace(CUDA, name="CPUExecutionProvider")  # what the profile will say
    asked = on_host_memory(monkeypatch, called_cpu)
    with OnnxEngineRunner(engine, RunOptions(3, gpu=1), called_cpu) as runner:
        cold = runner.cold_start(images)
        queries = list(islice(runner.queries(images), 3))
        np.testing.assert_allclose(runner.infer(images), expected, atol=1e-5)
        conditions = runner.conditions
    assert asked == [([("CPUExecutionProvider", {"device_id": "1", "use_tf32": "0"})], {"enable_fallback": 0})]
    assert cold.first_inference_ms > 0
    assert all(query.to_device_ms is not None and query.to_host_ms is not None for query in queries)
    assert conditions["provider"] == "CPUExecutionProvider for every node"
    assert conditions["CUDA graph"] == "no"
    assert conditions["copies"] == "of pageable memory, timed by the host, not overlapped with compute"
    assert runner.notes == ()


def test_conditions_are_known_before_the_first_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = built(pixel_model(), tmp_path)
    called_cpu = replace(CUDA, name="CPUExecutionProvider")
    on_host_memory(monkeypatch, called_cpu)
    with OnnxEngineRunner(engine, RunOptions(3), called_cpu) as runner:
        assert runner.conditions["provider"].startswith("CPUExecutionProvider")
        assert runner.conditions["TF32"] == "off"


@pytest.mark.parametrize("provider", [CUDA, TENSORRT])
def test_a_graph_that_ran_on_the_cpu_although_a_gpu_was_asked_for_is_an_error(
    provider: Any,
    fp32_model: onnx.ModelProto,
    images: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The session says that it has the provider, and the profile of the first inference shows that it did nothing."""
    engine = built(fp32_model, tmp_path)
    on_host_memory(monkeypatch, provider)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")  # restored after the test
    with (
        OnnxEngineRunner(engine, RunOptions(), provider) as runner,
        pytest.raises(BackendError, match=r"took no node of the graph \(CPUExecutionProvider \d+ nodes\)"),
    ):
        runner.infer(images)


def test_tensorrt_is_told_the_shapes_and_obeys_the_graphs_types(fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    sizes = {"batch_min": 2, "batch_opt": 4, "batch_max": 6, "workspace_mib": 3, "optimization_level": 5}
    engine = built(fp32_model, tmp_path, "onnxruntime-tensorrt", **sizes)
    assert engine.facts["batch"] == [2, 4, 6]
    told = engine.facts["provider_options"]
    assert [told[f"trt_profile_{bound}_shapes"] for bound in ("min", "opt", "max")] == [
        "image:2x3x64x64",
        "image:4x3x64x64",
        "image:6x3x64x64",
    ]
    assert told["trt_max_workspace_size"] == str(3 * 2**20)
    assert told["trt_builder_optimization_level"] == "5"
    assert not {"trt_fp16_enable", "trt_int8_enable"} & set(told)
    assert TENSORRT.chain(1, told) == [
        ("TensorrtExecutionProvider", {**told, "device_id": "1"}),
        ("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"}),
    ]


def test_tensorrt_sees_the_graph_before_any_optimization(
    fp32_model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine, seen = built(fp32_model, tmp_path), []

    def session(_model: bytes, options: Any, **_: Any) -> Any:
        seen.append(options.graph_optimization_level)
        raise RuntimeError("far enough")

    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    for provider in (TENSORRT, CUDA):
        with pytest.raises(BackendError, match="far enough"), OnnxEngineRunner(engine, RunOptions(), provider):
            pass
    level = onnxruntime.GraphOptimizationLevel
    assert seen == [level.ORT_DISABLE_ALL, level.ORT_ENABLE_ALL]


def test_batches_outside_of_the_range_are_padded_or_refused(
    fp32_model: onnx.ModelProto, images: NDArray[np.float32], tmp_path: Path
) -> None:
    engine = built(fp32_model, tmp_path, "onnxruntime-tensorrt", batch_max=8)
    with pytest.raises(BackendError, match="at most 8 images, not 16; pass --batch-size 8"):
        backend_from_name("onnxruntime-tensorrt").runner(engine, RunOptions(16))
    padded = at_least(images, 5)
    np.testing.assert_array_equal(padded[:3], images)
    np.testing.assert_array_equal(padded[3:], images[[2, 2]])
    assert at_least(images, 3) is images


def test_a_short_batch_is_padded_and_its_padding_gets_no_logits(
    fp32_model: onnx.ModelProto, images: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = built(fp32_model, tmp_path, "onnxruntime-tensorrt", batch_min=2)
    called_cpu, given, expected = replace(CUDA, name="CPUExecutionProvider"), [], plain_logits(fp32_model, images[:1])

    class Binding(DeviceBinding):
        def run(self, images: Any) -> Any:
            given.append(len(images))
            return super().run(images)

    on_host_memory(monkeypatch, called_cpu)
    monkeypatch.setattr(onnxruntime_runner, "DeviceBinding", lambda session, *_: Binding(session, "cpu", 0))
    with OnnxEngineRunner(engine, RunOptions(3), called_cpu) as runner:
        logits = list(runner.infer_each(iter([images, images[:1]])))
    assert given == [3, 2]
    assert [len(part) for part in logits] == [3, 1]
    np.testing.assert_allclose(logits[1], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("onnxruntime", {"onnxruntime-gpu": "1.31.1"}, None),
        ("onnxruntime-cuda", {"onnxruntime-gpu": "1.31.1"}, None),
        (
            "onnxruntime-cuda",
            {"onnxruntime": "1.32.0"},
            r"pip uninstall -y onnxruntime && pip install 'engine-signoff\[gpu\]'",
        ),
        ("onnxruntime-tensorrt", {}, r"run: pip install 'engine-signoff\[gpu\]'"),
        ("onnxruntime", {}, r"pip install 'engine-signoff\[cpu\]'"),
        ("onnxruntime", {"onnxruntime": "1", "onnxruntime-gpu": "1"}, "overwrite each other"),
        ("onnxruntime-cuda", {"onnxruntime": "1", "onnxruntime-gpu": "1"}, "overwrite each other"),
    ],
)
def test_the_right_package_is_needed(
    name: str, found: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime_backend, "versions_of", lambda *_: found)
    backend = backend_from_name(name)
    assert backend.name == name
    if expected is None:
        assert backend.versions() == found
    else:
        with pytest.raises(BackendError, match=expected):
            backend.versions()


def test_the_cpu_is_asked_for_by_name(
    fp32_model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With onnxruntime-gpu installed, a session without providers would take the GPU."""
    engine, asked = built(fp32_model, tmp_path), []
    session_class = onnxruntime.InferenceSession

    def spied(*arguments: Any, **options: Any) -> Any:
        asked.append(options["providers"])
        return session_class(*arguments, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spied)
    with OnnxEngineRunner(engine, RunOptions(), CPU):
        pass
    assert asked == [["CPUExecutionProvider"]]


def test_a_gpu_has_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        def device(self, index: int) -> SimpleNamespace:
            return SimpleNamespace(name=f"GPU number {index}")

    monkeypatch.setitem(sys.modules, "engines.cuda_driver", SimpleNamespace(CudaDriver=Driver))  # type: ignore[misc]
    assert backend_from_name("onnxruntime-cuda").device(1) == "GPU number 1"
    assert backend_from_name("onnxruntime").device() == "CPU"
