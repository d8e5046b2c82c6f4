"""Several inferences at a time on the processors of a machine, in the order of their inputs."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

_Input = TypeVar("_Input")
_Output = TypeVar("_Output")

# Pixels of images that may be computed at a time. Ten images of EfficientNet-B5's 456 pixels: less memory than the
# default batch of 16 of them takes in one inference, and all that helps, because larger inferences share well.
_MOST_PIXELS = 2**21


def processors_at_hand() -> int:
    """Returns how many processors this process may use, which `taskset` or a container's cpuset may have bounded.

    A quota of their time, such as that of `docker run --cpus`, is not seen.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def inferences_at_a_time(batch_size: int, size: int, processors: int) -> int:
    """Returns how many inferences at a time put the most images per second through a network.

    An operator that is split over all processors ends when its last part ends, so that some wait at each of hundreds
    of operators, and all of them wait if another thread takes one processor to decode an image. Inferences that have
    a processor each wait for nobody. Memory bounds how many there can be, or it would grow with the processors.

    Args:
        batch_size: Images per inference, at least 1.
        size: Height and width of an image in pixels, at least 1.
        processors: Processors at hand, at least 1.
    """
    return max(1, min(processors, _MOST_PIXELS // (batch_size * size**2)))


def in_order(
    function: Callable[[_Input], _Output], inputs: Iterable[_Input], at_once: int
) -> Generator[_Output, None, None]:
    """Yields `function` of each input in order, computed by `at_once` threads.

    At most `at_once + 1` inputs are taken ahead of what was yielded: one waits, so that no thread does. Closing the
    iterator early waits for the calls that run.

    Raises:
        Exception: What `function` or `inputs` raises, once the results of all inputs before have been yielded.
    """
    ahead: deque[Future[_Output]] = deque()
    with ThreadPoolExecutor(at_once, thread_name_prefix="infer") as pool:
        try:
            for future in _submitted(pool, function, inputs):
                ahead.append(future)
                if len(ahead) > at_once:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _submitted(
    pool: ThreadPoolExecutor, function: Callable[[_Input], _Output], inputs: Iterable[_Input]
) -> Iterator[Future[_Output]]:
    """Yields the future of each input; an error of `inputs` is that of one more, so that it overtakes no result."""
    try:
        for given in inputs:
            yield pool.submit(function, given)
    except Exception as error:
        failed: Future[_Output] = Future()
        failed.set_exception(error)
        yield failed
