from __future__ import annotations

import platform
import resource
import subprocess
import sys

import numpy as np
import pytest

from calibration.freed_memory import keep_freed_memory

# Page faults of a batch that is made after another one was freed; "keep" or "leave" is told.
SCRIPT = """
import resource, sys
import numpy as np
from calibration.freed_memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()

def batch():
    return [np.ones((3, 144, 144), np.float32) for _ in range(64)]

for _ in range(3):
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator takes the settings")
def test_freed_images_are_not_handed_back() -> None:
    faults = {
        told: int(
            subprocess.run([sys.executable, "-c", SCRIPT, told], check=True, capture_output=True, text=True).stdout
        )
        for told in ("keep", "leave")
    }
    pages = 10 * 64 * np.ones((3, 144, 144), np.float32).nbytes / resource.getpagesize()
    assert faults["keep"] < 0.01 * pages
    assert faults["leave"] > 0.1 * pages  # what the settings are for


def test_other_allocators_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calibration.freed_memory.ctypes.CDLL", lambda _: object())
    assert not keep_freed_memory.__wrapped__()
