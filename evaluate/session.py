"""What every step of one `evaluate-engines` works with."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.celeb_df import has_test_list, samples_from_celeb_df
from calibration.samples import SampleSet, require_both_classes, require_disjoint
from engines.backend import Backend, backend_from_name
from engines.run_folder import RunFolder, locked
from engines.spec import RunSpec, read_spec
from engines.store import ArtifactStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluate.request import EvaluationRequest


@dataclass(frozen=True)
class Session:
    """A run folder that is locked, its test set, and the backend whose engines are asked for."""

    request: EvaluationRequest
    run: RunFolder
    spec: RunSpec
    backend: Backend
    samples: SampleSet
    store: ArtifactStore
    announce: Callable[[str], None]


@contextmanager
def opened_session(request: EvaluationRequest, announce: Callable[[str], None]) -> Iterator[Session]:
    """Checks what was asked for and holds the run folder for the block.

    Raises:
        ArtifactError: There is no complete run in the folder, or another command works on it.
        BackendError: There is no such backend, its package is missing although engines are to be run, or the run has no
            engines for it.
        DataError: A class of the test set is empty, or it shares people with the calibration set.
    """
    run = RunFolder(request.run)
    spec = read_spec(run)
    backend = backend_from_name(request.backend)
    spec.variants_for(backend.name)
    if not request.from_scores:
        backend.versions()  # a missing package is told before anything else is done
    samples = _labelled_faces(request, spec)
    with locked(run):
        yield Session(
            request, run, spec, backend, samples, ArtifactStore(spec.contract.to_json(), announce=announce), announce
        )


def _labelled_faces(request: EvaluationRequest, spec: RunSpec) -> SampleSet:
    samples = samples_from_celeb_df(request.test, "listed" if has_test_list(request.test) else "all")
    require_both_classes(samples, "test")
    if spec.calibration is not None:
        require_disjoint(spec.calibration, samples)
    return samples
