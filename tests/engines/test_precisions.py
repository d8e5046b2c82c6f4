from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from calibration.int8_weights import make_weight_only
from calibration.layers import layers_from_graph
from calibration.placement import PlacementPolicy, placement_from_graph
from engines.head_without_gemm import without_gemm
from engines.precisions import precisions_from_inspector, precisions_of_graph, weights_bytes
from export.half_precision import fp16_from_fp32
from tests.calibration.planted import DIGEST, EVERYTHING, quantized_model

if TYPE_CHECKING:
    from collections.abc import Mapping


def counts(int8: int = 0, weights: int = 0, fp16: int = 0, fp32: int = 0) -> dict[str, int]:
    return {"INT8": int8, "INT8 weights": weights, "FP16": fp16, "FP32": fp32}


def test_float_graphs(fp32_model: onnx.ModelProto) -> None:
    layers = len(layers_from_graph(fp32_model.graph))
    assert precisions_of_graph(fp32_model) == {"source": "graph", "layers": counts(fp32=layers)}
    fp16 = fp16_from_fp32(fp32_model)
    assert precisions_of_graph(fp16)["layers"] == counts(fp16=layers - 1, fp32=1), "the classifier stays FP32"
    assert precisions_of_graph(without_gemm(fp16))["layers"] == counts(fp16=layers - 1)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    "policy", [PlacementPolicy(), PlacementPolicy(store_int8=True, smallest_weight=2000), EVERYTHING]
)
def test_counts_are_those_of_the_placement(policy: PlacementPolicy, half: bool, fp32_model: onnx.ModelProto) -> None:
    placement = placement_from_graph(fp32_model.graph, policy)
    model = quantized_model(fp32_model, policy)
    found = precisions_of_graph(fp16_from_fp32(model) if half else model)["layers"]
    floats = len(placement.float_layers)
    kept = sum(layer.role.value == "classifier" for layer in placement.float_layers)
    expected = counts(fp16=floats - kept, fp32=kept) if half else counts(fp32=floats)
    assert found == expected | {"INT8": len(placement.layers), "INT8 weights": len(placement.weight_only)}


def test_types_need_no_inferred_shapes(fp32_model: onnx.ModelProto) -> None:
    model = fp16_from_fp32(quantized_model(fp32_model, PlacementPolicy()))
    expected = precisions_of_graph(model)
    del model.graph.value_info[:]
    assert precisions_of_graph(model) == expected


def test_weight_only_graph_quantizes_nothing(fp32_model: onnx.ModelProto) -> None:
    made = make_weight_only(fp32_model, DIGEST, ())
    found = precisions_of_graph(made.model)["layers"]
    assert found["INT8"] == 0
    assert found["INT8 weights"] > 0


def test_weights_are_counted_in_bytes(fp32_model: onnx.ModelProto) -> None:
    for model in (fp32_model, fp16_from_fp32(fp32_model), quantized_model(fp32_model, EVERYTHING)):
        expected = sum(numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)
        assert weights_bytes(model) == expected
    extra = onnx.helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(5, np.float16)))
    before = weights_bytes(fp32_model)
    fp32_model.graph.node.append(extra)
    assert weights_bytes(fp32_model) == before + 10


def tensor(form: str | Mapping[str, str], *dimensions: int) -> dict[str, Any]:
    fields = {"Format/Datatype": form} if isinstance(form, str) else dict(form)
    return {"Name": "t", "Location": "Device", "Dimensions": list(dimensions), **fields}


def layer(kind: str, source: str | Mapping[str, str], result: str | Mapping[str, str], **more: Any) -> dict[str, Any]:
    return {
        "Name": "l",
        "LayerType": kind,
        "Inputs": [tensor(source, 1, 256, 14, 14)],
        "Outputs": [tensor(result)],
        **more,
    }


def weights(kind: str) -> dict[str, Any]:
    return {"ParameterType": "Convolution", "Weights": {"Type": kind, "Count": 589824}}


def report(*layers: Any, **more: Any) -> str:
    return json.dumps({"Layers": list(layers), "Bindings": ["image", "logit"], **more})


# The fields, their order and the texts of layers are those of trtexec's layer information in NVIDIA/TensorRT#4020
# (8.6 to 10, INT8), #3876 (FP16), #3583 (FP32 and TF32) and #4397 (Myelin's gemm and kgen, 10).
REFORMAT = layer("Reformat", "Row major linear FP32", "Row major Int8 format", Origin="REFORMAT")
INT8_CONVOLUTION = layer(
    "CaskConvolution",
    "Thirty-two wide channel vectorized row major Int8 format",
    "Thirty-two wide channel vectorized row major Int8 format",
    **weights("Int8"),
    TacticName="sm80_xmma_fprop_avdt_sparse_int8int8_tilesize64x64x64_tapsperload3_threadspercta128_r3s3_u1v1_scalebias_relu",
)
INT8_TO_HALF = layer(
    "CaskConvolution",
    "Thirty-two wide channel vectorized row major Int8 format",
    "Channel major FP16 format where channel % 8 == 0",
    **weights("Int8"),
)
POOLED = layer("CaskConvActPool", "Row major Int8 format", "Row major Int8 format", **weights("Int8"))
FP16_CONVOLUTION = layer(
    "CaskConvolution",
    "Channel major FP16 format where channel % 8 == 0",
    "Channel major FP16 format where channel % 8 == 0",
    **weights("Half"),
)
FP32_CONVOLUTION = layer(
    "CaskConvolution",
    "Channel major FP32 format where channel % 4 == 0",
    "Channel major FP32 format where channel % 4 == 0",
    **weights("Float"),
    TacticName="sm80_xmma_fprop_implicit_gemm_f32f32_tf32f32_f32_nhwckrsc_nhwc_tilesize256x64x32_stage3",
)
HALF_TO_FLOAT = layer(
    "CaskConvolution", "Channel major FP16 format where channel % 8 == 0", "Row major linear FP32", **weights("Half")
)
MYELIN_GEMM = layer("gemm", "Half", "Half", TacticName="sm80_xmma_gemm_f16f16_f16f16_f16_nn_n_tilesize32x32x64")
KERNEL = layer("kgen", "Half", "Half", TacticName="__myl_AddCastMeanSubMul")
STORED_INT8 = layer("CaskConvolution", "Half", "Half", **weights("Int8"))
SUM = layer("ElementWise", "Row major linear FP32", "Row major linear FP32")
# 11 tells them apart: "Format" and "Datatype" (strings of libtensorrt_rtx 1.7.1; docs, "Migrating IEngineInspector").
IN_11 = layer(
    "CaskConvolution",
    {"Format": "Thirty-two wide channel vectorized row major INT8 format (kCHW32)", "Datatype": "Int8"},
    {"Format": "Row major linear FP16 format (kLINEAR)", "Datatype": "Half"},
    **weights("Int8"),
)
IN_11_DYNAMIC = layer(
    "CaskConvolution",
    {"Format": "Format not available due to dynamic shapes", "Datatype": "Half"},
    {"Format": "Format not available due to dynamic shapes", "Datatype": "Half"},
    **weights("Half"),
)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([REFORMAT, POOLED, INT8_CONVOLUTION, INT8_TO_HALF], counts(int8=3)),
        ([REFORMAT, FP16_CONVOLUTION, HALF_TO_FLOAT, SUM], counts(fp16=2)),
        ([FP32_CONVOLUTION, MYELIN_GEMM, KERNEL], counts(fp16=1, fp32=1)),
        ([STORED_INT8, INT8_CONVOLUTION], counts(int8=1, weights=1)),
        ([IN_11, IN_11_DYNAMIC], counts(int8=1, fp16=1)),
    ],
)
def test_layers_of_an_engine_are_counted_by_what_they_read(layers: list[Any], expected: dict[str, int]) -> None:
    assert precisions_from_inspector(report(*layers)) == {"source": "inspector", "layers": expected}


def test_layers_that_were_compiled_as_a_whole_are_told() -> None:
    hidden = layer("Myelin", "Row major linear FP32", "Row major linear FP32", TacticValue="0x0000000000000000")
    found = precisions_from_inspector(report(FP16_CONVOLUTION, hidden, hidden))
    assert found == {"source": "inspector", "layers": counts(fp16=1), "opaque": 2}
    assert precisions_from_inspector(report(hidden)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[]",
        "{}",
        report(),
        report("conv_stem + bn1.act/Mul", "blocks.0.0.conv_dw"),  # built without DETAILED verbosity
        report(SUM, REFORMAT),
        report(FP16_CONVOLUTION, layer("CaskConvolution", "N/A due to dynamic shapes", "N/A due to dynamic shapes")),
        report(FP16_CONVOLUTION, layer("CaskConvolution", "Row major linear BF16 format (kLINEAR)", "Half")),
        report({"LayerType": "CaskConvolution", "Inputs": []}),
    ],
)
def test_nothing_is_guessed(text: str) -> None:
    assert precisions_from_inspector(text) is None
