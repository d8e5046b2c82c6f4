from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import engines.cli
import evaluate.cli
from evaluate.ladder import LadderStep
from evaluate.maps.cam_agreement import CamAgreement
from evaluate.statistics.interval import Interval
from evaluate.verdict import accuracy_step, next_step, not_measured
from evaluate.verdict.decision import graded
from evaluate.verdict.limits import Limits, LimitsFile
from pruning.record import PruningStep
from tests.evaluate.int8_reference import b5_record
from tests.evaluate.latency_reference import cpu_latency, gpu_latency
from tests.evaluate.pruning_reference import DENSE, b5_pruning
from tests.evaluate.verdict.planted import Drawn

if TYPE_CHECKING:
    from evaluate.record import ReportRecord

DISTILLED = PruningStep("distillation from the dense detector, 300 steps", DENSE, DENSE, kept=True)


def step_of(record: ReportRecord, variant: str, **limits: float) -> str:
    (limit,) = limits
    entry = next(e for e in graded(record, LimitsFile(Limits(**limits))).variants if e.variant == variant)
    (finding,) = [finding for finding in entry.findings if finding.limit == limit]
    assert finding.grade == "FAIL"
    return finding.next_step


def weak(*names: str) -> Drawn:
    """Returns engines that have all lost much AUC."""
    drawn = Drawn(np.random.default_rng(0), 150, validation=0)
    for name in names:
        drawn.add_noisy(name, -9.0)
    return drawn


def ladder(**costs: float) -> dict[str, Any]:
    steps = [LadderStep(stage, "torch", 0.9, cost, 0, None) for stage, cost in costs.items()]  # type: ignore[arg-type]
    return {"ladder": tuple(steps)}


def test_pruning_is_told_to_prune_less_or_to_repair_more() -> None:
    drawn = weak("q16-s50")
    pruning = b5_pruning("structured", 50)
    record = drawn.record(q16_s50={"pruning": pruning})
    assert step_of(record, "q16-s50", max_auc_drop=0.01) == (
        "let distillation repair it, build-engines --max-pruning-auc-drop X with a smaller X, or prune less, "
        "build-engines --pruning s40"
    )
    distilled = replace(pruning, steps=(*pruning.steps, DISTILLED), nearest_percent=38)
    record = drawn.record(q16_s50={"pruning": distilled})
    assert step_of(record, "q16-s50", max_auc_drop=0.01) == (
        "prune less, build-engines --pruning s38, or distil longer, --distill-steps N"
    )
    record = drawn.record(q16_s50={"pruning": replace(pruning, recipe="magnitude")})
    assert step_of(record, "q16-s50", max_auc_drop=0.01).endswith("build-engines --pruning-recipe accurate")


def test_the_least_pruning_and_the_fixed_pattern_have_steps_too() -> None:
    assert "--pruning s01" in step_of(weak("q16-s05").record(), "q16-s05", max_auc_drop=0.01)
    assert "--pruning p50" in step_of(weak("q16-n24").record(), "q16-n24", max_auc_drop=0.01)


def test_int8_is_told_to_search_or_to_keep_what_costs_most_in_floating_point() -> None:
    drawn = weak("q8")
    record = drawn.record(q8={"int8": b5_record(recipe="minmax")})
    assert step_of(record, "q8", max_auc_drop=0.01).endswith("build-engines --int8-recipe accurate")
    int8 = b5_record()
    step = step_of(drawn.record(q8={"int8": int8}), "q8", max_auc_drop=0.01)
    names = re.search(r"--keep-float (.*), or allow it a larger file, --max-size-mib MIB", step)
    assert names is not None
    groups = {group.name: group for group in int8.groups}
    told = names[1].split()
    assert len(told) == 3
    assert all(groups[name].arithmetic != "float" for name in told)
    restored = [group.restored_sqnr_db or 0.0 for group in int8.groups if group.arithmetic != "float"]
    assert [groups[name].restored_sqnr_db for name in told] == sorted(restored, reverse=True)[:3]


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        ({"pruned": 0.1, "graph": 0.0, "engine": 0.0}, "--pruning s40"),
        ({"pruned": 0.0, "graph": 0.1, "engine": 0.0}, "--keep-float"),
        ({"pruned": 0.0, "graph": 0.0, "engine": 0.1}, "--backend onnxruntime"),
    ],
)
def test_the_ladder_tells_which_part_is_to_blame(costs: dict[str, float], words: str) -> None:
    changes = {"int8": b5_record(), "pruning": b5_pruning("structured", 50), **ladder(checkpoint=0.0, **costs)}
    assert words in step_of(weak("q8-s50").record(q8_s50=changes), "q8-s50", max_auc_drop=0.01)


@pytest.mark.parametrize(
    ("noise", "words"), [({"q16-s50": 40, "q8": -9}, "--keep-float"), ({"q16-s50": -9, "q8": 40}, "--pruning s40")]
)
def test_without_a_ladder_the_variants_with_one_part_only_tell(noise: dict[str, float], words: str) -> None:
    drawn = weak("q8-s50")
    for name, decibels in noise.items():
        drawn.add_noisy(name, decibels)
    record = drawn.record(q8_s50={"int8": b5_record(), "pruning": b5_pruning("structured", 50)})
    assert words in step_of(record, "q8-s50", max_auc_drop=0.01)


def test_what_nothing_tells_is_to_be_looked_for() -> None:
    assert step_of(weak("q8-s50").record(), "q8-s50", max_auc_drop=0.01).endswith("--ladder")
    assert step_of(weak("q16").record(), "q16", max_auc_drop=0.01).endswith("--backend onnxruntime")


def test_maps_are_those_of_the_source_so_only_pruning_moves_them() -> None:
    cam = CamAgreement(60, 0.2, Interval(0.1, 0.3), 0.1, 0.5, Interval(0.4, 0.6), 0.2)
    record = weak("q8-s50").record(q8_s50={"int8": b5_record(), "cam_agreement": cam, **ladder(graph=0.2, pruned=0.0)})
    assert "--pruning s40" in step_of(record, "q8-s50", max_cam_drift=0.1)


def test_what_the_baseline_misses_too_is_not_the_compression() -> None:
    drawn = Drawn(np.random.default_rng(0), 600)
    drawn.add_noisy("q16", 40)
    for limits in ({"min_auc": 0.99}, {"max_false_alarms": 0.01}, {"max_missed_fakes": 0.01}, {"min_slice_auc": 0.99}):
        assert "train the detector further" in step_of(drawn.record(), "q16", **limits)


def test_too_large_or_too_slow_is_told_which_variant_is_not() -> None:
    drawn = Drawn(np.random.default_rng(0), 100)
    for name in ("q16", "q8"):
        drawn.add_noisy(name, 40)
    record = drawn.record(q16={"latency": (gpu_latency("q16"),)}, q8={"latency": (gpu_latency("q8"),)})
    assert step_of(record, "q16", max_size_mib=30).startswith("take q8, which keeps it with 27.80 MiB and AUC 0.")
    assert step_of(record, "q16", max_latency_ms=3).startswith("take q8, which keeps it with 2.6")
    assert "--precision fp16" in step_of(drawn.record(baseline={}), "baseline", max_size_mib=20)


@pytest.mark.parametrize("name", ["q32-p50", "q16", "q16-p50", "q16-s50", "q8", "q8-p50", "q8-s50", "q8w"])
def test_every_variant_has_a_step_for_size_and_latency_where_none_keeps_the_limit(name: str) -> None:
    drawn = Drawn(np.random.default_rng(0), 60)
    drawn.add_identical(name)
    key = name.replace("-", "_")
    record = drawn.record(**{key: {"latency": (gpu_latency("q8"),), "int8": b5_record() if "q8" in name else None}})
    steps = [step_of(record, name, max_size_mib=1), step_of(record, name, max_latency_ms=0.1)]
    assert all("build-engines --" in step for step in steps)


def test_times_that_say_little_are_to_be_measured_first() -> None:
    drawn = Drawn(np.random.default_rng(0), 60)
    drawn.add_identical("q8")
    record = drawn.record(q8={"latency": (cpu_latency("q8"),)})
    assert step_of(record, "q8", max_latency_ms=1).startswith("measure on the GPU")
    record = drawn.record(q8={"latency": (gpu_latency("q8", (8, 32)),)})
    assert step_of(record, "q8", max_latency_ms=1).endswith("--latency --latency-batches 1")


def options_of(main: Any, capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        main(["--help"])
    return set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out))


def test_every_option_that_is_named_exists(capsys: pytest.CaptureFixture[str]) -> None:
    building, evaluating = options_of(engines.cli.main, capsys), options_of(evaluate.cli.main, capsys)
    assert "--pruning" in building
    assert "--ladder" in evaluating
    for module in (accuracy_step, next_step, not_measured):
        assert module.__file__ is not None
        source = Path(module.__file__).read_text(encoding="utf-8")
        named = set(re.findall(r"--[a-z0-9-]+", source))
        assert named
        assert named <= building | evaluating, named - building - evaluating
        for text in re.findall(r"\{EVALUATE\}((?: --[a-z-]+[^-\"]*)+)", source):
            assert set(re.findall(r"--[a-z0-9-]+", text)) <= evaluating, text
        for text in re.findall(r"build-engines ((?:--[a-z0-9-]+[^-\"]*)+)", source):
            assert set(re.findall(r"--[a-z0-9-]+", text)) <= building, text
