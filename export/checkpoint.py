"""From a checkpoint file to a detector with one fake logit: safe load, 100 % key coverage, or an error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from export.backbone_weights import BackboneWeights, backbone_from_weights, backbone_keys
from export.errors import CheckpointError
from export.head import canonical_layers, classifier_name, classifier_of, head_from_weights
from export.head_choice import chosen_head
from export.head_weights import HeadWeights, heads_in
from export.key_naming import architectures_of
from export.narrowing import narrow_to_weights
from export.network import module_from_contract
from export.sidecar import sha256_of_file
from export.weights_file import some, weights_from_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from export.contract import ModelContract

_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Detector:
    """A detector in eval mode whose only output is the fake logit.

    Attributes:
        module: Maps float32 images (N, 3, size, size) to fake logits (N, 1). A timm network, whose classifier is a
            linear layer or an `nn.Sequential` that ends in one.
        contract: The model file's declaration, with the head rewritten to one logit that is positive for fake.
        sha256: Digest of the weights' file.
        wrapper: Keys of the checkpoint under which the weights lay, joined by dots; empty for a bare state dict.
        prefix: What precedes the keys of the network in the checkpoint.
        head_key: What precedes the keys of the classifier.
        notes: What a user should know of how the checkpoint was read: averaged weights, what was left unused.
        parameter_count: Number of trainable parameters.
    """

    module: nn.Module
    contract: ModelContract
    sha256: str
    wrapper: str = ""
    prefix: str = ""
    head_key: str = ""
    notes: tuple[str, ...] = ()

    @property
    def parameter_count(self) -> int:
        """Number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def detector_from_checkpoint(path: Path, contract: ModelContract, *, narrowed: bool = False) -> Detector:
    """Loads a safetensors file or a PyTorch checkpoint without executing anything in it.

    Args:
        path: A state dict, bare or within what a training script saved; averaged weights (EMA) win, as in timm. What
            precedes the network's keys is found where its first weight stands, the classifier among what is left.
        contract: Declares the architecture, whose network it is, and the head.
        narrowed: Whether the network may have lost channels, as structured pruning leaves it.

    Raises:
        CheckpointError: The file is missing, damaged or holds pickled code, the architecture is unknown, several
            networks or classifiers could be the detector's, or any tensor is missing, left over or of another shape.
    """
    stored = weights_from_file(path)
    module = module_from_contract(contract)
    try:
        found = _found(stored.tensors, module, contract, narrowed)
        if narrowed:
            narrow_to_weights(module, found.backbone.tensors)
        _load_strictly(module, found, contract)
        module = _with_classifier(module, head_from_weights(found.head, contract), contract)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    unused = tuple(f"leaves the classifier {head} unused" for head in found.unused)
    return Detector(
        module.eval(),
        canonical_contract(contract),
        sha256_of_file(path),
        stored.wrapper,
        found.backbone.backbone.prefix,
        found.head.key,
        (*stored.notes, *found.backbone.notes, *unused),
    )


def canonical_contract(contract: ModelContract) -> ModelContract:
    """Returns the contract of the loaded detector: one logit, positive for fake, under timm's names."""
    layers = canonical_layers(contract.head_layers)
    return replace(contract, head="one-logit", fake_index=1, backbone_key="", head_key="", head_layers=layers)


@dataclass(frozen=True)
class _Found:
    """What of a checkpoint becomes a detector, and the classifiers that are left out."""

    backbone: BackboneWeights
    head: HeadWeights
    unused: tuple[HeadWeights, ...]


def _found(weights: Mapping[str, torch.Tensor], module: nn.Module, contract: ModelContract, narrowed: bool) -> _Found:
    backbone = backbone_from_weights(weights, backbone_keys(module, contract.architecture), contract)
    features = classifier_of(module, contract).in_features
    heads = [
        head for head in heads_in(backbone.rest) if head.inputs == features or (narrowed and head.inputs < features)
    ]
    head, unused = chosen_head(heads, contract, backbone.backbone.prefix)
    return _Found(backbone, head, unused)


def _load_strictly(module: nn.Module, found: _Found, contract: ModelContract) -> None:
    shapes = module.state_dict()
    expected = backbone_keys(module, contract.architecture)
    tensors, prefix = found.backbone.tensors, found.backbone.backbone.prefix
    missing = [prefix + key for key in expected if key not in tensors and not key.endswith(_COUNTER)]
    read = found.head.names.union(*(head.names for head in found.unused))
    unexpected = [
        *(prefix + key for key in tensors if key not in shapes),
        *(k for k in found.backbone.rest if k not in read),
    ]
    if missing or unexpected:
        raise CheckpointError(
            f"it does not fit {contract.architecture}: {len(missing)} tensors missing{some(missing)}, "
            f"{len(unexpected)} unexpected{some(unexpected)}; {_advice(found)}"
        )
    misshapen = [
        f"{prefix}{key} is {tuple(value.shape)} instead of {tuple(shapes[key].shape)}"
        for key, value in tensors.items()
        if value.shape != shapes[key].shape
    ]
    if misshapen:
        raise CheckpointError(
            f"it does not fit {contract.architecture}: {len(misshapen)} tensors of another shape{some(misshapen)}; "
            f"{_advice(found)}"
        )
    computing = {
        **{prefix + key: value for key, value in tensors.items()},
        **{key: value for key, value in found.backbone.rest.items() if key in found.head.names},
    }
    not_finite = [key for key, value in computing.items() if not bool(torch.isfinite(value).all())]
    if not_finite:
        raise CheckpointError(f"it holds NaN or infinity{some(not_finite)}; use an earlier checkpoint")
    module.load_state_dict(tensors, strict=False)


def _advice(found: _Found) -> str:
    """Says which EfficientNet it is, if it is one, and else how to find out."""
    names = architectures_of(found.backbone.tensors, found.backbone.backbone)
    return f"these are the tensors of {' or '.join(names)}" if names else "see inspect-checkpoint"


def _with_classifier(module: nn.Module, classifier: nn.Module, contract: ModelContract) -> nn.Module:
    name = classifier_name(module, contract.architecture)
    module.reset_classifier(1)  # type: ignore[operator]  # a method of every timm model, unknown to nn.Module
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, classifier)
    return module
