"""A report folder: what was measured, and what was made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.record import read_record
from evaluate.verdict.verdict import read_verdict
from export.errors import DataError
from export.sidecar import sha256_of_file

if TYPE_CHECKING:
    from pathlib import Path

    from evaluate.record import ReportRecord
    from evaluate.verdict.verdict import Verdict


@dataclass(frozen=True)
class StoredReport:
    """What lies in a report folder.

    Attributes:
        folder: The folder.
        record: Its report.json.
        sha256: Digest of that file.
        verdict: Its verdict.json; None if it was never graded.
    """

    folder: Path
    record: ReportRecord
    sha256: str
    verdict: Verdict | None

    @property
    def is_outdated(self) -> bool:
        """Whether report.json is another one than was graded."""
        return self.verdict is not None and self.verdict.report_sha256 != self.sha256


def report_folder(path: Path) -> Path:
    """Returns the report folder that a run folder or the folder itself stands for.

    Raises:
        DataError: Neither holds a report.json.
    """
    for folder in (path / "report", path):
        if (folder / "report.json").is_file():
            return folder
    raise DataError(f"no report at {path}; expected a run folder with report/report.json: run evaluate-engines first")


def stored_verdict(folder: Path) -> Verdict | None:
    """Reads the verdict of a report folder; None if there is none.

    Raises:
        ArtifactError: verdict.json is damaged or another release's.
        DataError: A limit in it is out of range.
    """
    file = folder / "verdict.json"
    return read_verdict(file) if file.is_file() else None


def stored_report(path: Path, afresh: bool = False) -> StoredReport:
    """Reads the report of a run folder or of a report folder.

    Args:
        path: The folder.
        afresh: Whether the verdict is left unread.

    Raises:
        DataError: There is none.
        ArtifactError: report.json or verdict.json is damaged or another release's.
    """
    folder = report_folder(path)
    return StoredReport(
        folder=folder,
        record=read_record(folder / "report.json"),
        sha256=sha256_of_file(folder / "report.json"),
        verdict=None if afresh else stored_verdict(folder),
    )
