"""The grammar of variant names: `baseline`, `q16`, `q8w`, `q32-p50`, `q8-p50` and their kin."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from export.errors import VariantError

DEFAULT_VARIANTS = ("baseline", "q16", "q16-p50", "q32-p50", "q8", "q8-p50", "q8w")
_PATTERN = re.compile(r"(?P<precision>q32|q16|q8w|q8)(-p(?P<percent>[0-9]{1,2}))?")


class Precision(Enum):
    """What an engine stores and computes; the value is its token in a variant name.

    `INT8_WEIGHTS` stores the weights as INT8 and computes in FP16.
    """

    FP32 = "q32"
    FP16 = "q16"
    INT8 = "q8"
    INT8_WEIGHTS = "q8w"


@dataclass(frozen=True)
class Variant:
    """One row of the report.

    Attributes:
        name: Its name in the grammar.
        precision: Arithmetic of the exported graph.
        sparsity_percent: Unstructured sparsity in percent, 0 for the dense model.
    """

    name: str
    precision: Precision
    sparsity_percent: int = 0

    @property
    def source(self) -> str:
        """The PyTorch model it is exported from: `dense` or `pNN`."""
        return f"p{self.sparsity_percent}" if self.sparsity_percent else "dense"

    @property
    def needs_calibration(self) -> bool:
        """Whether calibration images determine it."""
        return self.precision is Precision.INT8 or self.sparsity_percent > 0


def variant_from_name(name: str) -> Variant:
    """Parses a variant name.

    Raises:
        VariantError: The name does not follow the grammar.
    """
    if name == "baseline":
        return Variant(name, Precision.FP32)
    match = _PATTERN.fullmatch(name)
    percent = int(match["percent"]) if match and match["percent"] else 0
    if match is None or name == "q32" or (match["percent"] and not 1 <= percent <= 95):
        raise VariantError(
            f"unknown variant {name!r}; expected baseline, q16, q8, q8w, or q32-pNN, q16-pNN, q8-pNN, q8w-pNN with "
            "NN = 01..95 percent of zeroed weights"
        )
    return Variant(name, Precision(match["precision"]), percent)


def name_from_parts(precision: Precision, sparsity_percent: int) -> str:
    """Returns the name of the variant with this precision and sparsity."""
    if sparsity_percent:
        return f"{precision.value}-p{sparsity_percent:02d}"
    return "baseline" if precision is Precision.FP32 else precision.value
