from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from evaluate.page.embedded_image import EmbeddedImages, data_uri
from tests.evaluate.page.page_reference import draw_face

if TYPE_CHECKING:
    from pathlib import Path


def decoded(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert head == f"data:{Image.MIME[str(image.format)]};base64"
    return image


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_small_pictures_keep_their_bytes(kind: str) -> None:
    content = encoded(Image.new("RGB", (224, 100), (200, 10, 30)), kind)
    assert base64.b64decode(data_uri(content).partition(",")[2]) == content


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_large_pictures_are_scaled_down_in_proportion(mode: str) -> None:
    image = decoded(data_uri(encoded(Image.new(mode, (1200, 600)), "JPEG"), largest_side=200))
    assert (image.size, image.mode) == ((200, 100), "RGB")


def test_scaling_keeps_what_is_to_be_seen(tmp_path: Path) -> None:
    draw_face(tmp_path / "face.jpg", 3, 1, side=900)
    content = (tmp_path / "face.jpg").read_bytes()
    small = np.asarray(decoded(data_uri(content, 100)), float)
    exact = np.asarray(Image.open(tmp_path / "face.jpg").reduce(9), float)
    assert np.abs(small - exact).mean() < 3


def test_a_large_png_with_transparency_becomes_a_picture() -> None:
    assert decoded(data_uri(encoded(Image.new("RGBA", (900, 900)), "PNG"), 90)).size == (90, 90)


def test_equal_bytes_have_one_key(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        draw_face(tmp_path / name, 1, 0, side=32)
    draw_face(tmp_path / "c.jpg", 2, 0, side=32)
    images = EmbeddedImages(tmp_path)
    assert images.key_of("a.jpg") == images.key_of("b.jpg") != images.key_of("c.jpg")
    assert len(images.uris) == 2
    assert not images.missing


def test_what_is_no_picture_is_missing_once(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    images = EmbeddedImages(tmp_path)
    for path in ("page.jpg", "absent.jpg", "page.jpg", "x" * 5000, "\0"):
        assert images.key_of(path) is None
    assert images.missing == {"page.jpg", "absent.jpg", "x" * 5000, "\0"}
    assert images.uris == {}


def test_other_formats_are_refused() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        data_uri(encoded(Image.new("RGB", (8, 8)), "GIF"))


def test_a_picture_that_would_fill_memory_is_missing(tmp_path: Path) -> None:
    Image.new("1", (60_000, 40_000)).save(tmp_path / "bomb.png")
    images = EmbeddedImages(tmp_path)
    assert images.key_of("bomb.png") is None
