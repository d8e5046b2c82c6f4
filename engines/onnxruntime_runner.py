"""Runs a graph with ONNX Runtime on the provider that was asked for, and tells how long it takes."""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.engine_runner import ColdStart, Query
from engines.onnxruntime_binding import DeviceBinding
from engines.onnxruntime_placement import placement_from_profile, placement_notes
from engines.onnxruntime_provider import CPU, TENSORRT
from engines.onnxruntime_session import TF32_VARIABLE, cpu_session, gpu_session
from engines.trusted import trusted_bytes
from export.concurrency import in_order, processors_at_hand
from export.contract import INPUT_NAME, OUTPUT_NAME
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

    from engines.engine_runner import RunOptions
    from engines.onnxruntime_provider import Provider
    from export.runner import Images
    from export.sidecar import Artifact


class OnnxEngineRunner:
    """Runs an engine of one provider; the session lives inside the `with` block.

    On the processors, `infer_each` runs several batches at a time if throughput is what counts. On a GPU, the first
    inference is profiled: it shows which provider ran each node, and fails if the one that was asked for ran none.
    """

    def __init__(self, engine: Artifact, options: RunOptions, provider: Provider = CPU) -> None:
        self._engine = engine
        self._options = options
        self._provider = provider
        self._inferences = 1 if provider.is_gpu else options.inferences
        self._session: Any = None
        self._binding: DeviceBinding | None = None
        self._held = ExitStack()
        self._placement: dict[str, int] = {}
        self._load_ms = 0.0
        self.notes: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        started = time.perf_counter()
        model, name = trusted_bytes(self._engine), self._engine.path.name
        if self._provider.is_gpu:
            self._enter_gpu(model, name)
        else:
            self._session = cpu_session(model, name, self._threads)
        self._load_ms = 1000 * (time.perf_counter() - started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._binding = None
        self._session = None
        self._held.close()

    @property
    def largest_batch(self) -> int:
        """What was asked for: a session has no buffers of its own."""
        return self._options.batch_size

    @property
    def conditions(self) -> dict[str, str]:
        """Names the provider, and tells whether it ran every node on a GPU, and of a CPU the processors at hand."""
        if not self._provider.is_gpu:
            threads = f"{self._threads or 'default of ONNX Runtime'} on {processors_at_hand()} processors"
            at_a_time = {"inferences at a time": str(self._inferences)} if self._inferences > 1 else {}
            return {"provider": self._provider.name, "threads": threads, **at_a_time}
        if not self._placement:
            self._run(self._blank())
        return {
            # Not how many nodes: times of variants are compared only under equal conditions. A note has the numbers.
            "provider": f"{self._provider.name} for {'part of the graph' if self.notes else 'every node'}",
            "CUDA graph": "no",
            "copies": "of pageable memory, timed by the host, not overlapped with compute",
            "TF32": f"NVIDIA_TF32_OVERRIDE={os.environ[TF32_VARIABLE]}" if self._provider is TENSORRT else "off",
        }

    def infer(self, images: Images) -> NDArray[np.float32]:
        """Returns fake logits (N,)."""
        return self._run(images)[0]

    def infer_each(self, batches: Iterable[Images]) -> Iterator[NDArray[np.float32]]:
        """Yields the logits of each batch; takes as many ahead as it may run at a time, and one."""
        return in_order(self.infer, batches, self._inferences) if self._inferences > 1 else map(self.infer, batches)

    def queries(self, images: Images) -> Generator[Query, None, None]:
        """Times the call of ONNX Runtime, and on a GPU each copy; the host waits for one before it begins the next."""
        while True:
            yield self._run(images)[1]

    def cold_start(self, images: Images) -> ColdStart:
        """Tells what loading took, in which TensorRT's provider builds its plan, and what the first inference takes."""
        return ColdStart(self._load_ms, None, self._run(images)[1].latency_ms, None)

    def _run(self, images: Images) -> tuple[NDArray[np.float32], Query]:
        if self._session is None:
            raise RuntimeError("OnnxEngineRunner.infer was called outside its 'with' block")
        # Outside of the handler, which is for ONNX Runtime's errors alone.
        given = images if self._binding is None else at_least(images, self._smallest_batch)
        try:
            logits, query = self._timed(given) if self._binding is None else self._binding.run(given)
        except Exception as error:
            # ONNX Runtime's exceptions share no public base class besides Exception.
            told = " ".join(str(error).split())[:300]
            raise BackendError(
                f"{self._provider.title} failed on {len(images)} images: {told}; try a smaller --batch-size"
            ) from error
        if self._binding is None:
            return logits, query
        if not self._placement:
            self._learn_placement()
        return logits[: len(images)], query

    def _timed(self, images: Images) -> tuple[NDArray[np.float32], Query]:
        started = time.perf_counter()
        logits = self._session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
        ended = time.perf_counter()
        return np.asarray(logits, dtype=np.float32).reshape(-1), Query(started, ended, 1000 * (ended - started))

    def _enter_gpu(self, model: bytes, name: str) -> None:
        with ExitStack() as held:
            profiles = held.enter_context(tempfile.TemporaryDirectory(prefix="signoff-profile-"))
            told = self._engine.facts.get("provider_options", {})
            prefix = str(Path(profiles) / "first")
            self._session = gpu_session(model, name, self._provider, self._options.gpu, told, prefix)
            self._binding = DeviceBinding(self._session, "cuda", self._options.gpu)
            self._held = held.pop_all()

    def _learn_placement(self) -> None:
        profile = Path(self._session.end_profiling()).read_text(encoding="utf-8")
        placement = placement_from_profile(json.loads(profile))
        self.notes = placement_notes(placement, self._provider)
        self._placement = placement

    @property
    def _threads(self) -> int:
        """Threads of the session, a caller's included, by which its inferences at a time keep every processor busy.

        1 where each inference has a processor of its own; 0, ONNX Runtime's default, for one at a time.
        """
        return max(1, processors_at_hand() - self._inferences + 1) if self._inferences > 1 else 0

    @property
    def _smallest_batch(self) -> int:
        """Smallest batch of the profile that TensorRT's provider builds for."""
        return int(self._engine.facts.get("batch", [1])[0])

    def _blank(self) -> Images:
        taken = self._session.get_inputs()[0]
        kind = np.uint8 if "uint8" in taken.type else np.float32
        return np.zeros((1, *taken.shape[1:]), kind)


def at_least(images: Images, count: int) -> Images:
    """Returns the images and, if they are fewer than `count`, the last one again and again."""
    short = count - len(images)
    return images if short <= 0 else np.concatenate([images, np.repeat(images[-1:], short, axis=0)])
