"""The throughput benchmark: its arithmetic in closed form, and the command on a tiny run."""

from __future__ import annotations

import itertools
import json
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engines.backend import backend_from_name
from engines.engine_runner import Query
from tests.celeb_df_tree import write_tree
from tests.engines.scripted_runner import ScriptedRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engines.run_folder import RunFolder

ROOT = Path(__file__).parents[2]


def loop(name: str, seconds: list[float], order: list[str]) -> Callable[[], float]:
    left = iter(seconds)

    def run() -> float:
        order.append(name)
        return next(left)

    return run


def test_the_ratio_is_the_median_of_turns_and_who_begins_alternates() -> None:
    from throughput_turns import row_of_turns

    order: list[str] = []
    # The first turn of each does not count; the machine is twice as slow in the last one.
    bare = {"slow": loop("slow", [9, 3, 3, 3, 6], order), "fast": loop("fast", [9, 1, 1, 1, 2], order)}
    row = row_of_turns("q8", 4, 100, bare, loop("evaluated", [9, 1.25, 2, 1, 4], order), 4)
    forth = ["slow", "fast", "evaluated"]
    assert order == [*forth, *forth, *forth[::-1], *forth, *forth[::-1]]
    # To the faster bare loop: 0.8, 0.5, 1 and 0.5.
    assert row.ratio == pytest.approx(0.65)
    assert row.quartiles == pytest.approx((0.5, 0.85))
    assert row.bare == pytest.approx({"slow": 100 / 3, "fast": 100})
    assert row.evaluated == pytest.approx(100 / 1.625)


def test_the_command_measures_a_tiny_run(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import throughput

    data, written = write_tree(tmp_path / "test", first_identity=0), tmp_path / "out.json"
    options = ["--batch-sizes", "1", "5", "--images", "11", "--turns", "2", "--json", str(written)]
    code = throughput.main([str(run.root), "--test", str(data), *options])
    record = json.loads(written.read_text(encoding="utf-8"))
    assert [(row["variant"], row["batch"]) for row in record["rows"]] == [("baseline", 1), ("baseline", 5)]
    assert all(min(*row["bare"].values(), row["evaluated"]) > 0 for row in record["rows"])
    enough = all(row["ratio"] >= 0.9 for row in record["rows"])
    assert code == (0 if enough else 3)
    told = capsys.readouterr().out.splitlines()
    assert told[-1].startswith("every evaluation reaches at least 90%" if enough else "below 90% of the bare loop")
    assert len(told) == 1 + 2 + 1


@pytest.mark.parametrize(("ratio", "code"), [(0.899, 3), (0.9, 0)])
def test_too_slow_an_evaluation_is_told(
    ratio: float, code: int, run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import throughput
    from throughput_turns import ThroughputRow

    row = ThroughputRow("baseline", 1, {"one at a time": 100.0}, 100 * ratio, ratio, (ratio, ratio))
    monkeypatch.setattr(throughput, "_row", lambda *_: row)
    data = write_tree(tmp_path / "test", first_identity=0)
    assert throughput.main([str(run.root), "--test", str(data), "--batch-sizes", "1"]) == code


def test_all_loops_take_whole_batches_of_the_same_engine(run: RunFolder, tmp_path: Path) -> None:
    import throughput

    data = write_tree(tmp_path / "test", first_identity=0)  # 24 images
    asked = Namespace(run=run.root, test=data, variants=None, batch_sizes=[5, 100], images=33)
    works = [work for _, work in throughput._works(asked, backend_from_name("onnxruntime"))]
    assert [(work.batch, work.batches, len(work.samples)) for work in works] == [(5, 6, 30), (100, 1, 100)]
    assert works[0].samples[24:] == works[0].samples[:6]
    assert works[0].one_batch().shape == (5, 3, 64, 64)


def test_a_gpu_s_bare_loop_is_as_many_queries_of_its_runner_as_a_turn_has_batches() -> None:
    from throughput_loops import bare_loops

    def overlapping(batch: int) -> Iterator[Query]:
        """One starts every 2 s and takes 3 s."""
        for start in itertools.count(0, 2):
            yield Query(100.0 + start, 103.0 + start, 3000.0)

    runner = ScriptedRunner(overlapping)
    work: Any = SimpleNamespace(batches=5, one_batch=lambda: np.zeros((4, 3, 8, 8), np.float32))
    loops = bare_loops("tensorrt", work, runner)
    assert list(loops) == ["queries"]
    assert [loops["queries"](), loops["queries"]()] == [4 * 2 + 3] * 2
    assert len(runner.given) == 2 * 5
    assert runner.calls == ["queries 4", "closed 4"] * 2


def test_an_unknown_variant_is_refused(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import throughput

    data = write_tree(tmp_path / "test", first_identity=0)
    assert throughput.main([str(run.root), "--test", str(data), "--variants", "q8"]) == 2
    assert "onnxruntime has no engine of q8; expected some of baseline" in capsys.readouterr().err
