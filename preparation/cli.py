"""The command `prepare-data`."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from export.command import CommandParser, run_command, whole_number
from export.concurrency import processors_at_hand
from export.face_contract import CropShape, FaceChoice, FaceContract, NoFace, Outside, VideoContract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.contract import ModelContract
    from preparation.request import PreparationRequest

_MOST_WORKERS = 8
_EXAMPLE = """examples:
  prepare-data Celeb-DF-v2 faces/test --split test --model model.toml --detector face_detection_yunet_2023mar.onnx
  prepare-data FaceForensics faces/validation --split val --detector yunet.onnx --frames 16 --margin 0.15
  prepare-data videos.csv faces --boxes boxes.csv --skip-unreadable
  prepare-data videos faces --detector yunet.onnx --dry-run

Settings come from the tables [faces] and [video] of --model; an option given here goes before them, and a default
holds where neither says.
An interrupted command is simply run again.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `prepare-data`; returns 0, or 2 if something the user can mend is wrong."""
    arguments = parsed_arguments(argv)
    return run_command("prepare-data", lambda: _run(arguments))


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(
        "prepare-data", "Cuts the faces out of labelled videos, once, for build-engines and evaluate-engines.", _EXAMPLE
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="data set: a folder, a manifest or a list")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the faces")
    parser.add_argument("--split", metavar="NAME", help="take this split of the data set (default: all)")
    parser.add_argument("--skip-unreadable", action="store_true", help="go on without videos that do not decode")
    parser.add_argument("--dry-run", action="store_true", help="tell how many videos would be made or reused")
    parser.add_argument(
        "--workers",
        type=whole_number(1),
        default=min(processors_at_hand(), _MOST_WORKERS),
        metavar="N",
        help="videos prepared at a time; changes nothing but the time (default: one for each processor, at most "
        f"{_MOST_WORKERS})",
    )
    _add_finders(parser.add_argument_group("where the faces are").add_mutually_exclusive_group())
    _add_settings(parser.add_argument_group("how they are cut out"))
    return parser.parse_args(argv)


def request_from_arguments(arguments: argparse.Namespace) -> PreparationRequest:
    """Returns the request; options go before the model file, and that before the defaults.

    Raises:
        ContractError: The model file or an option is wrong.
    """
    from preparation.request import PreparationRequest

    contract = _contract(arguments)
    declared = contract.faces if contract is not None and contract.faces is not None else FaceContract()
    video = contract.video if contract is not None else VideoContract()
    given = {field.name: getattr(arguments, field.name) for field in fields(FaceContract)}
    return PreparationRequest(
        source=arguments.source,
        out=arguments.out,
        faces=replace(declared, **{name: value for name, value in given.items() if value is not None}),
        frames=replace(video, frames=arguments.frames).frames if arguments.frames is not None else video.frames,
        detector=arguments.detector,
        boxes=arguments.boxes,
        whole_frames=arguments.whole_frames,
        split=arguments.split,
        workers=arguments.workers,
        skip_unreadable=arguments.skip_unreadable,
    )


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, so that --help and a mistyped option answer at once.
    from preparation.pipeline import prepare_data
    from preparation.summary import dry_summary, summary, to_declare

    request = request_from_arguments(arguments)
    prepared = prepare_data(request, arguments.dry_run, lambda line: print(line, flush=True))
    if arguments.dry_run:
        print(dry_summary(prepared, request))
        return 0
    print(summary(prepared, request))
    undeclared = to_declare(request, _contract(arguments))
    if undeclared:
        print(f"to have faces that were cut out otherwise refused, declare in model.toml:\n{undeclared}")
    return 0


def _contract(arguments: argparse.Namespace) -> ModelContract | None:
    from export.model_file import contract_from_toml

    return contract_from_toml(arguments.model) if arguments.model is not None else None


def _add_finders(group: argparse._MutuallyExclusiveGroup) -> None:
    group.add_argument(
        "--detector", type=Path, metavar="ONNX", help="find them by YuNet: face_detection_yunet_2023mar.onnx"
    )
    group.add_argument("--boxes", type=Path, metavar="CSV", help="take them from a table of boxes")
    group.add_argument(
        "--whole-frames",
        action="store_true",
        help="the frames of the video files are faces already; for images that holds where no other option is given",
    )


def _add_settings(group: argparse._ArgumentGroup) -> None:
    faces = FaceContract()  # what holds where neither an option nor the model file says otherwise
    group.add_argument("--model", type=Path, metavar="FILE", help="model.toml with the tables [faces] and [video]")
    group.add_argument(
        "--frames",
        type=whole_number(1),
        metavar="N",
        help=f"frames of each video, evenly spaced (default: {VideoContract().frames})",
    )
    group.add_argument(
        "--margin",
        type=float,
        metavar="SHARE",
        help=f"added on each side of a face, as a share of its box (default: {faces.margin})",
    )
    group.add_argument(
        "--shape", choices=get_args(CropShape), help=f"square, or the box as it is (default: {faces.shape})"
    )
    group.add_argument(
        "--aligned",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="turn faces upright by their landmarks, or do not (default: do not)",
    )
    group.add_argument(
        "--outside",
        choices=get_args(Outside),
        help=f"what becomes of a part outside of the frame: black, or cut off (default: {faces.outside})",
    )
    group.add_argument(
        "--choice",
        choices=get_args(FaceChoice),
        help="which face of a frame is taken: the largest, that of the person who is followed through the video, or "
        f"all (default: {faces.choice})",
    )
    group.add_argument(
        "--min-score",
        type=float,
        metavar="SCORE",
        help=f"least confidence of the detector (default: {faces.min_score})",
    )
    group.add_argument(
        "--min-area",
        type=float,
        metavar="SHARE",
        help="with --choice all: least area, as a share of that of the largest face in the frame "
        f"(default: {faces.min_area})",
    )
    group.add_argument(
        "--no-face",
        choices=get_args(NoFace),
        help=f"what becomes of a video without any: left out, scored 0.5, or an error (default: {faces.no_face})",
    )


if __name__ == "__main__":
    raise SystemExit(main())
