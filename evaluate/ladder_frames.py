"""The logits of every frame by a stage between checkpoint and engine, as artifacts that variants share."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from calibration.loading import BatchReader
from calibration.samples import path_from_root
from engines.backend import backend_from_name
from engines.engine_runner import RunOptions
from evaluate.maps.source_models import source_detector, source_weights
from evaluate.scoring.frame_files import FRAMES_KIND, inferences_for_throughput
from evaluate.scoring.resumable_scoring import resumed_frames
from evaluate.scoring.score_files import write_frame_scores
from evaluate.scoring.unfinished_scores import UnfinishedScores
from export.runners import TorchRunner
from export.sidecar import Recipe, sha256_of_json
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from evaluate.scoring.scoring import InferEach
    from evaluate.scoring.session import Session
    from export.sidecar import Artifact

ONNXRUNTIME = "onnxruntime"
_TORCH = "torch"
_BATCH_SIZE = 8
_DEVICE = "CPU"


def torch_frames(session: Session, source: str, skip_unreadable: bool) -> Artifact:
    """Scores the test set by a source model in PyTorch, `dense` or one such as `p50`, or takes the stored scores.

    Args:
        session: Run folder and test set.
        source: The source model.
        skip_unreadable: Goes on without images that do not decode.

    Raises:
        ArtifactError: The model's file is gone or was changed.
        SignoffError: An image does not decode, or nothing does.
    """
    _, digest = source_weights(session.run, session.spec, source)

    @contextmanager
    def opened() -> Iterator[InferEach]:
        with TorchRunner(source_detector(session.run, session.spec, source).module) as runner:
            yield partial(map, runner.infer)

    versions = versions_of("torch", "timm")
    return _obtained(session, source, (_TORCH, versions), {"weights": digest}, opened, skip_unreadable)


def graph_frames(session: Session, variant: str, graph: Artifact, skip_unreadable: bool) -> Artifact:
    """Scores the test set by a variant's graph in ONNX Runtime on the CPU, or takes the stored scores.

    Raises:
        ArtifactError: The graph was changed.
        BackendError: ONNX Runtime is not installed or refuses the graph.
        SignoffError: An image does not decode, or nothing does.
    """
    backend = backend_from_name(ONNXRUNTIME)
    inferences = inferences_for_throughput(session, _BATCH_SIZE)

    @contextmanager
    def opened() -> Iterator[InferEach]:
        with backend.runner(graph, RunOptions(_BATCH_SIZE, inferences=inferences)) as runner:
            yield runner.infer_each

    versions = dict(backend.versions())
    return _obtained(session, variant, (ONNXRUNTIME, versions), {"onnx": graph.sha256}, opened, skip_unreadable)


def _obtained(
    session: Session,
    name: str,
    tool: tuple[str, Mapping[str, str]],
    parents: Mapping[str, str],
    opened: Callable[[], AbstractContextManager[InferEach]],
    skip_unreadable: bool,
) -> Artifact:
    samples, contract = session.samples, session.spec.contract.input
    kind, versions = tool
    path = session.run.ladder_frames(name, kind)
    unfinished_at = path.with_suffix(".partial.csv")
    recipe = Recipe(
        FRAMES_KIND,
        {**parents, "test": samples.sha256},
        {
            "runner": dict(versions),
            "device": _DEVICE,
            "skip_unreadable": skip_unreadable,
            **versions_of("pillow", "numpy"),
        },
    )

    def write(path: Path) -> Mapping[str, Any]:
        contract_json = session.spec.contract.network_json()
        key = sha256_of_json([recipe.key, contract_json, _BATCH_SIZE])
        unfinished = UnfinishedScores(unfinished_at, key, samples.root)
        known = unfinished.resumed(samples.samples, _BATCH_SIZE, skip_unreadable)
        if known:
            session.announce(f"going on after {len(known)} of {len(samples.samples)} images of {name} by {kind}")
        reader_of = partial(
            BatchReader,
            contract=contract,
            batch_size=_BATCH_SIZE,
            skip_unreadable=skip_unreadable,
            in_bursts=kind == _TORCH,  # it splits each operator over all processors
        )
        with opened() as infer_each:
            scored = resumed_frames(infer_each, reader_of, known, samples, unfinished, f"{name} by {kind}")
        write_frame_scores(path, scored.frames)
        return {
            "unreadable": [path_from_root(sample.path, samples.root) for sample in scored.unreadable],
            "backend": f"{kind} {next(iter(versions.values())).partition('+')[0]}",
            "device": _DEVICE,
            "batch_size": _BATCH_SIZE,
        }

    frames = session.store.obtain(path, recipe, write, 100_000)
    unfinished_at.unlink(missing_ok=True)  # only now: a kill before the sidecar is written costs nothing
    return frames
