from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from export.contract import InputContract
from export.errors import ImageError
from export.preprocessing import (
    array_from_file,
    array_from_image,
    pixels_from_file,
    pixels_from_image,
    resized_image,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def image() -> Image.Image:
    pixels = np.random.default_rng(5).integers(0, 256, (90, 60, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_stretch_equals_torchvision(interpolation: str, image: Image.Image) -> None:
    contract = InputContract(48, "stretch", interpolation)  # type: ignore[arg-type]
    reference = transforms.Compose(
        [
            transforms.Resize((48, 48), InterpolationMode(interpolation)),
            transforms.ToTensor(),
            transforms.Normalize(contract.mean, contract.std),
        ]
    )
    array = array_from_image(image, contract)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, reference(image).numpy(), atol=1e-6)


def test_center_crop_cuts_the_longer_side(image: Image.Image) -> None:
    cut = resized_image(image, InputContract(60, "center-crop"))
    np.testing.assert_array_equal(np.asarray(cut), np.asarray(image)[15:75])


def test_letterbox_pads_with_black_and_keeps_the_aspect(image: Image.Image) -> None:
    padded = np.asarray(resized_image(image, InputContract(90, "letterbox")))
    assert padded.shape == (90, 90, 3)
    assert not padded[:, :15].any()
    assert not padded[:, 75:].any()
    np.testing.assert_array_equal(padded[:, 15:75], np.asarray(image))


def test_mean_and_std_are_per_channel() -> None:
    image = Image.new("RGB", (32, 32), (255, 0, 51))
    array = array_from_image(image, InputContract(32, mean=(0.0, 0.5, 0.1), std=(2.0, 0.25, 1.0)))
    np.testing.assert_allclose(array[:, 0, 0], [0.5, -2.0, 0.1], atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA"])
def test_other_modes_become_rgb(mode: str, image: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    image.convert(mode).save(path)
    assert array_from_file(path, InputContract(32)).shape == (3, 32, 32)


def test_exif_orientation_is_obeyed(image: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to view upright
    image.save(tmp_path / "x.png", exif=exif)
    contract = InputContract(60, "stretch", "nearest")
    upright = image.transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_allclose(array_from_file(tmp_path / "x.png", contract), array_from_image(upright, contract))


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff" + b"\0" * 99])
def test_files_that_do_not_decode_are_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"broken\.jpg.*--skip-unreadable"):
        array_from_file(path, InputContract(32))


def test_truncated_jpeg_is_refused(image: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    image.save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImageError):
        array_from_file(path, InputContract(32))


def test_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Image.Image) -> None:
    image.save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="pixels"):
        array_from_file(tmp_path / "x.png", InputContract(32))


def test_missing_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no image at"):
        array_from_file(tmp_path / "none.png", InputContract(32))


def test_result_is_contiguous_for_torch(image: Image.Image) -> None:
    array = array_from_image(image, InputContract(32))
    assert array.flags["C_CONTIGUOUS"]
    assert torch.from_numpy(array).is_contiguous()


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "center-crop"])
def test_pixels_are_the_image_before_normalization(resize: str, image: Image.Image, tmp_path: Path) -> None:
    contract = InputContract(48, resize)  # type: ignore[arg-type]
    pixels = pixels_from_image(image, contract)
    assert (pixels.dtype, pixels.shape, pixels.flags["C_CONTIGUOUS"]) == (np.uint8, (48, 48, 3), True)
    tensor = transforms.Normalize(contract.mean, contract.std)(transforms.ToTensor()(Image.fromarray(pixels)))
    np.testing.assert_allclose(array_from_image(image, contract), tensor.numpy(), atol=1e-6)
    image.save(tmp_path / "x.png")
    np.testing.assert_array_equal(pixels_from_file(tmp_path / "x.png", contract), pixels)
