"""Where the weights lie in what a training script saved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

# Keys under which projects put a state dict; what else the file holds is then no part of the network.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
_NO_WEIGHTS = re.compile(
    r"optim|^opt$|sched|scaler|callback|loops|rng|hyper|hparam|config|args|meta|amp|grad|metric|loss"
)
_MOST_NESTED = 4


@dataclass(frozen=True)
class Unwrapped:
    """A state dict and where it was found.

    Attributes:
        wrapper: Keys that led to it, joined by dots; empty for a bare state dict.
        tensors: Name -> tensor. Where several state dicts lie side by side, names begin with each one's key.
        beside: Keys of what else lies beside it, sorted.
        notes: What a user should know of the choice.
    """

    wrapper: str
    tensors: dict[str, torch.Tensor]
    beside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def names_an_average(name: str) -> bool:
    """Tells whether a key or prefix speaks of an exponential moving average of the weights."""
    return "ema" in re.split(r"[._]", name.lower())


def unwrapped(loaded: Mapping[Any, Any], depth: int = _MOST_NESTED) -> Unwrapped:
    """Finds the state dict in a loaded checkpoint.

    An average of the weights (EMA) wins over the weights themselves, as in timm. Where several state dicts lie side by
    side and none is known to be the network's, all are taken, each under its key.

    Args:
        loaded: What the file holds.
        depth: How many mappings may lie in one another; a pickled one can even lie in itself.
    """
    mapping = {str(key): value for key, value in loaded.items()}
    holders = {key: count for key, value in mapping.items() if (count := _tensors_in(value, depth))}
    direct = {key: value for key, value in mapping.items() if isinstance(value, torch.Tensor)}
    unknown = [key for key in holders if key not in WRAPPERS and not _NO_WEIGHTS.search(key.lower())]
    known = [key for key in WRAPPERS if key in holders]
    # An average that keeps its tensors in a list may have others, such as its decay, under names.
    fewest = max((holders[key] for key in known), default=0) / 2
    averages = [key for key in unknown if names_an_average(key) and holders[key] > fewest]
    chosen = averages or known or unknown
    # A count of epochs or the weights of classes may lie beside a state dict as tensors, too.
    if not chosen or len(direct) > sum(holders[key] for key in chosen):
        return Unwrapped("", direct, tuple(sorted(set(mapping) - set(direct))))
    beside = tuple(sorted(set(mapping) - set(chosen)))
    notes = _notes(mapping, chosen, averages, known)
    if len(chosen) == 1:
        inner = unwrapped(mapping[chosen[0]], depth - 1)
        wrapper = ".".join(filter(None, (chosen[0], inner.wrapper)))
        return Unwrapped(wrapper, inner.tensors, beside, (*notes, *inner.notes))
    side_by_side = {key: unwrapped(mapping[key], depth - 1).tensors for key in chosen}
    tensors = {f"{key}.{name}": tensor for key, held in side_by_side.items() for name, tensor in held.items()}
    return Unwrapped("", tensors, beside, notes)


def _notes(mapping: Mapping[str, Any], chosen: list[str], averages: list[str], known: list[str]) -> tuple[str, ...]:
    if chosen == averages and averages:
        over = f" rather than {', '.join(known)}" if known else ""
        return (f"takes the averaged weights (EMA) of {', '.join(averages)}{over}",)
    unnamed = [key for key in mapping if names_an_average(key) and isinstance(mapping[key], (Mapping, list))]
    return tuple(
        f"{key} holds no weights under names, so that the averaged weights (EMA) are not used" for key in unnamed
    )


def _tensors_in(value: Any, depth: int) -> int:
    """Counts the named tensors in nested mappings."""
    if not isinstance(value, Mapping) or depth == 0:
        return 0
    named = [item for key, item in value.items() if isinstance(key, str)]
    return sum(1 if isinstance(item, torch.Tensor) else _tensors_in(item, depth - 1) for item in named)
