"""The PyTorch models that variants were exported from: found, checked against their digests, loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.errors import ArtifactError
from export.sidecar import read_artifact, sha256_of_file
from export.variant import DENSE

if TYPE_CHECKING:
    from pathlib import Path

    from engines.run_folder import RunFolder
    from engines.spec import RunSpec
    from export.checkpoint import Detector


def source_weights(run: RunFolder, spec: RunSpec, source: str) -> tuple[Path, str]:
    """Returns the file of a source model, `dense` or one such as `p50`, and its digest, checked.

    Raises:
        ArtifactError: The file is gone or is not the one that the run was built from.
    """
    if source != DENSE:
        artifact = read_artifact(run.model(source))
        return artifact.path, artifact.sha256
    checkpoint = spec.checkpoint_path(run)
    if not checkpoint.is_file():
        raise ArtifactError(
            f"the checkpoint {checkpoint} is gone; class-activation maps and the ladder need it, put it back"
        )
    if sha256_of_file(checkpoint) != spec.checkpoint_sha256:
        raise ArtifactError(f"{checkpoint} is not the checkpoint this run was built from; run build-engines again")
    return checkpoint, spec.checkpoint_sha256


def source_detector(run: RunFolder, spec: RunSpec, source: str) -> Detector:
    """Loads a source model; see `source_weights` for the errors."""
    # Imported here: this loads torch, and where maps and scores are stored, no model is loaded.
    from export.checkpoint import canonical_contract, detector_from_checkpoint

    path, _ = source_weights(run, spec, source)
    if source == DENSE:
        return detector_from_checkpoint(path, spec.contract)
    return detector_from_checkpoint(path, canonical_contract(spec.contract), narrowed=True)
