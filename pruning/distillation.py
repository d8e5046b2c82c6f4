"""Label-free distillation: the pruned detector learns to give the dense one's logit and features, for a few steps.

Hinton et al., "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531), with squared errors of the logit and
of what the classifier reads in place of softened probabilities, which a single logit does not have. Batch-norm
statistics are frozen, zeros stay zero, and images are mirrored and mixed at random: the dense detector has an answer to
any image.
"""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from calibration.torch_graph import torch_device
from export.errors import ArtifactError
from export.progress import progress_bar
from export.sidecar import write_atomically
from pruning.denormals import flushed_denormals

if TYPE_CHECKING:
    from pathlib import Path

    from export.checkpoint import Detector

LEARNING_RATE = 2e-4
_BATCH_SIZE = 16
_WARM_UP = 0.1
_CLIPPED_NORM = 1.0
_SAVE_EVERY = 50
# Share of the images of a batch that are mixed with another one (Zhang et al., "mixup", arXiv 1710.09412).
_MIXED_SHARE = 0.5


@dataclass(frozen=True)
class DistillationPlan:
    """How long and how fast.

    Attributes:
        steps: Optimizer steps, of 16 images each.
        learning_rate: Peak; rises over the first tenth of the steps and falls to zero as a cosine.
        seed: Of the order of the images and their augmentation.
    """

    steps: int
    learning_rate: float = LEARNING_RATE
    seed: int = 0


def distilled(
    dense: Detector, pruned: Detector, images: torch.Tensor, plan: DistillationPlan, resume: Path, key: str
) -> Detector:
    """Returns the pruned detector after distillation; both detectors given are left alone.

    A killed distillation goes on where it was last saved and ends with the same weights.

    Args:
        dense: The teacher.
        pruned: The student; its zeros stay zero.
        images: Normalized images (N, 3, size, size), without labels.
        plan: How long and how fast.
        resume: Where the state is kept meanwhile; removed by the caller when the result is stored.
        key: What determines the result; a state of another key is not used.

    Raises:
        ArtifactError: The kept state is damaged.
    """
    training = _Distillation(dense, pruned, images, plan)
    training.restore(resume, f"{key} {_digest(pruned.module)}")
    with flushed_denormals():
        for step in progress_bar(range(training.step, plan.steps), "distilling", plan.steps - training.step, "step"):
            training.advance()
            if (step + 1) % _SAVE_EVERY == 0:
                training.save(resume, f"{key} {_digest(pruned.module)}")
    return replace(pruned, module=training.student.cpu().eval(), sha256="")


class _Distillation:
    """Student, optimizer and everything that must survive an interruption."""

    def __init__(self, dense: Detector, pruned: Detector, images: torch.Tensor, plan: DistillationPlan) -> None:
        self._device = torch_device()
        self._teacher = copy.deepcopy(dense.module).to(self._device).eval()
        self.student = copy.deepcopy(pruned.module).to(self._device).eval()
        self._images = images
        self._plan = plan
        self._masks = _masks(self.student)
        trained = _trained_parameters(self.student)
        self._optimizer = torch.optim.AdamW(trained, lr=plan.learning_rate, weight_decay=0.0)
        self.step = 0
        with torch.inference_mode():
            logits, features = self._answers(self._teacher, images[: 4 * _BATCH_SIZE].to(self._device))
        self._scales = (_variance(logits), _variance(features))

    def advance(self) -> None:
        """Takes one step."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        images = self._batch().to(self._device)
        with torch.no_grad():
            wanted = self._answers(self._teacher, images)
        given = self._answers(self.student, images)
        losses = [
            (answer - target).square().mean() / scale
            for answer, target, scale in zip(given, wanted, self._scales, strict=True)
        ]
        self._optimizer.zero_grad(set_to_none=True)
        sum(losses[1:], losses[0]).backward()  # type: ignore[no-untyped-call]  # untyped in torch
        nn.utils.clip_grad_norm_(self.student.parameters(), _CLIPPED_NORM)
        self._optimizer.step()
        with torch.no_grad():
            for weight, mask in self._masks:
                weight.mul_(mask)
        self.step += 1

    def save(self, resume: Path, key: str) -> None:
        """Keeps the state."""
        state = {
            "key": key,
            "step": self.step,
            "student": self.student.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        content = io.BytesIO()
        torch.save(state, content)
        with write_atomically(resume) as temporary:
            temporary.write_bytes(content.getbuffer())

    def restore(self, resume: Path, key: str) -> None:
        """Takes up a kept state, if there is one of this key."""
        if not resume.is_file():
            return
        try:
            state = torch.load(resume, map_location=self._device, weights_only=True)
            if state["key"] == key:
                self.student.load_state_dict(state["student"])
                self._optimizer.load_state_dict(state["optimizer"])
                self.step = int(state["step"])
        except (RuntimeError, pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError) as error:
            raise ArtifactError(f"{resume} is damaged; delete it to distil from the start") from error

    def _rate(self) -> float:
        share = self.step / self._plan.steps
        if share < _WARM_UP:
            return self._plan.learning_rate * (share + 1 / self._plan.steps) / (_WARM_UP + 1 / self._plan.steps)
        return self._plan.learning_rate * 0.5 * (1 + float(np.cos(np.pi * (share - _WARM_UP) / (1 - _WARM_UP))))

    def _batch(self) -> torch.Tensor:
        """Draws a batch that depends on seed and step only."""
        rng = np.random.default_rng([self._plan.seed, self.step])
        count = min(_BATCH_SIZE, len(self._images))
        images = self._images[rng.choice(len(self._images), count, replace=False)].clone()
        mirrored = torch.from_numpy(rng.random(count) < 0.5)
        images[mirrored] = images[mirrored].flip(-1)
        share = np.where(rng.random(count) < _MIXED_SHARE, rng.random(count), 1.0).astype(np.float32)
        weight = torch.from_numpy(share).view(-1, 1, 1, 1)
        return weight * images + (1 - weight) * images.roll(1, dims=0)

    def _answers(self, module: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns logits (N, 1) and pooled features (N, channels), as the classifier reads them."""
        features = module.forward_features(images)  # type: ignore[operator]  # a method of every timm model
        pooled = module.forward_head(features, pre_logits=True)  # type: ignore[operator]  # as above
        return module.get_classifier()(pooled), pooled  # type: ignore[operator]  # as above


def _digest(module: nn.Module) -> str:
    """Returns a digest of all weights: a state of another student, pruned on another machine, is of no use."""
    digest = hashlib.sha256()
    for value in module.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()


def _trained_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Returns what is trained: all but grouped filters, whose gradient is slow on a CPU and which hold little."""
    slow = {id(layer.weight) for layer in module.modules() if isinstance(layer, nn.Conv2d) and layer.groups > 1}
    for parameter in module.parameters():
        parameter.requires_grad_(id(parameter) not in slow)
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _masks(module: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    weights = [layer.weight for layer in module.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    return [(weight, weight.detach() != 0) for weight in weights if bool((weight.detach() == 0).any())]


def _variance(values: torch.Tensor) -> float:
    return max(float(values.var(dim=0, unbiased=False).mean()), 1e-12)
