"""`signoff-demo` as one call: data, detector, engines, report; every step reuses what is still true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.dataset import make_split, plan_of_split
from demo.training import TrainingPlan, train_detector
from engines.backend import default_backends
from engines.pipeline import build_engines
from engines.request import BuildRequest
from engines.run_folder import RunFolder, locked
from evaluate.pipeline import evaluate_engines
from evaluate.scoring.request import EvaluationRequest
from export.checkpoints.network import require_known_architecture
from export.contract import InputContract, ModelContract
from export.errors import DataError
from export.model_file import toml_from_contract
from export.sidecar import write_text
from export.variant import DEFAULT_VARIANTS, variant_from_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluate.verdict.regrading import Reported
    from export.sidecar import Artifact

FEWEST_VIDEOS = 20


@dataclass(frozen=True)
class DemoRequest:
    """What `signoff-demo` was asked for.

    Attributes:
        out: Run folder; data and model lie in it, too.
        backbone: timm model to train.
        size: Network input in pixels.
        epochs: Passes over the training faces; a quarter of one more follows with batch-norm statistics frozen.
        videos: Test videos; 518 gives the class sizes of Celeb-DF-v2's list.
        seed: Seed of faces and training.
    """

    out: Path
    backbone: str = "tf_efficientnet_b5"
    size: int = 144
    epochs: int = 2
    videos: int = 518
    seed: int = 0

    def __post_init__(self) -> None:
        if self.videos < FEWEST_VIDEOS:
            raise DataError(f"--videos {self.videos}; expected at least {FEWEST_VIDEOS}")
        if self.epochs < 1:
            raise DataError(f"--epochs {self.epochs}; expected at least 1")


def run_demo(request: DemoRequest, announce: Callable[[str], None]) -> Reported:
    """Runs every step.

    Args:
        request: What to do.
        announce: Gets a line per step and per file that is made.

    Returns:
        The report, the verdict and the files a reader opens first.

    Raises:
        SignoffError: Anything the user can mend.
    """
    data = request.out / "data"
    contract = ModelContract(request.backbone, InputContract(request.size))
    require_known_architecture(contract)
    with locked(RunFolder(data)):
        checkpoint = _trained_checkpoint(request, contract, announce)
    announce("step 3 of 4: build-engines")
    build = BuildRequest(
        out=request.out,
        checkpoint=checkpoint.path,
        contract=contract,
        variants=tuple(variant_from_name(name) for name in DEFAULT_VARIANTS),
        backends=default_backends(),
        calibration=data / "calibration",
        seed=request.seed,
    )
    build_engines(build, announce=announce)
    announce("step 4 of 4: evaluate-engines")
    return evaluate_engines(EvaluationRequest(request.out, data / "test", ladder=True), announce)


def _trained_checkpoint(request: DemoRequest, contract: ModelContract, announce: Callable[[str], None]) -> Artifact:
    data = request.out / "data"
    announce("step 1 of 4: drawing faces and face swaps")
    train = make_split(data, plan_of_split("train", request.seed, request.videos))
    for split in ("calibration", "test"):
        make_split(data, plan_of_split(split, request.seed, request.videos))
    announce(f"step 2 of 4: training {request.backbone}")
    plan = TrainingPlan(epochs=request.epochs, seed=request.seed)
    checkpoint = train_detector(request.out / "model" / "checkpoint.safetensors", contract, train, plan)
    write_text(checkpoint.path.with_name("model.toml"), toml_from_contract(contract))
    return checkpoint
