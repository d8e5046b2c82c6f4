"""Image files as people have them: each is the right picture, by a closed form, or one line that says why not."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from export import image_modes
from export.errors import ImageError
from export.image_modes import MOST_PIXELS, rgb_from_image
from export.preprocessing import image_from_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC = 0x0112, 258, 262
FRESH = int(np.random.SeedSequence().generate_state(1)[0])
RNG = np.random.default_rng(FRESH)
COLOURS = RNG.integers(0, 256, (40, 56, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (40, 56), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (40, 56), dtype=np.uint16)
ALPHA = RNG.choice(np.array([0, 1, 100, 254, 255], np.uint8), (40, 56))
# What a viewer shows of a stored array, by its EXIF orientation.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}


def decoded(path: Path) -> np.ndarray:
    image = image_from_file(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def as_rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., np.newaxis], 3, axis=2)


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def tiff_with_tag(path: Path, tag: int, value: int) -> Path:
    """Writes a TIFF of 16-bit grayscale and changes one of its tags."""
    Image.fromarray(DEEP).save(path, "TIFF")
    content, entry = path.read_bytes(), struct.pack("<HHI", tag, 3, 1)
    assert content.count(entry) == 1
    path.write_bytes(content.replace(entry + content[content.index(entry) + 8 :][:2], entry + struct.pack("<H", value)))
    return path


def png_of_size(path: Path, width: int, height: int) -> Path:
    """Writes a PNG that declares a size and holds nothing."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM"])
def test_ordinary_files_are_what_pillow_makes_of_them(mode: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    image = Image.fromarray(COLOURS).convert(mode)
    (image if mode != "P" or kind not in ("JPEG", "PPM") else image.convert("RGB")).save(path, kind)
    with Image.open(path) as stored:
        np.testing.assert_array_equal(decoded(path), np.asarray(stored.convert("RGB")))


def test_grayscale_is_the_same_in_all_channels(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(decoded(tmp_path / "gray.png"), as_rgb(GRAY))
    Image.fromarray(GRAY > 99).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(decoded(tmp_path / "bits.png"), as_rgb((GRAY > 99) * np.uint8(255)))


def test_of_16_bits_the_upper_8_are_taken_in_gray_and_in_colour(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "gray.png"), DEEP)
    Image.fromarray(DEEP).save(tmp_path / "little.tif")
    Image.frombytes("I;16B", DEEP.shape[::-1], DEEP.astype(">u2").tobytes()).save(tmp_path / "big.tif")
    (tmp_path / "x.pgm").write_bytes(b"P5 56 40 65535\n" + DEEP.astype(">u2").tobytes())
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(decoded(path), as_rgb((DEEP // 256).astype(np.uint8)), err_msg=path.name)
    colours = RNG.integers(0, 65536, (40, 56, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "colours.png"), colours[..., ::-1])
    cv2.imwrite(str(tmp_path / "colours.tif"), colours[..., ::-1])
    for name in ("colours.png", "colours.tif"):
        np.testing.assert_array_equal(decoded(tmp_path / name), colours // 256, err_msg=name)


def test_16_bits_of_older_pillows_are_32_bits_in_memory() -> None:
    image = Image.fromarray(DEEP.astype(np.int32))
    assert image.mode == "I"
    np.testing.assert_array_equal(np.asarray(rgb_from_image(image)), as_rgb((DEEP // 256).astype(np.uint8)))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_composited_on_black(kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    Image.fromarray(np.dstack([COLOURS, ALPHA])).save(tmp_path / "x", kind, **options)
    got = decoded(tmp_path / "x")
    np.testing.assert_allclose(got, COLOURS * (ALPHA[..., np.newaxis] / 255), atol=1)
    np.testing.assert_array_equal(got[ALPHA == 255], COLOURS[ALPHA == 255])
    assert not got[ALPHA == 0].any()


def test_transparent_grayscale_is_composited_on_black(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([GRAY, ALPHA]), "LA").save(tmp_path / "x.png")
    np.testing.assert_allclose(decoded(tmp_path / "x.png"), as_rgb(GRAY * (ALPHA / 255)), atol=1)
    Image.fromarray(np.dstack([GRAY, ALPHA]), "LA").save(tmp_path / "x.tif")
    np.testing.assert_allclose(decoded(tmp_path / "x.tif"), as_rgb(GRAY * (ALPHA / 255)), atol=1)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_the_transparent_colour_of_a_palette_is_black(kind: str, tmp_path: Path) -> None:
    palette = RNG.integers(1, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(GRAY)
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "x", kind, transparency=int(GRAY[0, 0]))
    expected = palette[GRAY]
    expected[GRAY[0, 0] == GRAY] = 0
    np.testing.assert_array_equal(decoded(tmp_path / "x"), expected)


def test_the_transparent_colour_of_a_png_without_alpha_is_black(tmp_path: Path) -> None:
    key = tuple(int(value) for value in COLOURS[3, 4])
    Image.fromarray(COLOURS).save(tmp_path / "x.png", transparency=key)
    expected = COLOURS.copy()
    expected[(key == COLOURS).all(axis=2)] = 0
    assert not expected[3, 4].any()
    np.testing.assert_array_equal(decoded(tmp_path / "x.png"), expected)


@pytest.mark.parametrize("ycck", [False, True])
def test_cmyk_jpeg_is_light_less_ink(ycck: bool, tmp_path: Path) -> None:
    """Smooth inks, which JPEG hardly changes; YCCK keeps the three colours as YCbCr."""
    down, right = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 56), indexing="ij")
    inks = np.stack([255 * right, 255 * down, 255 * (1 - right), 120 * (1 - down)], axis=2).astype(np.uint8)
    light = 255.0 - inks
    path = tmp_path / "x.jpg"
    if ycck:  # Adobe's files are inverted, and Pillow writes what it is given so, too.
        inks[..., :3] = 255 - np.asarray(Image.fromarray(inks[..., :3]).convert("YCbCr"))
    Image.fromarray(inks, "CMYK").save(path, quality=100, subsampling=0)
    if ycck:
        content = bytearray(path.read_bytes())
        content[content.index(b"Adobe") + 11] = 2
        path.write_bytes(content)
    np.testing.assert_allclose(decoded(path), light[..., :3] * light[..., 3:] / 255, atol=7)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_orientation_of_lossless_files_is_obeyed(kind: str, orientation: int, tmp_path: Path) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(COLOURS).save(tmp_path / "x", kind, exif=oriented(orientation), **options)
    np.testing.assert_array_equal(decoded(tmp_path / "x"), UPRIGHT[orientation](COLOURS))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation_of_photographs_and_deep_files_is_obeyed(orientation: int, tmp_path: Path) -> None:
    smooth = cv2.resize(COLOURS[:2, :3], (56, 40), interpolation=cv2.INTER_LINEAR)
    Image.fromarray(smooth).save(tmp_path / "x.jpg", quality=100, subsampling=0, exif=oriented(orientation))
    np.testing.assert_allclose(decoded(tmp_path / "x.jpg"), UPRIGHT[orientation](smooth).astype(float), atol=4)
    Image.fromarray(DEEP).save(tmp_path / "x.png", exif=oriented(orientation))
    expected = as_rgb(UPRIGHT[orientation](DEEP // 256).astype(np.uint8))
    np.testing.assert_array_equal(decoded(tmp_path / "x.png"), expected)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_and_pages_are_refused_and_single_pictures_are_not(kind: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
    frames[0].save(tmp_path / "moving", kind, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match=r"moving \(it holds several pictures.*expected one\); .*--skip-unreadable"):
        image_from_file(tmp_path / "moving")
    frames[0].save(tmp_path / "still", kind, save_all=True, lossless=True)
    np.testing.assert_array_equal(decoded(tmp_path / "still"), as_rgb(GRAY))


def test_a_multi_picture_jpeg_is_its_first_picture(tmp_path: Path) -> None:
    first, preview = Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)
    first.save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=[preview], quality=90)
    first.save(tmp_path / "alone.jpg", quality=90)
    with Image.open(tmp_path / "x.jpg") as image:
        assert (image.format, image.n_frames) == ("MPO", 2)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(decoded(tmp_path / "x.jpg"), decoded(tmp_path / "alone.jpg"))


def test_profiles_are_ignored_and_progressive_files_are_as_others(tmp_path: Path) -> None:
    image, profile = Image.fromarray(COLOURS), ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ"))
    image.save(tmp_path / "plain.jpg")
    image.save(tmp_path / "profile.jpg", icc_profile=profile.tobytes())
    image.save(tmp_path / "progressive.jpg", progressive=True)
    assert b"ICC_PROFILE" in (tmp_path / "profile.jpg").read_bytes()
    for name in ("profile.jpg", "progressive.jpg"):
        np.testing.assert_array_equal(decoded(tmp_path / name), decoded(tmp_path / "plain.jpg"))


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(b"<!DOCTYPE html><html><body>404</body></html>"), "it is no BMP, GIF, JPEG"),
        # Pillow would start Ghostscript.
        (lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "it is no BMP"),
        (lambda path: png_of_size(path, 10_000, 10_000), rf"more than {MOST_PIXELS:,} pixels"),  # Pillow warns
        (lambda path: png_of_size(path, 60_000, 60_000), rf"more than {MOST_PIXELS:,} pixels"),  # Pillow refuses
        (lambda path: Image.fromarray(GRAY / np.float32(255)).save(path, "TIFF"), "which is white"),
        (lambda path: Image.fromarray(DEEP.astype(np.int32)).save(path, "TIFF"), "which is white"),
        (lambda path: tiff_with_tag(path, PHOTOMETRIC, 0), "white zero"),
        (lambda path: tiff_with_tag(path, BITS_PER_SAMPLE, 12), "12 bits"),
    ],
)
def test_what_is_no_picture_is_refused(write: Callable[[Path], object], told: str, tmp_path: Path) -> None:
    write(tmp_path / "face.jpg")
    with pytest.raises(ImageError, match=rf"cannot decode .*face\.jpg \(.*{told}.*\); .* --skip-unreadable"):
        image_from_file(tmp_path / "face.jpg")


def test_as_many_pixels_as_allowed_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(GRAY).save(tmp_path / "x.png")
    monkeypatch.setattr(image_modes, "MOST_PIXELS", GRAY.size)
    assert decoded(tmp_path / "x.png").shape == (40, 56, 3)
    monkeypatch.setattr(image_modes, "MOST_PIXELS", GRAY.size - 1)
    with pytest.raises(ImageError, match="pixels"):
        image_from_file(tmp_path / "x.png")


def stored(kind: str, mode: str) -> bytes:
    image, content = Image.fromarray(DEEP) if mode == "I;16" else Image.fromarray(COLOURS).convert(mode), io.BytesIO()
    image.save(content, kind, **({} if kind == "BMP" else {"exif": oriented(6)}))
    return content.getvalue()


@pytest.mark.parametrize("seed", [0, FRESH], ids=["0", "fresh"])
def test_damaged_files_are_a_picture_or_one_line(seed: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kinds = [("PNG", "RGBA"), ("PNG", "I;16"), ("PNG", "P"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("WEBP", "RGB")]
    kinds += [("TIFF", "RGB"), ("TIFF", "I;16"), ("GIF", "P"), ("BMP", "L")]
    files, rng, path = [stored(*kind) for kind in kinds], np.random.default_rng(seed), tmp_path / "x.jpg"
    told: list[str] = []
    for number in range(200):
        content = bytearray(files[number % len(files)])
        if rng.random() < 0.2:
            content = content[: rng.integers(len(content))]
        for place in rng.integers(0, min(len(content), rng.choice([60, 400, 10**6])) or 1, rng.integers(1, 9)):
            content[place : place + 1] = rng.bytes(1)
        path.write_bytes(content)
        try:
            assert image_from_file(path).mode == "RGB"
        except ImageError as error:
            told.append(str(error))
    assert 20 < len(told) < 200, seed
    assert not [line for line in told if "\n" in line], seed
    capfd.readouterr()  # libtiff complains by itself
