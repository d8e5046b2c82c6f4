"""What the detector *is*: architecture, input and head, read from `model.toml` and carried by every artifact."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from export.errors import ContractError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path

Resize = Literal["stretch", "letterbox", "center-crop"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Head = Literal["one-logit", "two-logits"]
# What an engine is fed: normalized float32 (N, 3, size, size), or uint8 pixels (N, size, size, 3) that it normalizes.
InputForm = Literal["float32", "uint8"]

Kind = TypeVar("Kind", "InputContract", "ModelContract")

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
        _expect(isinstance(self.size, int) and 32 <= self.size <= 4096, "input.size", self.size, "32..4096 pixels")
        _expect_choice("input.resize", self.resize, Resize)
        _expect_choice("input.interpolation", self.interpolation, Interpolation)
        object.__setattr__(self, "mean", _three_floats("input.mean", self.mean))
        object.__setattr__(self, "std", _three_floats("input.std", self.std))
        _expect(min(self.std) > 0, "input.std", self.std, "three positive numbers")


@dataclass(frozen=True)
class ModelContract:
    """The declared facts about a detector that its weights cannot tell.

    Attributes:
        architecture: Name of a timm model, such as `tf_efficientnet_b5`.
        input: The input contract.
        head: Number of outputs of the trained classifier.
        fake_index: The class that means "fake". With one logit, 1 says that a positive logit is fake and 0 that
            a positive logit is real.
    """

    architecture: str
    input: InputContract
    head: Head = "one-logit"
    fake_index: int = 1

    def __post_init__(self) -> None:
        named = isinstance(self.architecture, str) and re.fullmatch(r"[A-Za-z0-9_.\-]+", self.architecture)
        _expect(bool(named), "architecture", self.architecture, "the name of a timm model")
        _expect_choice("head", self.head, Head)
        _expect(self.fake_index in (0, 1), "fake_index", self.fake_index, "0 or 1")

    def to_json(self) -> str:
        """Returns canonical JSON: equal contracts give equal text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelContract:
        """Reads what `to_json` wrote."""
        return _contract_from_mapping(json.loads(text))


def contract_from_toml(path: Path) -> ModelContract:
    """Reads a model file.

    Raises:
        ContractError: The file is missing, is not TOML, or a key is unknown, missing or out of range.
    """
    if not path.is_file():
        raise ContractError(f"no model file at {path}: write one (see README, 'model.toml') or pass --model FILE")
    try:
        mapping = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ContractError(f"{path} is not valid TOML: {error}") from error
    try:
        return _contract_from_mapping(mapping)
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from None


def toml_from_contract(contract: ModelContract) -> str:
    """Returns the text of a model file that reads back as `contract`."""
    spec = contract.input
    return "\n".join(
        [
            f"architecture = {json.dumps(contract.architecture)}",
            f"head = {json.dumps(contract.head)}",
            f"fake_index = {contract.fake_index}",
            "",
            "[input]",
            f"size = {spec.size}",
            f"resize = {json.dumps(spec.resize)}",
            f"interpolation = {json.dumps(spec.interpolation)}",
            f"mean = {list(spec.mean)}",
            f"std = {list(spec.std)}",
            "",
        ]
    )


def _contract_from_mapping(mapping: dict[str, Any]) -> ModelContract:
    mapping = dict(mapping)
    input_mapping = mapping.pop("input", None)
    if not isinstance(input_mapping, dict):
        raise ContractError("table [input] is missing: declare at least size, mean and std")
    input_contract = _from_mapping(InputContract, input_mapping, "input.")
    return _from_mapping(ModelContract, {**mapping, "input": input_contract}, "")


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


def _expect(condition: bool, key: str, value: object, expected: str) -> None:
    if not condition:
        raise ContractError(f"{key} = {value!r}; expected {expected}")


def _expect_choice(key: str, value: object, choices: Any) -> None:
    _expect(value in get_args(choices), key, value, "one of " + ", ".join(get_args(choices)))


def _three_floats(key: str, value: object) -> tuple[float, float, float]:
    numbers = tuple(value) if isinstance(value, (list, tuple)) else ()
    valid = len(numbers) == 3 and all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers)
    # Neither TOML nor Python's JSON refuses NaN, which no comparison holds for.
    valid = valid and all(abs(n) <= _LARGEST_NUMBER for n in numbers)
    _expect(valid, key, value, "a list of three numbers")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
