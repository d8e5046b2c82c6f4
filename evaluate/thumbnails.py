"""Small grey pictures of a set of images, kept in the run folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from PIL import Image

from calibration.samples import path_from_root
from evaluate.likeness import THUMBNAIL_SIDE
from export.concurrency import processors_at_hand
from export.errors import ArtifactError, ImageError
from export.preprocessing import image_from_file
from export.progress import progress_bar
from export.sidecar import Recipe
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from calibration.samples import SampleSet
    from evaluate.scoring.session import Session

_MOST_WORKERS = 8


def thumbnails_of(session: Session, name: str, samples: SampleSet) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Makes the thumbnails of a set, or takes those that an earlier command made of the same images.

    Args:
        session: Run folder.
        name: What the set is for, such as `test`.
        samples: The images. Those that do not decode are left out; whoever scores them tells so.

    Returns:
        Paths relative to the root, and the thumbnails, uint8 of shape (N, 32, 32).

    Raises:
        ArtifactError: The stored thumbnails were changed.
    """
    recipe = Recipe(
        "thumbnails", {"images": samples.sha256}, {"side": THUMBNAIL_SIDE, **versions_of("pillow", "numpy")}
    )

    def write(path: Path) -> Mapping[str, Any]:
        images, thumbnails = _made(samples, name)
        with path.open("wb") as stream:
            np.savez(stream, images=np.array(images, dtype=np.str_), thumbnails=thumbnails)
        return {"images": len(images)}

    artifact = session.store.obtain(session.run.thumbnails(name), recipe, write, 1100 * len(samples.samples))
    return _stored(artifact.path)


def thumbnail_of(image: Image.Image) -> NDArray[np.uint8]:
    """Returns a thumbnail, uint8 of shape (32, 32); the image's own proportions do not matter."""
    return np.asarray(image.convert("L").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR))


def _made(samples: SampleSet, name: str) -> tuple[list[str], NDArray[np.uint8]]:
    paths = [sample.path for sample in samples.samples]
    with ThreadPoolExecutor(min(_MOST_WORKERS, processors_at_hand()), thread_name_prefix="thumbnails") as pool:
        made = list(progress_bar(pool.map(_thumbnail_at, paths), f"thumbnails of the {name} set", len(paths), "image"))
    images = [path_from_root(path, samples.root) for path, each in zip(paths, made, strict=True) if each is not None]
    thumbnails = [each for each in made if each is not None]
    shape = (0, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return images, np.stack(thumbnails) if thumbnails else np.zeros(shape, np.uint8)


def _thumbnail_at(path: Path) -> NDArray[np.uint8] | None:
    try:
        return thumbnail_of(image_from_file(path))
    except ImageError:
        return None


def _stored(path: Path) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return tuple(stored["images"].tolist()), stored["thumbnails"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ArtifactError(f"{path} holds no thumbnails ({error}); delete it to have them made again") from error
