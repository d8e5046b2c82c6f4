"""From a dense detector to a pruned one: plan, prune, repair step by step, and say what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from calibration.int8_images import costly_pass_image_count
from calibration.logit_alignment import fitted_alignment
from export.variant import Pruning, PruningKind
from pruning.capacity import require_possible
from pruning.channel_removal import without_channels
from pruning.distillation import DistillationPlan, distilled
from pruning.judging import Judge, logits_of
from pruning.network import DenseNetwork
from pruning.nncf_magnitude import with_adapted_batch_norms
from pruning.planning import Planner, magnitude_plan
from pruning.record import LayerPruning, PruningRecord, PruningStep
from pruning.repair import aligned, masked, reconstructed

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from calibration.int8_images import Int8Images
    from export.checkpoint import Detector
    from pruning.planning import PruningPlan
    from pruning.recipe import PruningRecipe
    from pruning.record import Closeness, KindName

_KIND_NAMES: dict[PruningKind, KindName] = {
    PruningKind.UNSTRUCTURED: "unstructured",
    PruningKind.STRUCTURED: "structured",
    PruningKind.TWO_OF_FOUR: "2:4",
}
_PRUNED: dict[PruningKind, str] = {
    PruningKind.UNSTRUCTURED: "weights set to zero",
    PruningKind.STRUCTURED: "channels removed",
    PruningKind.TWO_OF_FOUR: "two of four weights set to zero",
}


@dataclass(frozen=True)
class _State:
    """A pruned detector and how it got there."""

    detector: Detector
    closeness: Closeness
    steps: tuple[PruningStep, ...]


class PruningWorkshop:
    """Prunes one detector in any number of ways; what they share is computed once.

    Args:
        dense: The detector.
        dense_graph: Its exported FP32 graph.
        images: Calibration images to fit to, and others that judge.
        recipe: How to prune.

    Raises:
        PruningError: The detector is pruned already.
        QuantizationError: A pattern of layers to keep matches none.
    """

    def __init__(
        self, dense: Detector, dense_graph: onnx.ModelProto, images: Int8Images, recipe: PruningRecipe
    ) -> None:
        self._network = DenseNetwork(dense, dense_graph, recipe.keep)
        self._images = images
        self._recipe = recipe
        self._judge = Judge(dense, images)
        count = costly_pass_image_count(dense.contract.input.size)
        self._batches = images.fitted.first(2 * count)  # moments of wide layers need many rows
        self._planner = Planner(self._network, self._batches, images.fitted.first(count))

    def require_possible(self, pruning: Pruning) -> None:
        """Refuses at once what cannot be pruned.

        Raises:
            PruningError: So much cannot be taken away, or the network has nothing of that kind to take.
        """
        require_possible(self._network, pruning)

    def pruned(self, pruning: Pruning, resume: Path, key: str) -> tuple[Detector, PruningRecord]:
        """Prunes and repairs.

        Args:
            pruning: What to take away.
            resume: Where a distillation keeps its state meanwhile.
            key: What determines the result.

        Raises:
            PruningError: So much cannot be taken away, or the network has nothing of that kind to take.
        """
        accurate = self._recipe.name == "accurate"
        plan = self._planner.plan(pruning) if accurate else magnitude_plan(self._network, pruning)
        aim = self._judge.least_sqnr_db(self._recipe)
        state = self._aligned(self._pruned_and_repaired(pruning, plan))
        if state.closeness.sqnr_db < aim and self._recipe.distill_steps:
            state = self._distilled(state, resume, key)
        nearest = None if state.closeness.sqnr_db >= aim else self._nearest(pruning, plan, state, aim)
        record = self._record(pruning, state, aim, nearest)
        return state.detector, replace(record, missed=missed_limits(record))

    def _pruned_and_repaired(self, pruning: Pruning, plan: PruningPlan) -> _State:
        """Prunes; re-estimates batch norms; reconstructs from the dense network, if that is better still."""
        dense = self._network.detector
        fitted, masks = reconstructed(self._network, plan.choices, self._batches)
        bare = self._narrowed(dense, plan) if plan.removed else masked(dense, masks)
        closeness = self._judge.closeness(bare)
        first = PruningStep(_PRUNED[pruning.kind], self._judge.dense, closeness, kept=True)
        state = _State(bare, closeness, (first,))
        if any(isinstance(layer, nn.BatchNorm2d) for layer in bare.module.modules()):
            adapted = with_adapted_batch_norms(bare, torch.cat(self._images.fitted.batches))
            state = self._kept(state, "re-estimation of batch norms", adapted)
        return self._kept(state, "reconstruction of weights, layer after layer", self._narrowed(fitted, plan))

    def _narrowed(self, detector: Detector, plan: PruningPlan) -> Detector:
        if not plan.removed:
            return detector
        return without_channels(detector, self._network.channel_groups, plan.removed)

    def _aligned(self, state: _State) -> _State:
        logits = logits_of(state.detector, self._images.fitted)
        alignment = fitted_alignment(logits, self._judge.fitted_logits)
        return self._kept(state, "alignment of the logit, in the classifier", aligned(state.detector, alignment))

    def _distilled(self, state: _State, resume: Path, key: str) -> _State:
        steps = self._recipe.distill_steps
        images = torch.cat(self._images.fitted.batches)
        student = distilled(self._network.detector, state.detector, images, DistillationPlan(steps), resume, key)
        return self._kept(state, f"distillation from the dense detector, {steps} steps", student)

    def _kept(self, state: _State, name: str, detector: Detector) -> _State:
        """Takes a repair if it brings the logit of held-back images closer to the dense one."""
        after = self._judge.closeness(detector)
        kept = after.sqnr_db > state.closeness.sqnr_db
        steps = (*state.steps, PruningStep(name, state.closeness, after, kept))
        return _State(detector, after, steps) if kept else replace(state, steps=steps)

    def _nearest(self, pruning: Pruning, plan: PruningPlan, state: _State, aim: float) -> int | None:
        """Predicts the largest percentage that would meet the aim, from how far the prediction was off here."""
        if not plan.noise:
            return None
        off = self._judge.in_db(plan.noise) - state.closeness.sqnr_db
        for percent in range(pruning.percent - 1, 0, -1):
            noise = self._planner.predicted_noise(replace(pruning, percent=percent))
            if noise is not None and self._judge.in_db(noise) - off >= aim:
                return percent
        return None

    def _record(self, pruning: Pruning, state: _State, aim: float, nearest: int | None) -> PruningRecord:
        dense = self._network.detector
        return PruningRecord(
            kind=_KIND_NAMES[pruning.kind],
            percent=pruning.percent,
            recipe=self._recipe.name,
            layers=self._layers(state.detector),
            parameters_before=dense.parameter_count,
            parameters_after=state.detector.parameter_count,
            macs_before=macs_of(dense),
            macs_after=macs_of(state.detector),
            dense=self._judge.dense,
            steps=state.steps,
            final=state.closeness,
            fitted_images=len(self._images.fitted.is_fake),
            held_back_images=len(self._images.judging.is_fake),
            min_sqnr_db=aim,
            max_auc_drop=self._recipe.max_auc_drop,
            max_flip_share=self._recipe.max_flip_share,
            nearest_percent=nearest,
        )

    def _layers(self, pruned: Detector) -> tuple[LayerPruning, ...]:
        state = pruned.module.state_dict()
        found = []
        for layer in self._network.layers:
            weight = state[f"{layer.name}.weight"]
            zeros = int((weight == 0).sum())
            removed = layer.weight_count - weight.numel()
            found.append(LayerPruning(layer.name, layer.role.value, layer.weight_count, removed, zeros))
        return tuple(found)


def macs_of(detector: Detector) -> int:
    """Returns the multiply-accumulate operations per image, as PyTorch counts them."""
    size = detector.contract.input.size
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        detector.module(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops()) // 2


def missed_limits(record: PruningRecord) -> tuple[str, ...]:
    """Says by how much the limits are missed and what would meet them."""
    if record.min_sqnr_db is None or record.final.sqnr_db >= record.min_sqnr_db:
        return ()
    sqnr, lacking = record.final.sqnr_db, record.min_sqnr_db - record.final.sqnr_db
    flips = 100 * (record.max_flip_share or 0.0)
    return (
        f"the logit SQNR is {sqnr:.1f} dB, {lacking:.1f} dB short of the {record.min_sqnr_db:.1f} that keep AUC within "
        f"{record.max_auc_drop:g} and all but {flips:g} % of the decisions; {_remedy(record)}",
    )


def _remedy(record: PruningRecord) -> str:
    if record.recipe != "accurate":
        return "build it with --pruning-recipe accurate"
    if record.kind == "2:4":
        return "allow more --distill-steps, keep the most harmful layers by --keep-dense, or build pNN or sNN"
    if not record.nearest_percent:
        return "no percentage is predicted to meet the limits: allow more --distill-steps"
    letter = "s" if record.kind == "structured" else "p"
    return f"{letter}{record.nearest_percent:02d} is predicted to meet the limits, or allow more --distill-steps"
