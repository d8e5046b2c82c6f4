"""The options of `build-engines`."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from export.command import CommandParser, whole_number
from export.variant import DEFAULT_VARIANTS, DENSE, Precision
from pruning.recipe import RECIPES as PRUNING_RECIPES
from pruning.recipe import PruningRecipe

if TYPE_CHECKING:
    from collections.abc import Sequence

PRECISIONS = {
    "fp32": Precision.FP32,
    "fp16": Precision.FP16,
    "int8": Precision.INT8,
    "int8-weights": Precision.INT8_WEIGHTS,
}
METHODS = ("auto", "mse", "percentile", "mean-max", "entropy", "minmax")
RECIPES = ("accurate", "fast", "full", "minmax")
DEFAULT_PRUNINGS = (DENSE, "p50", "s50")
CURVE_VARIANTS = ("baseline", "q16", "q16-s20", "q16-s30", "q16-s40", "q16-s50")
_PRUNING = PruningRecipe()  # what holds where no option says otherwise
_EXAMPLE = """examples:
  build-engines --checkpoint b5.safetensors --calibration data/calibration --out runs/b5
  build-engines --checkpoint b5.pth --model b5.toml --calibration data --out runs/b5 --precision int8
  build-engines --checkpoint b5.pth --calibration data --out runs/b5 --variants baseline q16 q8 --dry-run
  build-engines --checkpoint b5.pth --calibration data --out runs/b5 --pruning s30 --pruning-curve

PATTERN is the name of a layer, or one with wildcards such as 'blocks.0.*'.
exit codes: 0 all is built, 3 built, but a limit of pruning or INT8 is missed, 2 for what you can mend in the command or
its files
"""


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(
        "build-engines", "Prunes, exports, quantizes and builds every variant of a detector.", _EXAMPLE
    )
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="safetensors or PyTorch weights")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="what weights cannot tell, such as the size of images; inspect-checkpoint writes one to start from "
        "(default: model.toml beside the checkpoint)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="run folder: engines come to DIR/engines, and evaluate-engines DIR writes DIR/report",
    )
    _add_selection(parser.add_argument_group("what to build (default: " + " ".join(DEFAULT_VARIANTS) + ")"))
    _add_calibration(parser.add_argument_group("calibration"))
    _add_pruning(parser.add_argument_group("pruning"))
    _add_int8(parser.add_argument_group("INT8"))
    _add_tensorrt(parser.add_argument_group("TensorRT"))
    return parser.parse_args(argv)


def _add_selection(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--variants", nargs="+", metavar="NAME", help="exactly these, such as baseline q16 q8-p50")
    group.add_argument(
        "--precision",
        nargs="+",
        choices=tuple(PRECISIONS),
        metavar="NAME",
        help=f"variants of these precisions, and the baseline that they are compared with: {', '.join(PRECISIONS)}",
    )
    group.add_argument(
        "--pruning",
        nargs="+",
        metavar="NAME",
        help="variants of these source models: dense, pNN (percent of the weights zero), sNN (percent of the "
        f"parameters removed), n24 (2:4 sparsity); default with --precision: {' '.join(DEFAULT_PRUNINGS)}",
    )
    group.add_argument(
        "--backend",
        nargs="+",
        metavar="NAME",
        help="onnxruntime, onnxruntime-cuda, onnxruntime-tensorrt, tensorrt-rtx, tensorrt (default: onnxruntime, and "
        "tensorrt-rtx if installed)",
    )
    group.add_argument("--dry-run", action="store_true", help="list what would be made or reused, and how large it is")


def _add_calibration(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="DATA",
        help="faces of both classes: a folder laid out as Celeb-DF-v2, FaceForensics++, DFDC or real/ and fake/, one "
        "that prepare-data made, a manifest (.csv, .jsonl), or a list of DeepfakeBench (.json)",
    )
    group.add_argument(
        "--calibration-split",
        metavar="NAME",
        help="which split to calibrate with, all for every one (default: the training split, or all but tests)",
    )
    group.add_argument(
        "--calibration-images",
        type=whole_number(1),
        default=256,
        metavar="N",
        help="how many images to take (default: 256)",
    )
    group.add_argument(
        "--calibration-method",
        choices=METHODS,
        default="auto",
        help="range estimator; auto chooses per tensor by the error at the end of its block (default: auto)",
    )
    group.add_argument("--seed", type=whole_number(0), default=0, help="seed of the choice of frames (default: 0)")
    group.add_argument(
        "--calibration-stability",
        action="store_true",
        help="also calibrate INT8 anew with 64 to 1024 images and three seeds, and print the logit SQNR of each",
    )
    group.add_argument("--skip-unreadable", action="store_true", help="go on without images that do not decode")


def _add_pruning(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--pruning-recipe",
        choices=PRUNING_RECIPES,
        default=_PRUNING.name,
        help="accurate chooses what to prune by what it costs the logit; magnitude by the size of the weights, to "
        "compare with (default: %(default)s)",
    )
    group.add_argument(
        "--max-pruning-auc-drop",
        type=_number,
        default=_PRUNING.max_auc_drop,
        metavar="X",
        help="acceptable loss of AUC by pruning (default: %(default)s)",
    )
    group.add_argument(
        "--max-pruning-flips",
        type=_number,
        default=100 * _PRUNING.max_flip_share,
        metavar="PERCENT",
        help="acceptable share of decisions reversed by pruning, in percent (default: %(default)s)",
    )
    group.add_argument(
        "--distill-steps",
        type=whole_number(0),
        default=_PRUNING.distill_steps,
        metavar="N",
        help="most steps of distillation where limits are missed without, 0 for none (default: %(default)s)",
    )
    group.add_argument("--keep-dense", nargs="+", default=[], metavar="PATTERN", help="layers never pruned")
    group.add_argument(
        "--pruning-curve",
        action="store_true",
        help=f"also build {' '.join(CURVE_VARIANTS)}, so that the report shows size against AUC",
    )


def _add_int8(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--int8-recipe",
        choices=RECIPES,
        default="accurate",
        help="accurate searches which layers to keep out of INT8; fast does not; full puts all but the classifier into "
        "INT8; minmax quantizes everything without repair, to compare with (default: accurate)",
    )
    group.add_argument(
        "--max-size-mib",
        type=_number,
        default=29.5,
        metavar="MIB",
        help="largest INT8 ONNX file of the dense network; that of sNN is less in proportion (default: 29.5)",
    )
    group.add_argument(
        "--max-auc-drop",
        type=_number,
        default=0.001,
        metavar="X",
        help="acceptable loss of AUC by INT8 (default: 0.001)",
    )
    group.add_argument(
        "--keep-float", nargs="+", default=[], metavar="PATTERN", help="layers that stay in floating point"
    )
    group.add_argument(
        "--quantize", nargs="+", default=[], metavar="PATTERN", help="layers that become INT8 whatever it costs"
    )


def _add_tensorrt(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--sm",
        nargs="+",
        default=[],
        metavar="X.Y",
        help="for tensorrt-rtx: compute capabilities to compile for, such as 8.6 8.9 12.0 (default: its portable ones)",
    )
    group.add_argument(
        "--batch",
        type=_three_sizes,
        default=(1, 8, 32),
        metavar="A,B,C",
        help="smallest, usual and largest batch that an engine takes (default: 1,8,32)",
    )
    group.add_argument(
        "--input",
        choices=("float32", "uint8"),
        default="float32",
        help="uint8 feeds engines pixels, a quarter of the bytes, and normalizes inside them (default: float32)",
    )
    group.add_argument(
        "--workspace",
        type=whole_number(1),
        default=2048,
        metavar="MIB",
        help="most scratch memory on the GPU (default: 2048)",
    )
    group.add_argument(
        "--optimization-level",
        type=int,
        choices=range(6),
        metavar="0..5",
        help="how long to search for fast kernels (default: TensorRT's own, 3)",
    )
    group.add_argument(
        "--timing-cache",
        type=Path,
        metavar="DIR",
        help="for tensorrt: keep measured kernel times, so that later builds on the same GPU are quicker",
    )
    group.add_argument(
        "--version-compatible",
        action="store_true",
        help="for tensorrt: plans that later releases of the same major version run, too",
    )
    group.add_argument(
        "--hardware-compatible",
        action="store_true",
        help="for tensorrt: plans that other GPUs run, too, from Ampere on; slower",
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def _three_sizes(text: str) -> tuple[int, int, int]:
    parts = text.split(",")
    if len(parts) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not three batch sizes such as 1,8,32")
    return whole_number(1)(parts[0]), whole_number(1)(parts[1]), whole_number(1)(parts[2])
