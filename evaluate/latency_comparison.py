"""What the latency records of the variants come to: what can be compared, who is faster, and what to be warned of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.int8_comparison import sentences_by_name
from evaluate.record import BASELINE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engines.latency import BatchLatency, LatencyRecord
    from evaluate.record import ReportRecord, VariantResult

# A curve or front of one point says nothing.
FEWEST_PLOTTED = 2


@dataclass(frozen=True)
class Setting:
    """Variants that were measured alike, so that their times can be compared.

    Attributes:
        backend: What ran them.
        device: What it ran on.
        conditions: What else holds for all of them, such as `CUDA graph` -> `yes`.
        entries: Each variant and what was measured of it, in the order of the report.
    """

    backend: str
    device: str
    conditions: dict[str, str]
    entries: tuple[tuple[VariantResult, LatencyRecord], ...]

    @property
    def title(self) -> str:
        """Backend and device in words."""
        return f"{self.backend} on {self.device}"

    @property
    def is_on_cpu(self) -> bool:
        """Whether the times are those of a CPU."""
        return self.device.upper().startswith("CPU")

    @property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes that any variant was measured at, ascending."""
        return tuple(sorted({measured.batch for _, latency in self.entries for measured in latency.batches}))

    @property
    def main_batch(self) -> int:
        """The batch to show where there is room for one: the smallest at which the most variants were measured."""
        return max(self.batches, key=lambda batch: (len(rows_at(self, batch)), -batch))


@dataclass(frozen=True)
class LatencyRow:
    """A variant at one batch size.

    Attributes:
        setting: How it was measured.
        variant: The variant.
        measured: Its times.
        speed_up: The baseline's median latency over its own; None if the baseline was not measured likewise.
    """

    setting: Setting
    variant: VariantResult
    measured: BatchLatency
    speed_up: float | None


def latency_settings(record: ReportRecord) -> tuple[Setting, ...]:
    """Groups what was measured by backend, device and conditions, in the order of first occurrence."""
    alike: dict[tuple[str, str, tuple[tuple[str, str], ...]], list[tuple[VariantResult, LatencyRecord]]] = {}
    for variant in record.variants:
        for latency in variant.latency:
            if latency.batches:
                key = (latency.backend, latency.device, tuple(sorted(latency.conditions.items())))
                alike.setdefault(key, []).append((variant, latency))
    return tuple(
        Setting(backend, device, entries[0][1].conditions, tuple(entries))
        for (backend, device, _), entries in alike.items()
    )


def rows_at(setting: Setting, batch: int) -> tuple[LatencyRow, ...]:
    """Returns every variant that was measured at a batch size, in the order of the report."""
    found = [(variant, measured) for variant, measured in _measured(setting) if measured.batch == batch]
    baseline = next((measured for variant, measured in found if variant.name == BASELINE), None)
    return tuple(LatencyRow(setting, variant, entry, _speed_up(entry, baseline)) for variant, entry in found)


def main_setting(record: ReportRecord) -> Setting | None:
    """Returns the setting to show where there is room for one; None if nothing was measured.

    A GPU's comes before a CPU's, then that of most variants, then the first.
    """
    settings = latency_settings(record)
    return max(settings, key=lambda setting: (not setting.is_on_cpu, len(setting.entries)), default=None)


def plotted_settings(record: ReportRecord) -> tuple[Setting, ...]:
    """Returns the settings with enough variants at their main batch to plot speed against AUC."""
    return tuple(s for s in latency_settings(record) if len(rows_at(s, s.main_batch)) >= FEWEST_PLOTTED)


def undominated(rows: tuple[LatencyRow, ...]) -> tuple[LatencyRow, ...]:
    """Returns the Pareto front by rising latency: the variants than which no other is as fast with a higher AUC."""
    front: list[LatencyRow] = []
    for row in sorted(rows, key=lambda row: (row.measured.latency.median, -row.variant.auc)):
        if not front or row.variant.auc > front[-1].variant.auc:
            front.append(row)
    return tuple(front)


def fastest_stable(record: ReportRecord) -> LatencyRow | None:
    """Returns the fastest compressed variant that is stable and faster than the baseline, if one is.

    A CPU's times are left out: they say nothing about the device that the engines are for.
    """
    setting = main_setting(record)
    if setting is None or setting.is_on_cpu:
        return None
    rows = rows_at(setting, setting.main_batch)
    stable = [row for row in rows if row.variant.comparison and row.variant.comparison.status == "Stable"]
    faster = [row for row in stable if row.speed_up is not None and row.speed_up > 1]
    return min(faster, key=lambda row: row.measured.latency.median, default=None)


def latency_warnings(record: ReportRecord) -> tuple[str, ...]:
    """Returns what a reader must know before trusting a time; equal sentences name their variants once."""
    told = [(variant, latency) for variant in record.variants for latency in variant.latency]
    titles = {(latency.backend, latency.device) for _, latency in told}

    def name(variant: VariantResult, latency: LatencyRecord) -> str:
        return variant.name if len(titles) == 1 else f"{variant.name} by {latency.backend} on {latency.device}"

    return sentences_by_name((name(variant, latency), latency.warnings) for variant, latency in told)


def _measured(setting: Setting) -> Iterator[tuple[VariantResult, BatchLatency]]:
    return ((variant, measured) for variant, latency in setting.entries for measured in latency.batches)


def _speed_up(measured: BatchLatency, baseline: BatchLatency | None) -> float | None:
    median = measured.latency.median
    return baseline.latency.median / median if baseline is not None and median > 0 else None
