"""In which order the input channels of a layer are removed, and what its output loses by that; pure numbers.

Backward elimination by second-order cost (Hassibi and Stork, "Optimal Brain Surgeon", 1993; of whole columns, Frantar
and Alistarh, "Optimal Brain Compression", arXiv 2208.11580): the channel goes whose loss adds least to the squared
error of the output when the channels that stay make up for it by least squares, and they do so at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

# Share of the channels left that is removed at most at a time: costs are taken one by one, the removal is exact.
_CHUNK_SHARE = 0.02
# Squared partial correlation from which two channels do not go at once: each may be cheap only because of the other.
_CLOSE = 0.1
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


def eliminated(weight: torch.Tensor, covariance: torch.Tensor, fewest: int = 1, run: int = 1) -> Elimination:
    """Removes channel after channel until only `fewest` are left.

    Args:
        weight: (outputs, channels * run), float64.
        covariance: (channels * run, channels * run) of the input, positive definite.
        fewest: How many channels stay.
        run: Neighbouring columns that belong to one channel: the area of a convolution's kernel.
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    weight = weight.clone()
    here = torch.arange(len(covariance) // run, device=covariance.device)  # channels left, by their numbers
    order: list[int] = []
    errors = [0.0]
    while len(here) > fewest:
        count = min(max(1, int(_CHUNK_SHARE * len(here))), len(here) - fewest)
        costs = _costs(weight, inverse, run)
        chosen = _cheapest_apart(costs, inverse, run, count)
        left = torch.ones(len(here), dtype=torch.bool, device=here.device)
        left[chosen] = False
        gone = (chosen.unsqueeze(1) * run + torch.arange(run, device=here.device)).flatten()
        stay = left.repeat_interleave(run)
        own = torch.linalg.solve(inverse[gone][:, gone], weight[:, gone].T)  # (columns gone, outputs)
        total = float((weight[:, gone].T * own).sum())
        # Within a chunk the error is shared out by single costs, so that the curve has no steps.
        shares = torch.cumsum(costs[chosen], dim=0) / costs[chosen].sum().clamp_min(_TINY)
        errors += [errors[-1] + total * share for share in shares.tolist()]
        order += here[chosen].tolist()
        rows = inverse[gone][:, stay]
        weight = weight[:, stay] - own.T @ rows
        inverse = inverse[stay][:, stay] - rows.T @ torch.linalg.solve(inverse[gone][:, gone], rows)
        here = here[left]
    return Elimination(tuple(order), tuple(errors))


def _cheapest_apart(costs: torch.Tensor, inverse: torch.Tensor, run: int, count: int) -> torch.Tensor:
    """Returns up to `count` of the cheapest channels, no two of which stand for each other."""
    candidates = torch.argsort(costs)[: 2 * count]
    columns = candidates * run  # the first column of a channel stands for all of them
    near = inverse[columns][:, columns]
    spread = torch.diagonal(near).clamp_min(_TINY)
    close = (near.square() / (spread.unsqueeze(0) * spread.unsqueeze(1)) > _CLOSE).cpu()
    chosen: list[int] = []
    for number in range(len(candidates)):
        if len(chosen) < count and not close[number, chosen].any():
            chosen.append(number)
    return candidates[chosen]


def _costs(weight: torch.Tensor, inverse: torch.Tensor, run: int) -> torch.Tensor:
    """Returns what the loss of each channel alone adds to the squared error."""
    if run == 1:
        return weight.square().sum(dim=0) / torch.diagonal(inverse).clamp_min(_TINY)
    blocks = inverse.reshape(-1, run, len(inverse) // run, run).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    columns = weight.reshape(len(weight), -1, run).permute(1, 2, 0)  # (channels, run, outputs)
    costs: torch.Tensor = (columns * torch.linalg.solve(blocks, columns)).sum(dim=(1, 2))
    return costs
