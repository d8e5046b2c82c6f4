"""The methods that are compared, one row each, and how each of them is configured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from export.errors import SignoffError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Family = Literal["reference", "ours", "onnxruntime", "nncf", "modelopt"]

REFERENCE = "fp32"


@dataclass(frozen=True)
class Method:
    """One way to make an ONNX graph of the detector.

    Attributes:
        name: Name of the row and of its folder.
        title: What the table calls it.
        family: Who makes the graph.
        settings: What was chosen; part of the cache's key.
        why: Why these settings are what its authors recommend.
    """

    name: str
    title: str
    family: Family
    settings: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


def _onnxruntime_methods() -> tuple[Method, ...]:
    plain = (
        "quant_pre_process, then quantize_static with its defaults (asymmetric int8 activations, int32 biases, every "
        "operator it supports) and weights per channel"
    )
    tensorrt = (
        "quant_pre_process, then quantize_static with the options of ONNX Runtime's TensorRT examples (symmetric "
        "activations, Q/DQ on weights, no quantized outputs, a pair per reader), restricted to Conv and Gemm, biases "
        "float because TensorRT refuses int32 ones"
    )
    calibrations = {
        "MinMax": "range from the smallest to the largest value",
        "Entropy": "range of least KL divergence, over 128 bins and those that later chunks add (MinMax if none does)",
        "Percentile": "percentile 99.999, its default",
    }
    return tuple(
        Method(
            f"ort{suffix}-{calibration.lower()}",
            f"ONNX Runtime {calibration}{label}",
            "onnxruntime",
            {"calibration": calibration, "profile": profile},
            f"{why}; {range_note}",
        )
        for suffix, label, profile, why in (
            ("", "", "default", plain),
            ("-trt", ", TensorRT options", "tensorrt", tensorrt),
        )
        for calibration, range_note in calibrations.items()
    )


_OURS = (
    *(
        Method(f"ours-{recipe}", f"Engine Sign-off q8, {recipe}", "ours", {"variant": "q8", "recipe": recipe})
        for recipe in ("accurate", "fast", "full", "minmax")
    ),
    Method("ours-q8w", "Engine Sign-off q8w", "ours", {"variant": "q8w", "recipe": None}),
)

_NNCF = (
    Method(
        "nncf",
        "NNCF PTQ",
        "nncf",
        {"accuracy_control": False},
        "nncf.quantize with every default (preset performance, fast bias correction), all calibration images",
    ),
    Method(
        "nncf-accuracy-control",
        "NNCF accuracy control",
        "nncf",
        {"accuracy_control": True, "max_drop": 0.001},
        "nncf.quantize_with_accuracy_control with every default; validated by AUC on every fourth calibration video of "
        "each class, calibrated on the others, all of their images",
    ),
)

_MODELOPT = tuple(
    Method(
        f"modelopt-{calibration}",
        f"NVIDIA ModelOpt {calibration}",
        "modelopt",
        {"calibration": calibration, "high_precision_dtype": "fp16"},
        "its own command `python -m modelopt.onnx.quantization` with every default (Q/DQ placed for TensorRT, FP16 "
        "elsewhere), calibrated on the CPU",
    )
    for calibration in ("max", "entropy")
)

METHODS: tuple[Method, ...] = (
    Method(REFERENCE, "FP32", "reference"),
    Method("fp16", "FP16", "reference"),
    *_OURS,
    *_onnxruntime_methods(),
    *_NNCF,
    *_MODELOPT,
)


def method_from_name(name: str) -> Method:
    """Returns the method of that name.

    Raises:
        SignoffError: There is none.
    """
    for method in METHODS:
        if method.name == name:
            return method
    raise SignoffError(f"unknown method {name!r}; expected some of {', '.join(method.name for method in METHODS)}")


def methods_from_names(names: Sequence[str] | None) -> tuple[Method, ...]:
    """Returns the named methods in the table's order, always with the reference; all of them for None.

    Raises:
        SignoffError: A name is unknown.
    """
    if names is None:
        return METHODS
    wanted = {REFERENCE, *(method_from_name(name).name for name in names)}
    return tuple(method for method in METHODS if method.name in wanted)
