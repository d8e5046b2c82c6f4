"""Reports on drawn scores of engines with a known defect."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluate.aggregation import scores_from_logits
from evaluate.comparison import compared_variants
from evaluate.facts import DatasetFacts
from evaluate.metrics import confusion_at, roc_auc, roc_curve
from evaluate.record import EngineFile, ReportRecord, ValidationFacts, VariantResult, Video
from evaluate.variant_statistics import ScoreTable, VariantScores, statistics_of_variants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MIB = 1 << 20
SPREAD = 2.5
PRECISIONS = {"baseline": "FP32", "q32": "FP32", "q16": "FP16", "q8": "INT8", "q8w": "INT8 weights"}
SIZES = {"baseline": 108.8, "q32": 108.8, "q16": 54.6, "q8": 27.8, "q8w": 29.1}


class Drawn:
    """Test and validation logits of a detector, and the engines that stand for it.

    Logits of both classes are normal with the same spread and an AUC of about .955, as the reference's.

    Args:
        rng: Draws them.
        videos: Videos of the test set, two thirds of them fake.
        validation: Videos of the validation set; 0 for none.
    """

    def __init__(self, rng: np.random.Generator, videos: int = 518, validation: int = 400) -> None:
        self.rng = rng
        self.is_fake = np.arange(videos) < 2 * videos // 3
        self.validation_is_fake = np.arange(validation) < validation // 2 if validation else None
        self.logits = self._drawn(self.is_fake)
        self.validation = self._drawn(self.validation_is_fake) if self.validation_is_fake is not None else None
        self.engines: dict[str, tuple[NDArray[np.float64], NDArray[np.float64] | None]] = {}
        self.add("baseline", self.logits, self.validation)

    def _drawn(self, is_fake: NDArray[np.bool_]) -> NDArray[np.float64]:
        return SPREAD * (self.rng.normal(size=is_fake.size) + 2.4 * is_fake - 1.2)

    def add(self, name: str, logits: NDArray[np.float64], validation: NDArray[np.float64] | None) -> None:
        """Adds an engine with these logits."""
        self.engines[name] = (logits, validation)

    def add_identical(self, name: str) -> None:
        """Adds one that computes the same."""
        self.add(name, self.logits.copy(), self.validation)

    def add_shifted(self, name: str, by: float) -> None:
        """Adds one whose logits are too high: as good a ranking, worse decisions."""
        self.add(name, self.logits + by, None if self.validation is None else self.validation + by)

    def add_swapped(self, name: str) -> None:
        """Adds one that takes fakes for reals."""
        self.add(name, -self.logits, None if self.validation is None else -self.validation)

    def add_noisy(self, name: str, decibels: float) -> None:
        """Adds one with noise in its logits, in dB against their variance within a class."""
        scale = SPREAD * 10 ** (-decibels / 20)
        validation = None if self.validation is None else self.validation + scale * self._noise(self.validation)
        self.add(name, self.logits + scale * self._noise(self.logits), validation)

    def _noise(self, like: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.rng.normal(size=like.size)

    def record(self, **changes: Mapping[str, Any]) -> ReportRecord:
        """Returns the report on the engines; changes are fields of the results, by the name of the variant."""
        table = ScoreTable(
            videos=tuple(
                Video(f"{index:05}.mp4", bool(fake), f"person {index // 2}", {"folder": f"part {index % 4}"})
                for index, fake in enumerate(self.is_fake)
            ),
            frame_is_fake=self.is_fake,
            variants=tuple(
                VariantScores(
                    name,
                    scores_from_logits(logits),
                    logits,
                    None if validation is None else scores_from_logits(validation),
                )
                for name, (logits, validation) in self.engines.items()
            ),
            validation_is_fake=self.validation_is_fake,
        )
        statistics = statistics_of_variants(table)
        results = [
            replace(self._result(name, scores_from_logits(logits)), statistics=statistics[name])
            for name, (logits, _) in self.engines.items()
        ]
        fakes = int(self.is_fake.sum())
        return ReportRecord(
            created_utc="2026-01-02T03:04:05+00:00",
            backbone="b5",
            architecture="tf_efficientnet_b5",
            threshold=0.5,
            stable_auc_drop=0.01,
            dataset=DatasetFacts("test", "ab" * 32, fakes, self.is_fake.size - fakes, self.is_fake.size),
            calibration=None,
            environment={"python": "3.11.9"},
            variants=compared_variants([replace(r, **changes.get(r.name.replace("-", "_"), {})) for r in results]),
            videos=table.videos,
            validation=None
            if self.validation_is_fake is None
            else ValidationFacts("validation", "cd" * 32, 200, 200, is_calibration_set=False),
            digests={"checkpoint": "ef" * 32},
        )

    def _result(self, name: str, scores: NDArray[np.float64]) -> VariantResult:
        precision, _, source = name.partition("-")
        size = round(SIZES[precision] * MIB)
        return VariantResult(
            name=name,
            precision=PRECISIONS[precision],  # type: ignore[arg-type]  # the table above holds plain strings
            source=source or "dense",
            file=f"engines/{name}.tensorrt.plan",
            size_bytes=size,
            graph_bytes=size,
            backend="tensorrt 10.13.0 (NVIDIA L4)",
            simulation="",
            auc=roc_auc(self.is_fake, scores),
            confusion=confusion_at(0.5, self.is_fake, scores),
            roc=roc_curve(self.is_fake, scores),
            samples={},
            engines=(EngineFile("tensorrt 10.13.0", f"engines/{name}.tensorrt.plan", size, ("8.9",)),),
            digests={"engine": f"{len(name):02x}" * 32},
        )
