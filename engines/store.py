"""Obtains artifacts: reuses what a recipe already made, makes the rest, and can say beforehand which is which."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from export.sidecar import Artifact, Recipe, make_artifact, reusable_artifact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PENDING = "pending"


@dataclass(frozen=True)
class Step:
    """One artifact of a plan.

    Attributes:
        path: Where it lies or will lie.
        reused: Whether it exists already, made by the same recipe.
        size_bytes: Its size, estimated if it is still to be made.
    """

    path: Path
    reused: bool
    size_bytes: int


class ArtifactStore:
    """Makes each artifact at most once per recipe.

    In a dry run nothing is written: an artifact to be made gets the digest `pending`, which no stored recipe names,
    so that whatever depends on it counts as to be made, too.

    Args:
        contract: JSON of the model file's declaration; part of every recipe, because it bears on every artifact.
        dry_run: Whether to write nothing.
        announce: Gets a line per artifact that is made.

    Attributes:
        dry_run: Whether nothing is to be written.
        steps: The artifacts obtained so far, in order.
    """

    def __init__(self, contract: str, dry_run: bool = False, announce: Callable[[str], None] | None = None) -> None:
        self._contract = contract
        self.dry_run = dry_run
        self._announce = announce
        self.steps: list[Step] = []

    def obtain(
        self,
        path: Path,
        recipe: Recipe,
        write: Callable[[Path], Mapping[str, Any]],
        expected_bytes: int,
    ) -> Artifact:
        """Returns the artifact of a recipe, made now if need be.

        Args:
            path: Where it belongs.
            recipe: What determines it.
            write: Writes it to the path it is given and returns facts for the sidecar.
            expected_bytes: Estimated size for the dry run.

        Raises:
            ArtifactError: The stored file was changed by hand.
        """
        recipe = replace(recipe, options={**recipe.options, "contract": self._contract})
        stored = reusable_artifact(path, recipe)
        if stored is not None:
            self._record(Step(path, True, stored.size_bytes))
            return stored
        if self.dry_run:
            self._record(Step(path, False, expected_bytes))
            return Artifact(path, PENDING, recipe, {}, recipe.key)
        if self._announce:
            self._announce(f"making {path}")
        made = make_artifact(path, recipe, write)
        self._record(Step(path, False, made.size_bytes))
        return made

    def _record(self, step: Step) -> None:
        if step.path not in {known.path for known in self.steps}:
            self.steps.append(step)
