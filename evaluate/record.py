"""The record of an evaluation, kept as report.json; report, plots and summary are rendered from it alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from calibration.int8_record import Int8Record  # noqa: TC001  # decoding resolves the fields' types
from engines.latency import LatencyRecord  # noqa: TC001  # as above
from evaluate.decoding import decoded_from_json
from evaluate.facts import CalibrationFacts, DatasetFacts  # noqa: TC001  # as above
from evaluate.metrics import ConfusionCounts, RocCurve  # noqa: TC001  # as above
from evaluate.selection import Outcome  # noqa: TC001  # as above
from export.errors import ArtifactError
from export.sidecar import read_json, write_json
from pruning.record import PruningRecord  # noqa: TC001  # as above

if TYPE_CHECKING:
    from pathlib import Path

REPORT_SCHEMA = 4
BYTES_PER_MIB = 1 << 20
BASELINE = "baseline"

Status = Literal["Baseline", "Stable", "Degraded"]
PrecisionName = Literal["FP32", "FP16", "INT8", "INT8 weights"]


@dataclass(frozen=True)
class EngineFile:
    """One engine built for a variant.

    Attributes:
        backend: What built it and runs it, such as `tensorrt-rtx 1.7`.
        file: Path relative to the run folder.
        size_bytes: Size on disk.
        sms: Compute capabilities it was built for, such as `8.9`; empty for a backend without a GPU.
        download_bytes: Size compressed by Zstandard, as it would travel to a device; None if not measured.
        sparse_eligible: Layers whose weights TensorRT found to have the 2:4 pattern; None if it told nothing.
        sparse_picked: Those of them for which it chose a sparse kernel; None if it told nothing.
    """

    backend: str
    file: str
    size_bytes: int
    sms: tuple[str, ...] = ()
    download_bytes: int | None = None
    sparse_eligible: int | None = None
    sparse_picked: int | None = None

    @property
    def size_mib(self) -> float:
        """Size in MiB."""
        return self.size_bytes / BYTES_PER_MIB


@dataclass(frozen=True)
class ReportSample:
    """One cell of the visual analysis.

    Attributes:
        sample: Name of the video.
        score: Its score by this variant.
        heatmap: Path of its heatmap relative to the report's folder; None where none was drawn.
    """

    sample: str
    score: float
    heatmap: str | None = None


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline.

    Attributes:
        status: `Baseline`, or `Degraded` when the AUC is lower by more than the record's `stable_auc_drop`.
        reduction: Share of the baseline's bytes that is saved; negative for a larger file.
        auc_diff: AUC minus the baseline's.
    """

    status: Status
    reduction: float
    auc_diff: float


@dataclass(frozen=True)
class VariantResult:
    """What was measured of one variant.

    Attributes:
        name: Its name, such as `q8-p50`.
        precision: Arithmetic of its graph; `INT8 weights` are multiplied as FP16.
        source: The PyTorch model that its graph was exported from: `dense`, or how that was pruned, such as `p50`.
        file: The file that was scored, relative to the run folder.
        size_bytes: Size of that file.
        graph_bytes: Size of its ONNX file, which every engine of it was built from.
        backend: What ran it, such as `onnxruntime 1.22 (CPU)`.
        simulation: Why its scores only simulate the target's arithmetic; empty where they do not.
        auc: Area under the ROC curve of the videos' scores.
        confusion: Decisions at the record's threshold.
        roc: ROC curve of the videos' scores.
        samples: The most telling samples of each outcome.
        engines: Every engine built for it.
        comparison: Set by `evaluate.comparison`; None where there is no baseline.
        int8: What the making of its INT8 weights measured; None where it has none.
        pruning: What the pruning of its source model did and measured; None for the dense model.
        latency: How long its engines take, one record per backend that was measured.
    """

    name: str
    precision: PrecisionName
    source: str
    file: str
    size_bytes: int
    graph_bytes: int
    backend: str
    simulation: str
    auc: float
    confusion: ConfusionCounts
    roc: RocCurve
    samples: dict[Outcome, tuple[ReportSample, ...]]
    engines: tuple[EngineFile, ...] = ()
    comparison: Comparison | None = None
    int8: Int8Record | None = None
    pruning: PruningRecord | None = None
    latency: tuple[LatencyRecord, ...] = ()

    @property
    def size_mib(self) -> float:
        """Size in MiB."""
        return self.size_bytes / BYTES_PER_MIB

    @property
    def is_simulation(self) -> bool:
        """Whether the scores only simulate the target's arithmetic."""
        return bool(self.simulation)


@dataclass(frozen=True)
class ReportRecord:
    """Everything the report says.

    Attributes:
        created_utc: ISO 8601 time of the evaluation.
        backbone: Short name of the network, such as `b5`.
        architecture: Its full name, such as `tf_efficientnet_b5`.
        threshold: A score of at least this is called fake.
        stable_auc_drop: Largest loss of AUC that still counts as stable.
        dataset: The test set.
        calibration: The calibration set; None where no variant needed one.
        environment: Name of a tool or device -> its version or description.
        variants: Rows of the report, in order.
        heatmap_limit: |contribution| at which the heatmaps' colour saturates; None where none was drawn.
        warnings: What a reader must know before trusting a number, one sentence each.
        schema_version: Version of this layout.
    """

    created_utc: str
    backbone: str
    architecture: str
    threshold: float
    stable_auc_drop: float
    dataset: DatasetFacts
    calibration: CalibrationFacts | None
    environment: dict[str, str]
    variants: tuple[VariantResult, ...]
    heatmap_limit: float | None = None
    warnings: tuple[str, ...] = ()
    schema_version: int = REPORT_SCHEMA

    @property
    def baseline(self) -> VariantResult | None:
        """The variant the others are compared with, if it was evaluated."""
        return next((variant for variant in self.variants if variant.name == BASELINE), None)

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object of this record."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> ReportRecord:
        """Reads what `to_json` returned.

        Raises:
            ArtifactError: The layout is another release's, or a key is unknown, missing or of another type.
        """
        found = value.get("schema_version") if isinstance(value, dict) else None
        if found != REPORT_SCHEMA:
            raise ArtifactError(f"the report has schema_version {found!r}; expected {REPORT_SCHEMA}: evaluate again")
        return decoded_from_json(cls, value)


def write_record(path: Path, record: ReportRecord) -> None:
    """Writes report.json atomically."""
    write_json(path, record.to_json())


def read_record(path: Path) -> ReportRecord:
    """Reads report.json; see `ReportRecord.from_json` for the errors."""
    return ReportRecord.from_json(read_json(path))
