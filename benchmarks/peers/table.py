"""A benchmark's record as Markdown: one table, then what the rows cannot hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from peers.cache import FAILURE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_REASON_LENGTH = 90


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        heading: What stands above it.
        cell: Row of the record -> text.
        right: Whether it is aligned to the right, as numbers are.
        always: Whether a method that failed has this figure as well.
        tells_failure: Whether the reason of a failure stands here.
    """

    heading: str
    cell: Callable[[Mapping[str, Any]], str]
    right: bool = True
    always: bool = False
    tells_failure: bool = False

    def text(self, row: Mapping[str, Any]) -> str:
        """Returns what the row has in this column."""
        if self.always or not row[FAILURE]:
            return self.cell(row)
        return f"failed: {short(row[FAILURE])}" if self.tells_failure else "–"


def markdown_of_record(record: Mapping[str, Any], title: str, columns: Sequence[Column], legend: Sequence[str]) -> str:
    """Returns the table, its legend and how each method was configured."""
    told = [_decisions(record), *legend]
    parts = (_heading(record, title), _table(record, columns), told, _configurations(record))
    return "\n".join(line for part in parts for line in (*part, ""))


def _heading(record: Mapping[str, Any], title: str) -> list[str]:
    machine, test, calibration = record["machine"], record["test"], record["calibration"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return [
        f"# {title}",
        "",
        f"{test['videos']} test videos ({test['images']} images), {calibration['images']} calibration images of "
        f"{calibration['videos']} videos; {machine['processor']}, {machine['cores']} cores, Python "
        f"{machine['python']}; {versions}; commit {record['commit'][:12] or 'unknown'}.",
    ]


def _table(record: Mapping[str, Any], columns: Sequence[Column]) -> list[str]:
    headings = [column.heading for column in columns]
    rule = ["---:" if column.right else ":---" for column in columns]
    rows = [[column.text(row) for column in columns] for row in record["rows"]]
    return ["| " + " | ".join(cells) + " |" for cells in (headings, rule, *rows)]


def _decisions(record: Mapping[str, Any]) -> str:
    return (
        "AUC, accuracy and flips are by video, at the threshold 0.5; a flip is a decision that is not FP32's. "
        f"Intervals come from {record['bootstrap']['resamples']} paired resamples of the videos, stratified by class."
    )


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


def number(value: float | None, form: str) -> str:
    """Returns a figure, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def interval(value: float, bounds: Sequence[float], form: str) -> str:
    """Returns a figure with its interval."""
    return f"{value:{form}} [{bounds[0]:{form}}, {bounds[1]:{form}}]"


def short(text: str) -> str:
    """Returns the beginning of a reason, in one line that breaks no table."""
    line = " ".join(text.split()).replace("|", "/")
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"


def _difference(row: Mapping[str, Any]) -> str:
    found = row["comparison"]
    return interval(found["auc_difference"], found["difference_interval"], "+.4f")


def _auc(row: Mapping[str, Any]) -> str:
    found = row["comparison"]
    return interval(found["auc"], found["auc_interval"], ".4f")


def _flips(row: Mapping[str, Any]) -> str:
    found = row["comparison"]
    return f"{found['flips']} ({100 * found['flips'] / found['videos']:.1f} %)"


def _compared(name: str, form: str, row: Mapping[str, Any]) -> str:
    return number(row["comparison"].get(name), form)


def _made(name: str, form: str, row: Mapping[str, Any]) -> str:
    return number(row["make"].get(name), form)


METHOD = Column("Method", lambda row: str(row["title"]), right=False, always=True)
MIB = Column("MiB", partial(_made, "mib", ".2f"))
AUC = Column("AUC [95 %]", _auc)
DIFFERENCE = Column("Difference [95 %]", _difference)
ACCURACY = Column("Accuracy", partial(_compared, "accuracy", ".4f"))
FALSE_POSITIVES = Column("False positives", partial(_compared, "false_positives", "d"))
FLIPS = Column("Flips", _flips)
SQNR = Column("SQNR dB", partial(_compared, "sqnr_db", ".1f"))
SQNR_WITHIN = Column("within dB", partial(_compared, "sqnr_within_db", ".1f"))
SECONDS = Column("Seconds", partial(_made, "seconds", ".0f"), always=True)
CPU_SECONDS = Column("CPU seconds", partial(_made, "cpu_seconds", ".0f"), always=True)
PEAK_MIB = Column("Peak MiB", partial(_made, "peak_mib", ".0f"), always=True)
