"""`build-engines` as one call: a request in, a run folder with an engine per variant and backend out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calibration.datasets.dataset import samples_from_path
from calibration.datasets.prepared import require_as_declared
from calibration.loading import BatchReader
from calibration.samples import SampleSet, require_both_classes
from calibration.sampling import calibration_sample
from engines.backend import backend_from_name
from engines.run_folder import RunFolder, locked
from engines.spec import (
    CalibrationSpec,
    EngineSpec,
    RunSpec,
    begin_spec,
    dropped_engines,
    stored_checkpoint_path,
    write_spec,
)
from engines.store import ArtifactStore, Step
from export.errors import DataError
from export.progress import progress_bar
from export.sidecar import read_artifact
from export.variant import Precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from engines.request import BuildRequest


def build_engines(
    request: BuildRequest, dry_run: bool = False, announce: Callable[[str], None] | None = None
) -> tuple[Step, ...]:
    """Builds the engines of a request, reusing every artifact whose inputs did not change.

    Args:
        request: What to build.
        dry_run: Only tells what would be made, what reused, and how large each file is or will be.
        announce: Gets a line per artifact that is made.

    Returns:
        One step per artifact, in the order of making.

    Raises:
        SignoffError: Anything the user can mend; nothing is half-written.
    """
    contract = request.contract.network_json()
    if dry_run:
        return _build(request, ArtifactStore(contract, dry_run=True), announce)
    run = RunFolder(request.out)
    with locked(run):
        return _build(request, ArtifactStore(contract, announce=announce), announce)


def missed_limits(request: BuildRequest) -> tuple[str, ...]:
    """Returns a sentence for each limit that a pruned source model or a built INT8 variant does not meet."""
    run = RunFolder(request.out)
    pruned = dict.fromkeys(variant.source for variant in request.variants if variant.pruning)
    made = {source: read_artifact(run.model(source)).facts["pruning"] for source in pruned}
    made |= {variant.name: read_artifact(run.onnx(variant.name)).facts.get("int8") for variant in request.variants}
    return tuple(f"{name}: {sentence}" for name, record in made.items() if record for sentence in record["missed"])


def build_notes(request: BuildRequest) -> tuple[str, ...]:
    """Returns what a user should know of the engines that were built, once for all engines that it holds for."""
    run = RunFolder(request.out)
    engines: dict[str, list[str]] = {}
    for name in request.backends:
        backend = backend_from_name(name)
        for variant in request.variants:
            facts = read_artifact(run.engine(variant.name, name, backend.suffix)).facts
            rewritten = [f"rewritten: {facts['rewritten']}"] if "rewritten" in facts else []
            for sentence in dict.fromkeys([*rewritten, *facts.get("warnings", ())]):
                engines.setdefault(f"for {name}: {sentence}", []).append(variant.name)
    return tuple(f"{', '.join(variants)} {sentence}" for sentence, variants in engines.items())


def _build(request: BuildRequest, store: ArtifactStore, announce: Callable[[str], None] | None) -> tuple[Step, ...]:
    run = RunFolder(request.out)
    backends = [backend_from_name(name) for name in request.backends]
    for backend in backends:
        # A missing package or GPU and an option that cannot be had are told before hours of work, not after.
        backend.versions()
        backend.build_device()
        backend.options_that_matter(request.options)
    samples, unreadable = _sampled_calibration_set(request, announce)
    # Imported here, so that a mistake in the command or in the data answers at once: this loads torch.
    from engines.stages import StageInputs, Stages

    inputs = StageInputs(request.checkpoint, request.contract, samples)
    stages = Stages(run, store, inputs, request.int8, request.pruning)
    spec = _spec(run, request, stages.dense.sha256, samples, unreadable)
    if announce is not None:
        for note in (*(f"checkpoint: {note}" for note in stages.dense.notes), *_dropping_notes(run, spec)):
            announce(f"note: {note}")
    if not store.dry_run:
        spec = begin_spec(run, spec)
    stages.require_prunings(variant.pruning for variant in request.variants if variant.pruning)
    if any(variant.precision is Precision.INT8 for variant in request.variants):
        stages.require_quantizable()
    for variant in request.variants:
        for backend in backends:
            stages.engine(variant, backend, request.options)
        if request.stability and variant.precision is Precision.INT8:
            stages.int8_stability(variant.pruning, _calibration_pool(request))
    if not store.dry_run:
        write_spec(run, spec)
    return tuple(store.steps)


def _dropping_notes(run: RunFolder, spec: RunSpec) -> list[str]:
    dropped = ", ".join(f"{engine.variant.name} ({engine.backend})" for engine in dropped_engines(run, spec))
    if not dropped:
        return []
    return [
        f"{run.root} has {dropped} of another checkpoint, model file, calibration set or pruning, which leave the run; "
        "give another --out to keep them"
    ]


def _spec(run: RunFolder, request: BuildRequest, digest: str, samples: SampleSet | None, unreadable: int) -> RunSpec:
    engines = [EngineSpec(variant, backend) for variant in request.variants for backend in request.backends]
    calibration = None
    if samples is not None:
        calibration = CalibrationSpec(
            root=str(samples.root),
            sha256=samples.sha256,
            images=len(samples.samples),
            real=samples.real_count,
            fake=samples.fake_count,
            unreadable=unreadable,
            seed=request.seed,
            method=request.int8.method or "auto",
            recipe=request.int8.name,
            videos=samples.videos,
            identities=samples.identities,
            source="" if request.calibration == samples.root else str(request.calibration),
            split=request.calibration_split or "",
        )
    checkpoint = stored_checkpoint_path(run, request.checkpoint)
    pruning = request.pruning.to_dict() if any(variant.pruning for variant in request.variants) else None
    return RunSpec(request.contract, checkpoint, digest, tuple(engines), calibration, pruning)


def _calibration_pool(request: BuildRequest) -> SampleSet:
    """Returns every image that may be calibrated with."""
    if request.calibration is None:
        raise DataError("INT8 needs calibration images; pass --calibration DATA")
    return samples_from_path(request.calibration, "calibration", request.calibration_split)


def calibration_stability(request: BuildRequest) -> dict[str, list[dict[str, Any]]]:
    """Returns, for each INT8 variant, the points that a request for stability measured."""
    run = RunFolder(request.out)
    names = [variant.name for variant in request.variants if variant.precision is Precision.INT8]
    return {name: list(read_artifact(run.stability(name)).facts["points"]) for name in names}


def _sampled_calibration_set(
    request: BuildRequest, announce: Callable[[str], None] | None
) -> tuple[SampleSet | None, int]:
    """Chooses the calibration images and decodes each once, so that every later stage has the same, readable ones."""
    if request.calibration is None:
        return None, 0
    found = _calibration_pool(request)
    if announce is not None:
        for note in found.notes:
            announce(f"note: calibration set: {note}")
    require_both_classes(found, "calibration")
    require_as_declared(found, request.contract)
    sampled = calibration_sample(found, request.calibration_images, request.seed)
    reader = BatchReader(sampled.samples, request.contract.input, 8, skip_unreadable=request.skip_unreadable)
    batches = progress_bar(reader, "reading calibration images", len(reader), "batch")
    readable = SampleSet(sampled.root, tuple(sample for batch in batches for sample in batch.samples))
    require_both_classes(readable, "readable part of the calibration")
    return readable, len(reader.unreadable)
