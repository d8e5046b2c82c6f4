from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from evaluate.maps.cam import class_activation_maps
from evaluate.maps.errors import CamError
from evaluate.maps.hirescam import gradient_maps

if TYPE_CHECKING:
    from collections.abc import Callable

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
        (lambda: trained_like().train(), "training mode"),
        (lambda: timm.create_model("efficientnet_b0", num_classes=2).eval(), "one output"),
        (lambda: nn.Linear(3, 1), "not a timm network"),
        (lambda: without_features(trained_like("resnet10t")), "expected a feature map"),
    ],
    ids=["training-mode", "two-logits", "not-timm", "no-places"],
)
def test_a_network_without_a_map_is_refused(broken: object, message: str) -> None:
    with pytest.raises(CamError, match=message):
        class_activation_maps(broken(), drawn_images(2))  # type: ignore[operator]  # a builder of the table above


def without_features(module: nn.Module) -> nn.Module:
    """A network whose last activation is pooled already."""
    network: Any = module
    features = network.forward_features
    network.forward_features = lambda images: features(images).mean(dim=(2, 3))
    network.forward_head = lambda pooled: pooled[:, :1]
    return module


def with_layers_behind_pooling(activation: nn.Module) -> nn.Module:
    """Global average pooling, then two linear layers with an activation in between, as many detectors have."""
    module = trained_like("resnet10t")
    torch.manual_seed(3)
    module.fc = nn.Sequential(nn.Linear(512, 16), activation, nn.Linear(16, 1))
    return module.eval()


def by_double_precision_differences(module: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Activation times gradient without autograd: what the logit does when one place's activation shrinks a little."""
    network: Any = module.double()
    with torch.no_grad():
        features = network.forward_features(torch.from_numpy(images).double())
        height, width = features.shape[2:]
        maps = np.zeros((len(images), height, width))
        for row in range(height):
            for column in range(width):
                more, less = features.clone(), features.clone()
                more[:, :, row, column] *= 1 + 1e-6
                less[:, :, row, column] *= 1 - 1e-6
                slope = (network.forward_head(more) - network.forward_head(less))[:, 0] / 2e-6
                maps[:, row, column] = slope.numpy() * height * width
    module.float()
    return maps


@pytest.mark.parametrize(
    "build",
    [
        lambda: with_layers_behind_pooling(nn.GELU()),
        lambda: trained_like("mobilenetv3_small_050"),
        lambda: trained_like("efficientnet_b0", global_pool="max"),
        lambda: trained_like("test_convnext"),
    ],
    ids=["gelu-head", "convolution-behind-pooling", "max-pooling", "norm-behind-pooling"],
)
def test_other_heads_get_gradient_times_activation(build: Callable[[], nn.Module]) -> None:
    module, images = build(), drawn_images(2)
    result = class_activation_maps(module, images)
    assert result.method == "hirescam"
    expected = by_double_precision_differences(module, images)
    assert np.allclose(result.maps, expected, atol=1e-3 * np.abs(expected).max())
    assert np.ptp(result.maps) > 0


def test_behind_piecewise_linear_layers_the_map_lacks_what_their_biases_add() -> None:
    """Between ReLUs the logit is linear, so that activation times gradient adds up to it but for the biases' part."""
    module, images = with_layers_behind_pooling(nn.ReLU()), drawn_images(2)
    first, _, last = module.get_submodule("fc").children()
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    result = class_activation_maps(module, images)
    with torch.no_grad():
        pooled = module.forward_features(torch.from_numpy(images)).mean(dim=(2, 3))  # type: ignore[operator]
        active = (first(pooled) > 0).float()
        offset = ((active * first.bias) @ last.weight[0] + last.bias).numpy()
    assert np.allclose(result.maps.mean(axis=(1, 2)) + offset, result.logits, atol=1e-4)


def test_gradients_give_the_additive_map_where_there_is_one(module: nn.Module) -> None:
    images = torch.from_numpy(drawn_images())
    with torch.no_grad():
        features = module.forward_features(images)  # type: ignore[operator]  # timm's
    exact = class_activation_maps(module, images.numpy())
    assert exact.method == "additive"
    assert np.allclose(gradient_maps(module, images, features).numpy(), exact.maps, atol=1e-4)


def test_channels_that_lie_last_are_found() -> None:
    """Swin keeps its feature maps as (N, h, w, C)."""
    torch.manual_seed(2)
    module = timm.create_model(
        "swin_tiny_patch4_window7_224", num_classes=1, img_size=64, embed_dim=24, depths=(1, 1, 1, 1), window_size=2
    )
    result = class_activation_maps(module.eval(), drawn_images(2, 64))
    bias = float(module.get_classifier().bias.detach())
    assert result.method == "additive"
    assert result.maps.shape == (2, 2, 2)
    assert np.allclose(result.maps.mean(axis=(1, 2)) + bias, result.logits, atol=1e-4)


@pytest.mark.parametrize("place", [(0, 3), (3, 0), (1, 2)])
def test_a_planted_patch_shows_where_it_lies(place: tuple[int, int]) -> None:
    """Without attention a token knows its own patch alone."""
    torch.manual_seed(4)
    module = timm.create_model("test_vit", num_classes=1, img_size=64, global_pool="avg")
    for block in module.blocks:
        nn.init.zeros_(block.attn.proj.weight)
    plain = drawn_images(1, 64)
    planted = plain.copy()
    row, column = (16 * index for index in place)
    planted[:, :, row : row + 16, column : column + 16] += np.random.default_rng(1).normal(0, 3, (1, 3, 16, 16))
    before, after = (class_activation_maps(module.eval(), images) for images in (plain, planted))
    assert before.method == after.method == "hirescam"
    moved = np.abs(after.maps - before.maps)[0]
    assert moved.shape == (4, 4)
    assert np.unravel_index(int(moved.argmax()), moved.shape) == place
    assert moved[place] > 3 * np.sort(moved.ravel())[-2]


def test_a_class_token_is_traced_to_the_patches_that_the_last_attention_reads() -> None:
    """Blocks that add nothing hand on the embedded patches, which a hook shrinks and grows by their place."""
    torch.manual_seed(5)
    module: Any = timm.create_model("test_vit", num_classes=1, img_size=64).eval()
    nn.init.zeros_(module.pos_embed)
    for block in module.blocks[:-1]:
        for layer in (block.attn.proj, block.mlp.fc2):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    module.blocks[-1].norm1 = nn.Identity()  # or else nothing would shrink or grow
    with torch.no_grad():
        module.blocks[-1].attn.qkv.weight.mul_(5)
        module.blocks[-1].attn.proj.weight.mul_(5)
    images = drawn_images(2, 64)
    found = class_activation_maps(module, images)
    module.double()
    expected = np.zeros((2, 4, 4))
    for place in np.ndindex(4, 4):
        logits = []
        for factor in (1 + 1e-5, 1 - 1e-5):

            def scaled(_: object, __: object, output: torch.Tensor, factor: float = factor) -> torch.Tensor:
                changed = output.clone()
                changed[:, :, place[0], place[1]] *= factor  # noqa: B023  # the hook is gone before the next place
                return changed

            handle = module.patch_embed.proj.register_forward_hook(scaled)
            with torch.no_grad():
                logits.append(module(torch.from_numpy(images).double())[:, 0].numpy())
            handle.remove()
        expected[:, place[0], place[1]] = 16 * (logits[0] - logits[1]) / 2e-5
    assert found.method == "hirescam"
    assert np.allclose(found.maps, expected, atol=1e-3 * np.abs(expected).max())
    assert np.abs(expected).max() > 1e-3
