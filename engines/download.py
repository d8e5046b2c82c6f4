"""How many bytes of an engine travel to a device: its size once packed by Zstandard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# Level 1 mostly packs the uneven frequencies of bytes, which is all that dense weights offer; level 9 also finds the
# repeats among the zeros of pruned ones. Level 19 takes over twenty times as long and saves at most another 3 %.
LEVELS = (1, 9)
# Shorter repeats of noisy bytes cost more to describe than they save.
_SHORTEST_REPEAT = 7
# 8 MiB, which RFC 8878 recommends every decompressor to support.
_WINDOW_LOG = 23
_CHUNK = 1 << 20  # even, so that every chunk begins at an even offset


def download_bytes(path: Path, two_byte_planes: bool = True) -> int:
    """Returns the size of a file as a device downloads it: packed by Zstandard, unpacked before use.

    The smallest of a few settings counts, each a single frame that unpacks with a window of 8 MiB. It
    says nothing about the space or the memory that the engine takes on the device.

    Args:
        path: The engine.
        two_byte_planes: Whether to try, too, all bytes at even offsets followed by all at odd ones, which the device
            interleaves again: in FP16 weights, bytes with the exponent repeat and those of the mantissa do not.
    """
    size = path.stat().st_size
    orders = (whole, planes) if two_byte_planes else (whole,)
    return min(sum(map(len, packed(order(path), size, level))) for order in orders for level in LEVELS)


def packed(parts: Iterable[bytes], size: int, level: int) -> Iterator[bytes]:
    """Packs parts that are `size` bytes together into one Zstandard frame, without holding it."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, source_size=size, window_log=_WINDOW_LOG, min_match=_SHORTEST_REPEAT, enable_ldm=True
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size=size)
    for part in parts:
        yield compressor.compress(part)
    yield compressor.flush()


def whole(path: Path) -> Iterator[bytes]:
    """Yields a file as it is."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def planes(path: Path) -> Iterator[bytes]:
    """Yields the bytes at even offsets, then those at odd ones."""
    for first in (0, 1):
        for chunk in whole(path):
            yield chunk[first::2]
