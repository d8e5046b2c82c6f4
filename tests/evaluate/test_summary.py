from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evaluate.comparison import compared_variants
from evaluate.summary import summary_from_record
from evaluate.verdict.outcome import outcome_code, outcome_text
from evaluate.verdict.regrading import Reported
from tests.evaluate.latency_reference import cpu_latency, latency_reference_record, with_latency
from tests.evaluate.reference import reference_record
from tests.evaluate.statistics_reference import statistics_record, verdict_on_statistics

EXPECTED = """\
Model         MiB  Reduction     AUC     Diff    Status  Accuracy   FP  FN
baseline   108.79       0.0%  0.9549  +0.0000  Baseline     0.878   15  48
q16 †       54.60     -49.8%  0.9548  -0.0001    Stable     0.876   15  49
q16-p50 †   54.60     -49.8%  0.9334  -0.0215  Degraded     0.751  128   1
q32-p50    108.99      +0.2%  0.9332  -0.0216  Degraded     0.749  129   1
q8 ‡        27.80     -74.4%  0.7588  -0.1960  Degraded     0.658  176   1
q8-p50 ‡    27.80     -74.4%  0.7119  -0.2429  Degraded     0.656  178   0

† simulated: FP16 is computed in FP32 by ONNX Runtime on the CPU
‡ simulated: INT8 is simulated by ONNX Runtime on the CPU
warning: 6 images did not decode"""


def test_summary_is_aligned_and_says_what_is_simulated() -> None:
    assert summary_from_record(reference_record(simulated=True)) == EXPECTED


def test_without_a_baseline_the_comparison_is_not_available() -> None:
    record = reference_record()
    record = replace(record, variants=compared_variants(record.variants[1:2]), warnings=())
    header, row = summary_from_record(record).splitlines()
    assert row.split() == ["q16", "54.60", "N/A", "0.9548", "N/A", "N/A", "0.876", "15", "49"]
    assert len(header) == len(row)


def test_times_of_one_batch_stand_in_the_last_columns_and_are_named() -> None:
    lines = summary_from_record(latency_reference_record()).splitlines()
    assert lines[0].endswith("FN  Median ms  Images/s")
    assert lines[2].endswith("49      3.272     317.1")
    assert lines[3].endswith("1          -         -")
    assert len({len(line) for line in lines[:7]}) == 1
    assert lines[8] == "latency: batch 1 by tensorrt 10.13.0 on NVIDIA L4"
    assert lines[-1].startswith("warning: q8-p50 by tensorrt 10.13.0 on NVIDIA L4: at batch 1, handing over")


def test_times_of_a_cpu_are_not_taken_for_a_gpus() -> None:
    record = with_latency(reference_record(simulated=True), q16=(cpu_latency("q16"),))
    lines = summary_from_record(record).splitlines()
    assert lines[2].endswith("419.5     2.381")
    assert "latency: batch 1 by onnxruntime 1.22.0 on CPU; it says nothing about a GPU" in lines


def test_intervals_and_flips_have_a_table_of_their_own() -> None:
    lines = summary_from_record(statistics_record()).splitlines()
    start = lines.index("Model               AUC 95%            Diff 95%  Flips  Broken")
    assert [len(line) for line in lines[start : start + 7]] == [len(lines[start])] * 7
    assert lines[start + 5].split() == [*["q8", "‡", "0.9383", "to", "0.9753", "-0.0160", "to", "+0.0031", "42", "24"]]


def test_the_thresholds_of_the_two_tables_are_told_apart() -> None:
    told = "accuracy, FP and FN are those at the threshold 0.5, flips at "
    notes = [line for line in summary_from_record(statistics_record()).splitlines() if line.startswith(told)]
    frozen = statistics_record().variants[0].statistics
    assert frozen is not None
    assert notes == [f"{told}{frozen.operating_points[1].threshold:.4f}"]
    assert told not in summary_from_record(statistics_record(validated=False))


def test_the_verdict_comes_last_after_its_reasons_and_the_paths() -> None:
    done = Reported(statistics_record(), verdict_on_statistics(), (Path("report/report.md"),), ("limits are old",))
    blocks = [block.splitlines() for block in outcome_text(done).split("\n\n")]
    assert blocks[0] == ["note: limits are old"]
    assert any(line.startswith("  next: ") for line in blocks[1])
    assert blocks[-2] == ["report/report.md"]
    assert (len(blocks[-1]), blocks[-1][-1]) == (7, "VERDICT run FAIL")
    assert outcome_code(done) == 3


def test_a_baseline_alone_gets_no_verdict() -> None:
    done = Reported(reference_record(), None, (Path("report/report.md"),), ())
    assert outcome_text(done).endswith("report/report.md\n\nno verdict: there is nothing but the baseline")
    assert outcome_code(done) == 0
