"""The GPU runner against CUDA on host memory, in three dialects of TensorRT."""

from __future__ import annotations

import gc
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines import tensorrt_runner
from engines.cuda import DeviceLostError, DeviceMemoryError
from export.errors import ArtifactError, BackendError
from tests.engines.fake_tensorrt import COMPUTE_MS_PER_IMAGE, SCRATCH_BYTES_PER_IMAGE, Context
from tests.engines.host_cuda import HostCuda
from tests.engines.pretended_gpu import (
    RELEASES,
    PretendedGpu,
    assert_clean,
    assert_right,
    assert_scenario,
    installed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from engines.tensorrt_runner import TensorRTRunner

IMAGE_BYTES = 3 * 4 * 4 * 4
OTHERS = ("8.6", "10")


@pytest.fixture(params=RELEASES)
def gpu(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PretendedGpu]:
    with installed(PretendedGpu(tmp_path, request.param, HostCuda())) as pretended:
        yield pretended


@given(
    release=st.sampled_from(RELEASES),
    form=st.sampled_from(["float32", "uint8"]),
    seed=st.integers(0, 2**32 - 1),
    eagerness=st.sampled_from([0.0, 0.3, 1.0]),
    batch_size=st.integers(1, 8),
    cuda_graphs=st.booleans(),
    sizes=st.lists(st.integers(0, 20), min_size=1, max_size=8),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_image_gets_its_logit(
    release: str,
    form: str,
    seed: int,
    eagerness: float,
    batch_size: int,
    cuda_graphs: bool,
    sizes: list[int],
    tmp_path: Path,
) -> None:
    cuda = HostCuda(seed, eagerness)
    with installed(PretendedGpu(tmp_path, release, cuda, form=form, seed=seed)) as gpu:
        assert_scenario(gpu, gpu.runner(batch_size, cuda_graphs), sizes)


def test_plan_passes_every_gate_before_it_is_deserialized(gpu: PretendedGpu) -> None:
    with gpu.runner():
        assert gpu.gates == ["open", "preflight", "digest", "kind"]
        assert gpu.trt.deserialized == 1


@pytest.mark.parametrize("gate", ["require_runnable", "trusted_bytes", "require_plan"])
def test_a_closed_gate_keeps_the_plan_out(gate: str, gpu: PretendedGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> None:
        raise ArtifactError("closed")

    monkeypatch.setattr(gpu, gate, closed)
    with installed(gpu), pytest.raises(ArtifactError, match="closed"), gpu.runner():
        pass
    assert gpu.trt.deserialized == 0
    assert_clean(gpu)


def test_thousand_runs_and_sessions_leave_nothing(gpu: PretendedGpu) -> None:
    images = gpu.images(3)
    with gpu.runner() as runner:
        for _ in range(1000):
            assert_right(gpu, runner.infer(images), images)
        held = sorted(gpu.cuda.live)
    assert_clean(gpu)
    for _ in range(100):
        with gpu.runner() as runner:
            runner.infer(images)
            runner.infer(images)
            runner.infer(images)
            again = sorted(gpu.cuda.live)
    assert again == held, "more runs hold no more"
    assert_clean(gpu)


def test_objects_go_without_the_garbage_collector(gpu: PretendedGpu) -> None:
    gc.disable()
    try:
        with gpu.runner() as runner:
            runner.infer(gpu.images(3))
        assert_clean(gpu)
    finally:
        gc.enable()


def test_host_stays_two_batches_ahead(gpu: PretendedGpu) -> None:
    """Simulated time: copying hides behind computing, or computing behind copying, but for the first and last batch."""
    batches, size = 20, 4
    with gpu.runner(size) as runner:
        images = [gpu.images(size)] * batches
        list(runner.infer_each(images[:4]))  # after these the graphs are captured
        started = gpu.cuda.now_ms
        list(runner.infer_each(images))
        taken = gpu.cuda.now_ms - started
    copying = size * IMAGE_BYTES / 1024 * 0.5
    returning = size * 4 / 1024 * 0.5
    computing = size * COMPUTE_MS_PER_IMAGE
    assert taken == pytest.approx(batches * computing + copying + returning)


def test_takes_at_most_two_batches_ahead(gpu: PretendedGpu) -> None:
    taken = 0

    def batches() -> Iterator[NDArray[Any]]:
        nonlocal taken
        for seed in range(10):
            taken += 1
            yield gpu.images(4, seed)

    with gpu.runner() as runner:
        for done, logits in enumerate(runner.infer_each(batches())):
            assert_right(gpu, logits, gpu.images(4, done))
            assert taken <= done + 1 + 2


def test_error_of_the_batches_leaves_nothing_in_flight(gpu: PretendedGpu) -> None:
    def batches() -> Iterator[NDArray[Any]]:
        yield gpu.images(4)
        yield gpu.images(4)
        raise ZeroDivisionError

    with gpu.runner() as runner:
        with pytest.raises(ZeroDivisionError):
            list(runner.infer_each(batches()))
        assert_right(gpu, runner.infer(gpu.images(2)), gpu.images(2))
    assert_clean(gpu)


def test_abandoned_iterators_are_closed_with_the_block(gpu: PretendedGpu) -> None:
    with gpu.runner() as runner:
        queries = runner.queries(gpu.images(4))
        next(queries)
    assert_clean(gpu)
    with pytest.raises(RuntimeError, match="after the runner's 'with' block"):
        next(queries)
    with gpu.runner() as runner:
        assert_right(gpu, runner.infer(gpu.images(4)), gpu.images(4))
    assert_clean(gpu)


def test_two_iterators_at_once_are_refused(gpu: PretendedGpu) -> None:
    with gpu.runner() as runner:
        queries = runner.queries(gpu.images(4))
        next(queries)
        with pytest.raises(RuntimeError, match="close it first"):
            runner.infer(gpu.images(1))
        next(queries)
        queries.close()
        runner.infer(gpu.images(1))
    assert_clean(gpu)


def test_use_outside_the_block_is_refused(gpu: PretendedGpu) -> None:
    runner = gpu.runner()
    for use in (lambda: runner.infer(gpu.images(1)), lambda: runner.queries(gpu.images(1)), lambda: runner.notes):
        with pytest.raises(RuntimeError, match="outside"):
            use()
    with runner, pytest.raises(RuntimeError, match="in use already"):
        runner.__enter__()
    assert_clean(gpu)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_queries_run_exactly_the_batch_they_get(batch: int, gpu: PretendedGpu) -> None:
    with gpu.runner(8) as runner:
        queries = list(islice(runner.queries(gpu.images(batch)), 10))
    for query in queries:
        assert query.compute_ms == pytest.approx(batch * COMPUTE_MS_PER_IMAGE)
        assert query.to_device_ms == pytest.approx(batch * IMAGE_BYTES / 1024 * 0.5)
        assert query.to_host_ms == pytest.approx(batch * 4 / 1024 * 0.5)
        assert query.enqueue_ms is not None
        assert query.enqueue_ms >= 0
        assert query.ended >= query.started
    assert [query.started for query in queries] == sorted(query.started for query in queries)
    for query, second in zip(queries, queries[2:], strict=False):
        assert second.started >= query.ended, "a slot starts only after its last batch has arrived"
    assert_clean(gpu)


@pytest.mark.parametrize("cold", [False, True])
def test_what_happens_once_per_batch_size_is_in_no_query(
    cold: bool, gpu: PretendedGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling and capturing may take longer than the warm-up, and would then be among the steady times."""
    once: list[float] = []

    def noted(genuine: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any) -> Any:
            result = genuine(*arguments)
            once.append(time.perf_counter())
            return result

        return noting

    monkeypatch.setattr(HostCuda, "captured", noted(HostCuda.captured))
    monkeypatch.setattr(Context, "set_input_shape", noted(Context.set_input_shape))
    with gpu.runner() as runner:
        if cold:
            runner.cold_start(gpu.images(1))
        for size in (1, 3):
            once.clear()
            queries = list(islice(runner.queries(gpu.images(size)), 6))
            assert max(once) < queries[0].started
    assert_clean(gpu)


def test_cold_start_comes_first_and_captures_nothing(gpu: PretendedGpu) -> None:
    with gpu.runner() as runner:
        cold = runner.cold_start(gpu.images(1))
        assert "graph" not in gpu.cuda.live
        scratch = 8 * SCRATCH_BYTES_PER_IMAGE * (2 if gpu.trt.package == "tensorrt_rtx" else 1)
        assert cold.memory_bytes == scratch + 2 * 4 * (IMAGE_BYTES + 4)
        assert cold.prepare_ms is not None
        assert min(cold.load_ms, cold.prepare_ms, cold.first_inference_ms) > 0
        with pytest.raises(RuntimeError, match="after another inference"):
            runner.cold_start(gpu.images(1))
    assert_clean(gpu)


def test_graphs_are_captured_once_per_slot_until_another_batch_size_comes(tmp_path: Path) -> None:
    captured = 0

    class CountingCuda(HostCuda):
        def captured(self, stream: int, enqueue: Callable[[], None]) -> int:
            nonlocal captured
            captured += 1
            return super().captured(stream, enqueue)

    with installed(PretendedGpu(tmp_path, "10", CountingCuda())) as gpu:
        with gpu.runner() as runner:
            for size in (4, 4, 2, 4):
                list(islice(runner.queries(gpu.images(size)), 6))
                assert gpu.cuda.live.count("graph") == 2
            assert captured == 6
            assert runner.conditions["CUDA graph"] == "yes"
            assert "--useCudaGraph --includeDataTransfers" in runner.conditions["as"]
            assert runner.notes == ()
        assert_clean(gpu)


def test_graphs_can_be_turned_off(gpu: PretendedGpu) -> None:
    with gpu.runner(cuda_graphs=False) as runner:
        list(islice(runner.queries(gpu.images(4)), 6))
        assert "graph" not in gpu.cuda.live
        assert gpu.trt.captures == 0
        assert runner.conditions["CUDA graph"] == "no"
        assert "--noCudaGraph" in runner.conditions["as"]
        assert runner.notes == ()


@pytest.mark.parametrize("release", OTHERS)
def test_what_cannot_be_captured_is_enqueued_and_said(release: str, tmp_path: Path) -> None:
    with installed(PretendedGpu(tmp_path, release, HostCuda(captures=False))) as gpu:
        with gpu.runner() as runner:
            batches = [gpu.images(4, seed) for seed in range(5)]
            for images, logits in zip(batches, runner.infer_each(batches), strict=True):
                assert_right(gpu, logits, images)
            assert runner.conditions["CUDA graph"] == "not captured"
            assert "--noCudaGraph" in runner.conditions["as"]
            [note] = runner.notes
            assert "cannot be captured" in note
            assert "not permitted" in note
        assert_clean(gpu)


@pytest.mark.parametrize(("release", "fitting"), [("8.6", 2), ("10", 4), ("rtx", 4)])
def test_batch_is_halved_when_memory_runs_out(release: str, fitting: int, tmp_path: Path) -> None:
    """A little less than batch 8 takes; 8.6 cannot save on scratch memory and has to save on buffers."""
    buffers = 2 * fitting * (IMAGE_BYTES + 4)
    scratch = (8 if release == "8.6" else fitting) * SCRATCH_BYTES_PER_IMAGE
    cuda = HostCuda(memory_bytes=buffers + scratch)
    with installed(PretendedGpu(tmp_path, release, cuda)) as gpu:
        assert_scenario(gpu, gpu.runner(8), [3, 9, 1, 8])
        with gpu.runner(8) as runner:
            assert runner.largest_batch == fitting
            [note] = runner.notes
            assert note.startswith("batch 8 does not fit into the memory of Pretended GPU (")
            assert note.endswith(f"running with {fitting}")
            with pytest.raises(BackendError, match=rf"query of 8 images .* runs 1 to {fitting} here"):
                runner.queries(gpu.images(8))
        assert_clean(gpu)


def test_batch_is_not_halved_below_the_profile(tmp_path: Path) -> None:
    cuda = HostCuda(memory_bytes=3 * SCRATCH_BYTES_PER_IMAGE + 2 * 3 * (IMAGE_BYTES + 4))
    with installed(PretendedGpu(tmp_path, "10", cuda, batch=[3, 4, 8])) as gpu:
        with gpu.runner(8) as runner:
            assert runner.largest_batch == 3
            assert_right(gpu, runner.infer(gpu.images(10)), gpu.images(10))
        assert_clean(gpu)
        gpu.cuda.device = HostCuda(memory_bytes=cuda.device.memory_bytes - 1).device
        with pytest.raises(DeviceMemoryError, match="even with batch 3: "):
            gpu.runner(8).__enter__()
        assert_clean(gpu)


@pytest.mark.parametrize("release", ["10.0", "10"])
def test_scratch_memory_is_saved_before_the_batch_is_halved(release: str, tmp_path: Path) -> None:
    cuda = HostCuda(memory_bytes=4 * SCRATCH_BYTES_PER_IMAGE + 2 * 4 * (IMAGE_BYTES + 4))
    with installed(PretendedGpu(tmp_path, release, cuda)) as gpu:
        with gpu.runner(4) as runner:
            assert runner.largest_batch == 4
            assert runner.notes == ()
        assert_scenario(gpu, gpu.runner(4), [3, 9, 1])


def test_too_little_memory_for_the_smallest_batch_is_an_error(gpu: PretendedGpu) -> None:
    gpu.cuda.device = HostCuda(memory_bytes=3 << 10).device
    with pytest.raises(DeviceMemoryError, match=r"even with batch 1: up to 1 MiB asked, 0 MiB free .*smaller --batch"):
        gpu.runner(8).__enter__()
    assert_clean(gpu)


@pytest.mark.parametrize("batch_size", [1, 9])
def test_batch_size_outside_the_profile_names_the_option(batch_size: int, tmp_path: Path) -> None:
    with installed(PretendedGpu(tmp_path, "10", HostCuda(), batch=[2, 4, 8])) as gpu:
        with pytest.raises(BackendError, match=rf"batch size {batch_size} .* takes 2 to 8; .*--batch"):
            gpu.runner(batch_size).__enter__()
        assert_clean(gpu)
        with gpu.runner(4) as runner:
            with pytest.raises(BackendError, match="query of 1 images"):
                runner.queries(gpu.images(1))
            assert_right(gpu, runner.infer(gpu.images(1)), gpu.images(1))


@pytest.mark.parametrize("release", RELEASES)
def test_device_lost_at_any_call(release: str, tmp_path: Path) -> None:
    """Whichever call meets it: it comes through, what was yielded is right, and every object was given back."""
    counting = HostCuda()
    with installed(PretendedGpu(tmp_path, release, counting)) as gpu:
        batches = [gpu.images(4, seed) for seed in range(5)]
        with gpu.runner() as runner:
            list(runner.infer_each(batches))
    for lost_after in range(0, counting.calls, 2):
        cuda = HostCuda(lost_after=lost_after)
        with installed(PretendedGpu(tmp_path, release, cuda)) as gpu:
            yielded: list[NDArray[np.float32]] = []
            with pytest.raises(DeviceLostError), gpu.runner() as runner:
                yielded.extend(runner.infer_each(batches))
            for images, logits in zip(batches, yielded, strict=False):
                assert_right(gpu, logits, images)
            assert_clean(gpu)


def test_lost_device_does_not_hide_the_error_of_the_block(gpu: PretendedGpu) -> None:
    def use(runner: TensorRTRunner) -> None:
        with runner:
            runner.infer(gpu.images(9))
            gpu.cuda.lost_after = gpu.cuda.calls
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use(gpu.runner())
    assert_clean(gpu)


def test_device_lost_after_the_last_result_is_told(gpu: PretendedGpu) -> None:
    runner = gpu.runner()
    with runner:
        runner.infer(gpu.images(9))
        gpu.cuda.lost_after = gpu.cuda.calls
        with pytest.raises(DeviceLostError):
            runner.__exit__(None, None, None)
    assert_clean(gpu)


@pytest.mark.parametrize(
    ("description", "facts", "words"),
    [
        ({"input": "data"}, {}, "takes data and gives logit; expected one input image and one output logit"),
        ({"output": "prob"}, {}, "takes image and gives prob"),
        ({"output_dtype": "HALF"}, {}, r"gives logit as HALF \(-1, 1\); expected FLOAT"),
        ({"form": "uint8"}, {"input": "float32"}, "takes uint8 images, but its sidecar says float32"),
        ({"host_code": True}, {"version_compatible": True}, "host code, which is not allowed; .*--version-compatible"),
    ],
)
def test_foreign_plans_are_refused(
    description: dict[str, Any], facts: dict[str, Any], words: str, tmp_path: Path
) -> None:
    for release in RELEASES:
        with installed(PretendedGpu(tmp_path, release, HostCuda(), facts, **description)) as gpu:
            with pytest.raises(BackendError, match=words):
                gpu.runner().__enter__()
            assert_clean(gpu)


def test_unknown_input_form_is_read_from_the_plan(tmp_path: Path) -> None:
    pretended = PretendedGpu(tmp_path, "10", HostCuda(), {"input": None}, form="uint8")
    with installed(pretended) as gpu, gpu.runner() as runner:
        assert_right(gpu, runner.infer(gpu.images(3)), gpu.images(3))


def test_plan_that_is_not_deserialized_quotes_tensorrt(gpu: PretendedGpu) -> None:
    gpu.artifact.path.write_bytes(gpu.plan[:40])
    with pytest.raises(
        BackendError, match=r"does not deserialize x.plan: Serialization assertion failed: plan is corr"
    ):
        gpu.runner().__enter__()
    assert_clean(gpu)


def test_plan_that_the_memory_does_not_hold_is_not_called_broken(gpu: PretendedGpu) -> None:
    gpu.cuda.device = HostCuda(memory_bytes=10).device
    with pytest.raises(BackendError, match=r"OutOfMemory .*; end what else uses the GPU$"):
        gpu.runner().__enter__()
    assert_clean(gpu)


def test_images_in_another_form_are_refused(gpu: PretendedGpu) -> None:
    images = gpu.images(2)
    wrong: Any
    with gpu.runner() as runner:
        for wrong in (images.astype(np.float64), images[:, :, :3], images.transpose(0, 2, 3, 1), images[0]):
            with pytest.raises(BackendError, match=r"expected float32 \(3, 4, 4\)"):
                runner.infer(wrong)
            with pytest.raises(BackendError, match=r"expected float32 \(3, 4, 4\)"):
                runner.queries(wrong)
        assert_right(gpu, runner.infer(images), images)
    assert_clean(gpu)


def test_missing_package_is_told_before_the_gpu_is_opened(gpu: PretendedGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> None:
        raise BackendError(f"{package} cannot be imported")

    monkeypatch.setattr("engines.tensorrt_session.tensorrt_module", missing)
    with pytest.raises(BackendError, match="cannot be imported"):
        gpu.runner().__enter__()
    assert gpu.gates == []


def test_import_needs_no_gpu_package() -> None:
    assert not {"tensorrt", "torch", "pycuda"} & set(vars(tensorrt_runner))
