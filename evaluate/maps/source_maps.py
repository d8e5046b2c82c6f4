"""Class-activation maps of the source models, computed once for all who look at them and kept in the run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args
from zipfile import BadZipFile

import numpy as np

from evaluate.maps.cam_method import CamMethod
from evaluate.maps.source_models import source_detector, source_weights
from export.errors import ArtifactError
from export.preprocessing import array_from_file
from export.progress import progress_bar
from export.sidecar import Recipe, read_artifact, sha256_of_file, sidecar_path, write_atomically
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from numpy.typing import NDArray

    from engines.run_folder import RunFolder
    from engines.spec import RunSpec
    from engines.store import ArtifactStore

    # (frame, sha256 of the image) -> map.
    KnownMaps: TypeAlias = dict[tuple[str, str], NDArray[np.float32]]

_BATCH_SIZE = 8


class SourceMaps:
    """Signed class-activation maps of any source model and frame; see `evaluate.maps.cam`.

    A map is known by the model's digest and its image's. After each batch what there is goes to the file of the
    artifact, without a sidecar, so that a command that was killed goes on from there.

    Args:
        run: Where they are kept.
        spec: Names the models.
        data_root: What the frames' paths are relative to.
        store: Makes and reuses artifacts.
    """

    def __init__(self, run: RunFolder, spec: RunSpec, data_root: Path, store: ArtifactStore) -> None:
        self._run = run
        self._spec = spec
        self._root = data_root
        self._store = store
        self._known: dict[str, KnownMaps] = {}
        self._digests: dict[str, str] = {}
        self._gradients: set[str] = set()

    @property
    def method(self) -> CamMethod:
        """How the maps given so far came about: additive only if each of them is."""
        return "hirescam" if self._gradients else "additive"

    def digest(self, frame: str) -> str:
        """Returns the sha256 of an image file."""
        if frame not in self._digests:
            self._digests[frame] = sha256_of_file(self._root / frame)
        return self._digests[frame]

    def of(self, source: str, frames: Iterable[str]) -> Mapping[str, NDArray[np.float32]]:
        """Returns frame -> map, float32 of shape (h, w).

        Raises:
            ArtifactError: The model or the stored maps were changed.
            CamError: The network keeps no places of the image apart.
            ImageError: An image does not decode.
        """
        wanted = {frame: (frame, self.digest(frame)) for frame in sorted(set(frames))}
        known = self._known.get(source)
        if known is None or not known.keys() >= set(wanted.values()):
            known = self._known[source] = self._obtained(source, wanted)
        return {frame: known[key] for frame, key in wanted.items()}

    def _obtained(self, source: str, wanted: Mapping[str, tuple[str, str]]) -> KnownMaps:
        path = self._run.maps(source)
        recipe = Recipe(
            "activation-maps",
            {"weights": source_weights(self._run, self._spec, source)[1]},
            {
                "contract": self._spec.contract.network_json(),
                "methods": list(get_args(CamMethod)),
                **versions_of("torch", "timm", "pillow", "numpy"),
            },
        )
        if sidecar_path(path).is_file() and path.is_file():
            read_artifact(path)  # refuses maps that were edited, before they are taken over
        known, method = _stored(path, recipe.key)
        methods = {method} if known else set()
        missing = [frame for frame, key in wanted.items() if key not in known]
        if missing:
            sidecar_path(path).unlink(missing_ok=True)

        def write(temporary: Path) -> Mapping[str, Any]:
            self._compute(source, missing, known, methods, path, recipe.key)
            _save(temporary, known, _weakest(methods), recipe.key)
            return {"maps": len(known), "method": _weakest(methods)}

        self._store.obtain(path, recipe, write, 100_000)
        if _weakest(methods) == "hirescam":
            self._gradients.add(source)
        return known

    def _compute(
        self, source: str, frames: Sequence[str], known: KnownMaps, methods: set[CamMethod], path: Path, key: str
    ) -> None:
        for stale in [entry for entry in known if not self._is_current(entry)]:
            del known[stale]
        if not frames:  # a command was killed after the last of them
            return
        from evaluate.maps.cam import class_activation_maps  # loads torch, which stored maps do without

        detector = source_detector(self._run, self._spec, source)
        batches = [frames[start : start + _BATCH_SIZE] for start in range(0, len(frames), _BATCH_SIZE)]
        for batch in progress_bar(batches, f"class-activation maps of {source}", len(batches), "batch"):
            images = np.stack([array_from_file(self._root / frame, detector.contract.input) for frame in batch])
            found = class_activation_maps(detector.module, images)
            methods.add(found.method)
            known.update(((frame, self.digest(frame)), each) for frame, each in zip(batch, found.maps, strict=True))
            with write_atomically(path) as temporary:
                _save(temporary, known, _weakest(methods), key)

    def _is_current(self, entry: tuple[str, str]) -> bool:
        frame, digest = entry
        return (self._root / frame).is_file() and self.digest(frame) == digest


def _weakest(methods: set[CamMethod]) -> CamMethod:
    """Returns how maps came about of which some may be additive and others not."""
    return "hirescam" if "hirescam" in methods else "additive"


def _save(path: Path, known: KnownMaps, method: CamMethod, key: str) -> None:
    frames, digests = zip(*known, strict=True) if known else ((), ())
    with path.open("wb") as stream:
        np.savez(
            stream,
            key=np.array(key),
            method=np.array(method),
            frames=np.array(frames, dtype=np.str_),
            images=np.array(digests, dtype=np.str_),
            maps=np.array(list(known.values()), dtype=np.float32),
        )


def _stored(path: Path, key: str) -> tuple[KnownMaps, CamMethod]:
    """Returns the maps of a file and how they came about; none if it is not there or holds those of another model."""
    if not path.is_file():
        return {}, "additive"
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["key"]) != key:
                return {}, "additive"
            images = zip(stored["frames"].tolist(), stored["images"].tolist(), strict=True)
            method: CamMethod = "hirescam" if str(stored["method"]) == "hirescam" else "additive"
            return dict(zip(images, stored["maps"], strict=True)), method
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, BadZipFile) as error:
        raise ArtifactError(f"{path} holds no maps ({error}); delete it to have them computed again") from error
