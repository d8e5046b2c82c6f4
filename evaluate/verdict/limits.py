"""Limits of a sign-off, as `limits.toml` states them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from evaluate.verdict.limit_range import CONFIDENCE_RANGE, RANGES, nearest_name
from export.errors import DataError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LARGEST_SHOWN = 10**18
_KEYS = ("limits", "variant", "candidates", "confidence")


@dataclass(frozen=True)
class Limits:
    """What a variant must keep; None means no such limit.

    Attributes:
        max_size_mib: Size of the engine's file, in MiB.
        min_auc: AUC of the videos.
        max_auc_drop: Loss of AUC against the baseline: the margin of non-inferiority.
        max_relative_auc_drop: The same as a share of the baseline's AUC.
        max_error_growth: Growth of 1 - AUC as a share of the baseline's 1 - AUC.
        max_flips: Share of the videos whose decision at the frozen threshold (0.5 without one) differs.
        max_false_alarms: Share of the reals called fake at the frozen threshold (0.5 without one).
        max_missed_fakes: Share of the fakes called real, likewise.
        max_latency_ms: 95th percentile of the latency at the smallest batch measured, in ms.
        max_cam_drift: 1 - correlation of the class-activation maps with the baseline's.
        min_slice_auc: AUC of the worst slice.
        max_slice_auc_drop: Largest loss of AUC of any slice.
    """

    max_size_mib: float | None = None
    min_auc: float | None = None
    max_auc_drop: float | None = None
    max_relative_auc_drop: float | None = None
    max_error_growth: float | None = None
    max_flips: float | None = None
    max_false_alarms: float | None = None
    max_missed_fakes: float | None = None
    max_latency_ms: float | None = None
    max_cam_drift: float | None = None
    min_slice_auc: float | None = None
    max_slice_auc_drop: float | None = None

    @property
    def stated(self) -> dict[str, float]:
        """Name -> value of the limits that there are, in the order above."""
        values = ((limit.name, getattr(self, limit.name)) for limit in fields(self))
        return {name: value for name, value in values if value is not None}


DEFAULT_LIMITS = Limits(max_auc_drop=0.01, max_flips=0.02)


@dataclass(frozen=True)
class LimitsFile:
    """Limits for all variants, and those of single ones.

    Attributes:
        common: For every variant.
        of_variant: Name -> limits that replace the common ones, field by field.
        candidates: Variants that the verdict is about; empty means all but the baseline.
        confidence: Of every bound that a grade rests on.
        source: Where they were read from, for the report.
    """

    common: Limits = DEFAULT_LIMITS
    of_variant: dict[str, Limits] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()
    confidence: float = 0.95
    source: str = "default limits"

    def limits_of(self, variant: str) -> Limits:
        """Returns the limits of a variant."""
        return replace(self.common, **self.of_variant.get(variant, Limits()).stated)


def limits_from_file(path: Path) -> LimitsFile:
    """Reads limits.toml.

    What the file does not state is not limited: the default limits are those of no file at all.

    Raises:
        DataError: The file is missing or no TOML, or has an unknown key or a value out of range.
    """
    stated = _parsed_toml(path)
    _refuse_unknown(path, "key", stated, _KEYS)
    variants = _table(path, "[variant]", stated.get("variant", {}))
    limits = LimitsFile(
        common=_limits(path, "[limits]", stated.get("limits", {})),
        of_variant={name: _limits(path, f"[variant.{name[:60]}]", table) for name, table in variants.items()},
        candidates=_candidates(path, stated.get("candidates", [])),
        confidence=_confidence(path, stated.get("confidence", 0.95)),
        source=str(path),
    )
    if not limits.common.stated and not any(own.stated for own in limits.of_variant.values()):
        raise DataError(f"{path} states no limit; write one, such as max_auc_drop = 0.01 below [limits]")
    return limits


def require_in_range(limits: LimitsFile, path: Path) -> None:
    """Refuses stored limits that no command would have stored.

    Raises:
        DataError: A limit or the confidence is out of range; the message names the file.
    """
    for place, own in (("common", limits.common), *limits.of_variant.items()):
        _limits(path, f"limits of {place[:60]}", own.stated)
    _confidence(path, limits.confidence)


def with_limit(limits: LimitsFile, text: str) -> LimitsFile:
    """Replaces one limit by what a command line says: `max_flips=0.01`, or `q8.max_flips=0.01` for one variant.

    Raises:
        DataError: The text has another form, or names no limit, or a value out of range.
    """
    key, equals, value = text.partition("=")
    variant, dot, name = key.strip().rpartition(".")
    if not equals or (dot and not variant):
        raise DataError(f"--limit {text[:60]!r}; expected LIMIT=VALUE or VARIANT.LIMIT=VALUE, such as max_flips=0.01")
    try:
        number = float(value)
    except ValueError:
        raise DataError(f"--limit {text[:60]!r}: {value[:40]!r} is no number; expected one such as 0.01") from None
    own = _limits("--limit", repr(text[:60]), {name: number})
    told = f", --limit {key.strip()}"
    source = limits.source if told in limits.source else limits.source + told
    if not variant:
        return replace(limits, common=replace(limits.common, **own.stated), source=source)
    before = limits.of_variant.get(variant, Limits())
    return replace(limits, of_variant={**limits.of_variant, variant: replace(before, **own.stated)}, source=source)


def _parsed_toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"no limits at {path}; write them there (see docs/verdict.md) or leave out --limits")
    try:
        stated: dict[str, Any] = tomllib.loads(path.read_bytes().decode("utf-8"))
    except RecursionError:
        raise DataError(f"{path} is not valid TOML: nested too deep; see docs/verdict.md") from None
    except ValueError as error:  # that of TOML and UTF-8, too
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is not valid TOML: {reason[:200]}; see docs/verdict.md") from error
    return stated


def _limits(source: object, place: str, value: object) -> Limits:
    table = _table(source, place, value)
    _refuse_unknown(source, f"limit in {place}:", table, RANGES)
    for name, number in table.items():
        if number not in RANGES[name]:
            raise DataError(f"{source}, {place}: {name} = {_shown(number)}; expected {RANGES[name].words}")
    return Limits(**{name: float(number) for name, number in table.items()})


def _candidates(path: Path, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise DataError(f"{path}: candidates = {_shown(value)}; expected a list of variants, such as ['q16', 'q8']")
    return tuple(dict.fromkeys(value))


def _confidence(path: Path, value: object) -> float:
    if value not in CONFIDENCE_RANGE or not isinstance(value, int | float):
        raise DataError(f"{path}: confidence = {_shown(value)}; expected {CONFIDENCE_RANGE.words}")
    return float(value)


def _table(source: object, place: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{source}: {place} is {_shown(value)}; expected a table of limits, such as max_flips = 0.02")
    return value


def _refuse_unknown(source: object, what: str, table: dict[str, Any], known: Sequence[str] | dict[str, Any]) -> None:
    unknown = next((name for name in table if name not in known), None)
    if unknown is not None:
        raise DataError(f"{source}: unknown {what} {unknown[:60]!r}; {nearest_name(unknown, known)}")


def _shown(value: object) -> str:
    # Not a list of a thousand items, nor a whole number of more digits than Python writes.
    if isinstance(value, int) and abs(value) > _LARGEST_SHOWN:
        return "a huge number"
    return "a list" if isinstance(value, list) else "a table" if isinstance(value, dict) else repr(value)[:40]
