"""`config.json` beside a checkpoint, as timm writes it for model hubs: what the weights cannot tell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from export.contract import Interpolation
from export.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "config.json"


@dataclass(frozen=True)
class HubConfig:
    """What `config.json` says; None and empty where it does not.

    Attributes:
        path: The file.
        architecture: timm's name of the network.
        labels: Names of the outputs, in order.
        size: Height and width of the input in pixels.
        interpolation: Filter of the resize.
        mean: Per-channel mean (RGB).
        std: Per-channel standard deviation (RGB).
    """

    path: Path
    architecture: str = ""
    labels: tuple[str, ...] = ()
    size: int | None = None
    interpolation: Interpolation | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    @property
    def fake_index(self) -> int | None:
        """The only one of two classes whose name says fake; None if the names do not tell."""
        told = [index for index, name in enumerate(self.labels) if any(w in name.lower() for w in ("fake", "synth"))]
        return told[0] if len(self.labels) == 2 and len(told) == 1 else None


def hub_config_beside(checkpoint: Path) -> HubConfig | None:
    """Reads `config.json` in the folder of a checkpoint; None if there is none, or none that names an architecture.

    Raises:
        CheckpointError: It is no JSON.
    """
    path = checkpoint.parent / FILE_NAME
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); copy it again or move it away") from error
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        return None
    nested = config.get("pretrained_cfg")
    settings: dict[str, Any] = {**config, **(nested if isinstance(nested, dict) else {})}
    shape = settings.get("input_size")
    interpolation = settings.get("interpolation")
    return HubConfig(
        path,
        config["architecture"],
        _labels(settings),
        shape[-1] if isinstance(shape, list) and len(shape) == 3 and isinstance(shape[-1], int) else None,
        interpolation if interpolation in get_args(Interpolation) else None,
        _three(settings.get("mean")),
        _three(settings.get("std")),
    )


def _labels(settings: dict[str, Any]) -> tuple[str, ...]:
    labels = settings.get("label_names")
    if isinstance(labels, dict):
        labels = list(labels.values())
    by_index = settings.get("id2label")
    if not labels and isinstance(by_index, dict):
        labels = [by_index[key] for key in sorted(by_index, key=str)]
    return tuple(map(str, labels)) if isinstance(labels, list) else ()


def _three(numbers: Any) -> tuple[float, float, float] | None:
    valid = isinstance(numbers, list) and len(numbers) == 3 and all(isinstance(n, (int, float)) for n in numbers)
    return (float(numbers[0]), float(numbers[1]), float(numbers[2])) if valid else None
