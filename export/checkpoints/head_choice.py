"""Which of a checkpoint's classifiers makes the detector's decision: the only one that can, or the one declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.checkpoints.head_weights import OWN_NAMES, HeadWeights, suggested_layers
from export.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.contract import ModelContract

_OUTPUTS = {"one-logit": 1, "two-logits": 2}


def chosen_head(
    heads: Sequence[HeadWeights], others: Sequence[HeadWeights], contract: ModelContract, prefix: str
) -> tuple[HeadWeights, tuple[HeadWeights, ...]]:
    """Returns the detector's classifier and those that are left unused.

    A classifier that a network has from its library, such as that of the thousand classes of ImageNet, may be left
    over unless another one could read its outputs; any other one that reads the same features is a choice that
    `head_key` has to make.

    Args:
        heads: The classifiers that read what the backbone gives, at least one.
        others: Those of other inputs.
        contract: Declares the number of outputs and possibly the key.
        prefix: What precedes the backbone's keys.

    Raises:
        CheckpointError: There are several, its outputs are not those declared, or another one may follow it.
    """
    every = (*heads, *others)
    if contract.head_key:
        named = [head for head in heads if _is_named(head, contract.head_key)]
        if len(named) != 1:
            raise CheckpointError(
                f'head_key = "{contract.head_key}" names {len(named)} classifiers of the checkpoint; it holds '
                f"{_listed(heads)}"
            )
        head = named[0]
    else:
        for head in heads:
            # Of as many outputs as inputs it may stand in front of any classifier that reads the features.
            if head.inputs == head.outputs:
                _require_no_follower(head, every)
        possible = [head for head in heads if head.can_detect or not _is_from_library(head, prefix)]
        possible = possible or list(heads)
        if len(possible) > 1:
            likely = next((head for head in possible if head.can_detect), possible[0])
            raise CheckpointError(
                f"the checkpoint holds several classifiers: {_listed(possible)}; declare in model.toml which one "
                f'decides, such as head_key = "{likely.key}"'
            )
        head = possible[0]
    if not head.can_detect:
        _require_no_follower(head, every)
    _require_declared_outputs(head, contract)
    return head, tuple(other for other in heads if other is not head)


def require_declared_layers(head: HeadWeights, contract: ModelContract) -> None:
    """Refuses weights that are not those of the declared layers.

    Positions in the `nn.Sequential` may all exceed those in the declared list by the same number, where layers stand in
    front that do nothing to features, such as `nn.Flatten`.

    Raises:
        CheckpointError: Nothing is declared of a classifier of several layers, or something else than it has.
    """
    declared = contract.head_layers
    if not declared and head.is_one_layer:
        return
    places = [(place, kind) for place, kind in enumerate(declared) if kind in ("linear", "batch-norm", "layer-norm")]
    kinds = [layer.kind for layer in head.layers]
    if not declared or [kind for _, kind in places] != kinds:
        declares = f"head_layers declares {', '.join(declared)}" if declared else "model.toml does not tell"
        raise CheckpointError(
            f"the classifier is {head}, and weights do not show what lies between those layers; {declares}; take from "
            f"the training code all layers in order, such as head_layers = {_toml_list(suggested_layers(head))}"
        )
    offsets = {
        layer.position - place
        for (place, _), layer in zip(places, head.layers, strict=True)
        if layer.position is not None
    }
    if len(head.layers) > 1 and (len(offsets) != 1 or min(offsets) < 0):
        raise CheckpointError(
            f"head_layers declares {', '.join(declared)}, but the classifier is {head}; list every layer of the "
            f"nn.Sequential at its position, dropout too, such as head_layers = {_toml_list(suggested_layers(head))}"
        )


def _require_no_follower(head: HeadWeights, every: Sequence[HeadWeights]) -> None:
    follower = next((other for other in every if other is not head and other.inputs == head.outputs), None)
    if follower is not None:
        direct = f'; if {follower.key} reads the features itself, declare head_key = "{follower.key}"'
        raise CheckpointError(
            f"{follower} may read what {head} gives, and weights do not show what lies between layers of several "
            f"names; rename their keys as those of one nn.Sequential, such as {head.key} to head.0 and {follower.key} "
            "to head.2, and list its layers in head_layers" + (direct if follower.inputs == head.inputs else "")
        )


def _require_declared_outputs(head: HeadWeights, contract: ModelContract) -> None:
    if not head.can_detect:
        raise CheckpointError(
            f"the classifier {head} has {head.outputs} outputs; expected 1 or 2: a detector of fake and real. Train a "
            "classifier of two classes on its features"
        )
    if head.outputs != _OUTPUTS[contract.head]:
        right = next(name for name, outputs in _OUTPUTS.items() if outputs == head.outputs)
        raise CheckpointError(
            f"the classifier {head} has {head.outputs} outputs, but model.toml declares head = "
            f'"{contract.head}"; declare head = "{right}"'
        )


def _is_named(head: HeadWeights, key: str) -> bool:
    key = key.strip(".")
    return any(own == key or own.endswith(f".{key}") for own in (head.key, head.parent))


def _is_from_library(head: HeadWeights, prefix: str) -> bool:
    return any(prefix + name in (head.key, head.parent) for name in OWN_NAMES)


def _listed(heads: Sequence[HeadWeights]) -> str:
    return ", ".join(map(str, heads))


def _toml_list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
