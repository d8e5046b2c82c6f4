"""The classifier at the end of a network, and how it becomes one logit that is positive for fake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from export.errors import CheckpointError

if TYPE_CHECKING:
    from export.contract import ModelContract


def with_fake_logit(module: nn.Module, contract: ModelContract) -> nn.Module:
    """Rewrites the classifier so that its single output is the logit of "fake".

    For two logits that is their margin, z_fake - z_real, whose sigmoid equals the softmax probability of fake.
    """
    if contract.head == "one-logit" and contract.fake_index == 1:
        return module
    trained = classifier_of(module, contract)
    sign = 1.0 if contract.fake_index == 1 else -1.0
    weight, bias = trained.weight.detach().clone(), trained.bias.detach().clone()
    if contract.head == "two-logits":
        weight, bias = weight[1:2] - weight[0:1], bias[1:2] - bias[0:1]
        module.reset_classifier(1)  # type: ignore[operator]  # a method of every timm model, unknown to nn.Module
    rewritten = classifier_of(module, contract)
    with torch.no_grad():
        rewritten.weight.copy_(sign * weight)
        rewritten.bias.copy_(sign * bias)
    return module


def classifier_of(module: nn.Module, contract: ModelContract) -> nn.Linear:
    """Returns a timm network's last layer.

    Raises:
        CheckpointError: It is not one linear layer.
    """
    classifier = module.get_classifier()  # type: ignore[operator]  # as above
    if not isinstance(classifier, nn.Linear):
        raise CheckpointError(
            f"the classifier of {contract.architecture} is a {type(classifier).__name__}; expected one linear layer"
        )
    return classifier
