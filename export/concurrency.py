"""Several inferences at a time on the processors of a machine, in the order of their inputs."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future

_Input = TypeVar("_Input")
_Output = TypeVar("_Output")

# Images that may be computed at a time: memory grows with each, and a machine may have a hundred processors.
_MOST_IMAGES = 32


@dataclass(frozen=True)
class ThreadPlan:
    """How inferences share the processors.

    Attributes:
        inferences: Inferences at a time, each called by a thread of its own.
        threads: Threads of the session that they share, that of the caller included.
    """

    inferences: int
    threads: int

    def to_text(self) -> str:
        """Returns it in words, for the record."""
        threads = "1 thread each" if self.threads == 1 else f"sharing {self.threads} threads"
        return f"{self.inferences} inferences at a time, {threads}"


def throughput_plan(batch_size: int, processors: int) -> ThreadPlan:
    """Returns the plan by which the most images per second go through a network.

    An operator that is split over all processors ends when its last part ends, so that some wait at each of hundreds
    of operators, and all of them wait if another thread takes one processor to decode an image. Inferences of one
    thread each wait for nobody. Memory bounds how many there can be: up to 32 images at a time, or two batches.

    Args:
        batch_size: Images per inference, at least 1.
        processors: Processors at hand, at least 1.
    """
    inferences = min(processors, max(2, _MOST_IMAGES // batch_size))
    return ThreadPlan(inferences, processors - inferences + 1)


def in_order(
    function: Callable[[_Input], _Output], inputs: Iterable[_Input], at_once: int
) -> Generator[_Output, None, None]:
    """Yields `function` of each input in order, computed by `at_once` threads.

    At most `at_once + 1` inputs are taken ahead of what was yielded: one waits, so that no thread does. Closing the
    iterator early waits for the calls that run.

    Raises:
        Exception: What `function` raises, once that input's turn has come; what `inputs` raises, at once.
    """
    ahead: deque[Future[_Output]] = deque()
    with ThreadPoolExecutor(at_once, thread_name_prefix="infer") as pool:
        try:
            for given in inputs:
                ahead.append(pool.submit(function, given))
                if len(ahead) > at_once:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
