"""How close a pruned detector is to the dense one, on calibration images that nothing is fitted to."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.int8_workshop import image_auc
from calibration.logit_noise import noise_in_db, sqnr_db, sqnr_for_auc, sqnr_for_decisions, within_class_variance
from calibration.torch_graph import torch_device
from pruning.record import Closeness

if TYPE_CHECKING:
    from calibration.int8_images import Int8Images, LabelledImages
    from calibration.logit_noise import Labels, Logits
    from export.checkpoint import Detector
    from pruning.recipe import PruningRecipe


SMALLEST_AIM_DB = 15.0


class Judge:
    """Compares detectors with the dense one.

    Args:
        dense: The detector before pruning.
        images: Images that repairs are fitted to, and those that judge.

    Attributes:
        images: The same.
    """

    def __init__(self, dense: Detector, images: Int8Images) -> None:
        self.images = images
        self._dense = dense

    @cached_property
    def fitted_logits(self) -> Logits:
        """The dense detector's logits of the images that repairs are fitted to."""
        return logits_of(self._dense, self.images.fitted)

    @cached_property
    def signal_variance(self) -> float:
        """Within-class variance of the dense logit, over all images."""
        return within_class_variance(*self._all_logits)

    @cached_property
    def dense(self) -> Closeness:
        """The dense detector itself."""
        return self.closeness_of_logits(self._judging_logits)

    def closeness(self, detector: Detector) -> Closeness:
        """Compares a detector."""
        return self.closeness_of_logits(logits_of(detector, self.images.judging))

    def closeness_of_logits(self, logits: Logits) -> Closeness:
        """Compares logits (N,) of the judging images."""
        dense = self._judging_logits
        return Closeness(
            sqnr_db=sqnr_db(self.signal_variance, logits - dense),
            auc=image_auc(logits, self.images.judging.is_fake),
            flipped=int(np.sum((logits >= 0) != (dense >= 0))),
        )

    def least_sqnr_db(self, recipe: PruningRecipe) -> float:
        """Returns the SQNR at which both limits of a recipe are expected to be met, at least `SMALLEST_AIM_DB`.

        Few images may lie so far from the threshold that no noise would seem to matter.
        """
        logits, labels = self._all_logits
        return max(
            SMALLEST_AIM_DB,
            sqnr_for_auc(image_auc(logits, labels), recipe.max_auc_drop),
            sqnr_for_decisions(logits, labels, recipe.max_flip_share),
        )

    def in_db(self, noise_power: float) -> float:
        """Returns the SQNR of a noise power on the logit."""
        return noise_in_db(self.signal_variance, noise_power)

    @cached_property
    def _all_logits(self) -> tuple[Logits, Labels]:
        labels = np.concatenate([self.images.fitted.is_fake, self.images.judging.is_fake])
        return np.concatenate([self.fitted_logits, self._judging_logits]), labels

    @cached_property
    def _judging_logits(self) -> Logits:
        return logits_of(self._dense, self.images.judging)


def logits_of(detector: Detector, images: LabelledImages) -> Logits:
    """Returns the logits (N,) of images, computed on a GPU if there is one."""
    device = torch_device()
    module = detector.module if device.type == "cpu" else copy.deepcopy(detector.module).to(device)
    with torch.inference_mode():
        logits = torch.cat([module(batch.to(device)).double().cpu() for batch in images.batches])
    found: Logits = logits.reshape(-1).numpy()
    return found
