from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import timm
import torch
from efficientnet_pytorch import EfficientNet
from torch import nn
from torchvision.models import efficientnet_b0, resnet18

from export.checkpoint import canonical_contract, detector_from_checkpoint
from export.checkpoints.head import classifier_of
from export.errors import CheckpointError
from tests.detectors import TINY, contract_for_tests
from tests.export.checkpoints.trained_heads import SAVINGS, Wrapped, fake_logit, mlp, prefixed, randomized

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from export.contract import ModelContract

FRESH = time.time_ns() % 2**32
TORCHVISION = contract_for_tests("efficientnet_b0", 64, family="torchvision")
MLP = ("dropout", "linear", "batch-norm", "relu", "dropout", "linear")
SEEDS = pytest.mark.parametrize("seed", [0, pytest.param(FRESH, id="fresh")])


def images(seed: int, size: int = 64) -> torch.Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(seed))


def tiny(classes: int = 0, architecture: str = TINY) -> nn.Module:
    module: nn.Module = timm.create_model(architecture, num_classes=classes)
    return module


def saved(module: nn.Module | dict[str, Any], path: Path) -> Path:
    torch.save(module.state_dict() if isinstance(module, nn.Module) else module, path)
    return path


def assert_same(path: Path, module: nn.Module, contract: ModelContract, seed: int, exactly: bool = False) -> None:
    detector = detector_from_checkpoint(path, contract)
    with torch.inference_mode():
        wanted = fake_logit(module(images(seed)), contract.fake_index)
        given = detector.module(images(seed))
    assert given.shape == (3, 1)
    torch.testing.assert_close(given[:, 0].double(), wanted, rtol=1e-5, atol=1e-12 if exactly else 1e-4)
    assert (detector.contract.head, detector.contract.fake_index) == ("one-logit", 1)


@SEEDS
@pytest.mark.parametrize(("way", "outputs", "fake_index"), [(way, 1 + n // 2, n % 2) for n, way in enumerate(SAVINGS)])
def test_a_classifier_beside_an_unused_one(way: str, outputs: int, fake_index: int, seed: int, tmp_path: Path) -> None:
    """As selimsef's: `fc` reads the features of an encoder that keeps its classifier of 1000 classes."""
    encoder = tiny(1000)
    module = randomized(Wrapped(encoder, "encoder", nn.Linear(encoder.num_features, outputs), "fc"), seed)
    path = saved(SAVINGS[way](module.state_dict()), tmp_path / "a")  # type: ignore[arg-type]
    contract = contract_for_tests(head="one-logit" if outputs == 1 else "two-logits", fake_index=fake_index)
    assert_same(path, module, contract, seed)
    detector = detector_from_checkpoint(path, contract)
    assert detector.head_key.endswith("fc")
    assert detector.prefix.endswith("encoder.")
    assert "encoder.classifier (256 -> 1000) unused" in detector.notes[-1]


class Polimi(nn.Module):
    """An EfficientNet-PyTorch without its own classifier, and one beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.efficientnet = EfficientNet.from_name("efficientnet-b0")
        del self.efficientnet._fc  # as the project does
        self.classifier = nn.Linear(1280, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(self.efficientnet.extract_features(x).mean(dim=(2, 3)))
        return logits


class Sbi(nn.Module):
    """An EfficientNet-PyTorch with a classifier of two classes, as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.net = EfficientNet.from_name("efficientnet-b0", num_classes=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.net(x)
        return logits


class BenchBackbone(nn.Module):
    """An EfficientNet-PyTorch whose stem was replaced by one without padding."""

    def __init__(self) -> None:
        super().__init__()
        self.efficientnet = EfficientNet.from_name("efficientnet-b0")
        self.efficientnet._conv_stem = nn.Conv2d(3, 32, 3, stride=2, bias=False)
        self.efficientnet._fc = nn.Identity()
        self.last_layer = nn.Linear(1280, 2)


class Bench(nn.Module):
    """A detector as DeepfakeBench nests it."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = BenchBackbone()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.backbone.efficientnet.extract_features(x).mean(dim=(2, 3))
        logits: torch.Tensor = self.backbone.last_layer(features)
        return logits


class Torchvision(nn.Module):
    """A torchvision network with a classifier of several layers, as vky6366 builds it."""

    def __init__(self) -> None:
        super().__init__()
        self.base_model = efficientnet_b0()
        self.base_model.classifier = nn.Identity()  # type: ignore[assignment]
        self.classifier = mlp(1280, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(self.base_model(x))
        return logits


PROJECTS: dict[str, tuple[Callable[[], nn.Module], ModelContract, Callable[[dict[str, Any]], Any]]] = {
    "polimi": (
        Polimi,
        contract_for_tests("efficientnet-b0", family="efficientnet-pytorch"),
        lambda s: {"net": s, "opt": {}, "iteration": 7},
    ),
    "sbi": (
        Sbi,
        contract_for_tests("efficientnet-b0", family="efficientnet-pytorch", head="two-logits"),
        lambda s: {"model": s, "optimizer": {}, "epoch": 1},
    ),
    "deepfakebench": (Bench, contract_for_tests("efficientnet-b0", family="deepfakebench", head="two-logits"), dict),
    "vky6366": (
        Torchvision,
        contract_for_tests("efficientnet_b0", family="torchvision", head_layers=MLP),
        lambda s: {"model_state_dict": s},
    ),
}


@pytest.mark.parametrize("project", PROJECTS)
def test_projects_give_their_own_logits(project: str, tmp_path: Path) -> None:
    make, contract, save = PROJECTS[project]
    module = randomized(make(), FRESH)
    path = saved(save(dict(module.state_dict())), tmp_path / "detector.tar")
    assert_same(path, module, contract, FRESH)
    detector = detector_from_checkpoint(path, contract)
    again = detector_from_checkpoint(saved(detector.module, tmp_path / "timm.pth"), detector.contract)
    with torch.inference_mode():
        assert torch.equal(again.module(images(FRESH)), detector.module(images(FRESH)))
    if contract.head_layers:  # the names themselves tell whose network it is
        return
    with pytest.raises(CheckpointError, match=r"have efficientnet-pytorch's names.*declare family = .*pad differently"):
        detector_from_checkpoint(path, contract_for_tests("efficientnet_b0", head=contract.head))


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


@pytest.mark.parametrize(("activation", "outputs"), [(name, 1 + n % 2) for n, name in enumerate(ACTIVATIONS)])
def test_heads_of_several_layers(activation: str, outputs: int, tmp_path: Path) -> None:
    module = tiny(1)
    module.classifier = mlp(256, outputs, ACTIVATIONS[activation])
    path = saved(randomized(module, FRESH), tmp_path / "a.pth")
    contract = contract_for_tests(
        head="one-logit" if outputs == 1 else "two-logits",
        fake_index=0,
        head_layers=("dropout", "linear", "batch-norm", activation, "dropout", "linear"),
    )
    assert_same(path, module, contract, FRESH)
    detector = detector_from_checkpoint(path, contract)
    assert detector.contract.head_layers == ("linear", activation, "linear")
    assert classifier_of(detector.module, contract).out_features == 1
    again = detector_from_checkpoint(saved(detector.module, tmp_path / "b.pth"), canonical_contract(contract))
    with torch.inference_mode():
        assert torch.equal(again.module(images(FRESH)), detector.module(images(FRESH)))


STACKS: dict[str, tuple[Callable[[], nn.Sequential], tuple[str, ...], tuple[str, ...]]] = {
    "dropout": (lambda: nn.Sequential(nn.Dropout(), nn.Linear(256, 1)), (), ()),
    "dropout, declared": (lambda: nn.Sequential(nn.Dropout(), nn.Linear(256, 1)), ("dropout", "linear"), ()),
    "flattened": (lambda: nn.Sequential(nn.Flatten(), *mlp(256, 1)), MLP, ("linear", "relu", "linear")),
    "with sigmoid": (
        lambda: nn.Sequential(nn.Linear(256, 4), nn.ReLU(), nn.Linear(4, 1)),
        ("linear", "relu", "linear", "sigmoid"),
        ("linear", "relu", "linear"),
    ),
    "fastai": (
        lambda: nn.Sequential(
            nn.BatchNorm1d(256), nn.Dropout(), nn.Linear(256, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 1, False)
        ),
        ("batch-norm", "dropout", "linear", "relu", "batch-norm", "linear"),
        ("linear", "relu", "linear"),
    ),
    "layer norm": (
        lambda: nn.Sequential(nn.LayerNorm(256), nn.Linear(256, 1)),
        ("layer-norm", "linear"),
        ("layer-norm", "linear"),
    ),
    "norm without parameters": (
        lambda: nn.Sequential(nn.Linear(256, 8), nn.BatchNorm1d(8, affine=False), nn.Tanh(), nn.Linear(8, 1)),
        ("linear", "batch-norm", "tanh", "linear"),
        ("linear", "tanh", "linear"),
    ),
}


@pytest.mark.parametrize("stack", STACKS)
def test_stacks_of_layers(stack: str, tmp_path: Path) -> None:
    make, declared, canonical = STACKS[stack]
    module = tiny(1)
    module.classifier = make()
    path = saved(randomized(module, FRESH), tmp_path / "a.pth")
    contract = contract_for_tests(head_layers=declared)
    assert_same(path, module, contract, FRESH)
    assert detector_from_checkpoint(path, contract).contract.head_layers == canonical


def test_folding_batch_norm_is_exact() -> None:
    """Scales of nine orders of magnitude, where float32 arithmetic in another order is visibly off."""
    from export.checkpoints.head import head_from_weights
    from export.checkpoints.head_weights import heads_in

    head = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1)).eval()
    assert isinstance(head[1], nn.BatchNorm1d)
    assert head[1].running_mean is not None
    assert head[1].running_var is not None
    head[1].running_var.copy_(torch.logspace(-6, 3, 16))
    head[1].running_mean.normal_(0, 100)
    folded = head_from_weights(
        heads_in(head.state_dict())[0], contract_for_tests(head_layers=("linear", "batch-norm", "relu", "linear"))
    )
    features = torch.randn(32, 64)
    with torch.inference_mode():
        wanted = head.double()(features.double())
        torch.testing.assert_close(folded(features).double(), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


CHOICES: dict[str, tuple[dict[str, tuple[int, int]], dict[str, Any], str]] = {
    "two heads": ({"fc": (1, 256), "aux": (1, 256)}, {}, r"several classifiers: fc .*, aux .*head_key = \"fc\""),
    "another of five": ({"fc": (1, 256), "method": (5, 256)}, {}, r"several classifiers: fc .*, method \(256 -> 5\)"),
    "five classes": ({"fc": (5, 256)}, {}, "has 5 outputs; expected 1 or 2"),
    "two declared as one": ({"fc": (2, 256)}, {}, 'has 2 outputs, but .* head = "one-logit"; declare .*"two-logits"'),
    "one declared as two": ({"fc": (1, 256)}, {"head": "two-logits"}, 'has 1 outputs.*"two-logits"; .*"one-logit"'),
    "unknown key": ({"fc": (1, 256)}, {"head_key": "cls"}, r'"cls" names 0 classifiers .* holds fc \(256 -> 1\)'),
    "another of five first": ({"method": (5, 256), "fc": (1, 256)}, {}, 'such as head_key = "fc"'),
    "none": ({}, {}, "holds a backbone without a classifier"),
    "of other features": ({"fc": (1, 100)}, {}, r"none of the 1 tensors .* \(fc.weight\) .* reads its 256 features"),
    "layers apart": ({"fc1": (8, 256), "fc2": (1, 8)}, {}, r"fc2 \(8 -> 1\) .* fc1 to head.0 and fc2 to head.2"),
    "layers apart, named": ({"fc1": (8, 256), "fc2": (1, 8)}, {"head_key": "fc1"}, "may read what fc1"),
    "after ImageNet": ({"net.classifier": (1000, 256), "fc": (1, 1000)}, {}, r"fc \(1000 -> 1\) may read"),
    "of one width": ({"net.classifier": (256, 256), "out": (1, 256)}, {}, 'may read .*, declare head_key = "out"'),
    "leftover": ({"fc": (1, 256), "arcface": (7, 99)}, {}, r"1 tensors are part of neither .* \(arcface.weight\)"),
}


def with_heads(heads: dict[str, tuple[int, int]]) -> dict[str, torch.Tensor]:
    return {**prefixed(tiny().state_dict(), "net."), **{f"{key}.weight": torch.ones(s) for key, s in heads.items()}}


@pytest.mark.parametrize("case", CHOICES)
def test_what_is_no_choice_is_refused(case: str, tmp_path: Path) -> None:
    heads, changes, told = CHOICES[case]
    with pytest.raises(CheckpointError, match=told):
        detector_from_checkpoint(saved(with_heads(heads), tmp_path / "a.pth"), contract_for_tests(**changes))


def test_advice_on_layers_apart_and_on_convolutions_is_good(tmp_path: Path) -> None:
    """What the messages say loads, and computes what the original does."""
    module = randomized(Wrapped(tiny(), "net", nn.Sequential(nn.Linear(256, 8), nn.ReLU(), nn.Linear(8, 1)), "head"), 1)
    state = module.state_dict()
    apart = {key.replace("head.0.", "fc1.").replace("head.2.", "fc2."): value for key, value in state.items()}
    with pytest.raises(CheckpointError, match=r"such as fc1 to head.0 and fc2 to head.2, and list"):
        detector_from_checkpoint(saved(apart, tmp_path / "a.pth"), contract_for_tests())
    renamed = {key.replace("fc1.", "head.0.").replace("fc2.", "head.2."): value for key, value in apart.items()}
    contract = contract_for_tests(head_layers=("linear", "relu", "linear"))
    assert_same(saved(renamed, tmp_path / "a.pth"), module, contract, FRESH)

    module = randomized(Wrapped(tiny(), "net", nn.Linear(256, 1), "fc"), 1)
    state = module.state_dict()
    convolution = {**state, "fc.weight": state["fc.weight"][:, :, None, None]}
    with pytest.raises(CheckpointError, match=r"1 x 1 convolution .* its weight \(fc.weight\) is saved flattened"):
        detector_from_checkpoint(saved(convolution, tmp_path / "a.pth"), contract_for_tests())
    flattened = {**convolution, "fc.weight": convolution["fc.weight"].flatten(1)}
    assert_same(saved(flattened, tmp_path / "a.pth"), module, contract_for_tests(), FRESH)


@pytest.mark.parametrize("key", ["fc", "aux"])
def test_head_key_decides(key: str, tmp_path: Path) -> None:
    state = prefixed(with_heads({"fc": (1, 256), "aux": (1, 256)}), "module.")
    state["module.aux.weight"] *= 2
    detector = detector_from_checkpoint(saved(state, tmp_path / "a.pth"), contract_for_tests(head_key=key))
    assert float(classifier_of(detector.module, detector.contract).weight[0, 0].detach()) == (2 if key == "aux" else 1)
    assert detector.head_key == f"module.{key}"


def test_a_classifier_outside_of_the_state_dict_is_mentioned(tmp_path: Path) -> None:
    path = saved({"model": tiny().state_dict(), "classifier": {"weight": torch.ones(1, 256)}}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"without a classifier \(outside of it lie classifier\); save"):
        detector_from_checkpoint(path, contract_for_tests())


def test_timms_names_in_another_family_are_noted(tmp_path: Path) -> None:
    path = saved(tiny(1, "efficientnet_b0"), tmp_path / "a.pth")
    (note,) = detector_from_checkpoint(path, TORCHVISION).notes
    assert "timm's names and are computed as torchvision does" in note
    assert detector_from_checkpoint(path, contract_for_tests("efficientnet_b0", 64)).notes == ()
    assert detector_from_checkpoint(path, TORCHVISION, narrowed=True).notes == ()


def test_what_may_stand_before_a_layer_is_told(tmp_path: Path) -> None:
    module = randomized(Wrapped(tiny(), "net", nn.Sequential(nn.ReLU(), nn.Linear(256, 1)), "fc"), 1)
    path = saved(module, tmp_path / "a.pth")
    (note,) = detector_from_checkpoint(path, contract_for_tests()).notes
    assert "before fc.1 in its nn.Sequential for dropout" in note
    declared = contract_for_tests(head_layers=("relu", "linear"))
    assert detector_from_checkpoint(path, declared).notes == ()
    assert_same(path, module, declared, 1)
    assert detector_from_checkpoint(saved(efficientnet_b0(num_classes=1), path), TORCHVISION).notes == ()


def test_unknown_activations_are_asked_for(tmp_path: Path) -> None:
    module = tiny(1)
    module.classifier = mlp(256, 1)
    path = saved(module, tmp_path / "a.pth")
    line = r'head_layers = \["dropout", "linear", "batch-norm", "relu", "dropout", "linear"\]'
    with pytest.raises(CheckpointError, match=r"1: linear 256 -> 16, 2: batch-norm 16, 5: linear 16 -> 1.*" + line):
        detector_from_checkpoint(path, contract_for_tests())
    for wrong in (MLP[1:3] + MLP[3:4] + MLP[5:], MLP[:2] + MLP[3:]):
        with pytest.raises(CheckpointError, match="such as " + line):
            detector_from_checkpoint(path, contract_for_tests(head_layers=wrong))
    for wrong, head, told in (
        ((*MLP, "softmax"), "one-logit", "always 1"),
        (("dropout", "linear", "batch-norm", "softmax", "dropout", "linear"), "one-logit", "expected it last"),
        ((*MLP, "relu"), "one-logit", "expected a?.*last"),
    ):
        with pytest.raises(CheckpointError, match=told):
            detector_from_checkpoint(path, contract_for_tests(head_layers=wrong, head=head))


def two_networks(one: str, other: str) -> dict[str, torch.Tensor]:
    first, second = tiny(1), tiny(1)
    return {**prefixed(first.state_dict(), one), **prefixed(second.state_dict(), other)}


@pytest.mark.parametrize("chosen", ["student", "teacher"])
def test_two_networks_need_a_choice(chosen: str, tmp_path: Path) -> None:
    state = two_networks("student.encoder.", "teacher.encoder.")
    path = saved(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"student.encoder, teacher.enc.* backbone_key = \"student.encoder\""):
        detector_from_checkpoint(path, contract_for_tests())
    detector = detector_from_checkpoint(path, contract_for_tests(backbone_key=chosen))
    wanted = state[f"{chosen}.encoder.conv_stem.weight"]
    assert torch.equal(detector.module.state_dict()["conv_stem.weight"], wanted)
    assert any("leaves out" in note for note in detector.notes)


@pytest.mark.parametrize("raw", ["model.", ""])
def test_an_average_within_the_state_dict_wins(raw: str, tmp_path: Path) -> None:
    state = two_networks(raw, "ema_model.module.")
    state["ema_model.n_averaged"] = torch.tensor(7)
    detector = detector_from_checkpoint(saved(state, tmp_path / "a.pth"), contract_for_tests())
    assert detector.prefix == "ema_model.module."
    assert any("EMA" in note for note in detector.notes)


def test_the_weights_of_a_loss_are_left_out_and_told(tmp_path: Path) -> None:
    state = {**prefixed(tiny(1).state_dict(), "model."), "loss.pos_weight": torch.ones(1)}
    detector = detector_from_checkpoint(saved(state, tmp_path / "a.pth"), contract_for_tests())
    assert "loss.pos_weight, which belongs to the loss" in detector.notes[-1]


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_convnext"])
def test_other_networks_of_timm(architecture: str, tmp_path: Path) -> None:
    """Their first weight has a name that stands at other places, too, such as `conv1` of a ResNet."""
    encoder = tiny(0, architecture)
    module = randomized(Wrapped(encoder, "backbone", mlp(encoder.num_features, 2), "head"), FRESH)
    path = saved(prefixed(module.state_dict(), "model."), tmp_path / "a.pth")
    size = int(encoder.pretrained_cfg["input_size"][-1])  # type: ignore[index]
    contract = contract_for_tests(architecture, size, head="two-logits", head_layers=MLP)
    detector = detector_from_checkpoint(path, contract)
    with torch.inference_mode():
        wanted = fake_logit(module(images(1, size)))
        torch.testing.assert_close(detector.module(images(1, size))[:, 0].double(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [64, 101])
def test_a_resnet_of_torchvision_is_timms(size: int, tmp_path: Path) -> None:
    module = randomized(resnet18(num_classes=2), FRESH).double()
    detector = detector_from_checkpoint(
        saved(module, tmp_path / "a.pth"), contract_for_tests("resnet18", size, head="two-logits")
    )
    with torch.inference_mode():
        wanted = fake_logit(module(images(1, size).double()))
        given = detector.module.double()(images(1, size).double())[:, 0]
        torch.testing.assert_close(given, wanted, rtol=1e-6, atol=1e-6 * float(wanted.abs().max()))


@pytest.mark.parametrize("architecture", ["convnext_tiny", "efficientnet_b0"])
def test_networks_of_torchvision_that_are_not_mapped_are_named(architecture: str, tmp_path: Path) -> None:
    state = {
        "model.features.1.0.layer_scale": torch.ones(96, 1, 1),
        "model.features.0.0.weight": torch.ones(96, 3, 4, 4),
    }
    with pytest.raises(CheckpointError, match=r"torchvision's ConvNeXt, which .* such as convnext_tiny"):
        detector_from_checkpoint(saved(state, tmp_path / "a.pth"), contract_for_tests(architecture))


@pytest.mark.parametrize(("held", "declared"), [("b1", "b0"), ("b0", "b1")])
def test_another_size_of_efficientnet_is_named(held: str, declared: str, tmp_path: Path) -> None:
    path = saved(prefixed(tiny(1, f"efficientnet_{held}").state_dict(), "net."), tmp_path / "a.pth")
    with pytest.raises(
        CheckpointError, match=f"these are the tensors of efficientnet_{held} or tf_efficientnet_{held}"
    ):
        detector_from_checkpoint(path, contract_for_tests(f"tf_efficientnet_{declared}"))
