"""Every operator of the walk through a graph against ONNX Runtime, on random numbers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from calibration.torch_graph import TorchGraph
from calibration.torch_operators import COMPUTED
from export.contract import INPUT_NAME, OUTPUT_NAME
from export.runners import session_from_model

if TYPE_CHECKING:
    import onnx

# Drawn anew in every run; a failure shows it, and the name is the same for all processes that share the tests.
FRESH = pytest.param(secrets.randbits(32), id="fresh")
MAP, TOKENS = (2, 4, 7, 6), (2, 5, 8)


@dataclass(frozen=True)
class Case:
    """An operator with its attributes and the constants it reads besides the input."""

    operator: str
    shape: tuple[int, ...] = MAP
    attributes: dict[str, Any] = field(default_factory=dict)
    constants: tuple[Any, ...] = ()
    outputs: int = 1
    positive: bool = False


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def channels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 1.5, count).astype(np.float32)


POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}
CASES = [
    Case("Add", constants=(channels(6, 1),)),
    Case("AveragePool", attributes={"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    Case("AveragePool", attributes={**POOL, "pads": [1, 1, 1, 1]}),
    Case("AveragePool", attributes={**POOL, "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    Case("AveragePool", attributes={**POOL, "pads": [0, 1, 1, 0]}),
    Case("AveragePool", attributes={**POOL, "pads": [0, 0, 1, 1], "count_include_pad": 1}),
    Case("BatchNormalization", constants=tuple(channels(4, seed) for seed in range(4)), attributes={"epsilon": 0.01}),
    Case("Cast", attributes={"to": TensorProto.FLOAT}),
    Case("Clip", constants=(np.array(-0.5, np.float32), np.array(0.7, np.float32))),
    Case("Concat", attributes={"axis": 1}, constants=(np.ones((2, 3, 7, 6), np.float32),)),
    Case(
        "Conv",
        constants=(np.random.default_rng(8).normal(size=(6, 2, 3, 3)).astype(np.float32), channels(6, 9)),
        attributes={"group": 2, "pads": [0, 0, 1, 1], "strides": [2, 2]},
    ),
    Case("Div", constants=(channels(6, 2),)),
    Case("Elu", attributes={"alpha": 0.7}),
    Case("Erf"),
    Case("Exp"),
    Case("Expand", (2, 1, 6), constants=(integers(2, 4, 1),)),
    Case("Expand", (1, 6), constants=(integers(3, 1, 1),)),
    Case("Flatten", attributes={"axis": 2}),
    Case("Gather", attributes={"axis": 1}, constants=(np.array(-1, np.int64),)),
    Case("Gather", TOKENS, attributes={"axis": 2}, constants=(integers(3, 0, -1),)),
    Case("Gelu"),
    Case("Gelu", attributes={"approximate": "tanh"}),
    Case(
        "Gemm",
        (3, 4),
        constants=(np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32), channels(5, 3)),
        attributes={"transB": 1, "alpha": 0.5, "beta": 2.0},
    ),
    Case("GlobalAveragePool"),
    Case("GlobalMaxPool"),
    Case("HardSigmoid", attributes={"alpha": 0.3, "beta": 0.4}),
    Case("HardSwish"),
    Case("Identity"),
    Case("InstanceNormalization", (2, 4, 9), constants=(channels(4, 5), channels(4, 6))),
    Case("LayerNormalization", TOKENS, constants=(channels(8, 1), channels(8, 2)), attributes={"epsilon": 1e-3}),
    Case("LayerNormalization", MAP, constants=(np.ones((7, 6), np.float32),), attributes={"axis": 2}),
    Case("LeakyRelu", attributes={"alpha": 0.2}),
    Case("MatMul", TOKENS, constants=(np.random.default_rng(7).normal(size=(8, 3)).astype(np.float32),)),
    Case("MaxPool", attributes={**POOL, "pads": [1, 1, 1, 1]}),
    Case("MaxPool", attributes={**POOL, "pads": [0, 0, 1, 1]}),
    Case("MaxPool", attributes={"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    Case("Mul", constants=(channels(6, 3),)),
    Case("Neg"),
    Case("Pad", constants=(integers(0, 0, 1, 2, 0, 1, 0, 3), np.array(0.5, np.float32))),
    Case("Pad", constants=(integers(0, 0, 1, 2, 0, 0, 3, 1),), attributes={"mode": "reflect"}),
    Case("Pad", constants=(integers(0, 0, 1, 2, 0, 0, 0, 1),), attributes={"mode": "edge"}),
    Case("Pow", constants=(np.array(2.0, np.float32),)),
    Case("Reciprocal", positive=True),
    Case("ReduceL2", constants=(integers(2, 3),)),
    Case("ReduceMax", constants=(integers(1),), attributes={"keepdims": 0}),
    Case("ReduceMean", constants=(integers(1),)),
    Case("ReduceMean", TOKENS, constants=(integers(-1),), attributes={"keepdims": 0}),
    Case("ReduceMean"),
    Case("ReduceSum", constants=(integers(2, 3),)),
    Case("ReduceSum", attributes={"noop_with_empty_axes": 1}),
    Case("Relu"),
    Case("Reshape", constants=(integers(0, -1, 6),)),
    Case("Reshape", TOKENS, constants=(integers(-1, 4, 2),), attributes={"allowzero": 1}),
    Case("Shape", attributes={"start": 1, "end": -1}),
    Case("Sigmoid"),
    Case("Slice", constants=(integers(1, -3), integers(2**62, 6), integers(2, 3))),
    Case("Slice", constants=(integers(-1), integers(-(2**62)), integers(3), integers(-2))),
    Case("Softmax", TOKENS),
    Case("Softmax", attributes={"axis": 1}),
    Case("Softplus"),
    Case("Split", constants=(integers(1, 3),), attributes={"axis": 1}, outputs=2),
    Case("Split", attributes={"axis": 2, "num_outputs": 3}, outputs=3),
    Case("Sqrt", positive=True),
    Case("Squeeze", (2, 1, 3, 1), constants=(integers(1, -1),)),
    Case("Squeeze", (2, 1, 3, 1)),
    Case("Sub", constants=(channels(6, 4),)),
    Case("Tanh"),
    Case("Transpose", attributes={"perm": [0, 2, 3, 1]}),
    Case("Transpose"),
    Case("Unsqueeze", TOKENS, constants=(integers(1, -1),)),
]


def model_of(case: Case) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(np.asarray(value), f"c{i}") for i, value in enumerate(case.constants)]
    outputs = [OUTPUT_NAME, *(f"other{number}" for number in range(1, case.outputs))]
    node = helper.make_node(
        case.operator, [INPUT_NAME, *(tensor.name for tensor in constants)], outputs, name="op", **case.attributes
    )
    kind = TensorProto.INT64 if case.operator == "Shape" else TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, case.shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.mark.parametrize("seed", [0, FRESH])
@pytest.mark.parametrize("case", CASES, ids=[f"{case.operator}{number}" for number, case in enumerate(CASES)])
def test_an_operator_agrees_with_onnx_runtime(case: Case, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=case.shape).astype(np.float32)
    values = np.abs(values) + 0.1 if case.positive else values
    model = model_of(case)
    names = [output.name for output in model.graph.output]
    expected = session_from_model(model).run(names, {INPUT_NAME: values})
    found = TorchGraph(model).run({INPUT_NAME: torch.from_numpy(values)}, keep=names)
    for name, wanted in zip(names, expected, strict=True):
        got = found[name].numpy()
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_every_known_operator_is_tried() -> None:
    assert {case.operator for case in CASES} == COMPUTED.keys()
