from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import pytest

from export.contract import InputContract, ModelContract
from export.errors import ContractError
from export.face_contract import FaceContract
from export.model_file import contract_from_toml, toml_from_contract

if TYPE_CHECKING:
    from pathlib import Path

MODEL = 'architecture = "tf_efficientnet_b5"\n[input]\nsize = 380\n[faces]\n'


@pytest.mark.parametrize(
    "faces",
    [
        # SBI at test time, DeepfakeBench, selimsef's winner of DFDC, and one that follows a person.
        FaceContract(margin=0.125, shape="box", outside="cut", choice="all", min_area=0.5, no_face="half"),
        FaceContract(margin=0.15, aligned=True, choice="largest", no_face="exclude"),
        FaceContract(margin=1 / 3, shape="box", outside="cut", choice="all", min_score=0.8, no_face="half"),
        FaceContract(choice="consistent", no_face="error"),
    ],
)
def test_how_projects_cut_faces_can_be_declared(faces: FaceContract, tmp_path: Path) -> None:
    contract = ModelContract("tf_efficientnet_b5", InputContract(380), faces=faces)
    path = tmp_path / "model.toml"
    path.write_text(toml_from_contract(contract), encoding="utf-8")
    assert contract_from_toml(path) == contract
    assert ModelContract.from_json(contract.to_json()) == contract


def test_the_defaults_are_one_square_face_of_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    path.write_text(MODEL, encoding="utf-8")
    assert contract_from_toml(path).faces == FaceContract(
        margin=0.3, shape="square", aligned=False, outside="black", choice="largest", min_score=0.6, min_area=0.0
    )


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("margin = -0.1", "faces.margin = -0.1; expected a number from 0 to 2"),
        ("margin = nan", "faces.margin = nan; expected a number from 0 to 2"),
        ("margin = true", "faces.margin = True; expected a number from 0 to 2"),
        ('shape = "round"', "faces.shape = 'round'; expected one of square, box"),
        ("aligned = 1", "faces.aligned = 1; expected true or false"),
        ('outside = "grey"', "faces.outside = 'grey'; expected one of black, cut"),
        ('aligned = true\nshape = "box"', "faces.shape = 'box'; expected square, as faces are aligned"),
        ('aligned = true\noutside = "cut"', "faces.outside = 'cut'; expected black, as faces are aligned"),
        ('choice = "first"', "faces.choice = 'first'; expected one of largest, consistent, all"),
        ("min_score = 60", "faces.min_score = 60; expected a number from 0 to 1"),
        ("min_area = 1.5", "faces.min_area = 1.5; expected a number from 0 to 1"),
        ('no_face = "real"', "faces.no_face = 'real'; expected one of exclude, half, error"),
        ("edge = 1", "unknown key faces.edge"),
    ],
)
def test_what_cannot_be_is_refused(lines: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    path.write_text(MODEL + lines + "\n", encoding="utf-8")
    with pytest.raises(ContractError, match=re.escape(told)):
        contract_from_toml(path)


def test_engines_do_not_depend_on_how_faces_are_cut() -> None:
    contract = ModelContract("tf_efficientnet_b5", InputContract(380))
    other = dataclasses.replace(contract, faces=FaceContract())
    assert other.network_json() == contract.network_json()
    assert other.to_json() != contract.to_json()
