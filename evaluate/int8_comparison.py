"""What the records of INT8 variants come to: what they really save, what harms most, and why layers stay float."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from calibration.layers import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from calibration.int8_record import ArithmeticName, GroupRecord, Int8Record
    from evaluate.record import EngineFile, ReportRecord, VariantResult

EXPANDED_BELOW, KEPT_ABOVE = 0.5, 0.8
# Plans of one network differ by a few MiB of compiled kernels, whatever their weights are.
TELLING_BYTES = 8 << 20
_ORDER: tuple[ArithmeticName, ...] = ("int8", "int8-weights", "float")
# A number that is a word of its own: the 0 of `blocks.0.*` is part of a name.
_NUMBER = re.compile(r"(?<![\w.*-])-?\d+(?:\.\d+)?(?![\w*])(?!\.\S)")

Handling = Literal["expanded", "partly", "kept"]


@dataclass(frozen=True)
class EngineSaving:
    """An engine of an INT8 variant against the FP16 engine of the same backend, pruning and GPUs.

    Attributes:
        variant: The INT8 variant.
        engine: Its engine.
        saved_bytes: By how much it is smaller than the FP16 engine; None if there is none.
        promised_bytes: By how much its ONNX file is smaller than the FP16 ONNX file; None if there is none.
    """

    variant: VariantResult
    engine: EngineFile
    saved_bytes: int | None
    promised_bytes: int | None

    @property
    def realised(self) -> float | None:
        """Share of the promise that the engine keeps; None if there is no FP16 engine or nothing is promised."""
        if self.saved_bytes is None or self.promised_bytes is None or self.promised_bytes <= 0:
            return None
        return self.saved_bytes / self.promised_bytes

    @property
    def handling(self) -> Handling | None:
        """What the sizes say that the backend does with INT8 weights; None where they say nothing."""
        if self.realised is None or self.promised_bytes is None or self.promised_bytes < TELLING_BYTES:
            return None
        if self.realised < EXPANDED_BELOW:
            return "expanded"
        return "kept" if self.realised > KEPT_ABOVE else "partly"


@dataclass(frozen=True)
class Sensitivity:
    """How much each group of layers harms alone, in graph order.

    Attributes:
        sqnr_db: Logit SQNR with one group in INT8, or with only its weights in INT8; None where neither was measured.
        weights_only: Whether it is the latter, because INT8 arithmetic was not an option.
    """

    sqnr_db: tuple[float | None, ...]
    weights_only: tuple[bool, ...]

    def worst(self, count: int) -> tuple[int, ...]:
        """Returns the indices of the groups that harm most, worst first; those not measured are not among them."""
        measured = [(sqnr, index) for index, sqnr in enumerate(self.sqnr_db) if sqnr is not None]
        return tuple(index for _, index in sorted(measured)[:count])

    @property
    def unmeasured(self) -> tuple[int, ...]:
        """Indices of the groups that were not measured."""
        return tuple(index for index, sqnr in enumerate(self.sqnr_db) if sqnr is None)


@dataclass(frozen=True)
class ArithmeticShare:
    """The groups that ended up alike for the same reason.

    Attributes:
        arithmetic: How they are stored and computed.
        reason: Why they are not INT8; empty if they are.
        groups: Number of groups.
        layers: Number of layers.
        weights: Number of weights.
        weight_bytes: Bytes of the weights without their scales.
        macs: Multiply-accumulate operations per image.
    """

    arithmetic: ArithmeticName
    reason: str
    groups: int
    layers: int
    weights: int
    weight_bytes: int
    macs: int


def int8_records(record: ReportRecord) -> tuple[tuple[VariantResult, Int8Record], ...]:
    """Returns the variants that have INT8 weights, with what their making measured."""
    return tuple((variant, variant.int8) for variant in record.variants if variant.int8 is not None)


def int8_warnings(record: ReportRecord) -> tuple[str, ...]:
    """Returns every missed limit and every warning of the INT8 variants; equal sentences name their variants once."""
    return (*missed_limits(record), *calibration_warnings(record))


def missed_limits(record: ReportRecord) -> tuple[str, ...]:
    """Returns a sentence for every limit that an INT8 variant misses."""
    return sentences_by_name((variant.name, int8.missed) for variant, int8 in int8_records(record))


def calibration_warnings(record: ReportRecord) -> tuple[str, ...]:
    """Returns what a reader must know about the images that INT8 variants were calibrated on."""
    return sentences_by_name((variant.name, int8.warnings) for variant, int8 in int8_records(record))


def engine_savings(record: ReportRecord) -> tuple[EngineSaving, ...]:
    """Compares every engine of every INT8 variant with the FP16 engine that it stands in for."""
    return tuple(
        _saving(variant, engine, _fp16_twin(variant, record.variants))
        for variant, _ in int8_records(record)
        for engine in variant.engines
    )


def sensitivity_of_groups(int8: Int8Record) -> Sensitivity | None:
    """Returns what was measured of single groups; None if nothing was."""
    weights_only = tuple(g.int8_sqnr_db is None and g.weights_sqnr_db is not None for g in int8.groups)
    sqnrs = tuple(g.int8_sqnr_db if g.int8_sqnr_db is not None else g.weights_sqnr_db for g in int8.groups)
    return Sensitivity(sqnrs, weights_only) if any(sqnr is not None for sqnr in sqnrs) else None


def restored_groups(int8: Int8Record) -> tuple[tuple[str, float], ...]:
    """Returns the groups that were put back to float one at a time and the SQNR that each led to, highest first."""
    restored = [(group.name, group.restored_sqnr_db) for group in int8.groups]
    return tuple(sorted(((n, sqnr) for n, sqnr in restored if sqnr is not None), key=lambda pair: -pair[1]))


def layer_count(int8: Int8Record, arithmetic: ArithmeticName) -> int:
    """Returns how many layers ended up in an arithmetic."""
    return sum(len(group.layers) for group in int8.groups if group.arithmetic == arithmetic)


def arithmetic_shares(int8: Int8Record) -> tuple[ArithmeticShare, ...]:
    """Sums up the groups by arithmetic and reason, those with the most operations first.

    Reasons that differ in nothing but numbers count as one, which then gives their range.
    """
    alike: dict[tuple[ArithmeticName, str], list[GroupRecord]] = {}
    for group in int8.groups:
        alike.setdefault((group.arithmetic, _NUMBER.sub("0", group.reason)), []).append(group)
    shares = [_share(arithmetic, groups) for (arithmetic, _), groups in alike.items()]
    return tuple(sorted(shares, key=lambda share: (_ORDER.index(share.arithmetic), -share.macs, share.reason)))


def sentences_by_name(told: Iterable[tuple[str, Iterable[str]]]) -> tuple[str, ...]:
    """Puts before each sentence the names that it was told of: one line for what several variants have in common."""
    names: dict[str, list[str]] = {}
    for name, sentences in told:
        for sentence in dict.fromkeys(sentences):
            names.setdefault(sentence, []).append(name)
    return tuple(f"{', '.join(variants)}: {sentence}" for sentence, variants in names.items())


def _share(arithmetic: ArithmeticName, groups: Sequence[GroupRecord]) -> ArithmeticShare:
    return ArithmeticShare(
        arithmetic=arithmetic,
        reason=_merged_reason([group.reason for group in groups]),
        groups=len(groups),
        layers=sum(len(group.layers) for group in groups),
        weights=sum(group.weights for group in groups),
        weight_bytes=sum(_weight_bytes(group) for group in groups),
        macs=sum(group.macs for group in groups),
    )


def _weight_bytes(group: GroupRecord) -> int:
    if group.arithmetic != "float":
        return group.weights
    # The classifier is what an FP16 graph still computes in FP32.
    return (4 if group.role == Role.CLASSIFIER.value else 2) * group.weights


def _merged_reason(reasons: Sequence[str]) -> str:
    """Returns one text for sentences that differ in numbers only: `has 8 to 96 weights, fewer than 100`."""
    ranges = (_range_text(numbers) for numbers in zip(*map(_NUMBER.findall, reasons), strict=True))
    return _NUMBER.sub(lambda _: next(ranges), reasons[0])


def _range_text(numbers: Iterable[str]) -> str:
    ordered = sorted(set(numbers), key=float)
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def _fp16_twin(variant: VariantResult, variants: Iterable[VariantResult]) -> VariantResult | None:
    alike = (v for v in variants if v.precision == "FP16" and v.source == variant.source)
    return next(alike, None)


def _saving(variant: VariantResult, engine: EngineFile, fp16: VariantResult | None) -> EngineSaving:
    if fp16 is None:
        return EngineSaving(variant, engine, None, None)
    twins = (e for e in fp16.engines if (e.backend, e.sms) == (engine.backend, engine.sms))
    twin = next(twins, None)
    saved = None if twin is None else twin.size_bytes - engine.size_bytes
    return EngineSaving(variant, engine, saved, fp16.graph_bytes - variant.graph_bytes)
