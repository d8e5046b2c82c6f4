"""What to do about errors of TensorRT whose cause is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Part of a message, in lower case -> what mends it. The first that fits is told.
_REMEDIES = (
    ("fp32 gemm is not supported", "SM 7.5 has no FP32 matrix product here; leave 7.5 out of --sm"),
    ("no optimization profile", "the graph has a dynamic input that --batch does not cover; only the batch may vary"),
    ("defaulting to int8", "quantize to int8 with zero point 0, as build-engines does"),
    (
        "non-zero zero point",
        "TensorRT takes symmetric quantizers only; quantize with zero point 0, as build-engines does",
    ),
    ("shiftisallzeros", "TensorRT takes symmetric quantizers only; quantize with zero point 0, as build-engines does"),
    ("workspace", "raise --workspace"),
    ("could not find any implementation", "raise --workspace, or lower --optimization-level"),
    ("out of memory", "free GPU memory, or lower the largest size of --batch or --workspace"),
    ("outofmemory", "free GPU memory, or lower the largest size of --batch or --workspace"),
    ("insufficient memory", "free GPU memory, or lower the largest size of --batch or --workspace"),
    ("libnvinfer_lean", "install TensorRT's lean runtime beside it, or drop --version-compatible"),
    ("error: 35", "no NVIDIA driver is installed, or it is older than this TensorRT's CUDA; see nvidia-smi"),
    ("cudaerror 35", "no NVIDIA driver is installed, or it is older than this TensorRT's CUDA; see nvidia-smi"),
    ("error: 100", "no GPU is visible; see nvidia-smi and CUDA_VISIBLE_DEVICES"),
    ("cudaerror 100", "no GPU is visible; see nvidia-smi and CUDA_VISIBLE_DEVICES"),
    ("factory function returned nullptr", "a GPU and its driver are needed to build; see nvidia-smi"),
    ("no importer registered", "this TensorRT lacks the operator; use a later release"),
    ("plugin not found", "this TensorRT lacks the operator; use a later release"),
    ("opset", "this TensorRT reads older graphs only; use a later release"),
)
# TensorRT for RTX says this as an error whenever a setter that it ignores is used outside a build.
_NOISE = "Thread context has not been set"
_TOLD_MESSAGES, _TOLD_CHARACTERS = 3, 300


def explained(what: str, messages: Iterable[str]) -> str:
    """Returns one line: what failed, TensorRT's first words about it, and what to do where that is known."""
    kept = list(dict.fromkeys(" ".join(message.split()) for message in messages if _NOISE not in message))
    details = "; ".join(message[:_TOLD_CHARACTERS] for message in kept[:_TOLD_MESSAGES])
    remedy = remedy_for(" ".join([what, *kept]))
    return f"{what}: {details or 'it gave no reason'}" + (f"; what to do: {remedy}" if remedy else "")


def remedy_for(text: str) -> str:
    """Returns what mends an error; empty if that is not known."""
    lower = text.lower()
    return next((remedy for part, remedy in _REMEDIES if part in lower), "")
