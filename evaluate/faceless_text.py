"""What the report says of videos in which no face was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluate.facts import DatasetFacts

_MOST_NAMES = 10


def faceless_warnings(dataset: DatasetFacts) -> tuple[str, ...]:
    """Returns the warning that a detector of faces, not the engine, decided some videos; nothing if it found all."""
    counts = faceless_text(dataset)
    if not counts:
        return ()
    effect = (
        "the AUC and every rate depend on them as if the engine had scored them"
        if dataset.no_face == "half"
        else "the figures say nothing about such videos"
    )
    return (f"no face was found in {counts}; {effect}",)


def faceless_text(dataset: DatasetFacts) -> str:
    """Returns how many videos have no face and what became of them; empty if all have one."""
    if not dataset.faceless:
        return ""
    fakes, reals = len(dataset.faceless_fakes), len(dataset.faceless_reals)
    fate = "scored 0.5 by every model alike" if dataset.no_face == "half" else "left out"
    return f"{dataset.faceless} videos ({fakes} fake, {reals} real), which are {fate}"


def faceless_names(dataset: DatasetFacts) -> str:
    """Names the videos without a face, the first ten where there are more; report.json names all."""
    names = sorted([*dataset.faceless_fakes, *dataset.faceless_reals])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
