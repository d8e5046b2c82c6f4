"""Each message is one that a TensorRT really gave, or that its documentation quotes."""

from __future__ import annotations

import pytest

from engines.build_remedies import explained, remedy_for

MYELIN = "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ("


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (f"{MYELIN}Cannot compile operation 'fc' for Turing (SM75): FP32 GEMM is not supported.", "7.5 out of --sm"),
        ("Network has dynamic or shape inputs, but no optimization profile has been defined", "only the batch"),
        ("onnxOpImporters.cpp:1980: Defaulting to INT8 instead", "int8 with zero point 0"),
        ("shiftIsAllZeros(zeroPoint): Non-zero zero point is not supported.", "zero point 0"),
        (f"{MYELIN}no tactics to implement the operation within workspace limit.", "raise --workspace"),
        ("10: Could not find any implementation for node conv_stem + PWN(sigmoid).", "raise --workspace"),
        ("1: [defaultAllocator.cpp::allocate::20] Error Code 1: Cuda Runtime (out of memory)", "free GPU memory"),
        ("Unable to load library: libnvinfer_lean.so.1: cannot open shared object file", "drop --version-compatible"),
        ("CUDA initialization failure with error: 35. Please check your CUDA installation", "no NVIDIA driver"),
        ("(cudaError 35: CUDA driver version is insufficient for CUDA runtime version)", "no NVIDIA driver"),
        ("CUDA initialization failure with error: 100", "CUDA_VISIBLE_DEVICES"),
        ("pybind11::init(): factory function returned nullptr", "a GPU and its driver"),
        ("No importer registered for op: GridSample", "a later release"),
    ],
)
def test_known_errors_have_a_remedy(message: str, remedy: str) -> None:
    assert remedy in remedy_for(message)


def test_other_errors_have_none() -> None:
    assert remedy_for("Assertion failed: tensors.count(inputName)") == ""
    assert explained("it fails", ["Assertion failed"]) == "it fails: Assertion failed"
    assert explained("it fails", []) == "it fails: it gave no reason"


def test_an_explanation_is_one_short_line() -> None:
    noise = "Thread context has not been set! Using global log stream."
    told = explained("it fails", [noise, "first\n  of many", "x" * 1000, "third", "out of memory"])
    assert told.startswith("it fails: first of many; xxx")
    assert told.endswith("x; third; what to do: free GPU memory, or lower the largest size of --batch or --workspace")
    assert len(told) < 500
