from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engines.latency_measuring import LatencyConditions
from engines.run_folder import RunFolder
from evaluate.scoring import frame_files
from evaluate.scoring.latency_files import read_latency
from evaluate.scoring.measuring import MeasuredEngine, measured_engines
from evaluate.scoring.request import EvaluationRequest
from evaluate.scoring.validation import validation_of_path
from export.errors import ArtifactError, BackendError, DataError, ImageError
from export.preprocessing import array_from_file
from tests.celeb_df_tree import write_tree
from tests.detectors import contract_for_tests
from tests.evaluate.pipelined_runner import PipelinedBackend, session_of, write_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BATCH = 4
QUICK = LatencyConditions(warm_up_ms=0.0, min_queries=10, min_seconds=0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 images: seven batches of four and a rest of two."""
    return write_tree(tmp_path_factory.mktemp("test"), first_identity=0, videos=5, frames=2)


@pytest.fixture
def request_of(data: Path, tmp_path: Path) -> Callable[[str], EvaluationRequest]:
    def named(folder: str) -> EvaluationRequest:
        write_engine(RunFolder(tmp_path / folder))
        return EvaluationRequest(tmp_path / folder, data, batch_size=BATCH)

    return named


def measured(
    request: EvaluationRequest, backend: PipelinedBackend | None = None, told: list[str] | None = None
) -> MeasuredEngine:
    (entry,) = measured_engines(session_of(request, backend or PipelinedBackend(), told))
    return entry


def partial_of(request: EvaluationRequest) -> Path:
    return request.run / "results/q8/frames.onnxruntime.partial.csv"


@pytest.mark.parametrize("seed", range(4))
def test_a_lost_gpu_costs_no_score_and_changes_none(seed: int, request_of: Callable[[str], EvaluationRequest]) -> None:
    expected = measured(request_of("undisturbed"), undisturbed := PipelinedBackend()).frames
    request, rng = request_of("disturbed"), np.random.default_rng(seed)
    kept = 0
    while kept < 16:
        backend = PipelinedBackend(fails_at=int(rng.integers(0, 8 - kept // BATCH)))
        with pytest.raises(BackendError, match="CUDA_ERROR_LAUNCH_FAILED") as caught:
            measured(request, backend)
        # Whatever is in flight when the device goes is lost with it.
        kept += BATCH * max(0, (backend.fails_at or 0) - 2)
        told = f"{kept} of 30 images of q8 are scored and kept, the same command goes on from there"
        assert (told in str(caught.value)) == (kept > 0)
    told_lines: list[str] = []
    found = measured(request, backend := PipelinedBackend(), told_lines).frames
    assert found.path.read_bytes() == expected.path.read_bytes()
    assert f"going on after {kept} of 30 images of q8" in told_lines
    np.testing.assert_array_equal(np.concatenate(backend.batches), np.concatenate(undisturbed.batches)[kept:])
    assert not partial_of(request).exists()


@pytest.mark.parametrize("seed", range(2))
def test_a_lost_gpu_costs_no_score_of_the_validation_set(
    seed: int, request_of: Callable[[str], EvaluationRequest], tmp_path: Path
) -> None:
    folder = write_tree(tmp_path / "validation", first_identity=50, videos=4, frames=2)  # six batches of four

    def scored(request: EvaluationRequest, backend: PipelinedBackend, told: list[str] | None = None) -> MeasuredEngine:
        session = session_of(request, backend, told)
        validation = validation_of_path(folder, None, session.samples, session.spec.contract)
        (entry,) = measured_engines(replace(session, validation=validation))
        return entry

    expected = scored(request_of("undisturbed"), PipelinedBackend())
    request = request_of("disturbed")
    measured(request)  # the test set is done
    lost_at = int(np.random.default_rng(seed).integers(3, 6))
    with pytest.raises(BackendError, match=r"of 24 images of q8 on the validation set are scored and kept"):
        scored(request, PipelinedBackend(fails_at=lost_at))
    kept = BATCH * (lost_at - 2)
    told: list[str] = []
    found = scored(request, backend := PipelinedBackend(), told)
    assert f"going on after {kept} of 24 images of q8 on the validation set" in told
    assert sum(map(len, backend.batches)) == 24 - kept
    assert not (request.run / "results/q8/validation.onnxruntime.partial.csv").exists()
    assert found.validation is not None
    assert expected.validation is not None
    assert found.validation.path.read_bytes() == expected.validation.path.read_bytes()
    assert found.frames.path.read_bytes() == expected.frames.path.read_bytes()
    assert found.validation.facts["root"] == str(folder)
    assert set(found.validation.recipe.parents) == {"engine", "validation"}
    scored(request, backend := PipelinedBackend())
    assert backend.opened == []


def test_without_a_validation_set_none_is_scored(request_of: Callable[[str], EvaluationRequest]) -> None:
    request = request_of("run")
    assert measured(request).validation is None
    assert not list(request.run.rglob("validation.*"))


def test_ctrl_c_and_a_torn_line_cost_no_more_than_a_batch(request_of: Callable[[str], EvaluationRequest]) -> None:
    expected = measured(request_of("undisturbed")).frames
    request = request_of("disturbed")
    with pytest.raises(KeyboardInterrupt):
        measured(request, PipelinedBackend(fails_at=6, failure=KeyboardInterrupt))
    content = partial_of(request).read_bytes()
    partial_of(request).write_bytes(content[:-7])
    found = measured(request, backend := PipelinedBackend()).frames
    assert [len(batch) for batch in backend.batches] == [4, 4, 4, 4, 2]
    assert found.path.read_bytes() == expected.path.read_bytes()


def test_a_run_that_was_cut_short_after_its_last_image_only_finishes(
    request_of: Callable[[str], EvaluationRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = measured(replace(request_of("undisturbed"), batch_size=5)).frames
    request = replace(request_of("run"), batch_size=5)

    def full_disk(path: Path, frames: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("evaluate.scoring.frame_files.write_frame_scores", full_disk)
        with pytest.raises(OSError, match="No space left"):
            measured(request)
    found = measured(request, backend := PipelinedBackend()).frames
    assert backend.batches == []
    assert found.path.read_bytes() == expected.path.read_bytes()


def test_scores_of_another_engine_or_batch_size_are_not_gone_on_from(
    request_of: Callable[[str], EvaluationRequest],
) -> None:
    request = request_of("run")
    for other in (replace(request, batch_size=2), request):
        with pytest.raises(BackendError, match="LAUNCH_FAILED"):
            measured(request, PipelinedBackend(fails_at=5))
        if other is request:
            write_engine(RunFolder(request.run), b"another engine")
        told: list[str] = []
        measured(other, backend := PipelinedBackend(), told)
        assert sum(map(len, backend.batches)) == 30
        assert not [line for line in told if line.startswith("going on")]
        (request.run / "results/q8/frames.onnxruntime.csv").unlink()


def test_images_that_do_not_decode_are_remembered_across_runs(
    data: Path, tmp_path: Path, request_of: Callable[[str], EvaluationRequest]
) -> None:
    test = write_tree(tmp_path / "test", first_identity=0, videos=5, frames=2)
    images = sorted(test.rglob("*.png"))
    for index in (0, 5, 6, 17, 29):
        images[index].write_bytes(b"no image")
    lenient = replace(request_of("run"), test=test, skip_unreadable=True)
    expected = measured(replace(lenient, run=request_of("undisturbed").run))
    with pytest.raises(BackendError, match="15 of 30 images of q8 are scored"):
        measured(lenient, PipelinedBackend(fails_at=5))
    strict = replace(lenient, skip_unreadable=False)
    with pytest.raises(ImageError, match=str(images[0])):
        measured(strict)
    with pytest.raises(BackendError, match="15 of 30 images of q8 are scored"):
        measured(lenient, PipelinedBackend(fails_at=5))
    found = measured(lenient)
    assert found.frames.path.read_bytes() == expected.frames.path.read_bytes()
    assert found.frames.facts == expected.frames.facts
    assert found.frames.facts["unreadable"] == [images[i].relative_to(test).as_posix() for i in (0, 5, 6, 17, 29)]


def test_an_image_that_does_not_decode_keeps_what_was_scored_before_it(
    tmp_path: Path, request_of: Callable[[str], EvaluationRequest]
) -> None:
    test = write_tree(tmp_path / "test", first_identity=0, videos=5, frames=2)
    sorted(test.rglob("*.png"))[25].write_bytes(b"no image")
    request = replace(request_of("run"), test=test)
    with pytest.raises(ImageError):
        measured(request)
    measured(replace(request, skip_unreadable=True), backend := PipelinedBackend())
    assert 0 < sum(map(len, backend.batches)) < 29


def test_nothing_readable_is_an_error(tmp_path: Path, request_of: Callable[[str], EvaluationRequest]) -> None:
    test = write_tree(tmp_path / "test", first_identity=0, videos=1, frames=1)
    for image in test.rglob("*.png"):
        image.write_bytes(b"")
    with pytest.raises(DataError, match="none of the 3 images"):
        measured(replace(request_of("run"), test=test, skip_unreadable=True))


def test_garbage_is_refused_and_what_was_sound_is_kept(request_of: Callable[[str], EvaluationRequest]) -> None:
    with pytest.raises(BackendError, match=r"returned nan for .*rebuild it.*; 8 of 30 images of q8 are scored"):
        measured(request_of("run"), PipelinedBackend(garbage_at=2))


def test_a_halved_batch_is_told_scored_at_and_kept(request_of: Callable[[str], EvaluationRequest]) -> None:
    told: list[str] = []
    entry = measured(request_of("run"), backend := PipelinedBackend(memory_for=3), told)
    assert {len(batch) for batch in backend.batches} == {3}
    assert told.count("note: q8: batch halved to 3") == 1
    assert (entry.frames.facts["notes"], entry.frames.facts["batch_size"]) == (["batch halved to 3"], 3)


def test_the_sidecar_says_what_ran_the_engine(request_of: Callable[[str], EvaluationRequest]) -> None:
    request = replace(request_of("run"), gpu=1, cuda_graphs=False)
    entry = measured(request, backend := PipelinedBackend())
    assert (backend.opened[0].gpu, backend.opened[0].cuda_graphs, backend.opened[0].batch_size) == (1, False, BATCH)
    facts = entry.frames.facts
    assert (facts["backend"], facts["device"]) == ("onnxruntime 1.2.3", "Test GPU 1")
    assert (facts["simulation"], facts["conditions"]) == ("all of it is made up", {"CUDA graph": "no"})
    assert entry.frames.recipe.options["backend"] == {"pipelined": "1.2.3"}


def test_scores_are_made_once(request_of: Callable[[str], EvaluationRequest]) -> None:
    request = request_of("run")
    measured(request)
    measured(request, backend := PipelinedBackend())
    assert backend.opened == []


def test_an_engine_of_pixels_is_fed_pixels(request_of: Callable[[str], EvaluationRequest], data: Path) -> None:
    request = request_of("run")
    write_engine(RunFolder(request.run), input="uint8")
    measured(replace(request, latency_batches=(2,), latency_conditions=QUICK), backend := PipelinedBackend())
    assert {(batch.dtype.name, batch.shape[1:]) for batch in [*backend.batches, *backend.cold_starts]} == {
        ("uint8", (32, 32, 3))
    }


def test_an_engine_of_an_unknown_form_is_refused(request_of: Callable[[str], EvaluationRequest]) -> None:
    request = request_of("run")
    write_engine(RunFolder(request.run), input="float16")
    with pytest.raises(ArtifactError, match="takes 'float16' images; expected float32 or uint8"):
        measured(request)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"batch_size": 16}, "takes 2 to 8 images per inference, but --batch-size asks for 16.*--batch 2,4,16"),
        ({"batch_size": 1}, "but --batch-size asks for 1;.*--batch 1,4,8"),
        ({"latency_batches": (2, 9)}, "but --latency-batches asks for 9;"),
    ],
)
def test_a_batch_outside_the_profile_is_refused_before_any_work(
    changes: dict, expected: str, request_of: Callable[[str], EvaluationRequest]
) -> None:
    request = request_of("run")
    write_engine(RunFolder(request.run), batch=[2, 4, 8])
    with pytest.raises(BackendError, match=expected):
        measured(replace(request, **changes), backend := PipelinedBackend())
    assert backend.opened == []


def test_latency_is_measured_before_anything_is_warm(
    request_of: Callable[[str], EvaluationRequest], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_files, "processors_at_hand", lambda: 3)
    request = replace(request_of("run"), latency_batches=(40, 1, 40), latency_conditions=QUICK, gpu=1)
    entry = measured(request, backend := PipelinedBackend())
    # What is timed has the processors to itself; scores take what lets the most images through.
    assert [(options.batch_size, options.inferences) for options in backend.opened] == [(40, 1), (BATCH, 3)]
    assert entry.latency is not None
    record = read_latency(entry.latency)
    assert [batch.batch for batch in record.batches] == [1, 40]
    assert (record.backend, record.device) == ("onnxruntime 1.2.3", "Test GPU 1")
    assert (record.load_ms, record.prepare_ms, record.first_inference_ms, record.memory_bytes) == (1.0, 2.0, 3.0, 4)
    assert [batch.images_per_second for batch in record.batches] == pytest.approx([10.0, 400.0])
    assert entry.latency.recipe.parents == {"engine": entry.engine.sha256}
    options = entry.latency.recipe.options
    assert options["device"] == {"name": "Test GPU 1", "driver": "580.65.01"}
    assert (options["batches"], options["min_seconds"], options["cuda_graphs"]) == ([1, 40], 0.1, True)


def test_latency_is_measured_on_images_of_the_test_set(
    request_of: Callable[[str], EvaluationRequest], data: Path
) -> None:
    request = replace(request_of("run"), latency_batches=(40,), latency_conditions=QUICK)
    measured(request, backend := PipelinedBackend())
    contract = contract_for_tests(size=32).input
    images = [array_from_file(path, contract) for path in sorted(data.rglob("*.png"))]
    np.testing.assert_array_equal(backend.cold_starts[0], np.stack([*images, *images[:10]]))


def test_latency_is_measured_only_if_asked_for_and_once(request_of: Callable[[str], EvaluationRequest]) -> None:
    request = request_of("run")
    assert measured(request).latency is None
    asked = replace(request, latency_batches=(1,), latency_conditions=QUICK)
    first = measured(asked).latency
    measured(asked, backend := PipelinedBackend())
    assert backend.opened == []
    other = measured(replace(asked, latency_batches=(2,)), backend).latency
    assert first is not None
    assert other is not None
    assert first.sha256 != other.sha256


@pytest.mark.parametrize(
    ("victim", "expected"),
    [
        ("q8.onnxruntime.onnx", "no engine at .*copy engines/ from the machine that built it, or run build-engines"),
        ("q8.onnxruntime.onnx.json", "has no sidecar q8.onnxruntime.onnx.json, so nothing vouches for it"),
    ],
)
def test_a_missing_engine_or_sidecar_is_refused(
    victim: str, expected: str, request_of: Callable[[str], EvaluationRequest]
) -> None:
    request = request_of("run")
    (request.run / "engines" / victim).unlink()
    with pytest.raises(ArtifactError, match=expected):
        measured(request, backend := PipelinedBackend())
    assert backend.opened == []


def test_an_edited_sidecar_is_refused(request_of: Callable[[str], EvaluationRequest]) -> None:
    request = request_of("run")
    write_engine(RunFolder(request.run), batch=[2, 4, 8])
    sidecar = request.run / "engines/q8.onnxruntime.onnx.json"
    sidecar.write_text(sidecar.read_text(encoding="utf-8").replace("8\n", "64\n", 1), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"q8\.onnxruntime\.onnx\.json was edited by hand"):
        measured(replace(request, batch_size=64), backend := PipelinedBackend())
    assert backend.opened == []
