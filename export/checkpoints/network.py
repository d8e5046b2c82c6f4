"""The untrained network that a contract declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.checkpoints.families import network_of_family, problem_of_architecture
from export.errors import CheckpointError
from export.image_size import require_size_fits

if TYPE_CHECKING:
    from torch import nn

    from export.contract import ModelContract


def module_from_contract(contract: ModelContract) -> nn.Module:
    """Builds the untrained network with the head that the contract declares.

    Whatever the family, it is a timm network with timm's names, which computes what the family's own network does.

    Raises:
        CheckpointError: The family knows no such architecture, or the image size does not fit it.
    """
    require_known_architecture(contract)
    module = network_of_family(contract, outputs=1 if contract.head == "one-logit" else 2)
    require_size_fits(module, contract.architecture, contract.input.size)
    return module


def require_known_architecture(contract: ModelContract) -> None:
    """Refuses a name that the contract's family does not know.

    Raises:
        CheckpointError: It knows no such architecture; the message lists similar names.
    """
    problem = problem_of_architecture(contract.family, contract.architecture)
    if problem:
        raise CheckpointError(problem)
