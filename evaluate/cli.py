"""The command `evaluate-engines`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from export.command import CommandParser, run_command, whole_number
from export.face_contract import Aggregation

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from evaluate.scoring.request import EvaluationRequest

DEFAULT_BATCH_SIZE = 16
_EXAMPLE = """examples:
  evaluate-engines runs/b5 --test data/test
  evaluate-engines runs/b5 --test data/test --skip-unreadable --batch-size 32
  evaluate-engines runs/b5 --test data/test --validation data/validation
  evaluate-engines runs/b5 --test data/test --backend tensorrt --latency --latency-batches 1 8
  evaluate-engines runs/b5 --test data/test --limits limits.toml --ladder

on a device without torch, timm and matplotlib (copy runs/b5/spec.json, runs/b5/engines and the test set there):
  evaluate-engines runs/b5 --test data/test --backend tensorrt --scores-only --latency
and, once runs/b5/results is copied back, where those packages are:
  evaluate-engines runs/b5 --test data/test --backend tensorrt --from-scores

exit codes: 0 PASS, 3 FAIL, 4 INCONCLUSIVE, 2 for what you can mend in the command or its files
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `evaluate-engines`; returns 0 for PASS, 3 for FAIL, 4 for INCONCLUSIVE, 2 for what the user can mend."""
    arguments = parsed_arguments(argv)
    return run_command("evaluate-engines", lambda: _run(arguments))


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; options that would have no effect end it."""
    parser = CommandParser(
        "evaluate-engines",
        "Scores every engine of a run on a labelled test set, judges them by limits and writes the report.",
        _EXAMPLE,
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder that build-engines filled; the report is written to RUN/report"
    )
    parser.add_argument(
        "--test",
        type=Path,
        required=True,
        metavar="DATA",
        help="labelled faces: a folder laid out as Celeb-DF-v2, FaceForensics++, DFDC or real/ and fake/, one that "
        "prepare-data made, a manifest (.csv, .jsonl), or a list of DeepfakeBench (.json)",
    )
    parser.add_argument(
        "--test-split", metavar="NAME", help="which split to score, all for every one (default: the test split)"
    )
    parser.add_argument(
        "--validation",
        type=Path,
        metavar="DATA",
        help="faces of other people, of any of these kinds, that thresholds are fitted to (default: the images that "
        "the run was calibrated with)",
    )
    parser.add_argument(
        "--validation-split",
        metavar="NAME",
        help="which split to fit to, all for every one (default: the validation split, or what is not for testing)",
    )
    parser.add_argument(
        "--backend",
        default="onnxruntime",
        metavar="NAME",
        help="whose engines to run: one that build-engines built for (default: onnxruntime)",
    )
    parser.add_argument(
        "--aggregation",
        choices=get_args(Aggregation),
        help="what makes a video's score of its frames' (default: that of the model file); no engine is run again for "
        "it",
    )
    parser.add_argument(
        "--accept-lookalikes",
        action="store_true",
        help="report although images of the calibration or validation set look like test images",
    )
    _add_limits(parser.add_argument_group("verdict"))
    _add_split(parser.add_argument_group("device and report on two machines"))
    _add_ladder(parser.add_argument_group("where a loss comes from"))
    _add_running(parser.add_argument_group("running the engines"))
    _add_latency(parser.add_argument_group("latency"))
    arguments = parser.parse_args(argv)
    _refuse_what_has_no_effect(parser, arguments)
    return arguments


def request_from_arguments(arguments: argparse.Namespace) -> EvaluationRequest:
    """Returns the request with its defaults filled in."""
    from evaluate.scoring.request import EvaluationRequest

    batch_size = arguments.batch_size or DEFAULT_BATCH_SIZE
    batches = tuple(arguments.latency_batches or (1, batch_size)) if arguments.latency else ()
    return EvaluationRequest(
        run=arguments.run,
        test=arguments.test,
        backend=arguments.backend,
        batch_size=batch_size,
        skip_unreadable=arguments.skip_unreadable,
        latency_batches=batches,
        cuda_graphs=not arguments.no_cuda_graphs,
        gpu=arguments.gpu or 0,
        from_scores=arguments.from_scores,
        validation=arguments.validation,
        test_split=arguments.test_split,
        validation_split=arguments.validation_split,
        allow_partial=arguments.allow_partial,
        ladder=arguments.ladder,
        aggregation=arguments.aggregation,
        accept_lookalikes=arguments.accept_lookalikes,
        limits=arguments.limits,
        limit_changes=tuple(arguments.limit),
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--limits",
        type=Path,
        metavar="FILE",
        help="limits.toml (default: the limits of the verdict before; at first max_auc_drop = 0.01, max_flips = 0.02)",
    )
    group.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="[VARIANT.]LIMIT=X",
        help="replace one limit; can be given several times",
    )


def _add_split(group: argparse._ArgumentGroup) -> None:
    one = group.add_mutually_exclusive_group()
    one.add_argument(
        "--scores-only",
        action="store_true",
        help="write scores, and latency if asked for, but no report; needs neither torch, timm nor matplotlib",
    )
    one.add_argument(
        "--from-scores",
        action="store_true",
        help="run no engine: make the report from the scores and the latency that --scores-only wrote into RUN/results "
        "on the device; needs neither the backend nor its device",
    )
    group.add_argument(
        "--allow-partial",
        action="store_true",
        help="report on the videos that every engine has scored on the same images, if some engine lacks others",
    )


def _add_ladder(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--ladder",
        action="store_true",
        help="score every stage from the checkpoint to the engine, too (PyTorch, pruned, ONNX, FP16 or INT8 graph), "
        "and tell what each costs; this runs PyTorch and ONNX Runtime on the CPU of this machine, with --from-scores "
        "as well, and keeps their scores in RUN/results/ladder",
    )


def _add_running(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--batch-size", type=whole_number(1), metavar="N", help=f"images per inference (default: {DEFAULT_BATCH_SIZE})"
    )
    group.add_argument("--skip-unreadable", action="store_true", help="go on without images that do not decode")
    group.add_argument("--gpu", type=whole_number(0), metavar="INDEX", help="which GPU runs the engines (default: 0)")
    group.add_argument(
        "--no-cuda-graphs", action="store_true", help="enqueue each inference on the GPU kernel by kernel"
    )


def _add_latency(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--latency",
        action="store_true",
        help="measure cold start, latency and throughput of every engine, too, as trtexec defines them, and keep them "
        "in RUN/results/VARIANT/latency.BACKEND.json; delete that file to measure anew",
    )
    group.add_argument(
        "--latency-batches",
        type=whole_number(1),
        nargs="+",
        metavar="N",
        help="batch sizes to measure (default: 1 and that of --batch-size)",
    )


def _refuse_what_has_no_effect(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.validation_split is not None and arguments.validation is None:
        parser.error("--validation-split says what of --validation to take; pass --validation, too")
    if arguments.latency_batches and not arguments.latency:
        parser.error("--latency-batches says what --latency measures; pass --latency, too")
    if arguments.allow_partial and not (arguments.from_scores or arguments.skip_unreadable):
        parser.error(
            "--allow-partial would have no effect: without --from-scores and --skip-unreadable, no engine can lack a "
            "video; leave it out"
        )
    if arguments.scores_only:
        _refuse_what_is_for_a_report(parser, arguments)
    if not arguments.from_scores:
        _refuse_what_is_for_a_gpu(parser, arguments)
        return
    given = {
        "--batch-size": arguments.batch_size is not None,
        "--skip-unreadable": arguments.skip_unreadable,
        "--gpu": arguments.gpu is not None,
        "--no-cuda-graphs": arguments.no_cuda_graphs,
        "--latency": arguments.latency,
    }
    idle = [option for option, is_given in given.items() if is_given]
    if idle:
        parser.error(f"--from-scores runs no engine, so {', '.join(idle)} would have no effect; leave it out")


def _refuse_what_is_for_a_report(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.allow_partial:
        parser.error("--allow-partial would have no effect: --scores-only compares no engines; leave it out")
    if arguments.limits or arguments.limit:
        parser.error("--scores-only gives no verdict; pass the limits with --from-scores later, or to grade-report")
    if arguments.aggregation:
        parser.error("--scores-only scores frames; pass --aggregation with --from-scores later")
    if arguments.accept_lookalikes:
        parser.error("--scores-only compares no images; pass --accept-lookalikes with --from-scores later")
    if arguments.ladder:
        parser.error("--ladder is for the report, which --scores-only does not make; pass it with --from-scores later")


def _refuse_what_is_for_a_gpu(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.gpu is not None and arguments.backend == "onnxruntime":
        parser.error("--gpu would have no effect: --backend onnxruntime runs on the CPU; leave it out")
    if arguments.no_cuda_graphs and not arguments.backend.startswith("tensorrt"):
        parser.error(f"--no-cuda-graphs would have no effect: --backend {arguments.backend} uses none; leave it out")


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, so that --help and a mistyped option answer at once, and scores need no more than a device has.
    request = request_from_arguments(arguments)
    announce = partial(print, flush=True)
    if arguments.scores_only:
        from evaluate.scoring.measuring import measure_engines
        from evaluate.scoring.measuring_summary import summary_from_measured

        print(summary_from_measured(request, measure_engines(request, announce)))
        return 0
    from evaluate.pipeline import evaluate_engines
    from evaluate.summary import summary_from_record
    from evaluate.verdict.outcome import outcome_code, outcome_text

    done = evaluate_engines(request, announce)
    print(f"{summary_from_record(done.record)}\n\n{outcome_text(done)}")
    return outcome_code(done)


if __name__ == "__main__":
    raise SystemExit(main())
