"""The command `inspect-checkpoint`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export.command import EXIT_INCONCLUSIVE, CommandParser, run_command, whole_number
from export.errors import SignoffError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from evaluate.inspection.recognition import Recognition
    from export.contract import ModelContract

_EXAMPLE = """examples:
  inspect-checkpoint b5.pth
  inspect-checkpoint b5.pth --out model.toml
  inspect-checkpoint b5.pth --samples data/validation --size 380
  inspect-checkpoint b5.pth --model model.toml --samples data/validation

exit codes: 0 nothing is left to decide, as with a --model that loads the file; 4 the lines marked "decide" or "to
decide" are; 2 refused, or for what you can mend in the command
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `inspect-checkpoint`; returns 0, 4 where something is left to decide, 2 for what the user can mend."""
    arguments = parsed_arguments(argv)
    return run_command("inspect-checkpoint", lambda: _run(arguments))


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(
        "inspect-checkpoint",
        "Tells what a checkpoint is, running nothing in it, and writes a model file to start from.",
        _EXAMPLE,
    )
    parser.add_argument("checkpoint", type=Path, metavar="FILE", help="safetensors or PyTorch weights")
    parser.add_argument("--model", type=Path, metavar="FILE", help="take this model file instead of guessing one")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the model file here; never overwrites one")
    tried = parser.add_argument_group("which reading fits labelled faces")
    tried.add_argument("--samples", type=Path, metavar="DATA", help="faces of both classes, in any known layout")
    tried.add_argument("--split", metavar="NAME", help="split of the data set, all for every one")
    tried.add_argument(
        "--images",
        type=whole_number(2),
        default=128,
        metavar="N",
        help="how many of them to take (default: %(default)s)",
    )
    tried.add_argument(
        "--size",
        type=whole_number(32),
        nargs="+",
        metavar="N",
        help="image sizes to try (default: that of --model or config.json, else 224, 256, 380 and the network's own)",
    )
    arguments = parser.parse_args(argv)
    if arguments.samples is None and (arguments.size or arguments.split):
        parser.error("--size and --split are about --samples DATA; give that, too")
    return arguments


def _run(arguments: argparse.Namespace) -> int:
    from export.checkpoints.file_kind import kind_of_file
    from export.model_file import contract_from_toml
    from export.sidecar import write_atomically

    out: Path | None = arguments.out
    if out is not None and out.exists():
        raise SignoffError(f"{out} exists and is not overwritten; choose another name for --out or move it away")
    kind_of_file(arguments.checkpoint)
    declared = contract_from_toml(arguments.model) if arguments.model else None
    # Imported here, so that --help, a mistyped option and a wrong path answer at once.
    from evaluate.inspection.model_start import commented_toml, is_open
    from evaluate.inspection.recognition import recognised
    from evaluate.inspection.text import recognition_text

    found = recognised(arguments.checkpoint, declared)
    print(recognition_text(found), flush=True)
    if found.start is None:
        return EXIT_INCONCLUSIVE
    start, told, guessed = found.start, not found.problem, dict(found.guessed)
    if arguments.samples is not None:
        if found.problem:
            raise SignoffError(f"no reading can be tried before this is decided: {found.problem}")
        start, told, comments = _best_reading(arguments, found, declared is not None)
        guessed |= comments
    text = commented_toml(start, guessed)
    print(f"\nmodel.toml to start from:\n\n{text}", end="")
    if out is not None:
        with write_atomically(out) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"\nwritten to {out}")
    is_open_still = any(map(is_open, guessed.values()))
    if not found.problem and (told or is_open_still):
        print(f"\nnext: {_next_steps(arguments, is_open_still)}")
    return 0 if told and not is_open_still else EXIT_INCONCLUSIVE


def _next_steps(arguments: argparse.Namespace, is_open_still: bool) -> str:
    """Returns what leads from here to engines, in one line."""
    model: Path | None = arguments.out or arguments.model
    steps = [] if model else ["have it written by --out model.toml"]
    if is_open_still:
        hint = "" if arguments.samples else " (--samples DATA tells which reading fits labelled faces)"
        steps.append(f"decide the marked lines{hint}")
    build = f"build-engines --checkpoint {arguments.checkpoint} --model {model or 'model.toml'}"
    return ", then ".join([*steps, f"{build} --calibration DATA --out RUN"])


def _best_reading(
    arguments: argparse.Namespace, found: Recognition, is_declared: bool
) -> tuple[ModelContract, bool, dict[str, str]]:
    """Returns the contract that fits labelled faces best, whether no other one does as well, and comments on it."""
    from calibration.datasets.dataset import samples_from_path
    from calibration.samples import require_both_classes
    from calibration.sampling import calibration_sample
    from evaluate.inspection.probing import compare, score_readings
    from evaluate.inspection.readings import plausible_readings, sizes_to_try
    from evaluate.inspection.text import comparison_text, tried_comments

    assert found.start is not None
    samples = samples_from_path(arguments.samples, "validation", arguments.split)
    require_both_classes(samples, "labelled")
    chosen = calibration_sample(samples, arguments.images, seed=0)
    is_size_known = is_declared or (found.hub is not None and found.hub.size is not None)
    sizes = arguments.size or (
        [found.start.input.size] if is_size_known else sizes_to_try(found.start, found.candidates)
    )
    readings = plausible_readings(found.start, found.candidates, sizes)
    print(f"\ntrying {len(readings)} readings on {len(chosen.samples)} faces", flush=True)
    comparison = compare(score_readings(arguments.checkpoint, readings, chosen.samples), chosen.samples)
    faces = f"{chosen.fake_count} fake and {chosen.real_count} real faces of {len(chosen.videos)} videos"
    print(comparison_text(comparison, faces))
    if comparison.inverted or comparison.blind:
        return found.start, False, {}
    others = [score.reading for score in comparison.scores[1 : comparison.alike]]
    return comparison.scores[0].reading.contract, not others, tried_comments(comparison.scores[0].reading, others)


if __name__ == "__main__":
    raise SystemExit(main())
