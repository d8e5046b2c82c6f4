"""Detector -> FP32 ONNX: dynamic batch, folded batch normalization, names that are module paths."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import onnx
import torch

from export.contract import INPUT_NAME, METADATA_KEY, OUTPUT_NAME
from export.plain_spelling import give_each_its_own, plainly_spelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from export.checkpoint import Detector

OPSET = 20
MAX_BATCH = 4096
_SCOPES_KEY = "pkg.torch.onnx.name_scopes"
# What PyTorch calls the scope of operators that belong to no module.
_NO_SCOPE = "_empty_nn_module_stack"
_LAYER_OPS = ("Conv", "Gemm", "MatMul")


def onnx_from_torch(detector: Detector) -> onnx.ModelProto:
    """Exports a detector; the model's only freedom is its batch dimension.

    The graph carries the contract in its metadata. Batch normalization is folded into the convolutions, and every
    node and tensor is named after the PyTorch module it comes from, so that a message about
    `blocks.3.2.conv_pw` can be looked up in the source.

    Returns:
        A checked model with input `image`, float32 (N, 3, size, size), and output `logit`, float32 (N, 1).
    """
    size = detector.contract.input.size
    example = torch.zeros(2, 3, size, size)
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    with _quiet_exporter():
        program = torch.onnx.export(
            plainly_spelled(detector.module),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=({0: batch},),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program although dynamo=True was asked for")
    model = program.model_proto
    _name_by_module(model.graph)
    give_each_its_own(model.graph)
    _strip_source_locations(model)
    model.producer_name, model.producer_version = "engine-signoff", torch.__version__
    onnx.helper.set_model_props(model, {METADATA_KEY: detector.contract.network_json()})
    onnx.checker.check_model(model, full_check=True)
    return model


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silences chatter of the exporter that a user can do nothing about."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _name_by_module(graph: onnx.GraphProto) -> None:
    """Renames nodes and the tensors between them after the modules that made them."""
    weights = {initializer.name for initializer in graph.initializer}
    kept = {value.name for value in [*graph.input, *graph.output]} | weights
    taken: Counter[str] = Counter()
    renamed: dict[str, str] = {}
    for node in graph.node:
        name = _module_path(node, weights)
        taken[name] += 1
        node.name = name if taken[name] == 1 else f"{name}_{taken[name]}"
        for index, output in enumerate(node.output):
            if output and output not in kept:
                renamed[output] = f"{node.name}.out" if index == 0 else f"{node.name}.out{index}"
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for value in graph.value_info:
        value.name = renamed.get(value.name, value.name)


def _module_path(node: onnx.NodeProto, weights: set[str]) -> str:
    """Returns `blocks.0.0.conv_dw` for a layer, `blocks.0.0.bn1.act/Sigmoid` for what a module computes without."""
    is_layer = node.op_type in _LAYER_OPS and node.input[1] in weights
    if is_layer:
        for name in node.input[1:]:
            if name in weights and name.endswith(".weight"):
                return str(name).removesuffix(".weight")
    scopes = next((str(prop.value) for prop in node.metadata_props if prop.key == _SCOPES_KEY), "")
    path = scopes.strip("[]").split(", ")[-2].strip("'\"") if "," in scopes else ""
    if path.startswith(_NO_SCOPE):
        path = ""
    if path and is_layer:  # whose weight was transposed or computed from parameters, and lost its name by that
        return path
    return f"{path}/{node.op_type}" if path else node.op_type


def _strip_source_locations(model: onnx.ModelProto) -> None:
    """Removes stack traces, which hold paths of the exporting machine and would change the digest with them."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        del value.metadata_props[:]
        value.doc_string = ""
    for initializer in model.graph.initializer:
        del initializer.metadata_props[:]
