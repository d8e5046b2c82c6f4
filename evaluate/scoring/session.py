"""What every step of one `evaluate-engines` works with."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from calibration.datasets.dataset import samples_from_path
from calibration.datasets.prepared import require_as_declared, require_prepared_alike
from calibration.samples import SampleSet, require_both_classes, require_disjoint
from engines.backend import Backend, backend_from_name
from engines.run_folder import RunFolder, locked
from engines.spec import RunSpec, read_spec
from engines.store import ArtifactStore
from evaluate.faceless import require_faces, videos_at_half
from evaluate.scoring.validation import Validation, validation_of_calibration, validation_of_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from calibration.samples import FacelessVideo
    from evaluate.scoring.request import EvaluationRequest
    from export.face_contract import Aggregation


@dataclass(frozen=True)
class Session:
    """A run folder that is locked, its test set, and the backend whose engines are asked for.

    Without `validation`, thresholds can only be fitted to scores that the run folder has.
    """

    request: EvaluationRequest
    run: RunFolder
    spec: RunSpec
    backend: Backend
    samples: SampleSet
    store: ArtifactStore
    announce: Callable[[str], None]
    validation: Validation = field(default_factory=Validation)

    @property
    def aggregation(self) -> Aggregation:
        """What makes a video's score of its frames'."""
        return self.request.aggregation or self.spec.contract.video.aggregation

    @property
    def at_half(self) -> tuple[FacelessVideo, ...]:
        """Videos of the test set that every engine scores 0.5, because they have no face."""
        return videos_at_half(self.spec.contract, self.samples.faceless)


@contextmanager
def opened_session(request: EvaluationRequest, announce: Callable[[str], None]) -> Iterator[Session]:
    """Checks what was asked for and holds the run folder for the block.

    Raises:
        ArtifactError: There is no complete run in the folder, or another command works on it.
        BackendError: There is no such backend, its package is missing although engines are to be run, or the run has no
            engines for it.
        DataError: A data set cannot be read, a class of it is empty, its faces were cut out otherwise than the model
            file declares or than those of the images that thresholds are fitted to, or the test set shares people with
            the calibration or the validation set.
    """
    run = RunFolder(request.run)
    spec = read_spec(run)
    backend = backend_from_name(request.backend)
    spec.variants_for(backend.name)
    if not request.from_scores:
        backend.versions()  # a missing package is told before anything else is done
    samples = _labelled_faces(request, spec)
    require_faces(spec.contract, samples, "test")
    validation = _validation(request, spec, samples)
    if validation.samples is not None:
        require_faces(spec.contract, validation.samples, "validation")
        require_prepared_alike(validation.samples.root, samples.root)
    _announce_notes(samples, request, validation, announce)
    if validation.lack and not request.from_scores:
        announce(f"no threshold will be fitted: {validation.lack}")
    with locked(run):
        store = ArtifactStore(spec.contract.network_json(), announce=announce)
        yield Session(request, run, spec, backend, samples, store, announce, validation)


def _validation(request: EvaluationRequest, spec: RunSpec, test: SampleSet) -> Validation:
    if request.validation is not None:
        return validation_of_path(request.validation, request.validation_split, test, spec.contract)
    # What another machine scored is taken as it is; its images need not be here.
    return Validation() if request.from_scores else validation_of_calibration(spec)


def _announce_notes(
    test: SampleSet, request: EvaluationRequest, validation: Validation, announce: Callable[[str], None]
) -> None:
    for note in test.notes:
        announce(f"note: test set: {note}")
    if request.validation is not None and validation.samples is not None:  # build-engines told of its own
        for note in validation.samples.notes:
            announce(f"note: validation set: {note}")


def _labelled_faces(request: EvaluationRequest, spec: RunSpec) -> SampleSet:
    samples = samples_from_path(request.test, "test", request.test_split)
    require_both_classes(samples, "test")
    require_as_declared(samples, spec.contract)
    if spec.calibration is not None:
        require_disjoint(spec.calibration, samples)
    return samples
