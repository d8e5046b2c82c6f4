"""Image sizes that a network can be built for and can compute: some fix theirs, some need a smallest or a multiple."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import timm
import torch

from export.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

# What timm and PyTorch raise where an image fits neither windows, patches nor kernels.
SIZE_ERRORS = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)


def image_size_options(architecture: str, size: int) -> dict[str, int]:
    """Returns what timm must be told of the image size: nothing for a network that takes any.

    Args:
        architecture: Name of a timm network.
        size: Height and width of the image, in pixels.
    """
    known: Any = timm.get_pretrained_cfg(architecture)
    return {"img_size": size} if known is not None and known.fixed_input_size else {}


def require_size_fits(module: nn.Module, architecture: str, size: int) -> None:
    """Refuses an image size that a network cannot compute: smaller than a kernel, or no multiple of a window.

    Shapes alone tell, so that hardly anything is computed.

    Args:
        module: The network, one of timm, as built for that size.
        architecture: What its model file calls it.
        size: Height and width of the image, in pixels.

    Raises:
        CheckpointError: The message says what stands in the way.
    """
    was_training = module.training
    module.eval()
    try:
        tensors = [*module.named_parameters(), *module.named_buffers()]
        shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
        with torch.inference_mode():
            torch.func.functional_call(module, shapes, (torch.empty(1, 3, size, size, device="meta"),))
    except Exception:  # of the image, or of an operator that has to see values, which the network itself tells apart
        _require_computed(module, architecture, size)
    finally:
        module.train(was_training)


def misfit(architecture: str, size: int, own: int, error: Exception) -> CheckpointError:
    """Returns the error of a network that an image size does not fit.

    Args:
        architecture: What its model file calls it.
        size: Height and width of the image, in pixels.
        own: The size that the network was designed for.
        error: What timm or PyTorch raised.
    """
    reason = " ".join(str(error).split())[:120].rstrip(" .")
    return CheckpointError(
        f"{architecture} cannot be built for images of {size} x {size} ({reason}); set input.size in model.toml to the "
        f"size that it was trained at, such as {own}"
    )


def _require_computed(module: nn.Module, architecture: str, size: int) -> None:
    try:
        with torch.inference_mode():
            module(torch.zeros(1, 3, size, size))
    except SIZE_ERRORS as error:
        settings: Any = module.pretrained_cfg
        raise misfit(architecture, size, settings["input_size"][-1], error) from error
