"""Networks of torchvision whose tensors have no counterpart here, told by names that only they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# End of a key -> the network, and a network of timm to train instead.
_KINDS = {
    "features.1.0.layer_scale": ("ConvNeXt", "convnext_tiny"),
    "encoder.layers.encoder_layer_0.ln_1.weight": ("VisionTransformer", "vit_base_patch16_224"),
    "features.1.0.attn.relative_position_index": ("SwinTransformer", "swin_tiny_patch4_window7_224"),
    "features.1.conv.0.0.weight": ("MobileNetV2", "mobilenetv2_100"),
    "features.1.block.0.0.weight": ("MobileNetV3", "mobilenetv3_large_100"),
    "trunk_output.block1.block1-0.proj.0.weight": ("RegNet", "regnety_032"),
    "layers.8.0.layers.0.weight": ("MNASNet", "mnasnet_100"),
    "stage2.0.branch1.0.weight": ("ShuffleNetV2", "mobilenetv3_small_100"),
    "inception3a.branch1.conv.weight": ("GoogLeNet", "inception_v3"),
}


def unmapped_network(keys: Iterable[str]) -> str:
    """Says what network of torchvision the keys are those of and what to do; empty for none that is known."""
    for key in keys:
        for end, (name, alike) in _KINDS.items():
            if key == end or key.endswith(f".{end}"):
                return (
                    f"its tensors have the names of torchvision's {name}, which are not mapped to timm's: its "
                    "EfficientNets are, and its ResNets and DenseNets have timm's own names; train a "
                    f"network of timm, such as {alike}, or save the weights under timm's names"
                )
    return ""
