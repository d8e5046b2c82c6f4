"""The engines of a run: found, checked, and told from those of an earlier graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.backend import backend_from_name
from export.errors import ArtifactError
from export.sidecar import Artifact, read_artifact, sidecar_path

if TYPE_CHECKING:
    from engines.run_folder import RunFolder
    from engines.spec import RunSpec
    from export.variant import Variant


def engine_of(run: RunFolder, variant: Variant, backend: str) -> Artifact:
    """Returns a variant's engine of a backend.

    Raises:
        ArtifactError: The engine or its sidecar is missing, or one of them was changed.
    """
    path = run.engine(variant.name, backend, backend_from_name(backend).suffix)
    remedy = f"copy {path.parent.name}/ from the machine that built it, or run build-engines --backend {backend}"
    if not path.is_file():
        raise ArtifactError(f"no engine at {path}: {remedy}")
    if not sidecar_path(path).is_file():
        raise ArtifactError(f"{path} has no sidecar {sidecar_path(path).name}, so nothing vouches for it: {remedy}")
    return read_artifact(path)


def is_built_from(engine: Artifact, graph: Artifact) -> bool:
    """Tells whether an engine is that of a graph, not of an earlier one."""
    return bool(engine.recipe.parents["onnx"] == graph.sha256)


def require_built_from(engine: Artifact, graph: Artifact) -> None:
    """Refuses an engine of an earlier graph.

    Raises:
        ArtifactError: It is one.
    """
    if not is_built_from(engine, graph):
        raise ArtifactError(f"{engine.path} was built from another graph than {graph.path}; run build-engines again")


def current_engines(run: RunFolder, spec: RunSpec, variant: Variant, graph: Artifact) -> dict[str, Artifact]:
    """Returns backend -> engine of a variant, without those that a backend still has of an earlier graph."""
    found = {backend: engine_of(run, variant, backend) for backend in spec.backends_of(variant)}
    return {backend: engine for backend, engine in found.items() if is_built_from(engine, graph)}
