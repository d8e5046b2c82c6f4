"""How a detector is pruned: what the user may choose, with every default written out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pruning.errors import PruningError

if TYPE_CHECKING:
    from pruning.record import RecipeName

RECIPES: tuple[RecipeName, ...] = ("accurate", "magnitude")
# Share of decisions at probability 0.5 that a pruned detector may be expected to reverse.
MAX_FLIP_SHARE = 0.015


@dataclass(frozen=True)
class PruningRecipe:
    """What was asked for.

    Attributes:
        name: `accurate` chooses by what a loss costs the logit, `magnitude` by the size of the weights (NNCF).
        max_auc_drop: Largest acceptable loss of AUC.
        max_flip_share: Largest acceptable share of reversed decisions.
        distill_steps: Most steps of distillation, taken only if the limits are not met without; 0 for none.
        keep: Patterns of layers that are never pruned, as in `fnmatch`.
    """

    name: RecipeName = "accurate"
    max_auc_drop: float = 0.002
    max_flip_share: float = MAX_FLIP_SHARE
    distill_steps: int = 300
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in RECIPES:
            raise PruningError(f"unknown pruning recipe {self.name!r}; expected one of {', '.join(RECIPES)}")
        if not 0 < self.max_auc_drop < 0.5:
            raise PruningError(
                f"an AUC drop of {self.max_auc_drop:g} by pruning; expected more than 0 and less than 0.5"
            )
        if not 0 < self.max_flip_share < 0.5:
            share = 100 * self.max_flip_share
            raise PruningError(f"{share:g} % of decisions reversed by pruning; expected more than 0, less than 50")
        if self.distill_steps < 0:
            raise PruningError(f"{self.distill_steps} steps of distillation; expected 0, for none, or more")

    def to_dict(self) -> dict[str, Any]:
        """Returns the recipe for a sidecar."""
        return {**asdict(self), "keep": list(self.keep)}
