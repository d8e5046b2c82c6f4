"""Trains the three detectors that the INT8 benchmarks compress, each on drawn faces of its own.

demo           what `signoff-demo` trains
two-logits     two logits of which the first is fake, other statistics of normalization
heavy-tailed   half the faces, training ended at a third of its schedule and never with frozen batch-norm statistics:
               the statistics lag behind the weights, and single images may explode, depending on the number of threads

    python benchmarks/detectors.py --out runs/benchmark
    python benchmarks/detectors.py --out runs/benchmark --only two-logits

Each lies in DIR/NAME: model/checkpoint.safetensors, model/model.toml and data/{train,calibration,test}. What is there
already is reused; a killed training goes on after its last epoch.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from export.command import run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.training import TrainingPlan
    from export.contract import ModelContract

NAMES = ("demo", "two-logits", "heavy-tailed")


@dataclass(frozen=True)
class DetectorPlan:
    """How one detector comes about.

    Attributes:
        contract: Architecture, input and head.
        training: How it is trained; its seed draws the faces, too.
        train_videos: Size of the training split, as the number of test videos it would go with.
        may_explode: Logits without bounds are wanted.
    """

    contract: ModelContract
    training: TrainingPlan
    train_videos: int
    may_explode: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Trains what was asked for; returns 0, or 2 if something the user can mend is wrong."""
    parser = argparse.ArgumentParser(
        prog="detectors", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the detectors' folders")
    parser.add_argument("--only", choices=NAMES, help="train this one (default: all three)")
    arguments = parser.parse_args(argv)
    names = (arguments.only,) if arguments.only else NAMES
    return run_command("detectors", lambda: _train(arguments.out, names))


def plan_from_name(name: str) -> DetectorPlan:
    """Returns how the detector of this name is made."""
    from demo.pipeline import DemoRequest
    from demo.training import TrainingPlan
    from export.contract import InputContract, ModelContract

    demo = DemoRequest(Path())
    if name == "demo":
        contract = ModelContract(demo.backbone, InputContract(demo.size))
        return DetectorPlan(contract, TrainingPlan(epochs=demo.epochs, seed=demo.seed), demo.videos)
    if name == "two-logits":
        half = (0.5, 0.5, 0.5)
        contract = ModelContract(demo.backbone, InputContract(128, mean=half, std=half), "two-logits", fake_index=0)
        return DetectorPlan(contract, TrainingPlan(epochs=demo.epochs, seed=1), demo.videos)
    contract = ModelContract(demo.backbone, InputContract(128))
    return DetectorPlan(contract, TrainingPlan(epochs=9, stop_after=3, frozen_share=0, seed=2), 290, may_explode=True)


def _train(out: Path, names: Sequence[str]) -> int:
    # Imported here and not above, because every process that draws faces imports this file anew.
    from demo.dataset import make_split, plan_of_split
    from demo.pipeline import DemoRequest
    from demo.training import train_detector
    from engines.run_folder import RunFolder, locked
    from export.model_file import toml_from_contract
    from export.sidecar import write_text

    for name in names:
        plan = plan_from_name(name)
        seed, data = plan.training.seed, out / name / "data"
        with locked(RunFolder(data)):
            print(f"{name}: drawing faces and face swaps", flush=True)
            train = make_split(data, plan_of_split("train", seed, plan.train_videos))
            for split in ("calibration", "test"):
                make_split(data, plan_of_split(split, seed, DemoRequest(out).videos))
            print(f"{name}: training on {len(train.samples)} images", flush=True)
            path = out / name / "model" / "checkpoint.safetensors"
            checkpoint = train_detector(path, plan.contract, train, plan.training, may_explode=plan.may_explode)
            write_text(path.with_name("model.toml"), toml_from_contract(plan.contract))
        low, high = checkpoint.facts["smallest_logit"], checkpoint.facts["largest_logit"]
        print(f"{name}: logits of training images from {low:.2f} to {high:.2f}; {path}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
