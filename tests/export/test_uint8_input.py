from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from calibration.placement import PlacementPolicy
from export.contract import INPUT_NAME, InputContract
from export.errors import ContractError
from export.half_precision import fp16_from_fp32
from export.preprocessing import array_from_image
from export.runners import OnnxRunner, session_from_model
from export.uint8_input import normalized_tolerance, takes_uint8, with_uint8_input
from tests.calibration.planted import quantized_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CONTRACT = InputContract(64)
CONTRACTS = {
    "imagenet": CONTRACT,
    "inception": InputContract(64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    "only scaled": InputContract(64, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    "unlike channels": InputContract(64, mean=(0.1, 0.9, 0.3), std=(0.02, 1.7, 0.6)),
}
CONVERSIONS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "fp32": lambda model: model,
    "fp16": fp16_from_fp32,
    "int8": lambda model: quantized_model(model, PlacementPolicy(stem=True)),
    "int8 and fp16": lambda model: fp16_from_fp32(quantized_model(model, PlacementPolicy())),
}


def random_pixels(count: int, size: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(11).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def normalized(pixels: NDArray[np.uint8], contract: InputContract) -> NDArray[np.float32]:
    return np.stack([array_from_image(Image.fromarray(image), contract) for image in pixels])


@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_scores_are_those_of_the_normalized_image(conversion: str, fp32_model: onnx.ModelProto) -> None:
    model = CONVERSIONS[conversion](fp32_model)
    pixels = random_pixels(5)
    with OnnxRunner(model) as source, OnnxRunner(with_uint8_input(model, CONTRACT)) as converted:
        expected = source.infer(normalized(pixels, CONTRACT))
        got = converted.infer(pixels)
        assert len(np.unique(expected)) == len(expected)
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(converted.infer(pixels[:1]), source.infer(normalized(pixels[:1], CONTRACT)))


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_value_of_every_channel_is_normalized_to_the_last_bit(name: str) -> None:
    """All 256 values in all channels, so that no rounding of any other value can differ."""
    contract = CONTRACTS[name]
    pixels = np.broadcast_to(np.arange(256, dtype=np.uint8).repeat(16).reshape(1, 64, 64, 1), (1, 64, 64, 3)).copy()
    session = session_from_model(with_uint8_input(identity(), contract))
    got = session.run(None, {INPUT_NAME: pixels})[0]
    np.testing.assert_array_equal(got, normalized(pixels, contract))
    exact = (pixels.astype(np.float64) / 255 - np.array(contract.mean)) / np.array(contract.std)
    np.testing.assert_allclose(got, exact.transpose(0, 3, 1, 2), rtol=0, atol=normalized_tolerance(contract))


def identity() -> onnx.ModelProto:
    shape = ["batch", 3, 64, 64]
    graph = helper.make_graph(
        [helper.make_node("Identity", [INPUT_NAME], ["logit"], name="same")],
        "g",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_network_metadata_and_batch_dimension_stay(conversion: str, fp32_model: onnx.ModelProto) -> None:
    model = CONVERSIONS[conversion](fp32_model)
    before = model.SerializeToString(deterministic=True)
    made = with_uint8_input(model, CONTRACT)
    assert model.SerializeToString(deterministic=True) == before
    assert [node.op_type for node in made.graph.node[:5]] == ["Cast", "Transpose", "Div", "Sub", "Div"]
    normalized_name = made.graph.node[4].output[0]
    for old, new in zip(model.graph.node, made.graph.node[5:], strict=True):
        assert [INPUT_NAME if name == normalized_name else name for name in new.input] == list(old.input)
        assert (new.name, new.op_type, list(new.output), list(new.attribute)) == (
            old.name,
            old.op_type,
            list(old.output),
            list(old.attribute),
        )
    assert list(made.metadata_props) == list(model.metadata_props)
    assert list(made.graph.output) == list(model.graph.output)
    image = made.graph.input[0]
    dimensions = [dim.dim_param or dim.dim_value for dim in image.type.tensor_type.shape.dim]
    assert dimensions == [model.graph.input[0].type.tensor_type.shape.dim[0].dim_param, 64, 64, 3]
    assert takes_uint8(made)
    assert not takes_uint8(model)
    # TensorRT has uint8 as an input only, so that nothing but the cast may read it.
    assert [node.op_type for node in made.graph.node if INPUT_NAME in node.input] == ["Cast"]


def test_names_are_unique_even_if_the_graph_uses_the_usual_ones(fp32_model: onnx.ModelProto) -> None:
    fp32_model.graph.node[0].name = "image/Cast"
    fp32_model.graph.node[1].name = "image/Div"
    made = with_uint8_input(fp32_model, CONTRACT)
    names = [node.name for node in made.graph.node]
    assert len(set(names)) == len(names)


def test_graph_that_takes_pixels_is_refused(fp32_model: onnx.ModelProto) -> None:
    with pytest.raises(ContractError, match="takes uint8 already"):
        with_uint8_input(with_uint8_input(fp32_model, CONTRACT), CONTRACT)


def test_other_size_or_input_is_refused(fp32_model: onnx.ModelProto) -> None:
    with pytest.raises(ContractError, match=r"float32 of shape .*64, 64\); expected .*96, 96\)"):
        with_uint8_input(fp32_model, InputContract(96))
    fp32_model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    with pytest.raises(ContractError, match="takes float16"):
        with_uint8_input(fp32_model, CONTRACT)
    fp32_model.graph.input[0].name = "pixels"
    with pytest.raises(ContractError, match="takes pixels; expected one float32 image"):
        with_uint8_input(fp32_model, CONTRACT)
