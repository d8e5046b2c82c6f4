"""Ctrl-C at a moment when it does no harm.

Python raises `KeyboardInterrupt` between any two instructions of the main thread: also after `threading.Condition` has
taken its lock and before its `with` block begins, so that nobody releases the lock and the threads of a pool wait for
it for ever; within imports, some of which say that a package is missing when anything disturbs them; and in finalizers,
where it is written to standard error and forgotten.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# Modules in Python that take locks on behalf of the main thread.
_LOCKING = frozenset({"threading", "queue", "concurrent.futures._base", "concurrent.futures.thread"})
_IMPORTING = "<frozen importlib._bootstrap>"
_RETRY_S = 0.002
# A main thread found at the same instruction for so long waits there, and holds no half-taken lock.
_WAITING_S = 0.05


@contextmanager
def careful_interrupts() -> Iterator[None]:
    """Lets Ctrl-C raise `KeyboardInterrupt` as soon as the main thread neither takes a lock nor imports.

    Other handlers, such as "ignore" of background jobs, and other threads are left alone.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; also if a library that it disturbed raised another error instead.
    """
    usual, unraisable = signal.getsignal(signal.SIGINT), sys.unraisablehook
    if threading.current_thread() is not threading.main_thread() or usual is not signal.default_int_handler:
        yield
        return
    ctrl_c = _CtrlC()

    def once_more(lost: sys.UnraisableHookArgs) -> None:
        if isinstance(lost.exc_value, KeyboardInterrupt):
            ctrl_c.try_later()
        else:
            unraisable(lost)

    signal.signal(signal.SIGINT, ctrl_c.handle)
    sys.unraisablehook = once_more
    try:
        yield
    except Exception as error:
        if ctrl_c.raised:  # what disturbed libraries say: that a file is damaged, or cannot be closed
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.unraisablehook = unraisable
        signal.signal(signal.SIGINT, usual)
        ctrl_c.stop_trying()


class _CtrlC:
    """A signal handler that looks again a little later while the interrupted code must not be left.

    Attributes:
        raised: Whether it has raised.
    """

    def __init__(self) -> None:
        self.raised = False
        # The frame itself: its address alone may be that of another call a moment later.
        self._place: tuple[FrameType | None, int] = (None, 0)
        self._since = 0.0
        # The handler and the timer, seconds, that were there before its own.
        self._before: tuple[Any, tuple[float, float]] | None = None

    def handle(self, _signal: int, frame: FrameType | None) -> None:
        """Raises.

        Raises:
            KeyboardInterrupt: The main thread can be interrupted here.
        """
        if frame is not None and (_is_importing(frame) or (_is_locking(frame) and not self._waits(frame))):
            self.try_later()
            return
        self._place, self.raised = (None, 0), True
        raise KeyboardInterrupt

    def try_later(self) -> None:
        """Calls `handle` in a few milliseconds, wherever the main thread is by then."""
        if self._before is None:
            self._before = (signal.signal(signal.SIGALRM, self.handle), signal.getitimer(signal.ITIMER_REAL))
        signal.setitimer(signal.ITIMER_REAL, _RETRY_S)

    def stop_trying(self) -> None:
        """Gives the timer and its signal back."""
        if self._before is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before[0])
            signal.setitimer(signal.ITIMER_REAL, *self._before[1])

    def _waits(self, frame: FrameType) -> bool:
        place, now = (frame, frame.f_lasti), time.monotonic()
        if place != self._place:
            self._place, self._since = place, now
        return now - self._since >= _WAITING_S


def _is_locking(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") in _LOCKING


def _is_importing(frame: FrameType) -> bool:
    each: FrameType | None = frame
    while each is not None:
        if each.f_code.co_filename == _IMPORTING:
            return True
        each = each.f_back
    return False
