from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from calibration.datasets.celeb_df import samples_from_celeb_df
from calibration.samples import path_from_root
from demo.dataset import make_split, plan_of_split
from evaluate.maps.masks import mask_of
from export.contract import InputContract
from export.errors import DataError
from export.preprocessing import pixels_from_file

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.samples import SampleSet

FRAME = "Celeb-synthesis/id1_id2_0000/000.jpg"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    return make_split(tmp_path_factory.mktemp("data"), plan_of_split("test", 6, 20), workers=1)


def write_pair(root: Path, frame: np.ndarray, mask: np.ndarray) -> None:
    for path, pixels in ((root / FRAME, frame), ((root / "masks" / FRAME).with_suffix(".png"), mask)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)


def test_every_fake_of_the_demo_has_a_mask_and_no_real_video_has(drawn: SampleSet) -> None:
    contract = InputContract(64)
    for sample in drawn.samples:
        mask = mask_of(path_from_root(sample.path, drawn.root), drawn.root, contract)
        assert (mask is not None) == sample.is_fake
        if mask is not None:
            assert mask.shape == (64, 64)
            assert 0.05 < mask.mean() < 0.7


def test_no_reader_takes_a_mask_for_a_frame(drawn: SampleSet) -> None:
    assert not [sample for sample in drawn.samples if "masks" in sample.path.parts]
    before = drawn.sha256
    assert samples_from_celeb_df(drawn.root).sha256 == before


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_frame_elsewhere_is_no_mask_of_itself(is_absolute: bool, tmp_path: Path) -> None:
    """Its path, followed from the folder of masks, leads to itself."""
    root, face = tmp_path / "tables", tmp_path / "tables" / "faces" / "000.png"
    (root / "masks").mkdir(parents=True)
    face.parent.mkdir()
    Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).save(face)
    frame = str(face) if is_absolute else "../faces/000.png"
    assert (root / "masks" / frame).samefile(face)
    assert mask_of(frame, root, InputContract(32)) is None


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "center-crop"])
def test_a_mask_goes_the_way_of_its_frame(resize: str, tmp_path: Path) -> None:
    """A frame that is white where its mask is, and its mask, stay together."""
    mask = np.zeros((90, 140), np.uint8)
    mask[20:60, 50:110] = 3  # faint, but changed
    write_pair(tmp_path, np.repeat(255 * (mask > 0)[..., None], 3, axis=-1), mask)
    contract = InputContract(100, resize=resize)  # type: ignore[arg-type]
    found = mask_of(FRAME, tmp_path, contract)
    seen = pixels_from_file(tmp_path / FRAME, contract)[..., 0] > 127
    assert found is not None
    assert np.mean(found != seen) < 0.03
    assert seen.mean() > 0.1


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, np.zeros((40, 40, 3)), np.zeros((20, 20)))
    with pytest.raises(DataError, match=r"\(20, 20\) pixels large and its frame \(40, 40\)"):
        mask_of(FRAME, tmp_path, InputContract(32))
