"""Where a checkpoint holds the network that a contract declares, whatever precedes its keys and whoever named them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.checkpoints.head import classifier_name
from export.checkpoints.key_naming import Backbone, backbones_in, timm_named
from export.checkpoints.torchvision_names import unmapped_network
from export.checkpoints.wrappers import names_an_average
from export.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import nn

    from export.contract import Family, ModelContract

# Tensors that a training script keeps in the state dict and that no network computes with.
_COUNTERS = ("num_batches_tracked", "n_averaged")
_LOSS_WEIGHTS = "pos_weight"
_NAMING_OF_FAMILIES: dict[str, tuple[Family, ...]] = {
    "efficientnet-pytorch": ("efficientnet-pytorch", "deepfakebench"),
    "torchvision": ("torchvision",),
}
_SPELLING = {"efficientnet-pytorch": "efficientnet-b5", "torchvision": "efficientnet_b5"}


@dataclass(frozen=True)
class BackboneWeights:
    """A network found in a checkpoint.

    Attributes:
        backbone: Whose names its tensors have, and what precedes them.
        tensors: Its tensors by timm's names, without a classifier.
        rest: What else the checkpoint holds, by its own keys: the classifier and what is left over.
        notes: What a user should know of the choice.
    """

    backbone: Backbone
    tensors: dict[str, torch.Tensor]
    rest: dict[str, torch.Tensor]
    notes: tuple[str, ...] = ()


def backbone_from_weights(
    weights: Mapping[str, torch.Tensor], expected: Sequence[str], contract: ModelContract
) -> BackboneWeights:
    """Finds the declared network's tensors.

    Args:
        weights: All tensors of the checkpoint.
        expected: timm's names of the network's tensors, without its classifier, the first one first.
        contract: Declares the family, and which network it is where there are several.

    Raises:
        CheckpointError: There is none, there are several, or their names are those of another family's network.
    """
    found = placed_backbones(weights, expected)
    if not found:
        told = unmapped_network(weights)
        if told:
            raise CheckpointError(f"no network like {contract.architecture} is in the checkpoint: {told}")
        first = [key for key in weights if key.endswith(".weight")][:3] or list(weights)[:3]
        raise CheckpointError(
            f"no network like {contract.architecture} is in the checkpoint: no key ends in {expected[0]} with the "
            f"others beside it; its first weights are {', '.join(first)}; inspect-checkpoint without --model tells "
            "what it holds"
        )
    backbone, notes = _chosen(found, contract)
    _require_own_naming(backbone, contract)
    others = [other for other in found if other != backbone]
    within = {key: value for key, value in weights.items() if _in_scope(key, backbone.prefix, others)}
    if len(within) < len(weights):
        notes = (*notes, f"leaves out {len(weights) - len(within)} tensors of {', '.join(map(_shown, others))}")
    if backbone.naming == "timm":
        names = set(expected)
        tensors = {
            key.removeprefix(backbone.prefix): value
            for key, value in within.items()
            if key.startswith(backbone.prefix) and key.removeprefix(backbone.prefix) in names
        }
    else:
        tensors = timm_named(within, backbone)
    taken = set(map(id, tensors.values()))
    rest = {key: value for key, value in within.items() if id(value) not in taken}
    dropped = [key for key in rest if key.rpartition(".")[-1] == _LOSS_WEIGHTS]
    if dropped:
        notes = (*notes, f"leaves out {', '.join(dropped)}, which belongs to the loss")
    rest = {k: v for k, v in rest.items() if k not in dropped and k.rpartition(".")[-1] != "n_averaged"}
    return BackboneWeights(backbone, tensors, rest, notes)


def backbone_keys(module: nn.Module, architecture: str) -> tuple[str, ...]:
    """Returns the names of a timm network's tensors without its classifier's.

    Raises:
        CheckpointError: The classifier is not one linear layer.
    """
    classifier = f"{classifier_name(module, architecture)}."
    return tuple(key for key in module.state_dict() if not key.startswith(classifier))


def placed_backbones(weights: Mapping[str, torch.Tensor], expected: Sequence[str]) -> tuple[Backbone, ...]:
    """Returns where most of a network's tensors stand behind one prefix, or an EfficientNet by another project's names.

    Args:
        weights: All tensors of the checkpoint.
        expected: timm's names of the network's tensors, the first one first.
    """
    stem = expected[0]
    prefixes = [key.removesuffix(stem) for key in weights if key == stem or key.endswith(f".{stem}")]
    own = [
        prefix
        for prefix in prefixes
        if sum(prefix + key in weights for key in expected if not key.endswith(_COUNTERS)) > _half(expected)
    ]
    others = [backbone for backbone in backbones_in(weights) if backbone.naming != "timm"]
    return (*(Backbone("timm", prefix) for prefix in own), *others)


def _half(expected: Sequence[str]) -> float:
    return sum(not key.endswith(_COUNTERS) for key in expected) / 2


def _chosen(found: Sequence[Backbone], contract: ModelContract) -> tuple[Backbone, tuple[str, ...]]:
    if contract.backbone_key:
        key = contract.backbone_key.strip(".")
        named = [one for one in found if f".{one.prefix}".endswith(f".{key}.") or one.prefix.startswith(f"{key}.")]
        if len(named) != 1:
            raise CheckpointError(
                f'backbone_key = "{contract.backbone_key}" names {len(named)} networks of the checkpoint; it holds '
                f"{', '.join(map(_shown, found))}"
            )
        return named[0], ()
    averages = [one for one in found if names_an_average(one.prefix)]
    if len(averages) == 1 and len(found) > 1:
        return averages[0], (f"takes the averaged weights (EMA) of {_shown(averages[0])}",)
    if len(found) > 1:
        raise CheckpointError(
            f"the checkpoint holds several networks: {', '.join(map(_shown, found))}; declare in model.toml which one "
            f'is the detector, such as backbone_key = "{found[0].prefix.rstrip(".")}"'
        )
    return found[0], ()


def _require_own_naming(backbone: Backbone, contract: ModelContract) -> None:
    families = _NAMING_OF_FAMILIES.get(backbone.naming)
    if families is None or contract.family in families:
        return
    declared = " or ".join(f'family = "{family}"' for family in families)
    raise CheckpointError(
        f"the tensors under {_shown(backbone)} have {backbone.naming}'s names, but model.toml declares family = "
        f'"{contract.family}"; declare {declared} and the architecture as that spells it, such as '
        f'"{_SPELLING[backbone.naming]}": networks of the same weights pad differently and give other scores'
    )


def _in_scope(key: str, prefix: str, others: Sequence[Backbone]) -> bool:
    """Tells whether a key belongs to no other network: to the one at `prefix`, or to none in particular."""
    for other in others:
        if other.prefix == prefix:
            continue
        shared = _shared_start(prefix, other.prefix)
        rest = other.prefix.removeprefix(shared)
        # Where the chosen network lies deeper than the other one, all but its own branch may be the other's.
        if rest:
            if key.startswith(shared + rest.partition(".")[0] + "."):
                return False
        elif key.startswith(shared) and not key.startswith(
            shared + prefix.removeprefix(shared).partition(".")[0] + "."
        ):
            return False
    return True


def _shared_start(one: str, other: str) -> str:
    shared = ""
    for mine, theirs in zip(one.split("."), other.split("."), strict=False):
        if mine != theirs or not mine:
            break
        shared += f"{mine}."
    return shared


def _shown(backbone: Backbone) -> str:
    return backbone.prefix.rstrip(".") or "the top level"
