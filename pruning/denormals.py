"""Denormal numbers: so small that they mean nothing in a training, and so slow that they multiply its time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treats denormal numbers as zero within the block."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)  # it is a state of the processor, which the rest of the program shares
