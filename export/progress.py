"""Progress bars: shown in a terminal, silent in a log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")


def progress_bar(items: Iterable[Item], label: str, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Yields `items` and shows how many are done when standard error is a terminal."""
    yield from tqdm(items, desc=label, total=total, unit=unit, disable=not sys.stderr.isatty(), leave=False)
