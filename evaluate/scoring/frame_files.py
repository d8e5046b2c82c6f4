"""The logits of every frame by an engine, as an artifact of the run folder."""

from __future__ import annotations

import platform
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from calibration.loading import BatchReader
from calibration.samples import path_from_root
from evaluate.scoring.resumable_scoring import resumed_frames
from evaluate.scoring.score_files import write_frame_scores
from evaluate.scoring.unfinished_scores import UnfinishedScores
from export.concurrency import inferences_at_a_time, processors_at_hand
from export.contract import InputForm
from export.errors import ArtifactError
from export.sidecar import Recipe, sha256_of_json
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from calibration.samples import Sample
    from engines.engine_runner import EngineRunner
    from evaluate.scoring.labelled_images import LabelledImages
    from evaluate.scoring.scoring import ScoredFrames
    from evaluate.scoring.session import Session
    from export.sidecar import Artifact
    from export.variant import Variant

FRAMES_KIND = "frame-scores"


def obtained_frames(session: Session, variant: Variant, engine: Artifact, images: LabelledImages) -> Artifact:
    """Scores every frame of a set, or takes the scores that an earlier command made by the same recipe.

    Whatever ends it early leaves the logits of the batches that were done, and the next command goes on from there.

    Raises:
        BackendError: The engine fails; the message says how many images are scored by then.
        SignoffError: An image does not decode, or nothing does.
    """
    request, backend, samples = session.request, session.backend, images.samples
    device = backend.device(request.gpu)
    logits = Recipe(
        FRAMES_KIND,
        {"engine": engine.sha256, images.role: samples.sha256},
        {
            "backend": dict(backend.versions()),
            "device": device,
            "contract": session.spec.contract.network_json(),
            **versions_of("pillow", "numpy"),
        },
    )

    def write(path: Path) -> Mapping[str, Any]:
        inferences = inferences_for_throughput(session, request.batch_size)
        with backend.runner(engine, request.run_options(request.batch_size, inferences)) as runner:
            # A device without the memory for the batch asked for takes a smaller one, and says so in its notes.
            batch_size = min(request.batch_size, runner.largest_batch)
            unfinished = UnfinishedScores(images.unfinished_at, sha256_of_json([logits.key, batch_size]), samples.root)
            told = _announced(session, variant, runner)
            scored = _scored(session, images, engine, runner, unfinished, batch_size)
            notes = _announced(session, variant, runner, told)
            conditions = runner.conditions
        write_frame_scores(path, scored.frames)
        return {
            "unreadable": [path_from_root(sample.path, samples.root) for sample in scored.unreadable],
            "lost_videos": sorted(scored.lost_videos),
            "backend": backend_label(session),
            "device": device,
            "simulation": backend.simulation_note(variant.precision),
            "batch_size": batch_size,
            "conditions": conditions,
            "notes": list(notes),
            "python": platform.python_version(),
            "machine": platform.machine(),
            **images.facts,
        }

    recipe = replace(logits, options={**logits.options, "skip_unreadable": request.skip_unreadable})
    frames = session.store.obtain(images.scores_at, recipe, write, 100_000)
    images.unfinished_at.unlink(missing_ok=True)  # only now: a kill before the sidecar is written costs nothing
    return frames


def inferences_for_throughput(session: Session, batch_size: int) -> int:
    """Returns how many inferences at a time an engine on the processors is given."""
    return inferences_at_a_time(batch_size, session.spec.contract.input.size, processors_at_hand())


def backend_label(session: Session) -> str:
    """Names the backend and the version of its first package, such as `tensorrt 10.13.0`."""
    return f"{session.backend.name} {next(iter(session.backend.versions().values()))}"


def reader_of_engine(session: Session, engine: Artifact, samples: Sequence[Sample], batch_size: int) -> BatchReader:
    """Returns a reader of images in the form that an engine takes.

    Raises:
        ArtifactError: The engine takes a form that this release does not know.
    """
    form = engine.facts.get("input", "float32")
    if form not in get_args(InputForm):
        known = " or ".join(get_args(InputForm))
        raise ArtifactError(f"{engine.path.name} takes {form!r} images; expected {known}: build it again")
    return BatchReader(
        samples,
        session.spec.contract.input,
        batch_size,
        skip_unreadable=session.request.skip_unreadable,
        form=form,
    )


def _scored(
    session: Session,
    images: LabelledImages,
    engine: Artifact,
    runner: EngineRunner,
    unfinished: UnfinishedScores,
    batch_size: int,
) -> ScoredFrames:
    samples = images.samples
    known = unfinished.resumed(samples.samples, batch_size, session.request.skip_unreadable)
    if known:
        session.announce(f"going on after {len(known)} of {len(samples.samples)} images of {images.label}")
    reader_of = partial(reader_of_engine, session, engine, batch_size=batch_size)
    return resumed_frames(runner.infer_each, reader_of, known, samples, unfinished, images.label)


def _announced(session: Session, variant: Variant, runner: EngineRunner, told: Sequence[str] = ()) -> tuple[str, ...]:
    """Announces the runner's notes, without those that were told already, and returns all of them."""
    for note in runner.notes:
        if note not in told:
            session.announce(f"note: {variant.name}: {note}")
    return tuple(runner.notes)
