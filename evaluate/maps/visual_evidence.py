"""What class-activation maps show: heatmaps, a gallery, and whether pruned models look where the dense one does."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calibration.samples import path_from_root
from evaluate.maps.agreement_sample import agreement_sample
from evaluate.maps.cam_agreement import agreement_of_maps
from evaluate.maps.explanation import explain_variants, explained_frames
from evaluate.maps.gallery import gallery_frames, gallery_of
from evaluate.maps.masks import mask_of
from evaluate.maps.source_maps import SourceMaps
from export.variant import DENSE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluate.evaluated import EvaluatedVariant
    from evaluate.maps.cam_agreement import CamAgreement
    from evaluate.maps.explanation import Explanation
    from evaluate.record import GallerySample
    from evaluate.scoring.session import Session


@dataclass(frozen=True)
class VisualEvidence:
    """What was drawn and compared.

    Attributes:
        explanation: The heatmaps of the most telling decisions.
        gallery: The videos that were asked for, with a heatmap by every source model.
        agreements: Pruned source model, such as `p50` -> its maps against the dense model's.
    """

    explanation: Explanation
    gallery: tuple[GallerySample, ...]
    agreements: Mapping[str, CamAgreement]


def visual_evidence(session: Session, evaluated: Sequence[EvaluatedVariant], samples: Sequence[str]) -> VisualEvidence:
    """Draws and compares, each map computed once; what an earlier command made is taken as it is.

    Args:
        session: Run folder and test set.
        evaluated: The variants, scored on the same images.
        samples: The gallery's videos, as `evaluate.maps.gallery.gallery_samples` chooses them.

    Raises:
        ArtifactError: A model is gone, or is not the one that the run was built from.
        CamError: A network has no class-activation map, or a map does not add up to its logit.
        SignoffError: An image or a mask does not decode.
    """
    maps = SourceMaps(session.run, session.spec, session.samples.root, session.store)
    scored = [entry.scored for entry in evaluated]
    sources = sorted({entry.variant.source for entry in scored})
    pruned = [source for source in sources if source != DENSE]
    shown = gallery_frames(scored[0].scores, samples)
    compared = _compared_frames(session, evaluated) if pruned else {}

    # All at once, so that a model is loaded once.
    wanted: dict[str, set[str]] = defaultdict(set, explained_frames(scored))
    for source in sources:
        wanted[source] |= set(shown.values())
    for source in (DENSE, *pruned) if pruned else ():
        wanted[source] |= compared.keys()
    for source, frames in sorted(wanted.items()):
        maps.of(source, frames)

    explanation = explain_variants(session, scored, maps)
    gallery = gallery_of(session, shown, sources, maps, explanation.limit)
    return VisualEvidence(explanation, gallery, _agreements(session, pruned, compared, maps))


def _compared_frames(session: Session, evaluated: Sequence[EvaluatedVariant]) -> dict[str, bool]:
    """Returns frame -> label of the videos whose maps are compared."""
    root, scored = session.samples.root, {frame.path for frame in evaluated[0].frame_scores}
    readable = [sample for sample in session.samples.samples if path_from_root(sample.path, root) in scored]
    return {path_from_root(sample.path, root): sample.is_fake for sample in agreement_sample(readable)}


def _agreements(
    session: Session, pruned: Sequence[str], compared: Mapping[str, bool], maps: SourceMaps
) -> dict[str, CamAgreement]:
    if not pruned:
        return {}
    root, contract = session.samples.root, session.spec.contract.input
    masks = [mask_of(frame, root, contract) if is_fake else None for frame, is_fake in compared.items()]
    dense = maps.of(DENSE, compared)
    stacked = np.stack([dense[frame] for frame in compared])
    return {
        source: agreement_of_maps(stacked, np.stack([maps.of(source, compared)[frame] for frame in compared]), masks)
        for source in pruned
    }
