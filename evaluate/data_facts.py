"""What the record says about the images that it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.faceless import policy_of
from evaluate.facts import CalibrationFacts, DatasetFacts
from evaluate.record import ValidationFacts
from evaluate.scores import strongest_faces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.samples import SampleSet
    from engines.spec import RunSpec
    from evaluate.evaluated import EvaluatedVariant
    from evaluate.scoring.session import Session
    from evaluate.validation_scores import ValidationScores

_METHOD_NAMES = {
    "mse": "least mean squared error, per tensor",
    "percentile": "99.99th percentile, per tensor",
    "entropy": "least Kullback-Leibler divergence, per tensor",
    "minmax": "largest magnitude, per tensor",
}


def dataset_facts(session: Session, evaluated: Sequence[EvaluatedVariant]) -> DatasetFacts:
    """Describes the test set, as far as all variants were scored on it."""
    samples, first = session.samples, evaluated[0]
    fakes = int(first.scored.scores.is_fake.sum())
    return DatasetFacts(
        root=str(samples.root),
        sha256=samples.sha256,
        fake_videos=fakes,
        real_videos=len(first.scored.scores.videos) - fakes,
        frames=len(strongest_faces(first.frame_scores)),
        unreadable_frames=_told_by_all(evaluated, "unreadable"),
        lost_videos=_told_by_all(evaluated, "lost_videos"),
        faces=len(first.frame_scores),
        faceless_fakes=tuple(sorted(video.video for video in samples.faceless if video.is_fake)),
        faceless_reals=tuple(sorted(video.video for video in samples.faceless if not video.is_fake)),
        split=session.request.test_split or "",
        no_face=policy_of(session.spec.contract),
        notes=samples.notes,
    )


def calibration_facts(spec: RunSpec) -> CalibrationFacts | None:
    """Describes the calibration set; None without one."""
    calibration = spec.calibration
    if calibration is None:
        return None
    return CalibrationFacts(
        root=calibration.root,
        sha256=calibration.sha256,
        fake_images=calibration.fake,
        real_images=calibration.real,
        videos=len(calibration.videos),
        unreadable_images=calibration.unreadable,
        method=_METHOD_NAMES.get(calibration.method, calibration.method),
    )


def validation_facts(spec: RunSpec, validation: ValidationScores | None) -> ValidationFacts | None:
    """Describes the validation set; None without one."""
    if validation is None:
        return None
    fakes = int(validation.first.is_fake.sum())
    return ValidationFacts(
        root=validation.root,
        sha256=validation.sha256,
        fake_videos=fakes,
        real_videos=len(validation.first.videos) - fakes,
        is_calibration_set=spec.calibration is not None and spec.calibration.sha256 == validation.sha256,
        faceless=len(validation.faceless),
    )


def shared_digests(spec: RunSpec, samples: SampleSet, validation: ValidationScores | None) -> dict[str, str]:
    """Returns name -> sha256 of what all variants share."""
    digests = {"checkpoint": spec.checkpoint_sha256, "test set": samples.sha256}
    if spec.calibration is not None:
        digests["calibration set"] = spec.calibration.sha256
    if validation is not None:
        digests["validation set"] = validation.sha256
    return digests


def _told_by_all(evaluated: Sequence[EvaluatedVariant], fact: str) -> int:
    return len(set.intersection(*(set(entry.frames.facts[fact]) for entry in evaluated)))
