"""What the detector *is*: architecture, input and head, read from `model.toml` and carried by every artifact."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar

from export.declared import expect, expect_choice
from export.errors import ContractError
from export.face_contract import FaceContract, VideoContract

Resize = Literal["stretch", "letterbox", "center-crop"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Head = Literal["one-logit", "two-logits"]
# Whose EfficientNet it is: the same weights compute another function in each of them.
Family = Literal["timm", "efficientnet-pytorch", "torchvision", "deepfakebench"]
HeadLayer = Literal[
    "dropout", "linear", "batch-norm", "layer-norm", "relu", "leaky-relu", "gelu", "silu", "tanh", "sigmoid", "softmax"
]
# What an engine is fed: normalized float32 (N, 3, size, size), or uint8 pixels (N, size, size, 3) that it normalizes.
InputForm = Literal["float32", "uint8"]

Kind = TypeVar("Kind", "InputContract", "FaceContract", "VideoContract", "ModelContract")

INPUT_NAME = "image"
OUTPUT_NAME = "logit"
METADATA_KEY = "signoff.contract"
_LARGEST_NUMBER = 1e6


@dataclass(frozen=True)
class InputContract:
    """How an image file becomes the network's input; training, calibration, runners and CAM all obey it.

    Attributes:
        size: Height and width of the network's input, in pixels.
        resize: `stretch` ignores the aspect ratio, `letterbox` pads with black, `center-crop` cuts the middle.
        interpolation: Resampling filter of the resize.
        mean: Per-channel mean (RGB) of pixel values scaled to [0, 1].
        std: Per-channel standard deviation (RGB) of pixel values scaled to [0, 1].
    """

    size: int
    resize: Resize = "stretch"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        expect(isinstance(self.size, int) and 32 <= self.size <= 4096, "input.size", self.size, "32..4096 pixels")
        expect_choice("input.resize", self.resize, Resize)
        expect_choice("input.interpolation", self.interpolation, Interpolation)
        object.__setattr__(self, "mean", _three_floats("input.mean", self.mean))
        object.__setattr__(self, "std", _three_floats("input.std", self.std))
        expect(min(self.std) > 0, "input.std", self.std, "three positive numbers")


@dataclass(frozen=True)
class ModelContract:
    """The declared facts about a detector that its weights cannot tell.

    Attributes:
        architecture: Name of the network as its family spells it: `tf_efficientnet_b5` of timm, `efficientnet_b5` of
            torchvision, `efficientnet-b5` of EfficientNet-PyTorch and of DeepfakeBench.
        input: The input contract.
        head: Number of outputs of the trained classifier.
        fake_index: The class that means "fake". With one logit, 1 says that a positive logit is fake and 0 that
            a positive logit is real.
        family: Whose network it is; decides padding and batch-norm epsilon, which weights cannot tell.
        padding_size: Image size that EfficientNet-PyTorch was constructed with, which fixes its padding whatever the
            input is: None for the size that goes with the architecture, 0 for none (padding by the input's size).
        backbone_key: Prefix of the network's weights, such as `student`, where a checkpoint holds several networks.
        head_key: Prefix of the classifier's weights, such as `fc`, where a checkpoint holds several.
        head_layers: The classifier's layers where it has more than one linear layer, because weights cannot tell which
            activations lie between them. A last `sigmoid` or `softmax` is left out of engines, which return logits.
        faces: How faces were cut out of the frames it was trained on; None if nothing is known of that.
        video: How many frames of a video are scored, and what makes one score of theirs.
    """

    architecture: str
    input: InputContract
    head: Head = "one-logit"
    fake_index: int = 1
    family: Family = "timm"
    padding_size: int | None = None
    backbone_key: str = ""
    head_key: str = ""
    head_layers: tuple[HeadLayer, ...] = ()
    faces: FaceContract | None = None
    video: VideoContract = field(default_factory=VideoContract)

    def __post_init__(self) -> None:
        named = isinstance(self.architecture, str) and re.fullmatch(r"[A-Za-z0-9_.\-]+", self.architecture)
        expect(bool(named), "architecture", self.architecture, "the name of a network")
        expect_choice("head", self.head, Head)
        expect(self.fake_index in (0, 1), "fake_index", self.fake_index, "0 or 1")
        expect_choice("family", self.family, Family)
        if self.padding_size is not None:
            whole = isinstance(self.padding_size, int) and not isinstance(self.padding_size, bool)
            expect(whole and 0 <= self.padding_size <= 4096, "padding_size", self.padding_size, "0..4096 pixels")
            fixed = self.family in ("efficientnet-pytorch", "deepfakebench")
            expect(
                fixed, "padding_size", self.padding_size, f"none for the family {self.family}, which does not fix it"
            )
        key = self.backbone_key
        expect(isinstance(key, str), "backbone_key", key, "the prefix of a network's weights")
        expect(isinstance(self.head_key, str), "head_key", self.head_key, "the prefix of the classifier's weights")
        layers = tuple(self.head_layers) if isinstance(self.head_layers, (list, tuple)) else (self.head_layers,)
        for layer in layers:
            expect_choice("head_layers", layer, HeadLayer)
        object.__setattr__(self, "head_layers", layers)

    def to_json(self) -> str:
        """Returns canonical JSON: equal contracts give equal text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    def network_json(self) -> str:
        """Returns canonical JSON of what engines depend on: all but how faces and frames are chosen and averaged."""
        network = {key: value for key, value in asdict(self).items() if key not in ("faces", "video")}
        return json.dumps(network, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelContract:
        """Reads what `to_json` wrote."""
        return contract_from_mapping(json.loads(text))


def contract_from_mapping(mapping: dict[str, Any]) -> ModelContract:
    """Returns the contract that nested tables describe.

    Raises:
        ContractError: A key is unknown, missing or out of range.
    """
    mapping = dict(mapping)
    input_mapping = mapping.pop("input", None)
    if not isinstance(input_mapping, dict):
        raise ContractError("table [input] is missing: declare at least size, mean and std")
    mapping["input"] = _from_mapping(InputContract, input_mapping, "input.")
    if mapping.get("faces") is not None:
        mapping["faces"] = _from_mapping(FaceContract, _table(mapping["faces"], "faces"), "faces.")
    if "video" in mapping:
        mapping["video"] = _from_mapping(VideoContract, _table(mapping["video"], "video"), "video.")
    return _from_mapping(ModelContract, mapping, "")


def _table(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ContractError(f"{name} = {value!r}; expected a table [{name}]")
    return value


def _from_mapping(kind: type[Kind], mapping: dict[str, Any], prefix: str) -> Kind:
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(mapping) - set(known))
    if unknown:
        names = ", ".join(prefix + key for key in unknown)
        raise ContractError(f"unknown key {names}; known keys: {', '.join(prefix + key for key in known)}")
    try:
        return kind(**mapping)
    except TypeError as error:
        raise ContractError(f"a required key of {prefix or 'the model file'} is missing: {error}") from error


def _three_floats(key: str, value: object) -> tuple[float, float, float]:
    numbers = tuple(value) if isinstance(value, (list, tuple)) else ()
    valid = len(numbers) == 3 and all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers)
    # Neither TOML nor Python's JSON refuses NaN, which no comparison holds for.
    valid = valid and all(abs(n) <= _LARGEST_NUMBER for n in numbers)
    expect(valid, key, value, "a list of three numbers")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
