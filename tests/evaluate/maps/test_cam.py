from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import timm
import torch
from torch import nn

from evaluate.maps.cam import CamError, class_activation_maps

if TYPE_CHECKING:
    from numpy.typing import NDArray


def trained_like(name: str = "efficientnet_b0", **options: object) -> nn.Module:
    """A random network whose BatchNorm statistics, classifier and bias are not those of initialization."""
    torch.manual_seed(11)
    module: nn.Module = timm.create_model(name, pretrained=False, num_classes=1, **options)
    module.train()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # statistics of the next batches alone
    with torch.no_grad():
        for _ in range(2):
            module(torch.randn(6, 3, 96, 96) * 1.5 + 0.2)
        classifier = module.get_classifier()  # type: ignore[operator]  # timm's
        classifier.weight.normal_(0, 0.5)
        classifier.bias.fill_(-0.7)
    return module.eval()


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return trained_like()


def drawn_images(count: int = 3, size: int = 96) -> NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=(count, 3, size, size)).astype(np.float32)


def test_maps_add_up_to_the_logits_of_an_ordinary_forward_pass(module: nn.Module) -> None:
    images = drawn_images()
    result = class_activation_maps(module, images)
    with torch.no_grad():
        logits = module(torch.from_numpy(images))[:, 0].numpy()
    assert result.maps.shape == (3, 3, 3)
    assert np.allclose(result.maps.mean(axis=(1, 2)) - 0.7, logits, atol=1e-4)
    assert np.allclose(result.logits, logits, atol=1e-5)
    assert result.maps.min() < 0 < result.maps.max()


def test_maps_equal_hirescam_by_autograd(module: nn.Module) -> None:
    """HiResCAM: gradient times activation, summed over channels; pooling spreads the gradient over h * w places."""
    images = drawn_images()
    activations: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        activations.append(output)

    last_activation = module.get_submodule("bn2")  # BatchNorm and SiLU in one
    handle = last_activation.register_forward_hook(keep)
    module(torch.from_numpy(images)).sum().backward()
    handle.remove()
    activation = activations[0]
    assert activation.grad is not None
    expected = (activation * activation.grad).sum(1).detach().numpy() * activation[0, 0].numel()
    assert np.allclose(class_activation_maps(module, images).maps, expected, atol=1e-4)


def test_raising_the_classifier_bias_leaves_the_maps_alone(module: nn.Module) -> None:
    images = drawn_images(1)
    before = class_activation_maps(module, images)
    classifier = module.get_classifier()  # type: ignore[operator]  # timm's
    with torch.no_grad():
        classifier.bias += 3
    after = class_activation_maps(module, images)
    with torch.no_grad():
        classifier.bias -= 3
    assert np.array_equal(before.maps, after.maps)
    assert after.logits == pytest.approx(before.logits + 3, abs=1e-5)


def test_a_residual_network_is_explained_too() -> None:
    result = class_activation_maps(trained_like("resnet10t"), drawn_images(1))
    assert result.maps.mean() - 0.7 == pytest.approx(float(result.logits[0]), abs=1e-4)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda: trained_like(global_pool="max"), "sums to"),
        (lambda: trained_like().train(), "training mode"),
        (lambda: timm.create_model("efficientnet_b0", num_classes=2).eval(), "one output"),
        (lambda: nn.Linear(3, 1), "not a timm network"),
        (lambda: timm.create_model("mobilenetv3_small_050", num_classes=1).eval(), "last activation has shape"),
    ],
    ids=["max-pooling", "training-mode", "two-logits", "not-timm", "layers-after-pooling"],
)
def test_a_network_without_an_exact_map_is_refused(broken: object, message: str) -> None:
    with pytest.raises(CamError, match=message):
        class_activation_maps(broken(), drawn_images(2))  # type: ignore[operator]  # a builder of the table above
