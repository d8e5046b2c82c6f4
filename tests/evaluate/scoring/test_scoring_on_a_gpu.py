"""A whole scoring by the GPU runner itself, on CUDA on host memory: lost in the middle, and short of memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engines.run_folder import RunFolder
from engines.tensorrt_runner import TensorRTRunner
from evaluate.scoring.measuring import measured_engines
from evaluate.scoring.request import EvaluationRequest
from export.errors import BackendError
from tests.celeb_df_tree import write_tree
from tests.engines.fake_tensorrt import SCRATCH_BYTES_PER_IMAGE
from tests.engines.host_cuda import HostCuda
from tests.engines.pretended_gpu import RELEASES, PretendedGpu, installed
from tests.evaluate.pipelined_runner import PipelinedBackend, session_of, write_engine

if TYPE_CHECKING:
    from pathlib import Path

    from engines.engine_runner import RunOptions
    from export.sidecar import Artifact

BATCH, SIZE = 4, 32


class PretendedBackend(PipelinedBackend):
    """Hands out the runner of plans on a pretended GPU."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def runner(self, engine: Artifact, options: RunOptions) -> TensorRTRunner:  # type: ignore[override]
        return TensorRTRunner(self.gpu.trt.package, self.gpu.artifact, options)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images: six batches of four."""
    return write_tree(tmp_path_factory.mktemp("test"), first_identity=0, videos=4, frames=2)


def requested(run: Path, data: Path) -> EvaluationRequest:
    write_engine(RunFolder(run))
    return EvaluationRequest(run, data, batch_size=BATCH, gpu=3)


def scored(request: EvaluationRequest, cuda: HostCuda, release: str, folder: Path, told: list[str]) -> Artifact:
    """Scores on a GPU on which nothing may be left, whatever happens."""
    with installed(PretendedGpu(folder, release, cuda, size=SIZE)) as gpu:
        try:
            (entry,) = measured_engines(session_of(request, PretendedBackend(gpu), told))
        finally:
            assert not cuda.open
            assert cuda.broken == cuda.leaked == list(cuda.live) == []
    return entry.frames


def kept_by(error: BaseException) -> int:
    """Returns how many images are scored and kept by the words of an error."""
    found = re.search(r"(\d+) of 24 images of q8 are scored and kept, the same command goes on", str(error))
    return int(found[1]) if found else 0


@pytest.mark.parametrize("release", RELEASES)
def test_scores_outlive_a_lost_gpu(release: str, data: Path, tmp_path: Path) -> None:
    undisturbed, rng = HostCuda(), np.random.default_rng()
    expected = scored(requested(tmp_path / "undisturbed", data), undisturbed, release, tmp_path, [])
    request, kept = requested(tmp_path / "disturbed", data), 0
    for earliest, latest in ((0.6, 0.8), (0.0, 0.2)):
        lost_after = int(undisturbed.calls * rng.uniform(earliest, latest))
        with pytest.raises(BackendError, match="lost") as caught:
            scored(request, HostCuda(lost_after=lost_after), release, tmp_path, [])
        kept = max(kept, kept_by(caught.value))
        assert 0 < kept < 24
        assert kept % BATCH == 0
    told: list[str] = []
    found = scored(request, HostCuda(), release, tmp_path, told)
    assert f"going on after {kept} of 24 images of q8" in told
    assert found.path.read_bytes() == expected.path.read_bytes()


@pytest.mark.parametrize("release", RELEASES)
def test_a_batch_that_does_not_fit_is_halved_with_a_notice_and_scores_the_same(
    release: str, data: Path, tmp_path: Path
) -> None:
    expected = scored(requested(tmp_path / "roomy", data), HostCuda(), release, tmp_path, [])
    buffers = 2 * 2 * (3 * SIZE * SIZE * 4 + 4)
    scratch = (8 if release == "8.6" else 2) * SCRATCH_BYTES_PER_IMAGE
    told: list[str] = []
    small = HostCuda(memory_bytes=buffers + scratch)
    found = scored(requested(tmp_path / "small", data), small, release, tmp_path, told)
    assert found.facts["batch_size"] == 2
    (note,) = found.facts["notes"]
    assert note.startswith("batch 4 does not fit into the memory of ")
    assert told.count(f"note: q8: {note}") == 1
    assert found.path.read_bytes() == expected.path.read_bytes()
