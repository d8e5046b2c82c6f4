"""`spec.json`: what a run folder was made from, resolved; enough to evaluate its engines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from export import __version__
from export.contract import ModelContract
from export.errors import ArtifactError
from export.sidecar import read_json, write_json
from export.variant import Variant, variant_from_name

if TYPE_CHECKING:
    from engines.run_folder import RunFolder

SPEC_SCHEMA = 1


@dataclass(frozen=True)
class CalibrationSpec:
    """The calibration images of a run: `videos` and `identities` guard the test set against overlap."""

    root: str
    sha256: str
    images: int
    real: int
    fake: int
    seed: int
    method: str
    videos: frozenset[str]
    identities: frozenset[str]


@dataclass(frozen=True)
class RunSpec:
    """What `spec.json` says about a run: enough to evaluate its engines.

    Attributes:
        contract: The model file's declaration.
        checkpoint: Absolute path of the checkpoint.
        checkpoint_sha256: Its digest.
        variants: Every variant built so far from this checkpoint.
        backends: Backends that they were built for.
        calibration: The calibration set, or None.
    """

    contract: ModelContract
    checkpoint: str
    checkpoint_sha256: str
    variants: tuple[Variant, ...]
    backends: tuple[str, ...]
    calibration: CalibrationSpec | None


def read_spec(run: RunFolder) -> RunSpec:
    """Reads the spec of a run.

    Raises:
        ArtifactError: The folder holds no run, or its spec was damaged.
    """
    if not run.spec.is_file():
        raise ArtifactError(f"{run.root} holds no run; make one with: build-engines --checkpoint FILE --out {run.root}")
    record = read_json(run.spec)
    try:
        calibration = record["calibration"]
        return RunSpec(
            contract=ModelContract.from_json(record["contract"]),
            checkpoint=record["checkpoint"],
            checkpoint_sha256=record["checkpoint_sha256"],
            variants=tuple(variant_from_name(name) for name in record["variants"]),
            backends=tuple(record["backends"]),
            calibration=_calibration_from_record(calibration) if calibration else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"{run.spec} is damaged ({error!r}); delete it and run build-engines again with --out {run.root}"
        ) from error


def write_spec(run: RunFolder, spec: RunSpec) -> None:
    """Writes the spec, adding what earlier commands built in this folder from the same checkpoint."""
    merged = _with_earlier(run, spec)
    write_json(
        run.spec,
        {
            "schema": SPEC_SCHEMA,
            "toolkit": __version__,
            "checkpoint": merged.checkpoint,
            "checkpoint_sha256": merged.checkpoint_sha256,
            "contract": merged.contract.to_json(),
            "variants": [variant.name for variant in merged.variants],
            "backends": list(merged.backends),
            "calibration": _calibration_record(merged.calibration) if merged.calibration else None,
        },
    )


def _with_earlier(run: RunFolder, spec: RunSpec) -> RunSpec:
    if not run.spec.is_file():
        return spec
    earlier = read_spec(run)
    if earlier.checkpoint_sha256 != spec.checkpoint_sha256 or earlier.contract != spec.contract:
        return spec
    return replace(
        spec,
        variants=tuple(dict.fromkeys([*earlier.variants, *spec.variants])),
        backends=tuple(dict.fromkeys([*earlier.backends, *spec.backends])),
        calibration=spec.calibration or earlier.calibration,
    )


def _calibration_record(calibration: CalibrationSpec) -> dict[str, Any]:
    names = {"videos": sorted(calibration.videos), "identities": sorted(calibration.identities)}
    return {**asdict(calibration), **names}


def _calibration_from_record(record: dict[str, Any]) -> CalibrationSpec:
    names = {key: frozenset(record[key]) for key in ("videos", "identities")}
    return CalibrationSpec(**{**record, **names})
