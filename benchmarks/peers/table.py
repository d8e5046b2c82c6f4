"""The benchmark's record as Markdown: one table, then what the rows cannot hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from peers.cache import FAILURE

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLUMNS = (
    "Method",
    "MiB",
    "AUC [95 %]",
    "Difference [95 %]",
    "Accuracy",
    "Flips",
    "SQNR dB",
    "within dB",
    "TensorRT for RTX",
    "Lint",
    "Seconds",
    "CPU seconds",
    "Peak MiB",
)
_REASON_LENGTH = 90


def markdown_of_record(record: Mapping[str, Any]) -> str:
    """Returns the table, its legend and how each method was configured."""
    return "\n".join([*_heading(record), "", *_table(record), "", *_legend(record), "", *_configurations(record), ""])


def _heading(record: Mapping[str, Any]) -> list[str]:
    machine, test, calibration = record["machine"], record["test"], record["calibration"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return [
        "# INT8 by Engine Sign-off and by its peers",
        "",
        f"{test['videos']} test videos ({test['images']} images), {calibration['images']} calibration images of "
        f"{calibration['videos']} videos; {machine['processor']}, {machine['cores']} cores, Python "
        f"{machine['python']}; {versions}; commit {record['commit'][:12] or 'unknown'}.",
    ]


def _table(record: Mapping[str, Any]) -> list[str]:
    rows = [_cells(row) for row in record["rows"]]
    rule = [":---", *["---:"] * 7, ":---", ":---", "---:", "---:", "---:"]
    return ["| " + " | ".join(cells) + " |" for cells in (_COLUMNS, rule, *rows)]


def _cells(row: Mapping[str, Any]) -> list[str]:
    make = row["make"]
    cost = [_number(make.get(name), ".0f") for name in ("seconds", "cpu_seconds", "peak_mib")]
    if row[FAILURE]:
        return [row["title"], *["–"] * 7, f"failed: {_short(row[FAILURE])}", "–", *cost]
    found = row["comparison"]
    videos = found["videos"]
    return [
        row["title"],
        f"{make['mib']:.2f}",
        f"{found['auc']:.4f} [{found['auc_interval'][0]:.4f}, {found['auc_interval'][1]:.4f}]",
        f"{found['auc_difference']:+.4f} [{found['difference_interval'][0]:+.4f}, "
        f"{found['difference_interval'][1]:+.4f}]",
        f"{found['accuracy']:.4f}",
        f"{found['flips']} ({100 * found['flips'] / videos:.1f} %)",
        _number(found["sqnr_db"], ".1f"),
        _number(found["sqnr_within_db"], ".1f"),
        _tensorrt(row["tensorrt"]),
        _lint(row["lint"]),
        *cost,
    ]


def _tensorrt(facts: Mapping[str, Any]) -> str:
    if FAILURE in facts:
        return f"no: {_short(facts[FAILURE])}"
    if facts["verdict"] == "yes":
        return f"yes, {facts['plan_mib']:.1f} MiB plan"
    return f"{facts['verdict']}: {_short(_words_of_tensorrt(facts['reason']))}"


def _words_of_tensorrt(reason: str) -> str:
    """Returns what TensorRT objects to, without the file and the node that it names first."""
    assertion = re.search(r"Error \([^:]*: (.+)", reason)
    if assertion:
        return assertion[1]
    return reason.partition(".onnx ")[2].partition(":")[0] or reason


def _lint(facts: Mapping[str, Any]) -> str:
    if FAILURE in facts:
        return f"failed: {_short(facts[FAILURE])}"
    rules = ", ".join(f"{count} {rule}" for rule, count in facts["rules"].items())
    return rules or "0"


def _legend(record: Mapping[str, Any]) -> list[str]:
    return [
        "AUC, accuracy and flips are by video, at the threshold 0.5; a flip is a decision that is not FP32's. "
        f"Intervals come from {record['bootstrap']['resamples']} paired resamples of the videos, stratified by class.",
        "SQNR is the variance of the FP32 frame logits over the mean squared change of the logit; `within` takes the "
        "variance within each class. Every graph was scored by ONNX Runtime on the CPU, which computes float kernels "
        "around the Q/DQ pairs. Seconds and peak memory are those of the process that made the graph; other "
        "work on the machine adds to its wall time.",
        "MiB is the ONNX file; where weights stay in float before their Q/DQ pairs, compare the plan's. Lint "
        "counts, rule by rule, what TensorRT would refuse or misread.",
    ]


def _configurations(record: Mapping[str, Any]) -> list[str]:
    lines = []
    for row in record["rows"]:
        remark = row["make"].get("remark", "")
        versions = ", ".join(f"{name} {number}" for name, number in row["make"].get("versions", {}).items())
        told = "; ".join(part for part in (row["why"], remark, versions if row["family"] == "modelopt" else "") if part)
        if told:
            lines.append(f"- **{row['title']}**: {told}.")
        if row[FAILURE]:
            lines.append(f"- **{row['title']}** failed: {row[FAILURE]}")
    return lines


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _short(text: str) -> str:
    line = " ".join(text.split()).replace("|", "/")
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"
