"""The three projects' names of one EfficientNet's tensors, and what is no EfficientNet."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
import timm
import torch
import torchvision
from efficientnet_pytorch import EfficientNet
from torch import nn

from export.checkpoints.key_naming import Backbone, architectures_of, backbones_in, timm_named
from export.checkpoints.network import module_from_contract
from export.checkpoints.static_padding import StaticallyPaddedConv2d
from export.checkpoints.torchvision_names import unmapped_network
from export.contract import InputContract, ModelContract
from export.errors import CheckpointError

SIZES = [f"b{number}" for number in range(8)]
VERSION_2 = [("torchvision", f"v2_{size}") for size in "sml"]
CLASSIFIERS = {"efficientnet-pytorch": "_fc", "torchvision": "classifier.1", "timm": "classifier"}
SPELLINGS = {"efficientnet-pytorch": "efficientnet-", "torchvision": "efficientnet_", "timm": "efficientnet_"}


@cache
def original(project: str, size: str) -> nn.Module:
    """Builds a project's network without memory for its weights."""
    with torch.device("meta"):
        if project == "efficientnet-pytorch":
            return EfficientNet.from_name(f"efficientnet-{size}").eval()  # type: ignore[no-any-return]
        if project == "torchvision":
            return torchvision.models.get_model(f"efficientnet_{size}").eval()  # type: ignore[no-any-return]
        return timm.create_model(f"efficientnet_{size}").eval()  # type: ignore[no-any-return]


@cache
def ours(project: str, size: str) -> nn.Module:
    contract = ModelContract(f"{SPELLINGS[project]}{size}", InputContract(64), family=project)  # type: ignore[arg-type]
    with torch.device("meta"):
        return module_from_contract(contract).eval()


def without_classifier(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not key.startswith("classifier.")}


def geometry(layer: nn.Module) -> tuple[Any, ...]:
    """Returns what a layer's function depends on besides its weights; paddings as left, right, top, bottom."""
    if isinstance(layer, nn.BatchNorm2d):
        return (layer.eps,)
    assert isinstance(layer, nn.Conv2d)
    vertical, horizontal = layer.padding
    pads = (horizontal, horizontal, vertical, vertical)
    fixed = getattr(layer, "static_padding", None)
    if isinstance(fixed, nn.ZeroPad2d):
        pads = fixed.padding
    if isinstance(layer, StaticallyPaddedConv2d):
        pads = layer.sides
    return (layer.kernel_size, tuple(layer.stride), layer.dilation, layer.groups, pads)


@pytest.mark.parametrize(
    ("project", "size"),
    [*((project, size) for project in ("efficientnet-pytorch", "torchvision") for size in SIZES), *VERSION_2],
)
def test_names_are_mapped_one_to_one(project: str, size: str) -> None:
    """Each of the original's layers lands in a layer of the same shapes, stride, padding and epsilon."""
    theirs = original(project, size)
    state = theirs.state_dict()
    (backbone,) = backbones_in(state)
    assert backbone == Backbone(project, "")  # type: ignore[arg-type]
    mapped = timm_named(state, backbone)
    expected = without_classifier(ours(project, size).state_dict())
    assert {key: value.shape for key, value in mapped.items()} == {key: v.shape for key, v in expected.items()}
    assert len(mapped) == len(state) - 2
    # The tensors themselves are handed on, so each tells which of theirs it was.
    keys = {id(value): key for key, value in theirs.named_parameters()}
    named = timm_named(dict(theirs.named_parameters()), backbone)
    layers = {key.rpartition(".")[0]: keys[id(value)].rpartition(".")[0] for key, value in named.items()}
    assert len(set(layers.values())) == len(layers)
    for own, origin in layers.items():
        assert geometry(ours(project, size).get_submodule(own)) == geometry(theirs.get_submodule(origin)), own


@pytest.mark.parametrize("project", CLASSIFIERS)
def test_b5_has_854_tensors(project: str) -> None:
    state = original(project, "b5").state_dict()
    (backbone,) = backbones_in(state)
    assert len(timm_named(state, backbone)) + 2 == len(state) == 854


@pytest.mark.parametrize(
    ("project", "size"), [*((project, size) for project in CLASSIFIERS for size in SIZES), *VERSION_2]
)
def test_architectures_are_recognised(project: str, size: str) -> None:
    state = original(project, size).state_dict()
    (backbone,) = backbones_in(state)
    names = architectures_of(timm_named(state, backbone), backbone)
    both = (f"efficientnet_{size}", f"tf_efficientnet_{size}")
    assert names == (both if project == "timm" else (f"{SPELLINGS[project]}{size}",))


def test_other_shapes_are_no_known_architecture() -> None:
    state = dict(original("timm", "b0").state_dict())
    state["blocks.3.1.conv_pw.weight"] = state["blocks.3.1.conv_pw.weight"][:-8]
    assert architectures_of(without_classifier(state), Backbone("timm", "")) == ()


@pytest.mark.parametrize("project", CLASSIFIERS)
def test_prefixes_are_found_and_neighbours_left_out(project: str) -> None:
    state = original(project, "b0").state_dict()
    wrapped: dict[str, Any] = {f"module.net.{key}": value for key, value in state.items()}
    wrapped |= {"module.fc.weight": torch.zeros(1, 1280), "module.net.head.weight": torch.zeros(1, 1280)}
    (backbone,) = backbones_in(wrapped)
    assert backbone.prefix == "module.net."
    plain = timm_named(state, Backbone(backbone.naming, ""))
    assert timm_named(wrapped, backbone).keys() == plain.keys()


def test_all_backbones_are_found() -> None:
    weights = {
        f"{project}.{key}": v for project in CLASSIFIERS for key, v in original(project, "b0").state_dict().items()
    }
    expected = {Backbone(project, f"{project}.") for project in CLASSIFIERS}  # type: ignore[arg-type]
    assert set(backbones_in(weights)) == expected


@pytest.mark.parametrize("project", CLASSIFIERS)
def test_old_files_without_counters(project: str) -> None:
    state = original(project, "b0").state_dict()
    (backbone,) = backbones_in(state)
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    expected = {key for key in timm_named(state, backbone) if not key.endswith("num_batches_tracked")}
    assert timm_named(old, backbone).keys() == expected
    assert architectures_of(timm_named(old, backbone), backbone)


@pytest.mark.parametrize(
    "network",
    ["vgg11_bn", "mobilenet_v2", "mobilenet_v3_small", "convnext_tiny", "swin_t", "mnasnet0_5", "densenet121"],
)
def test_stems_of_other_networks_are_not_taken_for_one(network: str) -> None:
    with torch.device("meta"):
        assert backbones_in(torchvision.models.get_model(network).state_dict()) == ()


def test_a_classifier_named_like_a_stem_is_not_taken_for_one() -> None:
    state = dict(original("torchvision", "b0").state_dict())
    state["features.0.0.weight"] = torch.zeros(32, 12, 2, 2)
    assert backbones_in(state) == ()


@pytest.mark.parametrize(
    ("project", "key"),
    [
        ("efficientnet-pytorch", "_blocks.3._mask_conv.weight"),
        ("efficientnet-pytorch", "_blocks.0._expand_conv.weight"),
        ("efficientnet-pytorch", "_blocks.00._bn1.weight"),
        ("torchvision", "features.3.0.block.4.0.weight"),
        ("torchvision", "features.1.0.block.3.0.weight"),
        ("torchvision", "features.9.0.weight"),
    ],
)
def test_tensors_without_a_counterpart_are_refused(project: str, key: str) -> None:
    state = {f"net.{name}": value for name, value in original(project, "b0").state_dict().items()}
    state[f"net.{key}"] = torch.zeros(1)
    (backbone,) = backbones_in(state)
    with pytest.raises(CheckpointError, match=f"^net.{key} is no tensor"):
        timm_named(state, backbone)


def test_a_gap_among_numbered_blocks_is_refused() -> None:
    state = dict(original("efficientnet-pytorch", "b0").state_dict())
    del state["_blocks.4._project_conv.weight"]
    with pytest.raises(CheckpointError, match=r"_blocks\.4\._project_conv\.weight is missing"):
        timm_named(state, Backbone("efficientnet-pytorch", ""))


@pytest.mark.parametrize(
    ("network", "kind"),
    [
        ("convnext_tiny", "ConvNeXt"),
        ("vit_b_32", "VisionTransformer"),
        ("swin_t", "SwinTransformer"),
        ("swin_v2_t", "SwinTransformer"),
        ("mobilenet_v2", "MobileNetV2"),
        ("mobilenet_v3_small", "MobileNetV3"),
        ("regnet_x_400mf", "RegNet"),
        ("mnasnet0_5", "MNASNet"),
        ("shufflenet_v2_x0_5", "ShuffleNetV2"),
        ("googlenet", "GoogLeNet"),
        ("resnet18", ""),
        ("densenet121", ""),
        ("efficientnet_v2_s", ""),
    ],
)
def test_what_is_not_mapped_is_called_by_its_name(network: str, kind: str) -> None:
    with torch.device("cpu" if network.startswith("regnet") else "meta"):
        state = torchvision.models.get_model(network).state_dict()
    told = unmapped_network([f"module.{key}" for key in state])
    assert (f"torchvision's {kind}, which" in told) if kind else not told
    assert all(timm.is_model(word) for word in re.findall(r"such as (\w+)", told))
