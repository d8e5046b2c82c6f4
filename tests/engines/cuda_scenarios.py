"""What every implementation of the CUDA seam must do, against the fake driver; run by test_cuda_seams.py.

`python -m tests.engines.cuda_scenarios NAME` with LD_LIBRARY_PATH at the fake driver runs each scenario in a process of
its own, forked before CUDA is touched, and prints one line of JSON for each.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
import threading
import traceback
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from engines import cuda_choice
from engines.cuda import CudaError, DeviceLostError, DeviceMemoryError
from engines.cuda_driver import CudaDriver
from engines.cuda_pycuda import PyCuda, pycuda_driver
from engines.cuda_python import CudaPython, bindings
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engines.cuda import Cuda

MIB = 2**20
SEAMS: dict[str, type[CudaPython] | type[PyCuda]] = {"cuda-python": CudaPython, "PyCUDA": PyCuda}


class Fake:
    """The fake driver's own functions, and CUDA's as another library of the process calls them."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        self.library.fake_count.restype = ctypes.c_long
        self.library.fake_lose.argtypes = (ctypes.c_long, ctypes.c_int)
        self.configure()

    def count(self, what: str) -> int:
        number = int(self.library.fake_count(what.encode()))
        assert number >= 0, what
        return number

    def fail(self, name: str, code: int) -> None:
        self.library.fake_fail(name.encode(), code)

    def lose(self, after: int, code: int = 700) -> None:
        self.library.fake_lose(after, code)

    def configure(self, devices: int = 2, memory: int = 64 * MIB, version: int = 13010, init: int = 0) -> None:
        size = ctypes.c_size_t
        self.library.fake_configure(devices, size(memory), size(64 * MIB), version, init)

    def assert_clean(self) -> None:
        found = {
            "live": self.count("live"),
            "leaked": self.count("leaked"),
            "references": sum(self.library.fake_references(device) for device in range(2)),
            "depth": self.library.fake_depth(),
        }
        assert not any(found.values()), found


class Seam:
    """One implementation, to be opened against the fake driver."""

    def __init__(self, name: str) -> None:
        self.name = name

    def open(self, gpu: int = 0) -> Cuda:
        driver = CudaDriver()
        return SEAMS[self.name](driver, driver.device(gpu))


def raises(kind: type[BaseException], *parts: str, call: Callable[[], object]) -> BaseException:
    """Returns the error of a call, of exactly this kind, whose one line has all these parts."""
    error = error_of(call)
    assert type(error) is kind, repr(error)
    assert "\n" not in str(error)
    for part in parts:
        assert part in str(error), (part, str(error))
    return error


def error_of(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except BaseException as error:
        return error
    return None


# --- what it does ---


def device_is_described(seam: Seam, fake: Fake) -> None:
    first, second = seam.open(0), seam.open(1)
    assert (first.name, first.device.name, second.device.name) == (seam.name, "Fake GPU", "Second Fake GPU")
    assert (first.device.compute_capability, second.device.compute_capability) == ("8.7", "8.6")
    assert (second.device.index, second.device.memory_bytes, second.device.cuda) == (1, 64 * MIB, "13.1")
    with second:
        second.allocate(1)
        assert (fake.library.fake_references(0), fake.library.fake_references(1)) == (0, 1)
    fake.assert_clean()


def copies_arrive(seam: Seam, fake: Fake) -> None:
    generator = np.random.default_rng(0)
    with seam.open() as cuda:
        stream = cuda.stream()
        for size in (1, 255, 4096, 100_001):
            source, back = cuda.allocate_pinned(size), cuda.allocate_pinned(size)
            pointer = cuda.allocate(size)
            assert pointer % 256 == 0
            assert (source.shape, source.dtype, source.flags.writeable) == ((size,), np.uint8, True)
            source[:] = sent = generator.integers(0, 256, size, dtype=np.uint8)
            middle = size // 3
            cuda.copy_to_device_async(pointer, source[:middle], stream)
            cuda.copy_to_device_async(pointer + middle, source[middle:], stream)
            cuda.copy_to_host_async(back[middle:], pointer + middle, stream)
            cuda.copy_to_host_async(back[:middle], pointer, stream)
            assert not np.array_equal(back, sent)
            cuda.synchronize_stream(stream)
            assert np.array_equal(back, sent)
        assert fake.count("pageable") == 0
    fake.assert_clean()


def streams_do_not_wait_for_the_default_one(seam: Seam, fake: Fake) -> None:
    with seam.open() as cuda:
        assert len({cuda.stream() for _ in range(3)}) == 3
        assert fake.count("streams") == 3
        assert fake.count("blocking streams") == 0


def work_waits_for_events(seam: Seam, fake: Fake) -> None:
    with seam.open() as cuda:
        to_device, to_host = cuda.stream(), cuda.stream()
        source, back, other = (cuda.allocate_pinned(8) for _ in range(3))
        pointer, copied, done, alone = cuda.allocate(8), cuda.event(), cuda.event(), cuda.event()
        source[:] = 1
        cuda.copy_to_device_async(pointer, source, to_device)
        cuda.record(copied, to_device)
        cuda.copy_to_host_async(other, pointer, to_host)  # does not wait, and so comes too early here
        cuda.record(alone, to_host)
        cuda.synchronize(alone)
        assert not (other == 1).any()
        cuda.wait(to_host, copied)
        cuda.copy_to_host_async(back, pointer, to_host)
        cuda.record(done, to_host)
        assert not (back == 1).any()
        cuda.synchronize(done)
        assert (back == 1).all()


def times_are_those_between_events(seam: Seam, fake: Fake) -> None:
    with seam.open() as cuda:
        stream, first, last = cuda.stream(), cuda.event(), cuda.event()
        memory, pointer = cuda.allocate_pinned(MIB), cuda.allocate(MIB)
        cuda.record(first, stream)
        for _ in range(3):
            cuda.copy_to_device_async(pointer, memory, stream)
        cuda.record(last, stream)
        raises(CudaError, "CUDA_ERROR_NOT_READY", call=lambda: cuda.elapsed_ms(first, last))
        cuda.synchronize(last)
        assert np.isclose(cuda.elapsed_ms(first, last), 3 * (1e-3 + 1e-6 * MIB), rtol=1e-5)
        assert np.isclose(cuda.elapsed_ms(last, first), -cuda.elapsed_ms(first, last))


def handles_are_the_drivers(seam: Seam, fake: Fake) -> None:
    """TensorRT takes the numbers as CUstream and CUevent."""
    with seam.open() as cuda:
        stream, event = cuda.stream(), cuda.event()
        record = fake.library.cuEventRecord
        record.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        assert record(event, stream) == 0
        cuda.synchronize(event)


def free_memory_is_told(seam: Seam, fake: Fake) -> None:
    with seam.open() as cuda:
        assert cuda.free_bytes() == 64 * MIB
        pointer = cuda.allocate(MIB)
        assert cuda.free_bytes() == 63 * MIB
        cuda.free(pointer)
        assert cuda.free_bytes() == 64 * MIB


# --- graphs ---


def graphs_replay(seam: Seam, fake: Fake) -> None:
    with seam.open() as cuda:
        main, side = cuda.stream(), cuda.stream()
        source, back, pointer = cuda.allocate_pinned(8), cuda.allocate_pinned(8), cuda.allocate(8)
        forked, joined = cuda.event(), cuda.event()
        back[:] = 0

        def enqueue() -> None:
            cuda.copy_to_device_async(pointer, source, main)
            cuda.record(forked, main)
            cuda.wait(side, forked)
            cuda.copy_to_host_async(back, pointer, side)
            cuda.record(joined, side)
            cuda.wait(main, joined)

        source[:] = 1
        graph = cuda.captured(main, enqueue)
        cuda.synchronize_stream(main)
        cuda.synchronize_stream(side)
        assert (back == 0).all()
        for value in (2, 3):
            source[:] = value
            cuda.launch(graph, main)
            cuda.synchronize_stream(main)
            assert (back == value).all()
        assert (fake.count("graphs"), fake.count("executable graphs")) == (0, 1)
        cuda.free_graph(graph)
        assert fake.count("executable graphs") == 0
        raises(RuntimeError, "freed before", call=lambda: cuda.free_graph(graph))
    fake.assert_clean()


def failed_captures_leave_the_stream_usable(seam: Seam, fake: Fake) -> None:
    class OurOwnError(Exception):
        pass

    with seam.open() as cuda:
        stream, side, event, outside = cuda.stream(), cuda.stream(), cuda.event(), cuda.event()
        source, pointer = cuda.allocate_pinned(8), cuda.allocate(8)
        cuda.record(outside, side)

        def raising() -> None:
            cuda.copy_to_device_async(pointer, source, stream)
            raise OurOwnError

        def unjoined() -> None:
            cuda.record(event, stream)
            cuda.wait(side, event)
            cuda.copy_to_device_async(pointer, source, side)

        raises(OurOwnError, call=lambda: cuda.captured(stream, raising))
        for enqueue, name in (
            (lambda: cuda.synchronize_stream(stream), "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"),
            (lambda: cuda.wait(stream, outside), "CUDA_ERROR_STREAM_CAPTURE_ISOLATION"),
            (lambda: cuda.free(cuda.allocate(8)), "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"),
            (unjoined, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"),
        ):
            raises(CudaError, name, call=lambda enqueue=enqueue: cuda.captured(stream, enqueue))
            cuda.copy_to_device_async(pointer, source, stream)
            cuda.copy_to_device_async(pointer, source, side)
            cuda.synchronize_stream(stream)
            cuda.synchronize_stream(side)
        for name in ("cuStreamBeginCapture_v2", "cuGraphInstantiateWithFlags"):
            fake.fail(name, 801)
            raises(CudaError, "CUDA_ERROR_NOT_SUPPORTED", call=lambda: cuda.captured(stream, lambda: None))
        assert fake.count("graphs") == fake.count("executable graphs") == 0


# --- what it refuses ---


def memory_runs_out(seam: Seam, fake: Fake) -> None:
    with seam.open() as cuda:
        kept = cuda.allocate(60 * MIB)
        before = fake.count("live")
        parts = ("CUDA_ERROR_OUT_OF_MEMORY", "5.00 MiB of device memory", "4.00 MiB of the GPU's 64.00 MiB are free")
        raises(DeviceMemoryError, *parts, call=lambda: cuda.allocate(5 * MIB))
        parts = ("CUDA_ERROR_OUT_OF_MEMORY", "65.00 MiB of page-locked host memory")
        raises(DeviceMemoryError, *parts, call=lambda: cuda.allocate_pinned(65 * MIB))
        assert fake.count("live") == before
        cuda.free(kept)
        cuda.allocate(64 * MIB)
    fake.assert_clean()


def nothing_is_freed_twice(seam: Seam, fake: Fake) -> None:
    with seam.open() as cuda:
        pointer, memory = cuda.allocate(8), cuda.allocate_pinned(8)
        cuda.free(pointer)
        cuda.free_pinned(memory)
        raises(RuntimeError, "freed before", call=lambda: cuda.free(pointer))
        raises(RuntimeError, "freed before", call=lambda: cuda.free_pinned(memory))
        raises(RuntimeError, "never given out", call=lambda: cuda.free(4096))
        other = cuda.allocate_pinned(8)
        raises(RuntimeError, call=lambda: cuda.free_pinned(other[1:]))
        raises(CudaError, "CUDA_ERROR_INVALID_VALUE", call=lambda: cuda.allocate(0))
    fake.assert_clean()


def bad_copies_are_refused(seam: Seam, fake: Fake) -> None:
    with seam.open() as cuda:
        stream, pointer, memory = cuda.stream(), cuda.allocate(8), cuda.allocate_pinned(16)
        for offset, part in ((0, memory[:9]), (1, memory[:8])):
            into = lambda o=offset, p=part: cuda.copy_to_device_async(pointer + o, p, stream)  # noqa: E731
            out = lambda o=offset, p=part: cuda.copy_to_host_async(p, pointer + o, stream)  # noqa: E731
            raises(CudaError, "CUDA_ERROR_INVALID_VALUE", call=into)
            raises(CudaError, "CUDA_ERROR_INVALID_VALUE", call=out)
        raises(ValueError, call=lambda: cuda.copy_to_device_async(pointer, memory[::2], stream))
        raises(ValueError, call=lambda: cuda.copy_to_host_async(memory[::2], pointer, stream))
        memory.flags.writeable = False
        cuda.copy_to_device_async(pointer, memory[:8], stream)
        raises(ValueError, call=lambda: cuda.copy_to_host_async(memory[:8], pointer, stream))


def other_threads_and_closed_seams_are_refused(seam: Seam, fake: Fake) -> None:
    found: list[BaseException] = []
    with seam.open() as cuda:
        pointer, memory, stream = cuda.allocate(8), cuda.allocate_pinned(8), cuda.stream()
        call = lambda: found.append(raises(CudaError, "thread", call=lambda: cuda.allocate(8)))  # noqa: E731
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    assert len(found) == 1
    raises(CudaError, call=lambda: cuda.allocate(8))
    raises(CudaError, call=lambda: cuda.copy_to_device_async(pointer, memory, stream))
    raises(RuntimeError, call=lambda: cuda.free(pointer))
    fake.assert_clean()


def errors_have_their_kind_and_name(seam: Seam, fake: Fake) -> None:
    kinds: dict[int, tuple[type[CudaError], str]] = {
        1: (CudaError, "CUDA_ERROR_INVALID_VALUE (invalid argument)"),
        2: (DeviceMemoryError, "CUDA_ERROR_OUT_OF_MEMORY (out of memory)"),
        400: (CudaError, "CUDA_ERROR_INVALID_HANDLE (invalid resource handle)"),
        801: (CudaError, "CUDA_ERROR_NOT_SUPPORTED (operation not supported)"),
    }
    for code in (46, 214, 220, 226, 700, 702, 710, 714, 715, 716, 719, 999):
        kinds[code] = (DeviceLostError, "run the command again")
    with seam.open() as cuda:
        stream = cuda.stream()
        for code, (kind, words) in kinds.items():
            fake.fail("cuStreamSynchronize", code)
            raises(kind, "cuStreamSynchronize", words, call=lambda: cuda.synchronize_stream(stream))
            fake.fail("cuEventCreate", code)
            raises(kind, "cuEventCreate", words, call=cuda.event)
            fake.fail("cuMemAlloc_v2", code)
            if seam.name != "PyCUDA" or code != 2:  # PyCUDA collects garbage and tries again
                raises(kind, "cuMemAlloc", words, call=lambda: cuda.allocate(8))


# --- how it ends ---


def everything(cuda: Cuda) -> None:
    """Makes one thing of each kind and leaves work in flight."""
    stream, event, pointer, memory = cuda.stream(), cuda.event(), cuda.allocate(64), cuda.allocate_pinned(64)
    graph = cuda.captured(stream, lambda: cuda.copy_to_device_async(pointer, memory, stream))
    cuda.copy_to_host_async(memory, pointer, stream)
    cuda.launch(graph, stream)
    cuda.record(event, stream)


def all_is_freed_at_the_end(seam: Seam, fake: Fake) -> None:
    cuda = seam.open()
    for _ in range(2):  # it can be entered again
        with cuda:
            everything(cuda)
            assert fake.count("live") == 5
        fake.assert_clean()


def failing_to_enter_holds_nothing(seam: Seam, fake: Fake) -> None:
    for name in ("cuDevicePrimaryCtxRetain", "cuCtxPushCurrent_v2"):
        fake.fail(name, 400)
        raises(CudaError, name.removesuffix("_v2"), "CUDA_ERROR_INVALID_HANDLE", call=seam.open().__enter__)
        fake.assert_clean()
    with seam.open():
        pass
    fake.assert_clean()


def errors_of_the_block_are_kept(seam: Seam, fake: Fake) -> None:
    planted = KeyError("planted")

    def block(failing: str = "") -> None:
        with seam.open() as cuda:
            everything(cuda)
            if failing:
                fake.fail(failing, 801)
            raise planted

    for failing in ("", "cuCtxSynchronize", "cuGraphExecDestroy", "cuEventDestroy_v2"):
        error = raises(KeyError, call=lambda failing=failing: block(failing))
        assert error is planted
        assert fake.library.fake_depth() == fake.library.fake_references(0) == 0
        assert fake.count("leaked") == (1 if "Destroy" in failing else 0), failing
        fake.library.fake_restart()
    fake.assert_clean()


def errors_at_the_end_are_told(seam: Seam, fake: Fake) -> None:
    for failing in ("cuCtxSynchronize", "cuGraphExecDestroy", "cuEventDestroy_v2"):

        def block(failing: str = failing) -> None:
            with seam.open() as cuda:
                everything(cuda)
                fake.fail(failing, 801)

        raises(CudaError, failing.removesuffix("_v2"), call=block)
        assert fake.count("leaked") == (1 if "Destroy" in failing else 0)
        fake.library.fake_restart()
        fake.assert_clean()


def a_lost_device_is_told_wherever_it_happens(seam: Seam, fake: Fake) -> None:
    reached = 0

    def block() -> None:
        nonlocal reached
        with seam.open() as cuda:
            everything(cuda)
            stream = cuda.stream()
            cuda.synchronize_stream(stream)
            cuda.free_bytes()
            reached = fake.count("calls")

    before = fake.count("calls")
    block()
    inside, all_calls = reached - before, fake.count("calls") - before
    assert 25 < inside < all_calls
    for call in range(1, all_calls + 1):
        fake.lose(call)
        # PyCUDA warns of what it cannot free and goes on, which matters only if the device is lost just then.
        freeing = call > inside + 1
        with stderr_into(os.devnull) if freeing else nullcontext():
            error = error_of(block)
        if not freeing or (seam.name != "PyCUDA" and call < all_calls - 1):  # leaving, last, needs no device
            assert isinstance(error, DeviceLostError), (call, error)
            assert "CUDA_ERROR_ILLEGAL_ADDRESS" in str(error)
        assert error is None or isinstance(error, DeviceLostError)
        assert fake.library.fake_depth() == fake.library.fake_references(0) == 0, call
        fake.library.fake_restart()


@contextmanager
def stderr_into(path: str) -> Iterator[None]:
    kept = os.dup(2)
    with open(path, "wb") as file:  # noqa: PTH123
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def a_graph_that_outlives_its_memory_loses_the_device(seam: Seam, fake: Fake) -> None:
    def block() -> None:
        with seam.open() as cuda:
            stream, pointer, memory = cuda.stream(), cuda.allocate(8), cuda.allocate_pinned(8)
            graph = cuda.captured(stream, lambda: cuda.copy_to_device_async(pointer, memory, stream))
            cuda.free(pointer)
            cuda.launch(graph, stream)
            raises(DeviceLostError, call=lambda: cuda.synchronize_stream(stream))
            raises(DeviceLostError, call=cuda.stream)

    raises(DeviceLostError, "cuCtxSynchronize", call=block)


def the_context_of_others_survives(seam: Seam, fake: Fake) -> None:
    library, current, foreign = fake.library, ctypes.c_void_p(), ctypes.c_void_p()
    address, left = ctypes.c_uint64(), ctypes.c_void_p()
    assert library.cuInit(0) == 0
    assert library.cuDevicePrimaryCtxRetain(ctypes.byref(current), 0) == 0
    assert library.cuCtxSetCurrent(current) == 0
    assert library.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(8)) == 0
    assert library.cuStreamCreate(ctypes.byref(foreign), 1) == 0

    def block(error: Exception | None) -> None:
        with seam.open() as cuda:
            event, memory = cuda.event(), cuda.allocate_pinned(8)
            memory[:] = 0
            # One context: what the other made can be used, and the other way round.
            cuda.record(event, int(foreign.value or 0))
            stream = cuda.stream()
            cuda.wait(stream, event)
            cuda.copy_to_host_async(memory, address.value, stream)
            cuda.synchronize_stream(stream)
            assert (memory == 0xA5).all()
            assert library.fake_references(0) == 2
            if error:
                raise error

    planted = KeyError("planted")
    for error in (None, planted):
        assert error_of(lambda error=error: block(error)) is error
        assert library.cuCtxGetCurrent(ctypes.byref(left)) == 0
        assert (left.value, library.fake_depth(), library.fake_references(0)) == (current.value, 1, 1)
        assert (fake.count("device memory"), fake.count("streams"), fake.count("live")) == (1, 1, 2)


def many_rounds_leak_nothing(seam: Seam, fake: Fake) -> None:
    with seam.open() as cuda:
        stream = cuda.stream()
        for round_ in range(10_000):
            pointer, memory = cuda.allocate(4096), cuda.allocate_pinned(4096)
            memory[0] = round_ % 251
            cuda.copy_to_device_async(pointer, memory, stream)
            memory_back = memory[1:2]
            cuda.copy_to_host_async(memory_back, pointer, stream)
            cuda.synchronize_stream(stream)
            assert memory_back[0] == round_ % 251
            cuda.free(pointer)
            cuda.free_pinned(memory)
        assert fake.count("live") == 1
    fake.assert_clean()
    for _ in range(500):
        with seam.open() as cuda:
            everything(cuda)
    fake.assert_clean()


# --- which one is opened ---


def installed_packages_decide(seam: Seam, fake: Fake) -> None:
    def found(*modules: str) -> None:
        cuda_choice._installed = lambda package, module: f"{package}.{module}" in modules

    original = cuda_choice._installed
    if original("cuda", "bindings") or original("cuda", "cuda"):
        for module in ("cuda.bindings", "cuda.cuda"):
            found(module)
            assert cuda_choice.open_cuda().name == "cuda-python"
    else:
        raises(BackendError, "engine-signoff[tensorrt]", call=bindings)
    if original("pycuda", "driver"):
        found("cuda.bindings", "pycuda.driver")
        assert cuda_choice.open_cuda().name == "PyCUDA"
    else:
        raises(BackendError, "pip uninstall pycuda", call=pycuda_driver)
    found()
    parts = ("neither PyCUDA nor cuda-python", "engine-signoff[tensorrt]", "engine-signoff[pycuda]")
    raises(BackendError, *parts, call=cuda_choice.open_cuda)
    cuda_choice._installed = original
    assert not original("no_such_package", "driver")
    assert not original("json", "bindings")


def a_gpu_that_is_not_there_is_refused(seam: Seam, fake: Fake) -> None:
    for gpu in (2, -1):
        parts = (f"no GPU {gpu}", "0: Fake GPU, 1: Second Fake GPU", "CUDA_VISIBLE_DEVICES")
        raises(BackendError, *parts, call=lambda gpu=gpu: cuda_choice.open_cuda(gpu))
    for code, part in ((100, "nvidia-smi"), (803, "reboot"), (999, "--gpus all"), (46, "exclusive"), (1, "nvidia-smi")):
        fake.configure(init=code)
        raises(BackendError, "CUDA does not start", part, call=cuda_choice.open_cuda)


def bindings_newer_than_the_driver_are_refused(seam: Seam, fake: Fake) -> None:
    fake.configure(version=12000)
    driver = CudaDriver()
    with CudaPython(driver, driver.device(0)) as cuda:
        assert cuda.device.cuda == "12.0"
        event = cuda.event()
        error = error_of(lambda: cuda.elapsed_ms(event, event))
        assert type(error) is CudaError
        if "CUDA_ERROR_INVALID_HANDLE" not in str(error):  # bindings of CUDA 12 reach the function, and CUDA refuses
            assert "newer than the driver" in str(error)
            assert "'cuda-bindings==12.*'" in str(error)
    fake.assert_clean()


CHOICES = (installed_packages_decide, a_gpu_that_is_not_there_is_refused, bindings_newer_than_the_driver_are_refused)
SCENARIOS = (
    device_is_described,
    copies_arrive,
    streams_do_not_wait_for_the_default_one,
    work_waits_for_events,
    times_are_those_between_events,
    handles_are_the_drivers,
    free_memory_is_told,
    graphs_replay,
    failed_captures_leave_the_stream_usable,
    memory_runs_out,
    nothing_is_freed_twice,
    bad_copies_are_refused,
    other_threads_and_closed_seams_are_refused,
    errors_have_their_kind_and_name,
    all_is_freed_at_the_end,
    failing_to_enter_holds_nothing,
    errors_of_the_block_are_kept,
    errors_at_the_end_are_told,
    a_lost_device_is_told_wherever_it_happens,
    a_graph_that_outlives_its_memory_loses_the_device,
    the_context_of_others_survives,
    many_rounds_leak_nothing,
)


def outcome(scenario: Callable[[Seam, Fake], None], seam: Seam) -> str:
    """Runs a scenario in a process of its own; returns what it printed and how it died, and nothing if all is well."""
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            status = 1
            try:
                scenario(seam, Fake())
                status = 0
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return output.read() + (f"\nexit status {status}" if status else "")


def main(name: str) -> None:
    if name in SEAMS:
        (pycuda_driver if name == "PyCUDA" else bindings)()
    for scenario in SCENARIOS if name in SEAMS else CHOICES:
        sys.stdout.write(json.dumps([scenario.__name__, outcome(scenario, Seam(name))]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
