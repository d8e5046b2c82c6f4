"""Networks that are built for one image size, such as vision transformers with one position embedding a place."""

from __future__ import annotations

from typing import Any

import timm

from export.errors import CheckpointError


def image_size_options(architecture: str, size: int) -> dict[str, int]:
    """Returns what timm must be told of the image size: nothing for a network that takes any.

    Args:
        architecture: Name of a timm network.
        size: Height and width of the image, in pixels.
    """
    known: Any = timm.get_pretrained_cfg(architecture)
    return {"img_size": size} if known is not None and known.fixed_input_size else {}


def misfit(architecture: str, size: int, error: Exception) -> CheckpointError:
    """Returns the error of a network that cannot be built for an image size.

    Args:
        architecture: Name of a timm network.
        size: Height and width of the image, in pixels.
        error: What timm raised.
    """
    reason = " ".join(str(error).split())[:120]
    own = timm.get_pretrained_cfg(architecture).input_size[-1]
    return CheckpointError(
        f"{architecture} cannot be built for images of {size} x {size} ({reason}); set input.size in model.toml to the "
        f"size that it was trained at, such as {own}"
    )
