"""Labelled images that an engine is to be scored on, and where its logits go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evaluate.faceless import facts_of_faceless

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from calibration.samples import SampleSet
    from evaluate.scoring.session import Session
    from export.variant import Variant


@dataclass(frozen=True)
class LabelledImages:
    """One set of images for one engine.

    Attributes:
        role: What the set is, as the recipe of the scores names it.
        samples: The images.
        scores_at: Where the logits go.
        unfinished_at: Where they are kept until all of them are there.
        label: What is scored, for people.
        facts: What the sidecar is to say about the set.
    """

    role: Literal["test", "validation"]
    samples: SampleSet
    scores_at: Path
    unfinished_at: Path
    label: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def images_of_test(session: Session, variant: Variant) -> LabelledImages:
    """Returns the test set for a variant's engine."""
    run, backend = session.run, session.backend.name
    return LabelledImages(
        "test",
        session.samples,
        run.frames(variant.name, backend),
        run.unfinished_frames(variant.name, backend),
        variant.name,
    )


def images_of_validation(session: Session, variant: Variant) -> LabelledImages | None:
    """Returns the validation set for a variant's engine; None if there is none."""
    run, backend, samples = session.run, session.backend.name, session.validation.samples
    if samples is None:
        return None
    return LabelledImages(
        "validation",
        samples,
        run.validation(variant.name, backend),
        run.unfinished_validation(variant.name, backend),
        f"{variant.name} on the validation set",
        {"root": str(samples.root), "identities": sorted(samples.identities), **facts_of_faceless(samples)},
    )
