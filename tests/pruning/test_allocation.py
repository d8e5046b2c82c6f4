"""Allocation against every possible choice."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from pruning.allocation import Options, allocated
from pruning.errors import PruningError


def parts_from(rng: np.random.Generator, count: int, options: int) -> list[Options]:
    """Draws parts whose noise grows ever faster with what they save."""
    found = []
    for number in range(count):
        savings = np.concatenate([[0], np.cumsum(rng.integers(1, 9, options - 1))]).astype(float)
        slopes = np.cumsum(rng.uniform(0.1, 1, options - 1))
        noise = np.concatenate([[0], np.cumsum(slopes * np.diff(savings))])
        found.append(Options(f"part{number}", savings, noise))
    return found


@pytest.mark.parametrize("families", [("", "", "", ""), ("a", "a", "", "a"), ("a", "b", "b", "a")])
@pytest.mark.parametrize("seed", range(12))
def test_no_choice_that_saves_a_step_more_has_less_noise(seed: int, families: tuple[str, ...]) -> None:
    rng = np.random.default_rng(seed)
    parts = [replace(part, family=name) for part, name in zip(parts_from(rng, 4, 4), families, strict=True)]
    wanted = rng.uniform(0.1, 0.6) * sum(part.savings[-1] for part in parts)
    found = allocated(parts, wanted)
    assert found.saved >= wanted
    assert found.saved == sum(part.savings[found.chosen[part.name]] for part in parts)
    assert found.noise == pytest.approx(sum(part.noise[found.chosen[part.name]] for part in parts))

    def allowed(choice: tuple[int, ...]) -> bool:
        taken: dict[str, set[int]] = {}
        for name, index, part in zip(families, choice, parts, strict=True):
            taken.setdefault(name or part.name, set()).add(index)
        return all(len(options - {0}) <= 1 for options in taken.values())

    assert allowed(tuple(found.chosen[part.name] for part in parts))
    totals: dict[str, float] = {}
    for part in parts:
        totals[part.family or part.name] = totals.get(part.family or part.name, 0.0) + float(part.savings[-1])
    step = max(totals.values())
    rivals = [
        sum(part.noise[index] for part, index in zip(parts, choice, strict=True))
        for choice in itertools.product(range(4), repeat=4)
        if allowed(choice)
        and sum(part.savings[index] for part, index in zip(parts, choice, strict=True)) >= wanted + step
    ]
    assert not rivals or found.noise <= min(rivals) + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_more_saved_is_never_less_noise(seed: int) -> None:
    parts = parts_from(np.random.default_rng(seed), 9, 6)
    total = sum(part.savings[-1] for part in parts)
    noises = [allocated(parts, share * total).noise for share in np.linspace(0.05, 1, 15)]
    assert np.all(np.diff(noises) >= -1e-12)


def test_nothing_wanted_takes_nothing() -> None:
    found = allocated(parts_from(np.random.default_rng(0), 3, 3), 0.0)
    assert (found.saved, found.noise) == (0.0, 0.0)


def test_more_than_there_is_is_refused() -> None:
    parts = [Options("only", np.array([0.0, 4.0]), np.array([0.0, 1.0]))]
    assert allocated(parts, 4.0).chosen == {"only": 1}
    with pytest.raises(PruningError, match="only 4 can"):
        allocated(parts, 4.1)


def test_parts_that_cost_nothing_go_first() -> None:
    free = Options("free", np.array([0.0, 10.0]), np.array([0.0, 0.0]))
    dear = Options("dear", np.array([0.0, 10.0]), np.array([0.0, 5.0]))
    assert allocated([dear, free], 10.0).chosen == {"free": 1, "dear": 0}
