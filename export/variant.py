"""The grammar of variant names: `baseline`, `q16`, `q8w`, `q32-p50`, `q8-s50`, `q16-n24` and their kin."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from export.errors import VariantError

DEFAULT_VARIANTS = ("baseline", "q16", "q16-p50", "q16-s50", "q32-p50", "q8", "q8-p50", "q8-s50", "q8w")
DENSE = "dense"
SMALLEST_PERCENT, LARGEST_PERCENT = 1, 95
_PATTERN = re.compile(r"(?P<precision>q32|q16|q8w|q8)(-(?P<pruning>.+))?")
_PRUNING = re.compile(r"(?P<kind>[ps])(?P<percent>[0-9]{1,2})")


class Precision(Enum):
    """What an engine stores and computes; the value is its token in a variant name.

    `INT8_WEIGHTS` stores the weights as INT8 and computes in FP16.
    """

    FP32 = "q32"
    FP16 = "q16"
    INT8 = "q8"
    INT8_WEIGHTS = "q8w"


class PruningKind(Enum):
    """What pruning takes away; the value begins its token in a variant name.

    `UNSTRUCTURED` sets single weights to zero, `STRUCTURED` removes channels for good, and `TWO_OF_FOUR` sets two of
    any four neighbouring weights to zero, the pattern of sparse tensor cores.
    """

    UNSTRUCTURED = "p"
    STRUCTURED = "s"
    TWO_OF_FOUR = "n"


@dataclass(frozen=True)
class Pruning:
    """A way of pruning.

    Attributes:
        kind: What is taken away.
        percent: Zeros among the weights of convolutions and linear layers (`UNSTRUCTURED`), parameters removed
            (`STRUCTURED`), or 50, of the layers that take it (`TWO_OF_FOUR`).
    """

    kind: PruningKind
    percent: int

    @property
    def name(self) -> str:
        """Its token in a variant name: `p50`, `s50` or `n24`."""
        return "n24" if self.kind is PruningKind.TWO_OF_FOUR else f"{self.kind.value}{self.percent:02d}"


@dataclass(frozen=True)
class Variant:
    """One row of the report.

    Attributes:
        name: Its name in the grammar, with two digits for a percentage; every file of it is named so.
        precision: Arithmetic of the exported graph.
        pruning: How the source model was pruned; None for the dense model.
    """

    name: str
    precision: Precision
    pruning: Pruning | None = None

    @property
    def source(self) -> str:
        """The PyTorch model it is exported from: `dense`, `p50`, `s50` or `n24`."""
        return self.pruning.name if self.pruning else DENSE

    @property
    def needs_calibration(self) -> bool:
        """Whether calibration images determine it."""
        return self.precision is Precision.INT8 or self.pruning is not None


def variant_from_name(name: str) -> Variant:
    """Parses a variant name.

    Raises:
        VariantError: The name does not follow the grammar.
    """
    if name == "baseline":
        return Variant(name, Precision.FP32)
    match = _PATTERN.fullmatch(name)
    if match is None or name == "q32":
        raise VariantError(
            f"unknown variant {name!r}; expected baseline, q16, q8, q8w, or one of q32, q16, q8, q8w with -pNN, -sNN "
            "or -n24"
        )
    pruning = pruning_from_name(match["pruning"]) if match["pruning"] else None
    precision = Precision(match["precision"])
    return Variant(name_from_parts(precision, pruning), precision, pruning)


def pruning_from_name(name: str) -> Pruning:
    """Parses a way of pruning: `pNN`, `sNN` or `n24`.

    Raises:
        VariantError: The name does not follow the grammar, or the percentage is out of range.
    """
    if name == "n24":
        return Pruning(PruningKind.TWO_OF_FOUR, 50)
    match = _PRUNING.fullmatch(name)
    if match is None or not SMALLEST_PERCENT <= int(match["percent"]) <= LARGEST_PERCENT:
        raise VariantError(
            f"unknown pruning {name!r}; expected pNN (percent of the weights set to zero) or sNN (percent of the "
            f"parameters removed) with NN from {SMALLEST_PERCENT:02d} to {LARGEST_PERCENT}, or n24 (2:4 sparsity)"
        )
    return Pruning(PruningKind(match["kind"]), int(match["percent"]))


def name_from_parts(precision: Precision, pruning: Pruning | None = None) -> str:
    """Returns the name of the variant with this precision and pruning."""
    if pruning is not None:
        return f"{precision.value}-{pruning.name}"
    return "baseline" if precision is Precision.FP32 else precision.value
