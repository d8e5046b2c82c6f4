from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.contract import InputContract, ModelContract
from export.errors import ContractError
from export.model_file import contract_from_toml, toml_from_contract

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """architecture = "tf_efficientnet_b5"
[input]
size = 456
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
"""

contracts = st.builds(
    ModelContract,
    architecture=st.from_regex(r"[a-z0-9_.\-]{1,20}", fullmatch=True),
    input=st.builds(
        InputContract,
        size=st.integers(32, 4096),
        resize=st.sampled_from(["stretch", "letterbox", "center-crop"]),
        interpolation=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
        mean=st.tuples(*[st.floats(-1, 1)] * 3),
        std=st.tuples(*[st.floats(0.01, 2)] * 3),
    ),
    head=st.sampled_from(["one-logit", "two-logits"]),
    fake_index=st.integers(0, 1),
)


@given(contracts)
def test_json_reads_back(contract: ModelContract) -> None:
    assert ModelContract.from_json(contract.to_json()) == contract


@given(contract=contracts)
def test_toml_reads_back(contract: ModelContract, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("contract") / "model.toml"
    path.write_text(toml_from_contract(contract), encoding="utf-8")
    assert contract_from_toml(path) == contract


def test_defaults_are_those_of_imagenet(tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    path.write_text('architecture = "b"\n[input]\nsize = 64\n', encoding="utf-8")
    contract = contract_from_toml(path)
    assert contract.head == "one-logit"
    assert contract.fake_index == 1
    assert contract.input == InputContract(64, "stretch", "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("replace", "by", "told"),
    [
        ("size = 456", "", "required key of input. is missing"),
        ("size = 456", "size = 8", "input.size = 8"),
        ("size = 456", 'size = "456"', "input.size"),
        ("mean = [0.5, 0.5, 0.5]", "mean = [0.5, 0.5]", "input.mean"),
        ("std = [0.5, 0.5, 0.5]", "std = [0.5, 0.0, 0.5]", "input.std"),
        ("[input]", 'head = "softmax"\n[input]', "one-logit, two-logits"),
        ("[input]", "fake_index = 2\n[input]", "fake_index = 2"),
        ("[input]", "fakeindex = 1\n[input]", "unknown key fakeindex"),
        ("size = 456", 'size = 456\nresize = "squash"', "stretch, letterbox, center-crop"),
        ("[input]", "[inputs]", r"\[input\] is missing"),
        ('architecture = "tf_efficientnet_b5"', "architecture =", "not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, replace: str, by: str, told: str) -> None:
    path = tmp_path / "model.toml"
    path.write_text(GOOD.replace(replace, by), encoding="utf-8")
    with pytest.raises(ContractError, match=told):
        contract_from_toml(path)


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="--model FILE"):
        contract_from_toml(tmp_path / "model.toml")
