"""Which tools and machines the figures of a report come from."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from export.sidecar import Artifact

_PACKAGES = ("torch", "timm", "onnx", "onnxruntime", "nncf", "tensorrt-rtx", "tensorrt", "numpy")
_SCORING_PACKAGES = ("pillow", "numpy")


def environment_of_report(frames: Iterable[Artifact]) -> dict[str, str]:
    """Returns name -> version of what makes the report, and, marked so, of what made the scores where that differs.

    Args:
        frames: The scores of every engine; their sidecars say what made them.
    """
    here = {"python": platform.python_version(), "machine": platform.machine(), **versions_of(*_PACKAGES)}
    elsewhere: dict[str, set[str]] = {}
    for artifact in frames:
        for name, value in _environment_of_scores(artifact).items():
            if value != here.get(name, versions_of(name).get(name)):
                elsewhere.setdefault(f"{name} (scores)", set()).add(value)
    return here | {name: ", ".join(sorted(values)) for name, values in elsewhere.items()}


def _environment_of_scores(frames: Artifact) -> dict[str, str]:
    options = frames.recipe.options
    packages = {name: options[name] for name in _SCORING_PACKAGES if name in options}
    return {
        "python": frames.facts["python"],
        "machine": frames.facts["machine"],
        **options["backend"],
        **packages,
    }
