"""Commands in processes of their own, forked from one that has imported what takes each of them seconds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING

from tests.exports import share_exports, shared_exports

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.process import BaseProcess
    from pathlib import Path

_PRELOADED = [
    "engines.pipeline",
    "engines.stages",
    "evaluate.pipeline",
    "evaluate.maps.cam",
    "nncf",
    "onnxruntime",
    "tensorrt_rtx",
    "tests.exports",
]
_LONGEST_S = 250


class ForkedCommand:
    """A command that runs; what it writes goes to two files.

    Args:
        module: Of the command, such as `engines.cli`.
        arguments: Its arguments.
        folder: Where its output goes.
        threads: Of PyTorch; sums depend on it.
    """

    def __init__(self, module: str, arguments: Sequence[str], folder: Path, threads: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._out, self._err = folder / "stdout", folder / "stderr"
        for path in (self._out, self._err):
            path.write_bytes(b"")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        self.process: BaseProcess = context.Process(
            target=_run, args=(module, list(arguments), self._out, self._err, threads, shared_exports())
        )
        self.process.start()

    def first_line(self) -> str:
        """Waits for the first line of the standard output."""
        until = time.monotonic() + _LONGEST_S
        while not self.told().count("\n"):
            assert time.monotonic() < until, self.complained()
            assert self.process.is_alive(), self.complained()
            time.sleep(0.01)
        return self.told().splitlines()[0]

    def told(self) -> str:
        """Returns its standard output so far."""
        return self._out.read_text(encoding="utf-8")

    def complained(self) -> str:
        """Returns its standard error so far."""
        return self._err.read_text(encoding="utf-8")

    def kill(self) -> None:
        """Ends it as the kernel does when memory is short."""
        self.process.kill()
        self.ended()

    def interrupt(self) -> None:
        """Presses Ctrl-C."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGINT)

    def ended(self) -> int:
        """Waits for its end and returns the exit code."""
        self.process.join(_LONGEST_S)
        assert self.process.exitcode is not None, "still running"
        return self.process.exitcode


def _run(module: str, arguments: list[str], out: Path, err: Path, threads: int, exports: Path) -> None:
    for path, descriptor in ((out, 1), (err, 2)):
        with path.open("wb") as stream:
            os.dup2(stream.fileno(), descriptor)
    # A shell starts background jobs with Ctrl-C ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import torch

    torch.set_num_threads(threads)
    share_exports(exports)
    sys.exit(import_module(module).main(arguments))
