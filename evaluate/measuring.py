"""Scores of every engine on the test set: what takes the device, and no more packages than a device has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration.celeb_df import has_test_list, samples_from_celeb_df
from calibration.loading import BatchReader
from calibration.samples import SampleSet, require_both_classes, require_disjoint
from engines.engine_runner import RunOptions
from evaluate.score_files import write_frame_scores
from evaluate.scoring import frame_scores_from_runner
from export.errors import ArtifactError
from export.sidecar import Artifact, Recipe, read_artifact
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engines.backend import Backend
    from engines.run_folder import RunFolder
    from engines.spec import RunSpec
    from engines.store import ArtifactStore
    from evaluate.request import EvaluationRequest
    from export.variant import Variant


@dataclass(frozen=True)
class Session:
    """What every step of one evaluation works with."""

    request: EvaluationRequest
    run: RunFolder
    spec: RunSpec
    backend: Backend
    samples: SampleSet
    store: ArtifactStore


@dataclass(frozen=True)
class MeasuredEngine:
    """A variant's engine, the graph it was built from, and the scores of every frame."""

    variant: Variant
    engine: Artifact
    graph: Artifact
    frames: Artifact


def samples_of_request(request: EvaluationRequest, spec: RunSpec) -> SampleSet:
    """Returns the labelled faces.

    Raises:
        DataError: A class is empty, or the set shares people with the calibration set.
    """
    samples = samples_from_celeb_df(request.test, "listed" if has_test_list(request.test) else "all")
    require_both_classes(samples, "test")
    if spec.calibration is not None:
        require_disjoint(spec.calibration, samples)
    return samples


def measured_engine(session: Session, variant: Variant) -> MeasuredEngine:
    """Scores every frame by a variant's engine.

    Raises:
        ArtifactError: The engine was built from an earlier graph.
    """
    backend = session.backend
    engine = read_artifact(session.run.engine(variant.name, backend.name, backend.suffix))
    graph = read_artifact(session.run.onnx(variant.name))
    if not is_built_from(engine, graph):
        raise ArtifactError(f"{engine.path} was built from another graph than {graph.path}; run build-engines again")
    return MeasuredEngine(variant, engine, graph, _scored_frames(session, variant, engine))


def is_built_from(engine: Artifact, graph: Artifact) -> bool:
    """Tells whether an engine is that of a graph, not of an earlier one."""
    return engine.recipe.parents["onnx"] == graph.sha256


def _scored_frames(session: Session, variant: Variant, engine: Artifact) -> Artifact:
    request, backend, samples = session.request, session.backend, session.samples
    options = {"backend": dict(backend.versions()), "skip_unreadable": request.skip_unreadable}
    recipe = Recipe(
        "frame-scores",
        {"engine": engine.sha256, "test": samples.sha256},
        {**options, **versions_of("pillow", "numpy")},
    )

    def write(path: Path) -> Mapping[str, Any]:
        reader = BatchReader(
            samples.samples,
            session.spec.contract.input,
            request.batch_size,
            skip_unreadable=request.skip_unreadable,
        )
        with backend.runner(engine, RunOptions(request.batch_size)) as runner:
            scored = frame_scores_from_runner(runner, reader, samples.root, f"scoring {variant.name}")
        write_frame_scores(path, scored.frames)
        return {
            "unreadable": [sample.path.relative_to(samples.root).as_posix() for sample in scored.unreadable],
            "lost_videos": sorted(scored.lost_videos),
        }

    return session.store.obtain(session.run.results(variant.name) / "frames.csv", recipe, write, 100_000)
