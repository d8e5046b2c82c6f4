from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluate.maps.cam_agreement import CamAgreement
from evaluate.metrics import roc_auc
from evaluate.statistics.interval import Interval
from evaluate.verdict.decision import graded
from evaluate.verdict.limits import Limits, LimitsFile
from evaluate.verdict.verdict import Finding
from evaluate.verdict.verdict_lines import exit_code, finding_text, verdict_lines
from export.errors import DataError
from tests.evaluate.latency_reference import cpu_latency, gpu_latency
from tests.evaluate.verdict.planted import Drawn

if TYPE_CHECKING:
    from evaluate.record import ReportRecord
    from evaluate.verdict.verdict import Verdict

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
SEEDS = pytest.mark.parametrize("seed", [0, FRESH])
EVERYTHING = Limits(
    max_size_mib=200,
    min_auc=0.9,
    max_auc_drop=0.01,
    max_relative_auc_drop=0.01,
    max_error_growth=0.2,
    max_flips=0.02,
    max_false_alarms=0.25,
    max_missed_fakes=0.3,
    max_latency_ms=50,
    max_cam_drift=0.1,
    min_slice_auc=0.8,
    max_slice_auc_drop=0.05,
)


def verdict_by(record: ReportRecord, **limits: float) -> Verdict:
    return graded(record, LimitsFile(common=Limits(**limits)) if limits else LimitsFile())


def findings(verdict: Verdict, variant: str) -> dict[str, Finding]:
    entry = next(entry for entry in verdict.variants if entry.variant == variant)
    return {finding.limit: finding for finding in entry.findings}


def grades(verdict: Verdict, variant: str) -> dict[str, str]:
    return {limit: finding.grade for limit, finding in findings(verdict, variant).items()}


@SEEDS
def test_an_identical_engine_passes_whatever_the_size_of_the_set(seed: int) -> None:
    for videos in (12, 60, 518):
        drawn = Drawn(np.random.default_rng(seed), videos)
        drawn.add_identical("q16")
        limits = {"max_auc_drop": 1e-6, "max_error_growth": 1e-6, "max_flips": 0.0, "max_slice_auc_drop": 0.0}
        verdict = verdict_by(drawn.record(), **limits)
        assert set(grades(verdict, "q16").values()) == {"PASS"}
        assert "exactly as the baseline does" in findings(verdict, "q16")["max_flips"].reason
        assert (verdict.grade, exit_code(verdict)) == ("PASS", 0)


@SEEDS
def test_shifted_scores_fail_by_their_decisions_and_a_threshold_mends_them(seed: int) -> None:
    drawn = Drawn(np.random.default_rng(seed))
    drawn.add_shifted("q16", 3.0)
    record = drawn.record()
    verdict = verdict_by(record, max_auc_drop=0.01, min_auc=0.9, max_flips=0.02, max_false_alarms=0.25)
    found = grades(verdict, "q16")
    assert found == {"max_auc_drop": "PASS", "min_auc": "PASS", "max_flips": "FAIL", "max_false_alarms": "FAIL"}
    statistics = record.variants[1].statistics
    assert statistics is not None
    refitted = statistics.at("refitted")
    assert refitted is not None
    for limit in ("max_flips", "max_false_alarms"):
        step = findings(verdict, "q16")[limit].next_step
        assert step.startswith(f"ship the refitted threshold {refitted.threshold:.4f}, which keeps this limit"), step
    # The shift is known, so the threshold that undoes it is, too.
    frozen = statistics.at("frozen")
    assert frozen is not None
    assert np.log(refitted.threshold / (1 - refitted.threshold)) == pytest.approx(
        np.log(frozen.threshold / (1 - frozen.threshold)) + 3.0, abs=0.1
    )
    assert verdict_lines(verdict)[1].startswith("VERDICT q16 FAIL max_flips=")
    assert exit_code(verdict) == 3


@SEEDS
def test_shifted_scores_without_a_validation_set_are_told_to_use_one(seed: int) -> None:
    drawn = Drawn(np.random.default_rng(seed), validation=0)
    drawn.add_shifted("q16", 3.0)
    step = findings(verdict_by(drawn.record(), max_flips=0.02), "q16")["max_flips"].next_step
    assert "fit a threshold to its own scores: evaluate-engines RUN --test DIR --validation DIR" in step


@SEEDS
def test_swapped_labels_fail_by_the_auc(seed: int) -> None:
    drawn = Drawn(np.random.default_rng(seed))
    drawn.add_swapped("q16")
    verdict = verdict_by(
        drawn.record(), max_auc_drop=0.01, max_relative_auc_drop=0.1, max_error_growth=0.5, min_auc=0.8
    )
    found = findings(verdict, "q16")
    assert {finding.grade for finding in found.values()} == {"FAIL"}
    assert all("fake_index" in finding.next_step for finding in found.values())
    baseline = roc_auc(drawn.is_fake, drawn.logits)
    drop = baseline - (1 - baseline)
    assert found["max_auc_drop"].measured == pytest.approx(drop)
    assert found["max_relative_auc_drop"].measured == pytest.approx(drop / baseline)
    assert found["max_error_growth"].measured == pytest.approx(drop / (1 - baseline))


@SEEDS
def test_noise_at_12_db_fails_by_turned_decisions(seed: int) -> None:
    drawn = Drawn(np.random.default_rng(seed), 2000)
    drawn.add_noisy("q16", 12.0)
    drawn.add_noisy("q8", 45.0)
    verdict = verdict_by(drawn.record())
    assert grades(verdict, "q16")["max_flips"] == "FAIL"
    assert grades(verdict, "q8") == {"max_auc_drop": "PASS", "max_flips": "PASS"}
    assert verdict.grade == "FAIL"


@SEEDS
def test_too_few_videos_are_inconclusive_and_say_how_many_would_do(seed: int) -> None:
    drawn = Drawn(np.random.default_rng(seed), 60)
    drawn.add_noisy("q16", 35.0)
    verdict = verdict_by(drawn.record(), max_auc_drop=0.005, max_flips=0.02, min_auc=0.9)
    unsure = [finding for finding in findings(verdict, "q16").values() if finding.grade == "INCONCLUSIVE"]
    # Not even none of 60 shows that at most 2 % are turned.
    assert "max_flips" in [finding.limit for finding in unsure]
    assert all(re.search("60 videos( in 30 groups)? do not decide", finding.reason) for finding in unsure)
    assert all("evaluate about" in f.next_step or "hardly help" in f.next_step for f in unsure)
    assert exit_code(verdict) == 4


@pytest.mark.parametrize(("allowed", "text"), [(0.02, "0.0200"), (0.00004, "4e-05"), (0.012345, "0.012345")])
def test_a_line_states_the_limit_as_it_is(allowed: float, text: str) -> None:
    assert finding_text(Finding("max_flips", allowed, 0.3, None, "FAIL", "")) == f"max_flips=0.3000>{text}"


def test_bounds_of_an_open_grade_are_called_one_sided_and_limits_are_not_rounded() -> None:
    drawn = Drawn(np.random.default_rng(2), 60)
    drawn.add_noisy("q16", 35.0)
    limits = {"max_auc_drop": 0.00042, "max_flips": 0.0004, "max_relative_auc_drop": 0.00042}
    alone = findings(verdict_by(drawn.record(), **limits), "q16")
    for limit, stated in (("max_auc_drop", "0.00042"), ("max_flips", "0.04%"), ("max_relative_auc_drop", "0.042%")):
        assert f"limit of {stated}" in alone[limit].reason
    assert "one-sided 95% bounds" in alone["max_auc_drop"].reason
    drawn.add_noisy("q8", 30.0)
    together = findings(verdict_by(drawn.record(), **limits), "q16")["max_auc_drop"].reason
    assert "(one-sided 95% over the 2 variants judged at once)" in together


@pytest.mark.parametrize("drop", [0.0, 0.02])
def test_the_bound_that_decides_is_in_the_finding(drop: float) -> None:
    drawn = Drawn(np.random.default_rng(3), 4000)
    drawn.add_noisy("q16", 40.0 if drop == 0 else 4.0)
    finding = findings(verdict_by(drawn.record(), max_auc_drop=0.01), "q16")["max_auc_drop"]
    assert finding.bound is not None
    assert finding.measured is not None
    if drop == 0:
        assert (finding.grade, finding.measured < finding.bound < 0.01) == ("PASS", True)
    else:
        assert (finding.grade, finding.measured > finding.bound > 0.01) == ("FAIL", True)


def test_the_three_ways_to_limit_a_loss_agree() -> None:
    drawn = Drawn(np.random.default_rng(5), 400)
    drawn.add_noisy("q16", 18.0)
    record = drawn.record()
    auc = roc_auc(drawn.is_fake, drawn.logits)
    for margin in np.geomspace(1e-4, 0.05, 7):
        found = grades(
            verdict_by(
                record,
                max_auc_drop=margin,
                max_relative_auc_drop=margin / auc,
                max_error_growth=margin / (1 - auc),
            ),
            "q16",
        )
        assert len(set(found.values())) == 1, found


def test_holm_counts_candidates_only() -> None:
    """A verdict on more variants at one level is harder to pass, unless the others are no candidates."""
    rng = np.random.default_rng(11)
    drawn = Drawn(rng, 400)
    for index in range(12):
        drawn.add_noisy(f"q16-p{index + 10}", 14.0)
    record = drawn.record()
    alone = graded(record, LimitsFile(Limits(max_auc_drop=0.012), candidates=("q16-p10",)))
    together = graded(record, LimitsFile(Limits(max_auc_drop=0.012)))
    of_one, of_all = (findings(verdict, "q16-p10")["max_auc_drop"] for verdict in (alone, together))
    assert of_one.bound is not None
    assert of_all.bound is not None
    assert of_one.bound <= of_all.bound
    assert [entry.is_candidate for entry in alone.variants] == [False, True, *[False] * 11]
    assert alone.grade == of_one.grade


def test_a_growth_of_no_error_cannot_be_judged() -> None:
    drawn = Drawn(np.random.default_rng(0), 40)
    perfect = np.where(drawn.is_fake, 3.0, -3.0) + 0.01 * np.arange(40)
    drawn.add("baseline", perfect, None)
    drawn.add("q16", perfect[::-1] * np.where(drawn.is_fake, 1, 1), None)
    drawn.add("q8", perfect + 0.001, None)
    drawn.validation_is_fake = None
    finding = findings(verdict_by(drawn.record(), max_error_growth=0.1), "q8")["max_error_growth"]
    assert finding.grade == "INCONCLUSIVE"
    assert "limit max_auc_drop" in finding.reason


def test_the_baseline_is_judged_by_what_applies_and_is_no_candidate() -> None:
    drawn = Drawn(np.random.default_rng(0))
    drawn.add_identical("q16")
    verdict = graded(drawn.record(), LimitsFile(EVERYTHING))
    baseline = verdict.variants[0]
    assert [finding.limit for finding in baseline.findings] == [
        "max_size_mib",
        "min_auc",
        "max_false_alarms",
        "max_missed_fakes",
        "max_latency_ms",
        "min_slice_auc",
    ]
    assert not baseline.is_candidate
    named = graded(drawn.record(), LimitsFile(Limits(max_size_mib=60), candidates=("baseline", "q16")))
    assert [entry.is_candidate for entry in named.variants] == [True, True]
    assert (named.variants[0].grade, named.grade) == ("FAIL", "FAIL")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (LimitsFile(candidates=("q61",)), r"no variant 'q61'; did you mean q16\?"),
        (LimitsFile(of_variant={"zzz": Limits(min_auc=0.9)}), "no variant 'zzz'; there are baseline, q16"),
        (LimitsFile(Limits(), {"baseline": Limits(min_auc=0.9)}), "no limit applies to the candidate q16"),
    ],
)
def test_limits_for_what_is_not_there_are_refused(limits: LimitsFile, message: str) -> None:
    drawn = Drawn(np.random.default_rng(0), 60)
    drawn.add_identical("q16")
    with pytest.raises(DataError, match=message):
        graded(drawn.record(), limits)


def test_a_baseline_alone_is_no_candidate() -> None:
    with pytest.raises(DataError, match="no variant but the baseline"):
        graded(Drawn(np.random.default_rng(0), 60).record(), LimitsFile())


def test_what_was_not_measured_is_inconclusive_with_the_command_that_measures_it() -> None:
    drawn = Drawn(np.random.default_rng(0), 60)
    drawn.add_noisy("q16-p50", 40)
    record = drawn.record()
    found = findings(verdict_by(record, max_latency_ms=5, max_cam_drift=0.1), "q16-p50")
    assert {finding.grade for finding in found.values()} == {"INCONCLUSIVE"}
    assert found["max_latency_ms"].next_step.startswith("run evaluate-engines RUN --test DIR --latency")
    assert found["max_cam_drift"].next_step == "run evaluate-engines RUN --test DIR again"
    assert (
        verdict_lines(verdict_by(record, max_latency_ms=5))[1] == "VERDICT q16-p50 INCONCLUSIVE max_latency_ms=-?5.000"
    )


def test_without_a_baseline_differences_are_inconclusive() -> None:
    drawn = Drawn(np.random.default_rng(0), 60)
    drawn.add_noisy("q16", 40)
    drawn.engines.pop("baseline")
    found = findings(graded(drawn.record(), LimitsFile(replace(EVERYTHING, max_latency_ms=None))), "q16")
    for limit in ("max_auc_drop", "max_error_growth", "max_flips", "max_slice_auc_drop"):
        assert found[limit].grade == "INCONCLUSIVE"
        assert "build-engines --variants baseline q16" in found[limit].next_step
    assert found["max_size_mib"].grade == "PASS"


def test_a_record_without_statistics_says_to_evaluate_again() -> None:
    drawn = Drawn(np.random.default_rng(0), 60)
    drawn.add_identical("q16")
    record = drawn.record(q16={"statistics": None})
    found = findings(graded(record, LimitsFile(EVERYTHING)), "q16")
    assert found["min_auc"].reason == "the report holds no scores of it"
    assert found["max_auc_drop"].next_step == "run evaluate-engines RUN --test DIR again"


def test_size_latency_and_maps_are_compared_as_they_are() -> None:
    drawn = Drawn(np.random.default_rng(0), 60)
    drawn.add_identical("q8-p50")
    cam = CamAgreement(60, 0.8, Interval(0.7, 0.9), 0.1, 0.5, Interval(0.4, 0.6), 0.2)
    record = drawn.record(q8_p50={"latency": (cpu_latency("q8"), gpu_latency("q8")), "cam_agreement": cam})
    p95 = gpu_latency("q8").batches[0].latency.p95
    found = findings(verdict_by(record, max_size_mib=27.81, max_latency_ms=p95, max_cam_drift=0.21), "q8-p50")
    assert [finding.grade for finding in found.values()] == ["PASS"] * 3
    assert "batch 1 by tensorrt 10.13.0 on NVIDIA L4" in found["max_latency_ms"].reason
    found = findings(verdict_by(record, max_size_mib=27.79, max_latency_ms=0.99 * p95, max_cam_drift=0.19), "q8-p50")
    assert [finding.grade for finding in found.values()] == ["FAIL"] * 3
    assert all(finding.bound is None for finding in found.values())


def test_times_of_a_cpu_say_what_they_are_worth() -> None:
    drawn = Drawn(np.random.default_rng(0), 60)
    drawn.add_identical("q8")
    record = drawn.record(q8={"latency": (cpu_latency("q8"),)})
    for limit, grade in ((1e4, "PASS"), (1.0, "FAIL")):
        finding = findings(verdict_by(record, max_latency_ms=limit), "q8")["max_latency_ms"]
        assert finding.grade == grade
        assert "measured on a CPU, which says nothing about a GPU" in finding.reason


def test_the_worst_slice_is_named_and_small_ones_do_not_count() -> None:
    drawn = Drawn(np.random.default_rng(0), 400)
    logits = drawn.logits.copy()
    part = np.arange(400) % 4 == 2
    logits[part & drawn.is_fake] -= 6.0
    drawn.add("q16", logits, drawn.validation)
    record = drawn.record()
    found = findings(verdict_by(record, min_slice_auc=0.9, max_slice_auc_drop=0.05), "q16")
    assert [finding.grade for finding in found.values()] == ["FAIL", "FAIL"]
    assert all("folder part 2" in finding.reason for finding in found.values())
    assert all("folder part 2" in finding.next_step for finding in found.values())
    q16 = record.variants[1]
    assert q16.statistics is not None
    small = tuple(replace(part, fakes=6, reals=3) for part in q16.statistics.slices)
    record = drawn.record(q16={"statistics": replace(q16.statistics, slices=small)})
    found = findings(verdict_by(record, min_slice_auc=0.9), "q16")
    assert found["min_slice_auc"].grade == "INCONCLUSIVE"
    assert "10 videos or more" in found["min_slice_auc"].reason


def test_a_pass_says_what_it_does_not_vouch_for() -> None:
    drawn = Drawn(np.random.default_rng(0), 518)
    drawn.add_identical("q8")
    record = drawn.record(q8={"simulation": "INT8 is simulated by ONNX Runtime on the CPU"})
    verdict = verdict_by(replace(record, is_partial=True), max_auc_drop=0.01, max_size_mib=30)
    found = findings(verdict, "q8")
    assert found["max_auc_drop"].reason.endswith(
        "judged by simulated scores: INT8 is simulated by ONNX Runtime on the CPU; judged by partial data: videos are "
        "missing for some variant"
    )
    assert "simulated" not in found["max_size_mib"].reason
    assert verdict_lines(verdict)[1].startswith("VERDICT q8 PASS (simulated) max_size_mib=27.80<=30.00")


def test_confidence_is_that_of_the_file() -> None:
    drawn = Drawn(np.random.default_rng(2), 518)
    drawn.add_noisy("q16", 30)
    record = drawn.record()
    bounds = []
    for confidence in (0.76, 0.95, 0.9989):
        verdict = graded(
            record, LimitsFile(Limits(max_auc_drop=0.02, max_flips=0.05, min_auc=0.5), confidence=confidence)
        )
        bounds.append([finding.bound for finding in findings(verdict, "q16").values()])
    for low, middle, high in zip(*bounds, strict=True):
        assert low is not None
        assert middle is not None
        assert high is not None
        assert low < middle < high or low > middle > high


def test_fakes_of_one_person_call_for_other_persons_and_not_for_more_videos() -> None:
    drawn = Drawn(np.random.default_rng(3), 60)
    drawn.add_noisy("q16", 30)
    record = drawn.record()
    videos = tuple(replace(video, cluster="id0") if video.is_fake else video for video in record.videos)
    verdict = graded(replace(record, videos=videos), LimitsFile(Limits(max_auc_drop=0.02, min_auc=0.9)))
    for finding in findings(verdict, "q16").values():
        assert (finding.grade, finding.next_step.partition(",")[0]) == (
            "INCONCLUSIVE",
            "all fakes or all reals show one person",
        )


@SEEDS
def test_videos_of_few_persons_decide_less_about_shares_if_they_are_alike(seed: int) -> None:
    """The same report, graded again with what is known of its persons."""
    drawn = Drawn(np.random.default_rng(seed), validation=0)
    flipped = np.arange(518) % 173 == 1
    drawn.add("q16", np.where(flipped, -drawn.logits, drawn.logits), None)
    record = drawn.record()
    by_margin = np.argsort(np.argsort(np.where(flipped, -1, 1) * np.abs(drawn.logits)))
    found = []
    for persons in (np.arange(518), np.arange(518) % 50, by_margin * 50 // 518, np.zeros(518)):
        named = [replace(video, cluster=f"id{person}") for video, person in zip(record.videos, persons, strict=True)]
        verdict = verdict_by(replace(record, videos=tuple(named)), max_flips=0.02, max_false_alarms=0.5)
        found.append(findings(verdict, "q16")["max_flips"])
    alone, mixed, alike, one = found
    assert [finding.grade for finding in found] == ["PASS", "PASS", "INCONCLUSIVE", "INCONCLUSIVE"]
    assert [finding.measured for finding in found] == [3 / 518] * 4
    assert alone.bound is not None
    assert mixed.bound is not None
    assert alike.bound is not None
    assert alone.bound <= mixed.bound < 1.3 * alone.bound
    assert alike.bound > 0.9 * (1 - 0.05 ** (1 / 50))
    assert "518 videos in 50 groups do not decide" in alike.reason
    assert "videos of proportionally more persons, which" in alike.next_step
    assert one.bound == 1.0
    assert "evaluate more persons" in one.next_step


@SEEDS
def test_shares_are_graded_as_the_report_counts_them_even_at_the_threshold_itself(seed: int) -> None:
    """Logits are whole, so that many scores are the threshold of 0.5."""
    drawn = Drawn(np.random.default_rng(seed), 200, validation=0)
    drawn.logits = np.round(drawn.logits)
    drawn.add("baseline", drawn.logits, None)
    drawn.add("q16", np.round(drawn.logits + drawn.rng.normal(size=200)), None)
    record = drawn.record()
    statistics = record.variants[1].statistics
    assert statistics is not None
    assert statistics.drift is not None
    point, flips = statistics.operating_points[0], statistics.drift.flips.share
    found = findings(verdict_by(record, max_flips=0.1, max_false_alarms=0.1, max_missed_fakes=0.1), "q16")
    assert found["max_flips"].measured == flips.share
    assert found["max_false_alarms"].measured == point.false_alarms.share
    assert found["max_missed_fakes"].measured == point.missed_fakes.share
    assert f"{flips.count:,} of 200 decisions" in found["max_flips"].reason
