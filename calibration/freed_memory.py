"""Memory that is freed and soon needed again stays with the process."""

from __future__ import annotations

import ctypes
from functools import cache

# glibc's names in malloc.h, and the largest threshold that it takes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_TRIM, _LARGEST_MMAP = 2**31 - 1, 32 * 2**20


@cache
def keep_freed_memory() -> bool:
    """Tells glibc's allocator to keep what is freed, for blocks of up to 32 MiB, and returns whether it does so.

    By default it hands the images of a batch back to the kernel when they are freed, and the kernel clears each of
    their pages again before the next batch gets them, while the processors wait. Other allocators have policies of
    their own and are left alone. See mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP)) and bool(mallopt(_M_TRIM_THRESHOLD, _LARGEST_TRIM))
