"""Pictures inside the page: as data URIs, made small, each content once."""

from __future__ import annotations

import hashlib
import io
import warnings
from base64 import b64encode
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_SIDE = 224
_QUALITY = 82
_MIME_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png"}
# A face crop has far fewer; more is a mistake or an attack.
_MOST_PIXELS = 50_000_000
_MOST_BYTES = 64 << 20


class EmbeddedImages:
    """Collects the pictures that a page shows.

    Attributes:
        uris: Key -> data URI; files with equal bytes have one key.
        missing: Paths that hold no picture.
    """

    def __init__(self, folder: Path, largest_side: int = LARGEST_SIDE) -> None:
        self.uris: dict[str, str] = {}
        self.missing: set[str] = set()
        self._folder = folder
        self._largest_side = largest_side
        self._keys: dict[str, str] = {}

    def key_of(self, path: str) -> str | None:
        """Embeds a picture and returns its key; None, and a note of it, where there is none to be read.

        Args:
            path: Relative to the report's folder.
        """
        if path not in self._keys and path not in self.missing:
            self._embed(path)
        return self._keys.get(path)

    def _embed(self, path: str) -> None:
        try:
            content = _bytes_of(self._folder, path)
            key = hashlib.sha256(content).hexdigest()[:16]
            if key not in self.uris:
                self.uris[key] = data_uri(content, self._largest_side)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
            self.missing.add(path)
        else:
            self._keys[path] = key


def data_uri(content: bytes, largest_side: int = LARGEST_SIDE) -> str:
    """Returns a JPEG or PNG as a data URI, scaled down where a side is longer than `largest_side` pixels.

    Raises:
        OSError: It is no such picture, or a damaged one.
        ValueError: It has too many pixels.
    """
    with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=tuple(_MIME_TYPES)) as image:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels; expected at most {_MOST_PIXELS}")
        mime_type = _MIME_TYPES[str(image.format)]
        is_large = max(image.size) > largest_side
        if is_large:
            image.draft("RGB", (largest_side, largest_side))
        # Decoded in any case: a file that only begins like a picture would show as a broken one.
        image.load()
        if is_large:
            content, mime_type = _scaled_down(image, largest_side), _MIME_TYPES["JPEG"]
    return f"data:{mime_type};base64,{b64encode(content).decode('ascii')}"


def _scaled_down(image: Image.Image, largest_side: int) -> bytes:
    small = image.convert("RGB")
    small.thumbnail((largest_side, largest_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _bytes_of(folder: Path, path: str) -> bytes:
    file = folder / path
    # Neither a device nor a pipe, which would never end.
    if not file.is_file() or file.stat().st_size > _MOST_BYTES:
        raise FileNotFoundError(path)
    return file.read_bytes()
