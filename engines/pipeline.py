"""`build-engines` as one call: a request in, a run folder with an engine per variant and backend out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from calibration.celeb_df import has_test_list, samples_from_celeb_df
from calibration.samples import SampleSet, require_both_classes
from calibration.sampling import calibration_sample
from engines.backend import BuildOptions, backend_from_name
from engines.run_folder import RunFolder, locked
from engines.spec import CalibrationSpec, RunSpec, write_spec
from engines.stages import CalibrationSettings, Stages
from engines.store import ArtifactStore, Step
from export.variant import Variant

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from calibration.samples import SampleSet
    from export.contract import ModelContract
    from export.variant import Variant


@dataclass(frozen=True)
class BuildRequest:
    """What `build-engines` was asked for, with every default written out.

    Attributes:
        out: The run folder.
        checkpoint: The trained detector.
        contract: What its model file declares.
        variants: Rows of the report to be.
        backends: Names of the backends to build for.
        calibration: Celeb-DF-like folder of calibration faces; INT8 and pruned variants need one.
        calibration_images: How many of its frames to use.
        seed: Seed of the choice of those frames.
        settings: How to calibrate.
        options: How TensorRT builds.
    """

    out: Path
    checkpoint: Path
    contract: ModelContract
    variants: tuple[Variant, ...]
    backends: tuple[str, ...]
    calibration: Path | None = None
    calibration_images: int = 256
    seed: int = 0
    settings: CalibrationSettings = field(default_factory=CalibrationSettings)
    options: BuildOptions = field(default_factory=BuildOptions)


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
    if dry_run:
        return _build(request, ArtifactStore(dry_run=True))
    run = RunFolder(request.out)
    with locked(run):
        return _build(request, ArtifactStore(announce=announce))


def _build(request: BuildRequest, store: ArtifactStore) -> tuple[Step, ...]:
    run = RunFolder(request.out)
    backends = [backend_from_name(name) for name in request.backends]
    for backend in backends:
        backend.versions()  # a missing package is told before hours of work, not after
    samples = _sampled_calibration_set(request)
    stages = Stages(run, store, request.checkpoint, request.contract, samples, request.settings)
    digest = stages.dense.sha256
    for variant in request.variants:
        for backend in backends:
            stages.engine(variant, backend, request.options)
    if not store.dry_run:
        write_spec(run, _spec(request, digest, samples))
    return tuple(store.steps)


def _spec(request: BuildRequest, digest: str, samples: SampleSet | None) -> RunSpec:
    calibration = samples and CalibrationSpec(
        root=str(samples.root),
        sha256=samples.sha256,
        images=len(samples.samples),
        real=samples.real_count,
        fake=samples.fake_count,
        seed=request.seed,
        method=request.settings.method,
        videos=samples.videos,
        identities=samples.identities,
    )
    return RunSpec(
        request.contract,
        str(request.checkpoint.resolve()),
        digest,
        request.variants,
        request.backends,
        calibration or None,
    )


def _sampled_calibration_set(request: BuildRequest) -> SampleSet | None:
    if request.calibration is None:
        return None
    found = samples_from_celeb_df(request.calibration, "unlisted" if has_test_list(request.calibration) else "all")
    require_both_classes(found, "calibration")
    return calibration_sample(found, request.calibration_images, request.seed)
