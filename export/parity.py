"""Parity of two representations of one detector: an export that does not reproduce its source is refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx

from export.contract import INPUT_NAME
from export.errors import ParityError
from export.runners import session_from_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.runner import Runner

FP16_MAX = 65504.0


@dataclass(frozen=True)
class Tolerance:
    """Largest accepted |candidate - reference| is `atol + rtol * |reference|`, in logits."""

    atol: float
    rtol: float


FP32_TOLERANCE = Tolerance(atol=1e-3, rtol=1e-3)
FP16_TOLERANCE = Tolerance(atol=5e-2, rtol=2e-2)


@dataclass(frozen=True)
class ParityFacts:
    """What a parity check measured.

    Attributes:
        images: Number of images compared.
        max_abs_difference: Largest difference of two logits.
        atol: Absolute tolerance that was applied.
        rtol: Relative tolerance that was applied.
    """

    images: int
    max_abs_difference: float
    atol: float
    rtol: float

    def to_dict(self) -> dict[str, float]:
        """Returns the facts for a sidecar."""
        return asdict(self)


def check_parity(
    reference: Runner, candidate: Runner, images: NDArray[np.float32], tolerance: Tolerance, what: str
) -> ParityFacts:
    """Compares the logits of two runners on the same images.

    Args:
        reference: The source representation.
        candidate: The representation made from it.
        images: Normalized inputs (N, 3, size, size).
        tolerance: Accepted difference.
        what: Names the conversion in the error message.

    Raises:
        ParityError: Any logit differs by more, or is not finite.
    """
    with reference, candidate:
        expected = reference.infer(images).astype(np.float64)
        got = candidate.infer(images).astype(np.float64)
    difference = np.abs(got - expected)
    worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
    if not np.all(difference <= tolerance.atol + tolerance.rtol * np.abs(expected)):
        raise ParityError(
            f"{what} changed the logits: image {worst} gives {got[worst]:.5f} instead of {expected[worst]:.5f}, beyond "
            f"atol {tolerance.atol} + rtol {tolerance.rtol}; the export is not usable, please report it with the model"
        )
    return ParityFacts(len(images), float(difference[worst]), tolerance.atol, tolerance.rtol)


def check_fp16_range(model: onnx.ModelProto, images: NDArray[np.float32]) -> float:
    """Returns the largest |activation| of an FP32 graph, which ONNX Runtime's FP16 on a CPU would not show.

    Raises:
        ParityError: An activation leaves the range of FP16, so that an FP16 engine would overflow.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    outputs = [node.output[0] for node in probe.graph.node if node.op_type in ("Conv", "Mul", "Add", "Gemm", "MatMul")]
    known = {value.name for value in probe.graph.output}
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in known)
    session = session_from_model(probe)
    peaks = dict.fromkeys(outputs, 0.0)
    for image in images:
        for name, value in zip(outputs, session.run(outputs, {INPUT_NAME: image[None]}), strict=True):
            peaks[name] = max(peaks[name], float(np.abs(value).max(initial=0.0)))
    tensor = max(peaks, key=peaks.__getitem__)
    if not peaks[tensor] < FP16_MAX:
        raise ParityError(
            f"tensor {tensor} reaches {peaks[tensor]:.4g}, beyond FP16's {FP16_MAX:.0f}; build FP32 variants"
        )
    return peaks[tensor]
