"""How an INT8 variant is to be made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from calibration.errors import QuantizationError
from calibration.placement import PlacementPolicy

if TYPE_CHECKING:
    from calibration.int8_record import RecipeName
    from calibration.ranges import Method

RECIPES: tuple[RecipeName, ...] = ("accurate", "fast", "full", "minmax")
DEFAULT_MAX_SIZE_MIB = 29.5
DEFAULT_MAX_AUC_DROP = 0.001

_ACCURATE = _FAST = PlacementPolicy(residual=False, store_int8=True)
_FULL = PlacementPolicy(stem=True, depthwise=True, squeeze_excite=True, residual=False)
_MINMAX = PlacementPolicy(stem=True, depthwise=True, squeeze_excite=True, classifier=True)
_POLICIES: dict[str, PlacementPolicy] = {"accurate": _ACCURATE, "fast": _FAST, "full": _FULL, "minmax": _MINMAX}


@dataclass(frozen=True)
class Int8Recipe:
    """What `build-engines` was asked for about INT8.

    Attributes:
        name: `accurate` equalizes, searches which layers to keep out of INT8 arithmetic, and repairs; `fast` does the
            same without the search; `full` puts everything but the classifier into INT8, repaired; `minmax`
            quantizes everything by its largest magnitude and repairs nothing.
        method: Estimator of every range; None chooses one per tensor by what it does to the output of its block.
        max_size_mib: Largest ONNX file of `accurate`, in MiB.
        max_auc_drop: Largest acceptable loss of AUC against FP32.
        keep_float: Patterns of layer names that stay in floating point.
        quantize: Patterns of layer names that become INT8 whatever they do to the logit.
    """

    name: RecipeName = "accurate"
    method: Method | None = None
    max_size_mib: float = DEFAULT_MAX_SIZE_MIB
    max_auc_drop: float = DEFAULT_MAX_AUC_DROP
    keep_float: tuple[str, ...] = ()
    quantize: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in RECIPES:
            raise QuantizationError(f"unknown INT8 recipe {self.name!r}; expected one of {', '.join(RECIPES)}")
        if not self.max_size_mib > 0:
            raise QuantizationError(f"a size limit of {self.max_size_mib:g} MiB; expected more than 0")
        if not 0 < self.max_auc_drop < 0.5:
            raise QuantizationError(f"an AUC drop of {self.max_auc_drop:g}; expected more than 0 and less than 0.5")

    @property
    def policy(self) -> PlacementPolicy:
        """The layers that become INT8, or that the search may choose from."""
        return _POLICIES[self.name]

    @property
    def policy_with_pins(self) -> PlacementPolicy:
        """The policy without the layers that are pinned to floating point."""
        return replace(self.policy, float_layers=self.keep_float)

    @property
    def repairs(self) -> bool:
        """Whether channels are equalized and biases corrected."""
        return self.name != "minmax"

    @property
    def searches(self) -> bool:
        """Whether a search settles the layers."""
        return self.name == "accurate"

    def to_dict(self) -> dict[str, Any]:
        """Returns the recipe for a sidecar."""
        return {**asdict(self), "policy": self.policy.to_dict()}
