"""Labelled scores of every kind that a test set can have."""

from __future__ import annotations

import secrets

import numpy as np
import pytest
from numpy.typing import NDArray

Labelled = tuple[NDArray[np.bool_], NDArray[np.float64]]

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
SEEDS = [0, FRESH]
KINDS = ["distinct", "tied", "certain", "constant", "two", "one fake", "one real", "inverted", "separable"]


def drawn(kind: str, seed: int) -> Labelled:
    """Draws labels and scores in [0, 1], both classes among them."""
    rng = np.random.default_rng(seed)
    count = 2 if kind == "two" else int(rng.integers(30, 400))
    is_fake = rng.random(count) < rng.uniform(0.1, 0.9)
    if kind == "one fake":
        is_fake[:] = False
    if kind == "one real":
        is_fake[:] = True
    is_fake[:2] = [True, False] if kind != "one real" else [False, True]
    scores = np.clip(rng.normal(0.4 + 0.2 * is_fake, 0.2), 0, 1)
    if kind == "tied":
        scores = np.round(scores * 7) / 7
    elif kind == "certain":
        scores = np.round(scores)
    elif kind == "constant":
        scores[:] = 0.3
    elif kind == "inverted":
        scores = 1 - scores
    elif kind == "separable":
        scores = np.where(is_fake, 0.75, 0.25) + rng.uniform(-0.2, 0.2, count)
    order = rng.permutation(count)
    return is_fake[order], scores[order]
