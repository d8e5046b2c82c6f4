"""From decoded frames of any pixel format to RGB, bit for bit the same on every processor."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Without the last two, swscale computes what is fastest on the processor at hand.
_FLAGS = "bicubic+full_chroma_int+accurate_rnd+bitexact"
_ANY_TIME_BASE = Fraction(1, 25)


class RgbConverter:
    """Converts frames by swscale, by the matrix and the range that each of them declares; alpha is left out."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._graph: Any = None

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        """Returns RGB pixels, shape (height, width, 3), of a frame of PyAV."""
        key = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if key != self._key:
            self._key, self._graph = key, _graph(frame)
        self._graph.vpush(frame)
        pixels: NDArray[np.uint8] = self._graph.vpull().to_ndarray()
        return pixels


def _graph(frame: Any) -> Any:
    from av.filter import Graph

    graph = Graph()
    nodes = (
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_ANY_TIME_BASE),
        graph.add("scale", f"flags={_FLAGS}"),
        graph.add("format", "pix_fmts=rgb24"),
        graph.add("buffersink"),
    )
    graph.link_nodes(*nodes).configure()
    return graph
