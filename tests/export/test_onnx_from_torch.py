from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from export.contract import METADATA_KEY, ModelContract
from export.onnx_from_torch import onnx_from_torch
from export.runners import OnnxRunner, TorchRunner

if TYPE_CHECKING:
    import onnx

    from export.checkpoint import Detector


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, 64, 64)).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_any_batch_gives_the_logits_of_torch(batch: int, detector: Detector, fp32_model: onnx.ModelProto) -> None:
    with TorchRunner(detector.module) as torch_runner, OnnxRunner(fp32_model) as onnx_runner:
        np.testing.assert_allclose(
            onnx_runner.infer(images(batch)), torch_runner.infer(images(batch)), atol=1e-4, rtol=1e-4
        )


def test_contract_travels_in_the_metadata(detector: Detector, fp32_model: onnx.ModelProto) -> None:
    metadata = {prop.key: prop.value for prop in fp32_model.metadata_props}
    assert ModelContract.from_json(metadata[METADATA_KEY]) == detector.contract


def test_graph_is_named_by_modules_and_unique(detector: Detector, fp32_model: onnx.ModelProto) -> None:
    names = [node.name for node in fp32_model.graph.node]
    assert len(set(names)) == len(names)
    layers = {name for name, module in detector.module.named_modules() if type(module).__name__ in ("Conv2d", "Linear")}
    assert layers <= set(names)
    outputs = [output for node in fp32_model.graph.node for output in node.output]
    assert len(set(outputs)) == len(outputs)


def test_batch_normalization_is_folded(fp32_model: onnx.ModelProto) -> None:
    assert "BatchNormalization" not in {node.op_type for node in fp32_model.graph.node}


def test_interface_is_the_declared_one(fp32_model: onnx.ModelProto) -> None:
    (graph_input,), (graph_output,) = fp32_model.graph.input, fp32_model.graph.output
    shape = [dim.dim_param or dim.dim_value for dim in graph_input.type.tensor_type.shape.dim]
    assert (graph_input.name, shape) == ("image", ["batch", 3, 64, 64])
    assert graph_output.name == "logit"
    assert fp32_model.opset_import[0].version >= 19


def test_nothing_of_the_exporting_machine_remains(fp32_model: onnx.ModelProto) -> None:
    text = fp32_model.SerializeToString()
    assert b".py" not in text
    assert b"site-packages" not in text


@pytest.mark.slow
def test_export_is_reproducible(detector: Detector, fp32_model: onnx.ModelProto) -> None:
    assert onnx_from_torch(detector).SerializeToString(deterministic=True) == fp32_model.SerializeToString(
        deterministic=True
    )
