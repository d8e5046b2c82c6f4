"""In which order the input channels of a layer are removed, and what its output loses by that; pure numbers.

Backward elimination by second-order cost (Hassibi and Stork, "Optimal Brain Surgeon", 1993; of whole columns, Frantar
and Alistarh, "Optimal Brain Compression", arXiv 2208.11580): the channel goes whose loss adds least to the squared
error of the output when the channels that stay make up for it by least squares, and they do so at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

# Share of the channels left that is removed at a time: their costs are taken one by one, their removal is exact.
_CHUNK_SHARE = 0.02
_TINY = 1e-30


@dataclass(frozen=True)
class Elimination:
    """Channels in the order of their removal.

    Attributes:
        order: Channel numbers, the cheapest first; those that always stay are not listed.
        errors: Squared error of the output after as many removals, the channels left being refitted; begins with that
            of none, 0, so it is one longer than `order`.
    """

    order: tuple[int, ...]
    errors: tuple[float, ...]


def eliminated(weight: torch.Tensor, covariance: torch.Tensor, fewest: int = 1) -> Elimination:
    """Removes channel after channel until only `fewest` are left.

    Args:
        weight: (outputs, channels), float64.
        covariance: (channels, channels) of the input, positive definite.
        fewest: How many channels stay.
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    weight = weight.clone()
    here = torch.arange(len(covariance), device=covariance.device)  # channels left, by their numbers
    order: list[int] = []
    errors = [0.0]
    while len(here) > fewest:
        count = min(max(1, int(_CHUNK_SHARE * len(here))), len(here) - fewest)
        costs = weight.square().sum(dim=0) / torch.diagonal(inverse).clamp_min(_TINY)
        chosen = torch.topk(costs, count, largest=False).indices
        own = torch.linalg.solve(inverse[chosen][:, chosen], weight[:, chosen].T)  # (count, outputs)
        total = float((weight[:, chosen].T * own).sum())
        # Within a chunk the error is shared out by single costs, so that the curve has no steps.
        shares = torch.cumsum(costs[chosen], dim=0) / costs[chosen].sum().clamp_min(_TINY)
        errors += [errors[-1] + total * share for share in shares.tolist()]
        order += here[chosen].tolist()
        left = torch.ones(len(here), dtype=torch.bool, device=here.device)
        left[chosen] = False
        rows = inverse[chosen][:, left]
        weight = weight[:, left] - own.T @ rows
        inverse = inverse[left][:, left] - rows.T @ torch.linalg.solve(inverse[chosen][:, chosen], rows)
        here = here[left]
    return Elimination(tuple(order), tuple(errors))
