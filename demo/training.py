"""Trains a detector from scratch, resumably, and checks that no image makes its logits explode."""

from __future__ import annotations

import io
import logging
import pickle
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save as serialized_weights
from torch import nn
from torch.nn import functional as F

from export.checkpoints.head import classifier_of
from export.checkpoints.network import module_from_contract
from export.errors import ArtifactError, SignoffError
from export.preprocessing import image_from_file, resized_image
from export.progress import progress_bar
from export.sidecar import Artifact, Recipe, make_artifact, reusable_artifact, write_atomically
from export.versions import versions_of
from pruning.denormals import flushed_denormals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from calibration.samples import SampleSet
    from export.contract import InputContract, ModelContract

LARGEST_LOGIT = 20.0
_CHECKED_IMAGES = 512
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class TrainingPlan:
    """How the detector is trained.

    Attributes:
        epochs: Passes over the training set with batch-norm statistics being learned.
        stop_after: End after this many of them, whatever the schedule still has to come; None does them all.
        frozen_share: Share of one more pass, with the statistics frozen. A network trained this briefly has channels
            that are hardly ever active, whose tiny running variance makes some images explode; here the weights learn
            to live with the statistics that evaluation will use.
        batch_size: Images per step.
        learning_rate: Peak of the one-cycle schedule.
        frozen_learning_rate: Rate at which the frozen part begins; it falls to zero.
        weight_decay: AdamW's decoupled weight decay.
        seed: Seed of weights, order and augmentation.
    """

    epochs: int = 2
    stop_after: int | None = None
    frozen_share: float = 0.25
    batch_size: int = 16
    learning_rate: float = 1.5e-3
    frozen_learning_rate: float = 1e-4
    weight_decay: float = 0.02
    seed: int = 0


class TrainingError(SignoffError):
    """The training ended with a detector that no comparison can rest on."""


def train_detector(
    path: Path, contract: ModelContract, samples: SampleSet, plan: TrainingPlan, *, may_explode: bool = False
) -> Artifact:
    """Trains a detector and stores its weights, or reuses what the same plan and data gave before.

    A killed training resumes after its last complete epoch and ends with the same weights.

    Args:
        path: Where the safetensors file goes.
        contract: Architecture, input and head; of two logits the margin is trained, fake minus real.
        samples: Labelled faces.
        plan: How to train.
        may_explode: Accept a detector whose logits explode; their range is in the artifact's facts all the same.

    Raises:
        TrainingError: The loss is not finite, or the logits explode on training images.
    """
    recipe = Recipe(
        "checkpoint",
        {"train": samples.sha256},
        {
            "contract": contract.network_json(),
            "plan": {name: value for name, value in asdict(plan).items() if value is not None},
            "bf16": bf16_is_fast(),
            "threads": torch.get_num_threads(),
            **versions_of("torch", "timm"),
        },
    )
    stored = reusable_artifact(path, recipe)
    if stored is not None:
        # What may explode is no part of the recipe, because it changes no weight.
        if not may_explode:
            _require_bounded(stored.facts["smallest_logit"], stored.facts["largest_logit"])
        return stored

    def write(temporary: Path) -> Mapping[str, Any]:
        images, labels = _loaded(samples, contract.input)
        training = _Training(contract, plan, images, labels)
        with flushed_denormals():
            training.run(path.with_name(f"{path.stem}.resume.pt"), recipe.key)
        limits = training.logit_range()
        if not may_explode:
            _require_bounded(*limits)
        temporary.write_bytes(serialized_weights(training.weights()))
        return {"images": len(labels), "smallest_logit": limits[0], "largest_logit": limits[1]}

    artifact = make_artifact(path, recipe, write)
    path.with_name(f"{path.stem}.resume.pt").unlink(missing_ok=True)
    return artifact


def fake_logits(outputs: torch.Tensor, contract: ModelContract) -> torch.Tensor:
    """Returns one logit per image, positive for fake, from whatever head the contract declares.

    Args:
        outputs: What the network returned, (N, 1) or (N, 2).
        contract: Declares the head and which class is fake.
    """
    if contract.head == "two-logits":
        return outputs[:, contract.fake_index] - outputs[:, 1 - contract.fake_index]
    flat = outputs.reshape(-1)
    return flat if contract.fake_index == 1 else -flat


def bf16_is_fast() -> bool:
    """Tells whether the processor multiplies BF16 natively; emulated, it is slower than FP32."""
    return _CPU_INFO.is_file() and "avx512_bf16" in _CPU_INFO.read_text(encoding="utf-8")


def keep_depthwise_in_fp32(module: nn.Module) -> None:
    """Takes depthwise convolutions out of autocast: their backward pass is several times slower in BF16."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            layer.forward = partial(_in_fp32, layer.forward)  # type: ignore[method-assign]  # a wrapper renames weights


def _in_fp32(forward: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", enabled=False):
        return forward(images.float())


class _Training:
    """One training: network, optimizer and everything that must survive an interruption."""

    def __init__(self, contract: ModelContract, plan: TrainingPlan, images: torch.Tensor, labels: torch.Tensor) -> None:
        torch.manual_seed(plan.seed)
        self._contract = contract
        self._plan = plan
        self._images, self._labels = images, labels
        self._mean = torch.tensor(contract.input.mean).view(1, 3, 1, 1)
        self._std = torch.tensor(contract.input.std).view(1, 3, 1, 1)
        self._module = module_from_contract(contract).to(memory_format=torch.channels_last)
        self._bf16 = bf16_is_fast()
        if self._bf16:
            keep_depthwise_in_fp32(self._module)
        # timm draws the weights of a classifier with one output from [-1, 1], which drowns the first epoch in noise.
        nn.init.zeros_(classifier_of(self._module, contract).weight)
        decayed = [p for p in self._module.parameters() if p.ndim > 1]
        plain = [p for p in self._module.parameters() if p.ndim <= 1]
        self._optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=plan.learning_rate,
            fused=True,
        )
        self._epoch = 0

    def run(self, resume: Path, key: str) -> None:
        """Trains to the end, from the last epoch that `resume` holds for the same recipe."""
        self._restore(resume, key)
        total = self._plan.stop_after or self._plan.epochs + (self._plan.frozen_share > 0)
        while self._epoch < total:
            loss = self._train_epoch(f"training, epoch {self._epoch + 1} of {total}")
            logging.getLogger(__name__).info("epoch %d: loss %.4f", self._epoch + 1, loss)
            if not np.isfinite(loss):
                raise TrainingError(f"the loss is {loss} in epoch {self._epoch + 1}; train with another --seed")
            self._epoch += 1
            self._save(resume, key)

    def logit_range(self) -> tuple[float, float]:
        """Returns the extreme logits over about 500 training images in eval mode."""
        self._module.eval()
        checked = self._images[:: max(1, len(self._images) // _CHECKED_IMAGES)]
        with torch.inference_mode():
            logits = torch.cat([self._logits(batch) for batch in torch.split(checked, 32)])
        return float(logits.min()), float(logits.max())

    def weights(self) -> dict[str, torch.Tensor]:
        """Returns the state dict in plain memory order."""
        return {key: value.contiguous() for key, value in self._module.state_dict().items()}

    def _train_epoch(self, label: str) -> float:
        frozen = self._epoch >= self._plan.epochs
        self._module.train(not frozen)
        batches = list(self._batches(self._plan.frozen_share if frozen else 1.0))
        losses = []
        for step, (images, labels) in enumerate(progress_bar(batches, label, unit="batch")):
            self._set_rate(frozen, self._epoch + step / len(batches))
            with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
                logits = self._logits(images)
            loss = F.binary_cross_entropy_with_logits(logits, labels)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            nn.utils.clip_grad_norm_(self._module.parameters(), 5.0)
            self._optimizer.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def _set_rate(self, frozen: bool, progress: float) -> None:
        """One cycle (Smith, arXiv 1708.07120): a linear rise over the first fifth, then a cosine to zero."""
        share = progress / self._plan.epochs
        cycle = share / 0.2 if share < 0.2 else 0.5 * (1 + np.cos(np.pi * (share - 0.2) / 0.8))
        rate = self._plan.learning_rate * max(float(cycle), 0.01)
        if frozen:
            rate = self._plan.frozen_learning_rate * (self._plan.epochs + 1 - progress)
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _batches(self, share: float) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yields shuffled batches, mirrored at random; the order depends on seed and epoch only."""
        rng = np.random.default_rng([self._plan.seed, self._epoch])
        order = rng.permutation(len(self._labels))[: max(self._plan.batch_size, int(share * len(self._labels)))]
        for start in range(0, len(order) - self._plan.batch_size + 1, self._plan.batch_size):
            chosen = torch.from_numpy(order[start : start + self._plan.batch_size])
            images = self._images[chosen]
            mirrored = torch.from_numpy(rng.random(len(chosen)) < 0.5)
            images[mirrored] = images[mirrored].flip(-1)
            yield images, self._labels[chosen]

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        return fake_logits(self._module(self._normalized(images)).float(), self._contract)

    def _normalized(self, images: torch.Tensor) -> torch.Tensor:
        scaled = (images.float() / 255 - self._mean) / self._std
        return scaled.contiguous(memory_format=torch.channels_last)

    def _save(self, resume: Path, key: str) -> None:
        state = {
            "key": key,
            "epoch": self._epoch,
            "module": self._module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        content = io.BytesIO()  # torch.save to a full disk raises an error of its own that hides the reason
        torch.save(state, content)
        with write_atomically(resume) as temporary:
            temporary.write_bytes(content.getbuffer())

    def _restore(self, resume: Path, key: str) -> None:
        if not resume.is_file():
            return
        try:
            state = torch.load(resume, weights_only=True)
            if state["key"] == key:
                self._epoch = state["epoch"]
                self._module.load_state_dict(state["module"])
                self._optimizer.load_state_dict(state["optimizer"])
                torch.set_rng_state(state["random"])
        except (RuntimeError, pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError) as error:
            raise ArtifactError(f"{resume} is damaged; delete it to train from the start") from error


def _require_bounded(low: float, high: float) -> None:
    if not max(-low, high) <= LARGEST_LOGIT:
        raise TrainingError(
            f"the logits of training images reach from {low:.1f} to {high:.1f}, beyond {LARGEST_LOGIT}: some "
            "images explode; train longer (--epochs) or with another --seed"
        )


def _loaded(samples: SampleSet, contract: InputContract) -> tuple[torch.Tensor, torch.Tensor]:
    """Decodes the whole set to uint8 (N, 3, size, size), which is small enough to keep."""
    pixels = [
        np.asarray(resized_image(image_from_file(sample.path), contract)).transpose(2, 0, 1)
        for sample in progress_bar(samples.samples, "reading training faces", unit="image")
    ]
    labels = torch.tensor([float(sample.is_fake) for sample in samples.samples])
    return torch.from_numpy(np.stack(pixels)), labels
