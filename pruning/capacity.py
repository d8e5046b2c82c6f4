"""How much can be taken from a network at all; known from shapes, so that too much is refused at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.variant import LARGEST_PERCENT, PruningKind
from pruning.channel_groups import kept_channels
from pruning.channel_removal import parameters_per_channel
from pruning.errors import PruningError
from pruning.zeros import LARGEST_SHARE

if TYPE_CHECKING:
    from export.variant import Pruning
    from pruning.network import DenseNetwork


def require_possible(network: DenseNetwork, pruning: Pruning) -> None:
    """Refuses a pruning that would empty layers or that the network has nothing for.

    Raises:
        PruningError: The message says how much is possible.
    """
    hint = "; --keep-dense keeps too much" if network.keep else ""
    if pruning.kind is PruningKind.TWO_OF_FOUR:
        if not network.two_of_four_layers:
            raise PruningError(
                f"n24: no layer to prune is pointwise and wide enough for 2:4 sparsity; build pNN or sNN instead{hint}"
            )
        return
    structured = pruning.kind is PruningKind.STRUCTURED
    largest = min(int(100 * (_channel_capacity(network) if structured else _weight_capacity(network))), LARGEST_PERCENT)
    if pruning.percent <= largest:
        return
    what = "parameters can be removed" if structured else "weights can be zero"
    if not largest:
        instead = "pNN" if structured else "the dense variants"
        raise PruningError(f"{pruning.name}: none of the network's {what}; build {instead} instead{hint}")
    raise PruningError(
        f"{pruning.name} would empty layers: at most {largest} % of the {what}, because some layers are kept; ask for "
        f"{pruning.kind.value}{largest:02d} or less{hint}"
    )


def parameters_of_channels(network: DenseNetwork) -> dict[str, int]:
    """Returns, by name of a group, how many trainable parameters go with each of its channels."""
    detector = network.detector
    return parameters_per_channel(detector.module, detector.contract.input.size, network.channel_groups)


def _weight_capacity(network: DenseNetwork) -> float:
    return LARGEST_SHARE * sum(layer.weight_count for layer in network.prunable_layers) / network.weight_count


def _channel_capacity(network: DenseNetwork) -> float:
    sizes = parameters_of_channels(network)
    lost = {group.name: group.channels - kept_channels(group.channels)[-1] for group in network.channel_groups}
    most = sum(lost[name] * sizes[name] for name in lost)
    return most / network.detector.parameter_count
