from __future__ import annotations

from pathlib import Path

import pytest

from evaluate.cli import parsed_arguments, request_from_arguments

PATHS = ("runs/b5", "--test", "data/test")


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ((), ()),
        (("--batch-size", "4"), ()),
        (("--latency",), (1, 16)),
        (("--latency", "--batch-size", "4"), (1, 4)),
        (("--latency", "--batch-size", "1"), (1,)),
        (("--latency", "--latency-batches", "8", "2", "8"), (2, 8)),
    ],
)
def test_latency_is_off_unless_asked_for(options: tuple[str, ...], batches: tuple[int, ...]) -> None:
    assert request_from_arguments(parsed_arguments([*PATHS, *options])).latency_sizes == batches


def test_options_reach_the_request() -> None:
    request = request_from_arguments(
        parsed_arguments([*PATHS, "--backend", "tensorrt", "--gpu", "1", "--no-cuda-graphs"])
    )
    assert (request.gpu, request.cuda_graphs, request.batch_size, request.from_scores) == (1, False, 16, False)
    assert request_from_arguments(parsed_arguments(PATHS)).cuda_graphs
    assert request_from_arguments(parsed_arguments([*PATHS, "--from-scores"])).from_scores
    chosen = request_from_arguments(parsed_arguments([*PATHS, "--validation", "v", "--from-scores", "--allow-partial"]))
    assert (chosen.validation, chosen.allow_partial) == (Path("v"), True)
    plain = request_from_arguments(parsed_arguments(PATHS))
    assert (plain.validation, plain.allow_partial) == (None, False)
    assert request_from_arguments(parsed_arguments([*PATHS, "--skip-unreadable", "--allow-partial"])).allow_partial
    assert not request_from_arguments(parsed_arguments(PATHS)).ladder
    assert (plain.aggregation, plain.accept_lookalikes) == (None, False)
    for option in (("--from-scores",), ()):
        asked = [*PATHS, *option, "--aggregation", "mean-logit", "--accept-lookalikes"]
        other = request_from_arguments(parsed_arguments(asked))
        assert (other.aggregation, other.accept_lookalikes) == ("mean-logit", True)
    assert request_from_arguments(parsed_arguments([*PATHS, "--from-scores", "--ladder"])).ladder


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--scores-only", "--from-scores"), "not allowed with"),
        (("--latency-batches", "1"), "pass --latency, too"),
        (("--latency", "--latency-batches", "0"), "whole number from 1 on"),
        (("--gpu", "-1"), "whole number from 0 on"),
        (("--from-scores", "--latency"), "--from-scores runs no engine, so --latency would have no effect"),
        (("--from-scores", "--batch-size", "16"), "so --batch-size would have no effect"),
        (("--from-scores", "--gpu", "0", "--no-cuda-graphs"), "so --gpu, --no-cuda-graphs would have no effect"),
        (("--gpu", "0"), "--gpu would have no effect: --backend onnxruntime runs on the CPU"),
        (("--no-cuda-graphs",), "--no-cuda-graphs would have no effect: --backend onnxruntime uses none"),
        (("--backend", "onnxruntime-cuda", "--gpu", "1", "--no-cuda-graphs"), "--backend onnxruntime-cuda uses none"),
        (("--allow-partial",), "--allow-partial would have no effect: without --from-scores and --skip-unreadable"),
        (("--scores-only", "--skip-unreadable", "--allow-partial"), "--scores-only compares no engines"),
        (("--from-scores", "--skip-unreadable"), "so --skip-unreadable would have no effect"),
        (("--aggregation", "median"), "invalid choice: 'median'"),
        (("--scores-only", "--aggregation", "max"), "--scores-only scores frames; pass --aggregation with"),
        (("--scores-only", "--accept-lookalikes"), "--scores-only compares no images; pass --accept-lookalikes with"),
        (("--scores-only", "--ladder"), "--ladder is for the report, which --scores-only does not make"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(
    options: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed_arguments([*PATHS, *options])
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err
