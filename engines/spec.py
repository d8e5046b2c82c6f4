"""`spec.json`: what a run folder was made from, resolved; enough to evaluate its engines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from export import __version__
from export.contract import ModelContract
from export.errors import ArtifactError, BackendError, ContractError, VariantError
from export.sidecar import read_json, write_json
from export.stored_json import Stated
from export.variant import Variant, variant_from_name

if TYPE_CHECKING:
    from pathlib import Path

    from engines.run_folder import RunFolder

SPEC_SCHEMA = 2


@dataclass(frozen=True)
class CalibrationSpec:
    """The calibration images of a run: `videos` and `identities` guard the test set against overlap.

    `source` is what was passed to build-engines where that is not the root itself, but a table or a list of the images,
    and `split` what was asked for of it; empty for what the purpose decides.
    """

    root: str
    sha256: str
    images: int
    real: int
    fake: int
    unreadable: int
    seed: int
    method: str
    recipe: str
    videos: frozenset[str]
    identities: frozenset[str]
    source: str = ""
    split: str = ""


@dataclass(frozen=True)
class EngineSpec:
    """One engine of a run: a variant, and the backend it was built for."""

    variant: Variant
    backend: str


@dataclass(frozen=True)
class RunSpec:
    """What `spec.json` says about a run: enough to evaluate its engines.

    Attributes:
        contract: The model file's declaration.
        checkpoint: Path of the checkpoint, relative to the run folder if it lies inside.
        checkpoint_sha256: Its digest.
        engines: Every engine built so far from this checkpoint and calibration set.
        calibration: The calibration set, or None.
        pruning: The recipe that every pruned engine was made by, or None if there is no such engine.
    """

    contract: ModelContract
    checkpoint: str
    checkpoint_sha256: str
    engines: tuple[EngineSpec, ...]
    calibration: CalibrationSpec | None
    pruning: dict[str, Any] | None = None

    def variants_for(self, backend: str) -> tuple[Variant, ...]:
        """Returns the variants built for a backend.

        Raises:
            BackendError: There is none.
        """
        variants = tuple(engine.variant for engine in self.engines if engine.backend == backend)
        if not variants:
            built = ", ".join(dict.fromkeys(engine.backend for engine in self.engines)) or "no backend"
            raise BackendError(
                f"the run has no engines for {backend}, only for {built}; build some with --backend {backend}"
            )
        return variants

    def backends_of(self, variant: Variant) -> tuple[str, ...]:
        """Returns the backends that a variant was built for."""
        return tuple(engine.backend for engine in self.engines if engine.variant == variant)

    def checkpoint_path(self, run: RunFolder) -> Path:
        """Returns where the checkpoint lies."""
        return run.root / self.checkpoint  # an absolute path stays what it is


def stored_checkpoint_path(run: RunFolder, checkpoint: Path) -> str:
    """Returns how a spec names a checkpoint: a run folder that holds its checkpoint can be moved."""
    absolute, root = checkpoint.resolve(), run.root.resolve()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)


def read_spec(run: RunFolder) -> RunSpec:
    """Reads the spec of a run.

    Raises:
        ArtifactError: The folder holds no run, or its spec was damaged.
    """
    if not run.spec.is_file():
        raise ArtifactError(f"{run.root} holds no run that is complete; run build-engines with --out {run.root}")
    record = read_json(run.spec)
    remedy = f"run build-engines with --out {run.root}"
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SPEC_SCHEMA:
        number = schema if isinstance(schema, int) else None
        told = f"{run.spec} has schema {number}, which is another release's; this one writes {SPEC_SCHEMA}"
        raise ArtifactError(f"{told}: {remedy}")
    stated = Stated(record, run.spec, remedy)
    try:
        return RunSpec(
            contract=ModelContract.from_json(stated.text("contract")),
            checkpoint=stated.text("checkpoint"),
            checkpoint_sha256=stated.text("checkpoint_sha256"),
            engines=tuple(_engine_from_record(entry) for entry in record["engines"]),
            calibration=(
                None
                if record["calibration"] is None
                else _calibration_from_record(Stated(stated.part("calibration"), run.spec, remedy))
            ),
            pruning=None if record["pruning"] is None else stated.part("pruning"),
        )
    except (ContractError, VariantError, TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{run.spec} is damaged ({error}); {remedy}") from error


def begin_spec(run: RunFolder, spec: RunSpec) -> RunSpec:
    """Reduces the stored spec to the engines that stay true while new ones are built, and returns the final spec.

    A command that is killed half-way then leaves a spec that names no engine of another checkpoint, contract,
    calibration set or pruning than it says.
    """
    kept = _still_true(run, spec)
    if kept is None:
        run.spec.unlink(missing_ok=True)
        return spec
    write_spec(run, kept)
    return replace(
        spec,
        engines=tuple(dict.fromkeys([*kept.engines, *spec.engines])),
        calibration=spec.calibration or kept.calibration,
        pruning=spec.pruning or kept.pruning,
    )


def dropped_engines(run: RunFolder, spec: RunSpec) -> tuple[EngineSpec, ...]:
    """Returns the engines of the stored spec that `begin_spec` would take out of the run, and `spec` not build anew."""
    try:
        earlier = read_spec(run)
    except ArtifactError:
        return ()
    kept = _still_true(run, spec)
    remaining = {*spec.engines, *(kept.engines if kept else ())}
    return tuple(engine for engine in earlier.engines if engine not in remaining)


def write_spec(run: RunFolder, spec: RunSpec) -> None:
    """Writes the spec."""
    write_json(
        run.spec,
        {
            "schema": SPEC_SCHEMA,
            "toolkit": __version__,
            "checkpoint": spec.checkpoint,
            "checkpoint_sha256": spec.checkpoint_sha256,
            "contract": spec.contract.to_json(),
            "engines": [[engine.variant.name, engine.backend] for engine in spec.engines],
            "calibration": _calibration_record(spec.calibration) if spec.calibration else None,
            "pruning": spec.pruning,
        },
    )


def _still_true(run: RunFolder, spec: RunSpec) -> RunSpec | None:
    try:
        earlier = read_spec(run)
    except ArtifactError:
        return None
    if (earlier.checkpoint_sha256, earlier.contract.network_json()) != (
        spec.checkpoint_sha256,
        spec.contract.network_json(),
    ):
        return None
    one, other = earlier.calibration, spec.calibration
    same = (
        one is None
        or other is None
        or (one.sha256, one.method, one.recipe)
        == (
            other.sha256,
            other.method,
            other.recipe,
        )
    )
    # Variants share their pruned source; one of an earlier recipe would be reported with the weights of the new one.
    same_pruning = earlier.pruning is None or spec.pruning is None or earlier.pruning == spec.pruning
    engines = tuple(
        engine
        for engine in earlier.engines
        if (same or not engine.variant.needs_calibration) and (same_pruning or engine.variant.pruning is None)
    )
    if not engines:
        return None
    return replace(
        earlier,
        contract=spec.contract,
        checkpoint=spec.checkpoint,
        engines=engines,
        calibration=one if same else None,
        pruning=earlier.pruning if any(engine.variant.pruning for engine in engines) else None,
    )


def _calibration_record(calibration: CalibrationSpec) -> dict[str, Any]:
    names = {"videos": sorted(calibration.videos), "identities": sorted(calibration.identities)}
    return {**asdict(calibration), **names}


def _engine_from_record(entry: Any) -> EngineSpec:
    if not isinstance(entry, list) or len(entry) != 2 or not all(isinstance(part, str) for part in entry):
        raise ValueError("an engine is not a variant and a backend")
    return EngineSpec(variant_from_name(entry[0]), entry[1])


def _calibration_from_record(record: Stated) -> CalibrationSpec:
    return CalibrationSpec(
        root=record.text("root"),
        sha256=record.text("sha256"),
        images=record.whole_number("images"),
        real=record.whole_number("real"),
        fake=record.whole_number("fake"),
        unreadable=record.whole_number("unreadable"),
        seed=record.whole_number("seed"),
        method=record.text("method"),
        recipe=record.text("recipe"),
        videos=frozenset(record.texts("videos")),
        identities=frozenset(record.texts("identities")),
        source=record.text("source") if "source" in record else "",
        split=record.text("split") if "split" in record else "",
    )
