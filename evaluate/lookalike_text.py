"""What the report says of images that look like test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluate.facts import LookalikeFacts, LookalikePair


def pair_text(pair: LookalikePair) -> str:
    """Names both images and how much they look alike."""
    return f"{pair.image} and {pair.test_image} ({pair.likeness:.3f})"


def lookalike_warnings(lookalikes: Sequence[LookalikeFacts]) -> tuple[str, ...]:
    """Returns one sentence per set that looks like the test set and was accepted."""
    return tuple(
        f"{facts.pairs} pairs of a {facts.purpose} and a test image look like one picture, which --accept-lookalikes "
        f"let pass, such as {', '.join(pair_text(pair) for pair in facts.worst[:3])}; if they are one video, the "
        "figures are not those of unseen data"
        for facts in lookalikes
        if facts.pairs
    )


def lookalike_lines(lookalikes: Sequence[LookalikeFacts]) -> list[str]:
    """Returns what was compared, or why it was not, one line per set."""
    return [_line(facts) for facts in lookalikes]


def _line(facts: LookalikeFacts) -> str:
    if facts.lack:
        return f"Whether {facts.purpose} images look like test images was not checked: {facts.lack}."
    found = "no pair looks" if not facts.pairs else f"{facts.pairs} pairs look"
    compared = f"{facts.images} {facts.purpose} images were compared with all test images"
    worst = f": {', '.join(pair_text(pair) for pair in facts.worst)}" if facts.worst else ""
    return f"Lookalikes: {compared}, {found} like one picture{worst}."
