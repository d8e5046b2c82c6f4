"""Where ONNX Runtime really ran a graph: nodes per execution provider, counted from the profile of one inference."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from engines.onnxruntime_provider import Provider

# A node has several events; this one is the call of its kernel.
_KERNEL = "_kernel_time"


def placement_from_profile(events: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Counts the nodes that each provider ran.

    A provider that fuses a part of the graph, as TensorRT's does, ran that part as one node.

    Args:
        events: The JSON array that `InferenceSession.end_profiling` wrote, of a single inference.
    """
    kernels = (event for event in events if event.get("cat") == "Node" and event["name"].endswith(_KERNEL))
    counted = Counter(str(event["args"]["provider"]) for event in kernels)
    return dict(counted.most_common())


def placement_text(placement: Mapping[str, int]) -> str:
    """Returns such as `CUDAExecutionProvider 231 nodes, CPUExecutionProvider 2`."""
    told = [f"{name} {count}" for name, count in placement.items()]
    unit = "node" if next(iter(placement.values())) == 1 else "nodes"
    return ", ".join([f"{told[0]} {unit}", *told[1:]])


def placement_notes(placement: Mapping[str, int], provider: Provider) -> tuple[str, ...]:
    """Returns one sentence if other providers ran a part of the graph.

    Raises:
        BackendError: The provider that was asked for ran nothing of it.
    """
    if not placement.get(provider.name):
        told = placement_text(placement) if placement else "no node at all"
        raise BackendError(
            f"{provider.title} took no node of the graph ({told}); look for its reasons on standard error and use "
            "another --backend"
        )
    others = {name: count for name, count in placement.items() if name != provider.name}
    if not others:
        return ()
    return (f"{provider.title} left a part of the graph to others: {placement_text(others)}.",)
