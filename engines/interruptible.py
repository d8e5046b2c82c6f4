"""A long call into a library that Ctrl-C would not reach: it runs in a thread of its own."""

from __future__ import annotations

import atexit
import os
import sys
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from export.command import EXIT_BAD_INPUT

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


def interruptible(call: Callable[[], Result], stop: Callable[[], None] | None) -> Result:
    """Returns what `call` returns, and ends early on Ctrl-C.

    Args:
        call: Releases the interpreter's lock while it works.
        stop: Makes `call` return soon; None if nothing can. The process then leaves without waiting for it, once
            everything else has been cleaned up.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # it is raised in the thread that waits
            future.set_exception(error)

    thread = Thread(target=work, name="tensorrt-build", daemon=True)
    try:
        thread.start()
        return future.result()
    except KeyboardInterrupt:
        try:
            if stop is not None:
                stop()
                thread.join()
        finally:
            if thread.is_alive():
                atexit.register(_leave)  # an interpreter that shuts down under a working library may crash
        raise


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_BAD_INPUT)
