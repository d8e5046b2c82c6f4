"""A verdict on a report, kept as verdict.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from evaluate.statistics.noninferiority import Grade  # noqa: TC001  # decoding resolves the fields' types
from evaluate.verdict.limits import LimitsFile, require_in_range
from export.decoding import decoded_from_json
from export.errors import ArtifactError
from export.sidecar import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

VERDICT_SCHEMA = 1
_SEVERITY: tuple[Grade, ...] = ("PASS", "INCONCLUSIVE", "FAIL")


@dataclass(frozen=True)
class Finding:
    """One limit and what a variant made of it.

    Attributes:
        limit: Its name, a field of `Limits`.
        allowed: The limit.
        measured: The figure; None if it was not measured.
        bound: The bound of its interval that was compared; None where the figure is exact.
        grade: PASS, FAIL or INCONCLUSIVE.
        reason: A sentence with the figures.
        next_step: What most likely mends it; empty for PASS.
        waived: Reason why it may be missed; empty if it may not.
    """

    limit: str
    allowed: float
    measured: float | None
    bound: float | None
    grade: Grade
    reason: str
    next_step: str = ""
    waived: str = ""


@dataclass(frozen=True)
class VariantVerdict:
    """All findings of one variant.

    Attributes:
        variant: Its name.
        grade: The worst of its findings that are not waived: FAIL before INCONCLUSIVE before PASS.
        findings: One per limit.
        is_candidate: Whether the verdict depends on it.
        dominated_by: A variant that is no larger, no slower and no worse, and better in one of them; empty if none.
        simulation: Why its scores only simulate the target's arithmetic, and so does its grade; empty where not.
    """

    variant: str
    grade: Grade
    findings: tuple[Finding, ...]
    is_candidate: bool = True
    dominated_by: str = ""
    simulation: str = ""


@dataclass(frozen=True)
class Decision:
    """Who decided what, and when.

    Attributes:
        signed_by: Name of the person; empty while nobody signed.
        signed_utc: ISO 8601 time; empty likewise.
        note: What they want to be read with it.
    """

    signed_by: str = ""
    signed_utc: str = ""
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """What limits make of a report.

    Attributes:
        graded_utc: ISO 8601 time.
        grade: The worst of the candidates'.
        variants: One per variant of the report, the baseline included.
        limits: What was applied.
        decision: Who signed it.
        digests: Name of an artifact, such as `checkpoint` or `engine of q8` -> sha256.
        report_sha256: Digest of the report.json that was graded.
        schema_version: Version of this layout.
    """

    graded_utc: str
    grade: Grade
    variants: tuple[VariantVerdict, ...]
    limits: LimitsFile
    decision: Decision
    digests: dict[str, str]
    report_sha256: str
    schema_version: int = VERDICT_SCHEMA


def worst_grade(grades: Iterable[Grade]) -> Grade:
    """Returns FAIL before INCONCLUSIVE before PASS; PASS of none."""
    return max(grades, key=_SEVERITY.index, default="PASS")


def read_verdict(path: Path) -> Verdict:
    """Reads verdict.json.

    Raises:
        ArtifactError: It is missing or damaged, or its layout is another release's.
        DataError: A limit in it is out of range.
    """
    value = read_json(path)
    found = value.get("schema_version") if isinstance(value, dict) else None
    if found != VERDICT_SCHEMA:
        raise ArtifactError(f"{path} has schema_version {found!r}; expected {VERDICT_SCHEMA}: delete it, grade again")
    verdict = decoded_from_json(Verdict, value)
    require_in_range(verdict.limits, path)
    return verdict


def write_verdict(path: Path, verdict: Verdict) -> None:
    """Writes verdict.json atomically."""
    write_json(path, asdict(verdict))
