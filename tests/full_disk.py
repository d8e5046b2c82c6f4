"""build-engines where no file may grow beyond 100 kB, which spares filling a disk."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from engines.cli import main as build_engines

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    return build_engines(arguments)
