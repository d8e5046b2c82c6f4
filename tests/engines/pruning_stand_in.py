"""Stands in for the pruning itself where a test is about what is done with its result."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import onnx
import torch

from pruning.record import Closeness, LayerPruning, PruningRecord, PruningStep

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.int8_images import Int8Images
    from export.checkpoint import Detector
    from export.variant import Pruning
    from pruning.recipe import PruningRecipe

MISSED = "the logit SQNR of 11.0 dB is below the limit of 18.5; prune 30 % or less"


@dataclass
class PruningStandIn:
    """Called as `PruningWorkshop` is; leaves a file to resume from and changes one bias, so that weights differ.

    Attributes:
        missed: What its records say was missed.
        calls: Name, recipe and resume file of each pruning.
    """

    missed: tuple[str, ...] = ()
    calls: list[tuple[str, PruningRecipe, Path]] = field(default_factory=list)

    def __call__(
        self, dense: Detector, dense_graph: onnx.ModelProto, images: Int8Images, recipe: PruningRecipe
    ) -> _Workshop:
        assert dense_graph.graph.node
        assert len(images.fitted.is_fake)
        return _Workshop(self, dense, recipe)


@dataclass
class _Workshop:
    stand_in: PruningStandIn
    dense: Detector
    recipe: PruningRecipe

    def require_possible(self, pruning: Pruning) -> None:
        assert pruning.name

    def pruned(self, pruning: Pruning, resume: Path, key: str) -> tuple[Detector, PruningRecord]:
        assert len(key) == 64
        calls = self.stand_in.calls
        calls.append((pruning.name, self.recipe, resume))
        resume.write_bytes(b"half-way")
        module = copy.deepcopy(self.dense.module)
        with torch.no_grad():
            module.classifier.bias += len(calls) / 100  # type: ignore[operator,union-attr]
        return replace(self.dense, module=module, sha256=""), pruning_record(pruning, self.recipe, self.stand_in.missed)


def graph_of(detector: Detector, dense_graph: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the graph of what was pruned here, without exporting it: that of the dense detector with another bias.

    The stage that exports compares it with PyTorch, as any other.
    """
    graph = onnx.ModelProto()
    graph.CopyFrom(dense_graph)
    head = graph.graph.node[-1]
    assert (head.op_type, len(head.input)) == ("Gemm", 2)  # the exporter leaves out the dense detector's bias, a zero
    bias = detector.module.classifier.bias.detach().numpy()  # type: ignore[operator,union-attr]
    head.input.append("classifier.bias")
    graph.graph.initializer.append(onnx.numpy_helper.from_array(bias, "classifier.bias"))
    return graph


def pruning_record(pruning: Pruning, recipe: PruningRecipe, missed: tuple[str, ...] = ()) -> PruningRecord:
    """Returns a record of one layer and one step."""
    kinds = {"p": "unstructured", "s": "structured", "n": "2:4"}
    dense, pruned = Closeness(100.0, 0.96, 0), Closeness(11.0, 0.95, 2)
    return PruningRecord(
        kind=kinds[pruning.kind.value],  # type: ignore[arg-type]  # the table above holds plain strings
        percent=pruning.percent,
        recipe=recipe.name,
        layers=(LayerPruning("conv_head", "head", 1000, 0, 10 * pruning.percent),),
        parameters_before=1100,
        parameters_after=1100,
        macs_before=9000,
        macs_after=9000,
        dense=dense,
        steps=(PruningStep("pruning", dense, pruned, kept=True),),
        final=pruned,
        fitted_images=9,
        held_back_images=3,
        missed=missed,
    )
