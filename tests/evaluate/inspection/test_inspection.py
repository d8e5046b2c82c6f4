"""The command: what it prints, writes and returns, and which reading labelled faces speak for."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import timm
import torch
from efficientnet_pytorch import EfficientNet
from PIL import Image
from safetensors.torch import save_file
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn
from torchvision.models import efficientnet_b1, efficientnet_v2_s

from calibration.samples import Sample
from evaluate.inspection.architectures import Candidate, candidates_of
from evaluate.inspection.cli import main
from evaluate.inspection.model_start import commented_toml
from evaluate.inspection.probing import ReadingScore, clustered_error, compare
from evaluate.inspection.readings import NORMALIZATIONS, Reading, plausible_readings
from evaluate.inspection.recognition import native_size, recognised
from export.checkpoint import detector_from_checkpoint
from export.checkpoints.head import classifier_of
from export.contract import InputContract
from export.errors import CheckpointError
from export.model_file import contract_from_toml, toml_from_contract
from export.preprocessing import array_from_file
from tests.detectors import TINY, contract_for_tests, randomized_module
from tests.export.checkpoints.trained_heads import mlp, prefixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.contract import ModelContract

UNIT = NORMALIZATIONS["x / 255"]
TRUE = contract_for_tests(TINY, 64)
TRUE = replace(TRUE, input=replace(TRUE.input, mean=UNIT[0], std=UNIT[1]))


def with_config(folder: Path, **pretrained: Any) -> None:
    """Writes `config.json` as timm does for a model hub."""
    config = {"architecture": TINY, "num_classes": 1, "pretrained_cfg": {"input_size": [3, 64, 64], **pretrained}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def test_what_a_checkpoint_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "detector.ckpt"
    state = prefixed(randomized_module(TRUE).state_dict(), "model.net.")
    state["model.fc.weight"] = torch.ones(9, 256)
    torch.save({"state_dict": state, "epoch": 3, "hyper_parameters": {"lr": 1.0}}, path)
    with_config(tmp_path, mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5], interpolation="bilinear")
    out = tmp_path / "model.toml"
    assert main([str(path), "--out", str(out)]) == 4  # two classifiers read the features
    told = capsys.readouterr().out
    for fact in (
        "PyTorch zip",
        "weights under: state_dict",
        "epoch, hyper_parameters",
        "float32",
        f"timm {TINY}",
        "model.net.",
        "model.net.classifier (256 -> 1), 1 output; model.fc (256 -> 9), 9 outputs",
        "to decide: the checkpoint holds several classifiers",
        "fake_index: 0 if a positive logit means real",
    ):
        assert fact in told
    assert "\nnext: " not in told
    contract = contract_from_toml(out)
    assert contract.input == InputContract(64, "stretch", "bilinear", (0.5,) * 3, (0.5,) * 3)
    out.write_text(toml_from_contract(replace(contract, head_key="classifier")), encoding="utf-8")
    assert main([str(path), "--model", str(out)]) == 0
    told = capsys.readouterr().out
    assert "leaves the classifier model.fc (256 -> 9) unused" in told
    assert f"{detector_from_checkpoint(path, contract_from_toml(out)).parameter_count:,}" in told


def test_a_model_file_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.toml"
    out.write_text("mine", encoding="utf-8")
    assert main([str(tmp_path / "a.pth"), "--out", str(out)]) == 2
    assert "is not overwritten" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == "mine"


def test_refused_files_end_with_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(nn.Linear(1, 1), tmp_path / "a.pth")
    assert main([str(tmp_path / "a.pth")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("inspect-checkpoint: error:")
    assert error.count("\n") == 1


@pytest.mark.parametrize("family", ["timm", "torchvision", "efficientnet-pytorch"])
def test_an_architecture_that_nobody_knows_is_one_line(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(randomized_module(TRUE).state_dict(), tmp_path / "a.pth")
    text = toml_from_contract(contract_for_tests("resnet51", family=family))
    (tmp_path / "model.toml").write_text(text, encoding="utf-8")
    assert main([str(tmp_path / "a.pth"), "--model", str(tmp_path / "model.toml")]) == 2
    error = capsys.readouterr().err
    assert "unknown architecture 'resnet51'" in error
    assert error.count("\n") == 1


def test_unknown_networks_ask_for_a_model_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)).state_dict(), tmp_path / "a.pth")
    assert main([str(tmp_path / "a.pth")]) == 4
    told = capsys.readouterr().out
    assert "unknown" in told
    assert "2 (4 -> 2)" in told
    assert "--model FILE" in told


def test_the_exit_code_tells_whether_anything_is_left_to_decide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "a.pth", tmp_path / "model.toml"
    torch.save(timm.create_model("efficientnet_b0", num_classes=1).state_dict(), path)
    assert main([str(path), "--out", str(out)]) == 4
    text = capsys.readouterr().out
    assert 'architecture = "efficientnet_b0"  # decide: ' in text
    # Every value of it is commented on but those that the weights tell.
    bare = [line for line in out.read_text(encoding="utf-8").splitlines() if " = " in line and " # " not in line]
    assert bare == ['head = "one-logit"', 'family = "timm"', "frames = 32"]
    assert main([str(path), "--model", str(out)]) == 0
    build = f"build-engines --checkpoint {path} --model {out} --calibration DATA --out RUN"
    assert (
        f"\nnext: decide the marked lines (--samples DATA tells which reading fits labelled faces), then {build}\n"
        in text
    )
    again = capsys.readouterr().out
    assert "decide" not in again
    assert again.endswith(f"\nnext: {build}\n")
    assert main([str(path)]) == 4
    assert "\nnext: have it written by --out model.toml, then decide the marked" in capsys.readouterr().out


def test_parts_of_an_efficientnet_are_called_so(tmp_path: Path) -> None:
    state = timm.create_model("efficientnet_b0", num_classes=1).state_dict()
    torch.save({key: value for key, value in state.items() if ".3.1." not in key}, tmp_path / "a.pth")
    found = recognised(tmp_path / "a.pth")
    assert found.start is None
    assert "names of an EfficientNet (timm names, prefix none)" in found.problem
    problem = recognised(tmp_path / "a.pth", contract_for_tests("efficientnet_b0", 64)).problem
    assert "19 tensors missing (blocks.3.1.conv_pw.weight" in problem


def test_outputs_are_counted_where_networks_have_to_be_chosen_first(tmp_path: Path) -> None:
    state = timm.create_model("efficientnet_b0", num_classes=2).state_dict()
    torch.save({**prefixed(state, "student."), **prefixed(state, "teacher.")}, tmp_path / "a.pth")
    found = recognised(tmp_path / "a.pth")
    assert "backbone_key" in found.problem
    assert found.start is not None
    assert found.start.head == "two-logits"
    assert recognised(tmp_path / "a.pth", replace(found.start, backbone_key="student")).problem == ""


@pytest.mark.parametrize(
    ("labels", "index"), [(["fake", "real"], 0), (["Real", "Deepfake"], 1), (["cat", "dog"], None), ([], None)]
)
def test_names_of_classes_tell_the_fake_index(labels: list[str], index: int | None, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(randomized_module(contract_for_tests(head="two-logits")).state_dict(), path)
    with_config(tmp_path, label_names=labels)
    found = recognised(path)
    assert found.problem == ""
    assert found.start is not None
    assert found.start.fake_index == (1 if index is None else index)
    assert ("decide" in dict(found.guessed)["fake_index"]) == (index is None)


def test_a_config_of_another_file_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(timm.create_model("efficientnet_b0", num_classes=1).state_dict(), path)
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}', encoding="utf-8")
    assert re.match(
        "config.json beside it names resnet18: .* move it away if it is another's", recognised(path).problem
    )
    with_config(tmp_path, std=[0, 0, 0])
    with pytest.raises(CheckpointError, match=r"config.json: input.std = .* mend it or move it away"):
        recognised(path)


def test_heads_of_several_layers_get_a_line_to_check(tmp_path: Path) -> None:
    module = randomized_module(TRUE)
    module.classifier = mlp(256, 2)
    torch.save(module.state_dict(), tmp_path / "a.pth")
    with_config(tmp_path)
    found = recognised(tmp_path / "a.pth")
    assert found.start is not None
    assert (found.start.head, found.problem) == ("two-logits", "")
    assert found.start.head_layers == ("dropout", "linear", "batch-norm", "relu", "dropout", "linear")
    text = commented_toml(found.start, dict(found.guessed))
    (tmp_path / "b.toml").write_text(text, encoding="utf-8")
    assert contract_from_toml(tmp_path / "b.toml") == found.start
    assert 'linear"]  # decide: weights do not show activations' in text


def faces(folder: Path, path: Path, contract: ModelContract, count: int, rng: np.random.Generator) -> Path:
    """Writes random pictures and shifts the detector's logit so that it calls half of them fake: the labels.

    The checkpoint is rewritten so that it is right about all of them under `contract`.
    """
    images = []
    for number in range(count):
        color = rng.integers(0, 200, 3)
        pixels = np.clip(color + rng.normal(0, 40, (64, 64, 3)), 0, 255).astype(np.uint8)
        images.append(folder / f"{number}.png")
        Image.fromarray(pixels).save(images[-1])
    detector = detector_from_checkpoint(path, contract)
    with torch.inference_mode():
        logits = detector.module(torch.from_numpy(np.stack([array_from_file(i, contract.input) for i in images])))[:, 0]
        middle, spread = logits.median(), logits.std()
        classifier = classifier_of(detector.module, contract)
        classifier.weight.mul_(4 / spread)
        classifier.bias.sub_(middle).mul_(4 / spread)
    torch.save(detector.module.state_dict(), path)
    for image, logit in zip(images, logits.tolist(), strict=True):
        target = folder / "faces" / ("fake" if logit > float(middle) else "real") / image.name
        target.parent.mkdir(parents=True, exist_ok=True)
        image.rename(target)
    return folder / "faces"


def test_labelled_faces_find_the_reading(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, model, out = tmp_path / "a.pth", tmp_path / "model.toml", tmp_path / "best.toml"
    torch.save(randomized_module(TRUE).state_dict(), path)
    data = faces(tmp_path, path, TRUE, 24, np.random.default_rng())
    model.write_text(toml_from_contract(contract_for_tests(TINY, 64)), encoding="utf-8")
    code = main([str(path), "--model", str(model), "--samples", str(data), "--out", str(out), "--size", "64", "96"])
    told = capsys.readouterr().out
    rows = [line for line in told.splitlines() if f"timm {TINY}" in line and ("ImageNet" in line or "/" in line)]
    assert len(rows) == 6
    losses = [float(row.split()[-2]) for row in rows]
    assert losses == sorted(losses)
    assert rows[0].startswith("*")
    assert "x / 255" in rows[0]
    assert rows[0].split()[-1] == "1.0000"
    assert code == (0 if sum(row.startswith("*") for row in rows) == 1 else 4)
    assert contract_from_toml(out) == TRUE
    inverted = replace(TRUE, fake_index=0)
    model.write_text(toml_from_contract(inverted), encoding="utf-8")
    assert main([str(path), "--model", str(model), "--samples", str(data)]) == 4
    told = capsys.readouterr().out
    assert "fake_index is probably 1" in told
    assert "\nnext: " not in told


def score(logits: NDArray[np.float64], name: str = "a") -> ReadingScore:
    is_fake = np.arange(len(logits)) % 2 == 1
    loss = float(log_loss(is_fake, 1 / (1 + np.exp(-logits))))
    return ReadingScore(Reading(name, "ImageNet", TRUE), logits, loss, float(roc_auc_score(is_fake, logits)))


def test_readings_are_apart_where_the_difference_exceeds_its_error() -> None:
    rng = np.random.default_rng()
    samples = [Sample(Path(f"{n}.png"), n % 2 == 1, f"v/{n // 4}", ("a",)) for n in range(200)]
    signs = np.where([sample.is_fake for sample in samples], 1.0, -1.0)
    good = 2 * signs + rng.normal(0, 0.5, 200)
    near, far = good + rng.normal(0, 0.05, 200), good - 1.5 * signs
    found = compare([score(far, "far"), score(good, "good"), score(near, "near")], samples)
    assert found.scores[-1].reading.network == "far"
    assert found.alike < 3
    assert math.isclose(found.scores[0].log_loss, min(score(good).log_loss, score(near).log_loss))
    assert not found.inverted
    assert not found.blind
    assert compare([score(-good, "good")], samples).inverted
    assert compare([score(np.tile([0.1, 0.1], 100), "constant")], samples).blind


def test_faces_of_a_video_are_one_draw() -> None:
    rng = np.random.default_rng()
    of_videos = rng.normal(0, 1, 25)
    values, videos = np.repeat(of_videos, 8), [str(n) for n in np.repeat(np.arange(25), 8)]
    assert math.isclose(clustered_error(values, videos), np.std(of_videos, ddof=1) / 5)
    assert clustered_error(values, ["the only one"] * 200) == math.inf


def test_networks_are_recognised_by_their_tensors() -> None:
    efficientnet = EfficientNet.from_name("efficientnet-b1", num_classes=1).state_dict()
    assert candidates_of(prefixed(efficientnet, "net.")) == (
        Candidate("efficientnet-pytorch", "efficientnet-b1"),
        Candidate("deepfakebench", "efficientnet-b1"),
    )
    assert candidates_of(prefixed(efficientnet, "backbone.efficientnet."))[0].family == "deepfakebench"
    assert candidates_of(efficientnet_b1().state_dict()) == (Candidate("torchvision", "efficientnet_b1"),)
    own = timm.create_model("tf_efficientnet_b1", num_classes=2).state_dict()
    names = ["efficientnet_b1", "tf_efficientnet_b1"]
    assert [candidate.architecture for candidate in candidates_of(own)] == names
    assert [candidate.architecture for candidate in candidates_of(prefixed(own, "encoder."))] == names[::-1]
    with torch.device("meta"):
        newer = efficientnet_v2_s().state_dict()
    assert candidates_of(prefixed(newer, "net.")) == (Candidate("torchvision", "efficientnet_v2_s"),)
    assert native_size(Candidate("torchvision", "efficientnet_v2_s")) == 384
    resnet = prefixed(timm.create_model("resnet18", num_classes=2).state_dict(), "model.")
    assert candidates_of(resnet) == (Candidate("timm", "resnet18"),)


def test_readings_vary_only_what_weights_leave_open() -> None:
    start = contract_for_tests("efficientnet-b0", 224, family="efficientnet-pytorch")
    readings = plausible_readings(start, (), (224, 380))
    assert readings[0].contract == start
    assert len({reading.contract for reading in readings}) == len(readings) == (2 + 3) * 3
    assert {reading.contract.padding_size for reading in readings} == {None, 0, 380}
    for reading in readings:
        undone = replace(reading.contract, padding_size=None, input=start.input)
        assert undone == start
