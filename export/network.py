"""The untrained network that a contract declares."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, cast

import timm

from export.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

    from export.contract import ModelContract


def module_from_contract(contract: ModelContract) -> nn.Module:
    """Builds the untrained timm network with the head that the contract declares.

    Raises:
        CheckpointError: timm knows no such architecture.
    """
    require_known_architecture(contract)
    outputs = 1 if contract.head == "one-logit" else 2
    return cast("nn.Module", timm.create_model(contract.architecture, pretrained=False, num_classes=outputs))


def require_known_architecture(contract: ModelContract) -> None:
    """Refuses a name that timm does not know.

    Raises:
        CheckpointError: timm knows no such architecture; the message lists similar names.
    """
    if not timm.is_model(contract.architecture):
        close = difflib.get_close_matches(contract.architecture, timm.list_models(), n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise CheckpointError(
            f"unknown architecture {contract.architecture!r}; expected a timm {timm.__version__} model name{hint}"
        )
