"""The record of an evaluation, kept as report.json; report, plots and summary are rendered from it alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from calibration.int8_record import Int8Record  # noqa: TC001  # decoding resolves the fields' types
from engines.latency import LatencyRecord  # noqa: TC001  # as above
from evaluate.facts import CalibrationFacts, DatasetFacts, LookalikeFacts  # noqa: TC001  # as above
from evaluate.ladder import LadderStep  # noqa: TC001  # as above
from evaluate.maps.cam_agreement import CamAgreement  # noqa: TC001  # as above
from evaluate.maps.cam_method import CamMethod  # noqa: TC001  # as above
from evaluate.metrics import ConfusionCounts, RocCurve  # noqa: TC001  # as above
from evaluate.selection import Outcome  # noqa: TC001  # as above
from evaluate.statistics.auc_interval import AucDifference, AucEstimate  # noqa: TC001  # as above
from evaluate.statistics.drift import Drift  # noqa: TC001  # as above
from evaluate.statistics.operating_point import OperatingPoint  # noqa: TC001  # as above
from evaluate.statistics.quality import Quality  # noqa: TC001  # as above
from evaluate.statistics.slices import Slice  # noqa: TC001  # as above
from export.decoding import decoded_from_json
from export.errors import ArtifactError
from export.face_contract import Aggregation  # noqa: TC001  # as above
from export.sidecar import read_json, write_json
from pruning.record import PruningRecord  # noqa: TC001  # as above

if TYPE_CHECKING:
    from pathlib import Path

    from evaluate.statistics.operating_point import ThresholdOrigin

REPORT_SCHEMA = 6
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
class Video:
    """One video of the test set; the scores of all variants are in the order of these.

    Attributes:
        sample: Its name in the report.
        is_fake: Its label.
        cluster: What it is resampled with; see `evaluate.statistics.clusters`.
        attributes: What slices are made by, such as `folder` -> `YouTube-real`.
        has_face: Whether it was scored; without a face, its score is 0.5 by every variant.
    """

    sample: str
    is_fake: bool
    cluster: str
    attributes: dict[str, str]
    has_face: bool = True


@dataclass(frozen=True)
class ValidationFacts:
    """The labelled videos that thresholds were fitted to.

    Attributes:
        root: Their folder.
        sha256: Digest of names, labels and contents.
        fake_videos: Number of fake videos.
        real_videos: Number of real videos.
        is_calibration_set: Whether they are what INT8 was calibrated on.
        faceless: Number of videos in which no face was found; they get what those of the test set get.
    """

    root: str
    sha256: str
    fake_videos: int
    real_videos: int
    is_calibration_set: bool
    faceless: int = 0


@dataclass(frozen=True)
class GallerySample:
    """A video with its picture and its heatmap by every source model.

    Attributes:
        sample: Its name.
        picture: Path of the face relative to the report's folder.
        heatmaps: Source model -> path of its heatmap relative to the report's folder.
    """

    sample: str
    picture: str
    heatmaps: dict[str, str]


@dataclass(frozen=True)
class VariantStatistics:
    """What the scores of a variant say, beyond the reference's columns.

    Attributes:
        scores: Scores in the order of the record's videos.
        auc: AUC with its intervals.
        difference: Against the baseline; None for the baseline itself and without one.
        quality: Metrics of the videos.
        frame_quality: The same of the single frames.
        operating_points: Decisions at 0.5 and, with a validation set, at the frozen and the refitted threshold.
        drift: Scores against the baseline's; None for the baseline itself and without one.
        slices: Parts of the test set.
    """

    scores: tuple[float, ...]
    auc: AucEstimate
    difference: AucDifference | None
    quality: Quality
    frame_quality: Quality
    operating_points: tuple[OperatingPoint, ...]
    drift: Drift | None
    slices: tuple[Slice, ...]

    def at(self, origin: ThresholdOrigin) -> OperatingPoint | None:
        """Returns the operating point of a threshold of this origin, if there is one."""
        return next((point for point in self.operating_points if point.origin == origin), None)

    @property
    def deciding(self) -> OperatingPoint | None:
        """The operating point that flips and limits are about: at the frozen threshold, or at 0.5 without one."""
        return self.at("frozen") or self.at("default")


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
        statistics: What its scores say beyond the columns above.
        ladder: AUC stage by stage, from the checkpoint to the engine; empty if that was not asked for.
        cam_agreement: Whether its source model looks where the dense one does; None for the dense model itself.
        digests: Name of an artifact, such as `engine` or `graph` -> sha256.
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
    statistics: VariantStatistics | None = None
    ladder: tuple[LadderStep, ...] = ()
    cam_agreement: CamAgreement | None = None
    digests: dict[str, str] = field(default_factory=dict)

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
        heatmap_method: How the heatmaps' maps came about: `additive` ones split the logit exactly, `hirescam` is
            gradient times activation.
        heatmap_obstacle: Why no heatmap could be drawn; empty if some were.
        warnings: What a reader must know before trusting a number, one sentence each.
        videos: The test set's videos.
        validation: What thresholds were fitted to; None if there was nothing to fit them to.
        gallery: Videos with pictures, for the page.
        is_partial: Whether videos are missing for some variant, which `--allow-partial` let pass.
        digests: Name of an artifact that all variants share, such as `checkpoint` -> sha256.
        aggregation: What makes a video's score of its frames'; see `evaluate.aggregation`.
        declared_aggregation: What the model file declares; another one where `--aggregation` replaced it.
        lookalikes: Whether images that something was chosen by look like test images, one entry per set.
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
    heatmap_method: CamMethod = "additive"
    heatmap_obstacle: str = ""
    warnings: tuple[str, ...] = ()
    videos: tuple[Video, ...] = ()
    validation: ValidationFacts | None = None
    gallery: tuple[GallerySample, ...] = ()
    is_partial: bool = False
    digests: dict[str, str] = field(default_factory=dict)
    aggregation: Aggregation = "mean-probability"
    declared_aggregation: Aggregation = "mean-probability"
    lookalikes: tuple[LookalikeFacts, ...] = ()
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
