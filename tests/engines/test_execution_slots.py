"""Each way of getting double buffering wrong is planted, and the device on host memory has to find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engines import tensorrt_session
from engines.cuda import CudaError
from engines.execution_slots import DEPTH, ExecutionSlots
from tests.engines.host_cuda import HostCuda
from tests.engines.pretended_gpu import PretendedGpu, assert_scenario, installed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from engines.execution_slots import Slot
    from engines.tensorrt_runner import TensorRTRunner
    from export.runner import Images

SIZES = [4, 11, 1, 4, 0, 4, 4, 3]


class Tampered:
    """Hands everything on to the device but for what a mutant changes."""

    def __init__(self, cuda: Any, **changed: Callable[..., Any]) -> None:
        self._cuda = cuda
        self._changed = changed

    def __getattr__(self, name: str) -> Any:
        genuine = getattr(self._cuda, name)
        changed = self._changed.get(name)
        return genuine if changed is None else lambda *arguments: changed(genuine, *arguments)


def tampering(choose: Callable[[ExecutionSlots], dict[str, Callable[..., Any]]]) -> type[ExecutionSlots]:
    """Returns slots of which single calls to the device are changed."""

    class _Slots(ExecutionSlots):
        def __init__(self, cuda: Any, *others: Any) -> None:
            super().__init__(Tampered(cuda, **choose(self)), *others)

    return _Slots


def nothing(*_: Any) -> None:
    """Leaves a call out."""


def computes_before_the_input_is_there(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    return {"wait": lambda wait, stream, event: None if stream == slots._streams.compute else wait(stream, event)}


def copies_back_before_it_is_computed(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    return {"wait": lambda wait, stream, event: None if stream == slots._streams.to_host else wait(stream, event)}


def reads_before_the_output_is_there(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    return {"synchronize": nothing}


def waits_for_the_computation_only(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    def synchronize(genuine: Callable[[int], None], event: int) -> None:
        marks = next(slot.marks for slot in slots if slot.marks.output_done == event)
        genuine(marks.compute_done)

    return {"synchronize": synchronize}


def forgets_to_record_the_input(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    def record(genuine: Callable[[int, int], None], event: int, stream: int) -> None:
        if event not in {slot.marks.input_done for slot in slots}:
            genuine(event, stream)

    return {"record": record}


def records_the_input_before_its_copy(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    def record(genuine: Callable[[int, int], None], event: int, stream: int) -> None:
        for slot in slots:
            if event == slot.marks.input_started:
                genuine(slot.marks.input_done, stream)
            if event == slot.marks.input_done:
                return
        genuine(event, stream)

    return {"record": record}


def copies_back_on_another_stream(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    def copy(genuine: Callable[..., None], memory: NDArray[np.uint8], pointer: int, stream: int) -> None:
        genuine(memory, pointer, slots._streams.to_device)

    return {"copy_to_host_async": copy}


def copies_back_the_other_slot(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    def copy(genuine: Callable[..., None], memory: NDArray[np.uint8], pointer: int, stream: int) -> None:
        other = next(slot for slot in slots if slot.device_output != pointer)
        genuine(memory, other.device_output, stream)

    return {"copy_to_host_async": copy}


def copies_too_much(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    return {"copy_to_device_async": lambda copy, pointer, memory, stream: copy(pointer + 4, memory, stream)}


def frees_twice(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    return {"free": lambda free, pointer: (free(pointer), free(pointer))}


def frees_pinned_memory_twice(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    return {"free_pinned": lambda free, memory: (free(memory), free(memory))}


def leaks_graphs(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    return {"free_graph": nothing}


def leaks_device_memory(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    return {"free": nothing}


def leaks_pinned_memory(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    return {"free_pinned": nothing}


def launches_what_was_freed(slots: ExecutionSlots) -> dict[str, Callable[..., Any]]:
    def launch(genuine: Callable[..., None], graph: int, stream: int) -> None:
        slots._cuda.free_graph(graph)
        genuine(graph, stream)

    return {"launch": launch}


class WaitsForTheOtherSlotAtTheEnd(ExecutionSlots):
    def finish(self, slot: Slot) -> None:
        super().finish(slot if self._in_flight == {0, 1} else self[slot.index + 1])


class FillsTheOtherSlot(ExecutionSlots):
    def put(self, slot: Slot, images: Images, batch: int) -> None:
        super().put(self[slot.index + 1], images, batch)


class UsesOneSlotOnly(ExecutionSlots):
    def __getitem__(self, turn: int) -> Slot:
        return self._slots[0]


class SharesOneInput(ExecutionSlots):
    def start(self, slot: Slot, batch: int, capture: bool = True) -> None:
        slot.device_input = self._slots[0].device_input
        super().start(slot, batch, capture)


class SharesGraphs(ExecutionSlots):
    def start(self, slot: Slot, batch: int, capture: bool = True) -> None:
        slot.graphs = self._slots[0].graphs
        super().start(slot, batch, capture)


class ReplaysAnyBatchSize(ExecutionSlots):
    def _compute(self, slot: Slot, batch: int) -> bool:
        return super()._compute(slot, next(iter(slot.graphs), batch))


class DoesNotPad(ExecutionSlots):
    def put(self, slot: Slot, images: Images, batch: int) -> None:
        super().put(slot, images, len(images))


class DoesNotSlice(ExecutionSlots):
    def logits(self, slot: Slot, count: int) -> NDArray[np.float32]:
        return super().logits(slot, self.batch if count else 0)


class ReturnsViews(ExecutionSlots):
    def logits(self, slot: Slot, count: int) -> NDArray[np.float32]:
        view: NDArray[np.float32] = slot.pinned_output[: 4 * count].view(np.float32)
        return view


class ForgetsWhatIsInFlight(ExecutionSlots):
    def drain(self) -> None:
        self._in_flight.clear()


class CapturesTheFirstEnqueue(ExecutionSlots):
    def start(self, slot: Slot, batch: int, capture: bool = True) -> None:
        if self.cuda_graphs and batch not in slot.graphs:
            self._computation.bind(slot.index, batch, slot.device_input, slot.device_output)
            self._capture(slot, batch)
            assert not self.notes, self.notes
        super().start(slot, batch, capture)


TAMPERINGS = [
    computes_before_the_input_is_there,
    copies_back_before_it_is_computed,
    reads_before_the_output_is_there,
    waits_for_the_computation_only,
    forgets_to_record_the_input,
    records_the_input_before_its_copy,
    copies_back_on_another_stream,
    copies_back_the_other_slot,
    copies_too_much,
    frees_twice,
    frees_pinned_memory_twice,
    leaks_graphs,
    leaks_device_memory,
    leaks_pinned_memory,
    launches_what_was_freed,
]
MUTANTS: dict[str, type[ExecutionSlots]] = {
    **{choose.__name__: tampering(choose) for choose in TAMPERINGS},
    **{
        mutant.__name__: mutant
        for mutant in (
            WaitsForTheOtherSlotAtTheEnd,
            FillsTheOtherSlot,
            UsesOneSlotOnly,
            SharesOneInput,
            SharesGraphs,
            ReplaysAnyBatchSize,
            DoesNotPad,
            DoesNotSlice,
            ReturnsViews,
            ForgetsWhatIsInFlight,
            CapturesTheFirstEnqueue,
        )
    },
}


def assert_right_with(
    slots: type[ExecutionSlots], cuda: HostCuda, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed(PretendedGpu(folder, "10", cuda)) as gpu, monkeypatch.context() as patch:
        patch.setattr(tensorrt_session, "ExecutionSlots", slots)
        runner: TensorRTRunner = gpu.runner()
        assert_scenario(gpu, runner, SIZES)


@pytest.mark.parametrize("eagerness", [0.0, 0.5, 1.0])
def test_the_genuine_slots_pass(eagerness: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        assert_right_with(ExecutionSlots, HostCuda(seed, eagerness), tmp_path, monkeypatch)
        assert_right_with(tampering(lambda _: {}), HostCuda(seed, eagerness), tmp_path, monkeypatch)


@pytest.mark.parametrize("eagerness", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_found(mutant: str, eagerness: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order in which streams happen to proceed, and not merely in an unlucky one."""
    for seed in range(3):
        with pytest.raises((AssertionError, CudaError)) as found:
            assert_right_with(MUTANTS[mutant], HostCuda(seed, eagerness), tmp_path, monkeypatch)
        assert str(found.value)


def test_two_batches_are_in_flight() -> None:
    assert DEPTH == 2
