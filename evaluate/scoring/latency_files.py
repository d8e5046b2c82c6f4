"""How long an engine takes, as an artifact of the run folder."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.latency import LatencyRecord
from engines.latency_measuring import measured_latency
from evaluate.scoring.frame_files import backend_label, reader_of_engine
from evaluate.scoring.scoring import no_readable_image
from export.decoding import decoded_from_json
from export.sidecar import Recipe, read_artifact, read_json, sidecar_path, write_json

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from calibration.loading import Batch
    from engines.run_folder import RunFolder
    from evaluate.scoring.session import Session
    from export.runner import Images
    from export.sidecar import Artifact
    from export.variant import Variant

LATENCY_KIND = "latency"


def obtained_latency(session: Session, variant: Variant, engine: Artifact) -> Artifact:
    """Measures an engine, or takes what an earlier command measured by the same recipe.

    The runner is one of its own, opened before the test set is scored, so that the cold start is one: the libraries of
    the backend are loaded by the first engine of a command, and the file itself is in memory, because its digest was
    just checked. What is there is not measured again: a report keeps its figures until the file is deleted.

    Raises:
        BackendError: The engine fails.
        SignoffError: No image of the test set decodes.
    """
    request, backend = session.request, session.backend
    device = backend.device(request.gpu)
    recipe = Recipe(
        LATENCY_KIND,
        {"engine": engine.sha256},
        {
            "backend": dict(backend.versions()),
            "device": {**backend.build_device(request.gpu), "name": device},
            "batches": list(request.latency_sizes),
            "cuda_graphs": request.cuda_graphs,
            **asdict(request.latency_conditions),
        },
    )

    def write(path: Path) -> Mapping[str, Any]:
        with backend.runner(engine, request.run_options(max(request.latency_sizes))) as runner:
            record = measured_latency(
                runner,
                lambda batch: first_images(session, engine, batch),
                request.latency_sizes,
                request.latency_conditions,
                backend_label(session),
                device,
                f"latency of {variant.name}",
            )
        write_json(path, record.to_dict())
        return {}

    return session.store.obtain(session.run.latency(variant.name, backend.name), recipe, write, 10_000)


def read_latency(artifact: Artifact) -> LatencyRecord:
    """Reads the record of a latency artifact.

    Raises:
        ArtifactError: It is another release's.
    """
    return decoded_from_json(LatencyRecord, read_json(artifact.path))


def stored_latency(run: RunFolder, variant: Variant, backend: str) -> Artifact | None:
    """Returns what was measured of a variant's engine of a backend, whichever engine that was; None if nothing was.

    Raises:
        ArtifactError: The file was changed.
    """
    path = run.latency(variant.name, backend)
    return read_artifact(path) if path.is_file() and sidecar_path(path).is_file() else None


def first_images(session: Session, engine: Artifact, count: int) -> Images:
    """Returns the first images of the test set that decode, in the form the engine takes; repeated if there are fewer.

    Raises:
        DataError: None decodes.
        ImageError: One does not decode, and such images are not to be skipped.
    """
    samples = session.samples
    reader = reader_of_engine(session, engine, samples.samples, count)
    batches: Generator[Batch, None, None] = (batch for batch in reader)
    with closing(batches):
        first = next(batches, None)
    if first is None:
        raise no_readable_image(len(samples.samples), samples.root)
    return first.images[np.arange(count) % len(first.images)]
