"""What a plan was built with, on and for, as its sidecar tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.errors import ArtifactError
from export.sidecar import sidecar_path
from export.stored_json import Stated

if TYPE_CHECKING:
    from export.sidecar import Artifact

PORTABLE = "portable default"


@dataclass(frozen=True)
class PlanOrigin:
    """What decides where a plan runs.

    Attributes:
        versions: Package -> version that it was built with; one package.
        device: Name of the GPU it was built on; None if that is not known or does not matter.
        compute_capability: SM version of that GPU, such as `8.7`, likewise.
        compute_capabilities: SM versions it was compiled for; None means the portable default or not known.
        version_compatible: Whether later releases run it.
        hardware_compatible: Whether any GPU from Ampere on runs it.
    """

    versions: dict[str, str]
    device: str | None
    compute_capability: str | None
    compute_capabilities: tuple[str, ...] | None
    version_compatible: bool
    hardware_compatible: bool


def plan_origin(engine: Artifact) -> PlanOrigin:
    """Reads the origin of a plan out of its sidecar.

    Raises:
        ArtifactError: It is not the sidecar of an engine, or something that it says is of the wrong type.
    """
    source = sidecar_path(engine.path)
    if engine.recipe.kind != "engine":
        raise ArtifactError(f"{engine.path} is not an engine but of kind {engine.recipe.kind[:60]!r}; build it again")
    facts, options = Stated(engine.facts, source), Stated(engine.recipe.options, source)
    versions = options.texts_by_name("backend") or options.refuse("backend", "a package and its version")
    told = next((part for part in (facts, options) if "device" in part), None)
    device = told.texts_by_name("device") if told else {}
    return PlanOrigin(
        versions=versions,
        device=device.get("name"),
        compute_capability=device.get("compute_capability"),
        compute_capabilities=_compute_capabilities(facts),
        version_compatible=facts.flag("version_compatible"),
        hardware_compatible=facts.flag("hardware_compatible"),
    )


def _compute_capabilities(facts: Stated) -> tuple[str, ...] | None:
    if "compute_capabilities" not in facts or facts.is_exactly("compute_capabilities", PORTABLE):
        return None
    return facts.texts("compute_capabilities") or None
