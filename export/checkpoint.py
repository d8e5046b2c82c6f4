"""From a checkpoint file to a detector with one fake logit: safe load, 100 % key coverage, or an error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from export.checkpoints.backbone_weights import backbone_from_weights, backbone_keys
from export.checkpoints.head import canonical_layers, classifier_name, classifier_of, head_from_weights
from export.checkpoints.head_choice import chosen_head
from export.checkpoints.head_weights import heads_in
from export.checkpoints.key_naming import architectures_of, timm_named
from export.checkpoints.narrowing import narrow_to_weights
from export.checkpoints.network import module_from_contract
from export.checkpoints.weights_file import some, weights_from_file
from export.errors import CheckpointError
from export.image_size import image_size_options
from export.sidecar import sha256_of_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from export.checkpoints.backbone_weights import BackboneWeights
    from export.checkpoints.head_weights import HeadWeights
    from export.contract import ModelContract

_COUNTER = "num_batches_tracked"
_LEFT_OVER = "either it is another architecture, or they belong to the training: save the state dict without them"

_NOT_WHOLE = "it is another network, one of changed layers, or not all of it was saved"


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
        backbone = backbone_from_weights(stored.tensors, backbone_keys(module, contract.architecture), contract)
        features = classifier_of(module, contract).in_features
        if narrowed:
            narrow_to_weights(module, backbone.tensors)
        _load_backbone(module, backbone, contract)
        found = heads_in(backbone.rest)
        heads = [head for head in found if _reads(head, features, narrowed)]
        _require_heads(heads, features, backbone.rest, stored.beside)
        others = [head for head in found if not _reads(head, features, narrowed)]
        head, unused = chosen_head(heads, others, contract, backbone.backbone.prefix)
        _require_nothing_left(backbone, (head, *unused), contract)
        module = _with_classifier(module, head_from_weights(head, contract), contract)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return Detector(
        module.eval(),
        canonical_contract(contract),
        sha256_of_file(path),
        stored.wrapper,
        backbone.backbone.prefix,
        head.key,
        (*stored.notes, *backbone.notes, *_notes(head, unused, backbone, contract, narrowed)),
    )


def canonical_contract(contract: ModelContract) -> ModelContract:
    """Returns the contract of the loaded detector: one logit, positive for fake, under timm's names."""
    layers = canonical_layers(contract.head_layers)
    return replace(contract, head="one-logit", fake_index=1, backbone_key="", head_key="", head_layers=layers)


def _reads(head: HeadWeights, features: int, narrowed: bool) -> bool:
    return head.inputs == features or (narrowed and head.inputs < features)


def _require_heads(
    heads: Sequence[HeadWeights], features: int, rest: Mapping[str, torch.Tensor], beside: Sequence[str]
) -> None:
    if heads:
        return
    if not rest:
        outside = f" (outside of it lie {', '.join(beside)})" if beside else ""
        raise CheckpointError(
            f"it holds a backbone without a classifier{outside}; save the state dict of the whole detector"
        )
    raise CheckpointError(
        f"none of the {len(rest)} tensors beside the backbone{some(rest)} are those of a linear layer that reads its "
        f"{features} features; expected an nn.Linear, or an nn.Sequential that begins with one; save the detector so, "
        "without weight norm and the like" + _advice_on_convolutions(rest)
    )


def _advice_on_convolutions(rest: Mapping[str, torch.Tensor]) -> str:
    of_points = [name for name, value in rest.items() if value.ndim == 4 and value.shape[2:] == (1, 1)]
    if not of_points:
        return ""
    return f"; a 1 x 1 convolution of averaged features is one, if its weight{some(of_points, 1)} is saved flattened"


def _notes(
    head: HeadWeights, unused: Sequence[HeadWeights], found: BackboneWeights, contract: ModelContract, narrowed: bool
) -> list[str]:
    notes = [f"leaves the classifier {other} unused" for other in unused]
    # Narrowed weights are this project's own, which have timm's names whatever the family.
    if found.backbone.naming == "timm" and contract.family != "timm" and not narrowed:
        notes.append(
            f"its tensors have timm's names and are computed as {contract.family} does, as model.toml declares"
        )
    is_torchvisions = found.backbone.naming == "torchvision" and head.parent == f"{found.backbone.prefix}classifier"
    if head.is_one_layer and head.layers[0].position and not contract.head_layers and not is_torchvisions:
        notes.append(
            f"takes what stands before {head.key} in its nn.Sequential for dropout; if it is more, declare head_layers"
        )
    return notes


def _load_backbone(module: nn.Module, found: BackboneWeights, contract: ModelContract) -> None:
    expected = module.state_dict()
    tensors, prefix = found.tensors, found.backbone.prefix
    own = backbone_keys(module, contract.architecture)
    missing = [prefix + key for key in own if key not in tensors and not key.endswith(_COUNTER)]
    unexpected = [prefix + key for key in tensors if key not in expected]
    if missing or unexpected:
        raise CheckpointError(
            f"it does not fit {contract.architecture}: {len(missing)} tensors missing{some(missing)}, "
            f"{len(unexpected)} unexpected{some(unexpected)}; {_advice(found)}"
        )
    misshapen = [
        f"{prefix}{key} is {tuple(value.shape)} instead of {tuple(expected[key].shape)}"
        for key, value in tensors.items()
        if value.shape != expected[key].shape
    ]
    if misshapen:
        raise CheckpointError(
            f"it does not fit {contract.architecture}: {len(misshapen)} tensors of another shape{some(misshapen)}; "
            f"{_advice(found) + _other_size(contract)}"
        )
    _require_finite({prefix + key: value for key, value in tensors.items()})
    module.load_state_dict(tensors, strict=False)


def _require_nothing_left(found: BackboneWeights, heads: Sequence[HeadWeights], contract: ModelContract) -> None:
    left = found.rest.keys() - {name for head in heads for name in head.names}
    if left:
        others = [name for name in _fitting(found) if name != contract.architecture.partition(".")[0]]
        is_another = len(others) == len(_fitting(found)) > 0
        raise CheckpointError(
            f"{len(left)} tensors are part of neither network nor classifier{some(sorted(left))}; "
            + (f"these are the tensors of {' or '.join(others)}" if is_another else _LEFT_OVER)
        )
    _require_finite({name: found.rest[name] for name in heads[0].names})


def _require_finite(tensors: Mapping[str, torch.Tensor]) -> None:
    not_finite = sorted(key for key, value in tensors.items() if not bool(torch.isfinite(value).all()))
    if not_finite:
        raise CheckpointError(f"it holds NaN or infinity{some(not_finite)}; use an earlier checkpoint")


def _advice(found: BackboneWeights) -> str:
    names = _fitting(found)
    return f"these are the tensors of {' or '.join(names)}" if names else _NOT_WHOLE


def _other_size(contract: ModelContract) -> str:
    size = contract.input.size
    is_fixed = contract.family == "timm" and image_size_options(contract.architecture, size)
    return f"; or it was trained on images of another size than input.size = {size}" if is_fixed else ""


def _fitting(found: BackboneWeights) -> tuple[str, ...]:
    """Returns the EfficientNets that the tensors are those of; empty for other networks."""
    prefix, tensors = found.backbone.prefix, found.tensors
    if found.backbone.naming == "timm":
        tensors = timm_named({**{prefix + key: value for key, value in tensors.items()}, **found.rest}, found.backbone)
    return architectures_of(tensors, found.backbone)


def _with_classifier(module: nn.Module, classifier: nn.Module, contract: ModelContract) -> nn.Module:
    name = classifier_name(module, contract.architecture)
    module.reset_classifier(1)  # type: ignore[operator]  # a method of every timm model, unknown to nn.Module
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, classifier)
    return module
