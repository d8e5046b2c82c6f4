"""The INT8 quantizers that are compared, and how each of them is configured."""

from __future__ import annotations

from peers.methods import FP32, Method


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

INT8_METHODS: tuple[Method, ...] = (
    FP32,
    Method("fp16", "FP16", "reference"),
    *_OURS,
    *_onnxruntime_methods(),
    *_NNCF,
    *_MODELOPT,
)
