"""The record of a benchmark: every figure of every row, and what they were measured with."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluate.scoring.score_files import read_frame_scores
from export import __version__
from export.versions import versions_of
from peers.cache import FAILURE
from peers.job import FRAMES
from peers.making import ROOT
from peers.methods import REFERENCE
from peers.statistics import RESAMPLES, SEED, comparison_of_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peers.benchmark import Outcome
    from peers.job import Job

SCHEMA = 1


def record_of_outcomes(
    job: Job, digests: dict[str, Any], outcomes: Sequence[Outcome], packages: Sequence[str]
) -> dict[str, Any]:
    """Returns the record, ready for JSON; the first outcome is that of the reference.

    Args:
        job: What the benchmark is about.
        digests: Those of its inputs.
        outcomes: What is known of each method.
        packages: Packages whose versions the record names.
    """
    return {
        "schema": SCHEMA,
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "commit": _commit(),
        "versions": {"engine-signoff": __version__, **versions_of(*packages)},
        "digests": digests,
        "calibration": {"images": len(job.calibration_set.samples), "videos": len(job.calibration_set.videos)},
        "test": {
            "images": len(job.test_set.samples),
            "videos": len(job.test_set.videos),
            "fake_images": job.test_set.fake_count,
        },
        "bootstrap": {"resamples": RESAMPLES, "seed": SEED},
        "rows": [_row(job, outcome) for outcome in outcomes],
    }


def _row(job: Job, outcome: Outcome) -> dict[str, Any]:
    method = outcome.method
    row: dict[str, Any] = {
        "method": method.name,
        "title": method.title,
        "family": method.family,
        "settings": dict(method.settings),
        "why": method.why,
        **{part: dict(facts) for part, facts in outcome.parts.items()},
        FAILURE: outcome.failure,
    }
    if not outcome.failure:
        reference = read_frame_scores(job.folder(REFERENCE) / FRAMES)
        row["comparison"] = asdict(comparison_of_frames(reference, read_frame_scores(job.folder(method.name) / FRAMES)))
    return row


def _processor() -> str:
    """Names the processor; `platform.processor` is empty on most Linux systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _commit() -> str:
    """Returns the commit that is checked out, with `+changes` if files differ from it; empty outside of git."""
    told = [
        subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=False)
        for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    ]
    if any(done.returncode for done in told):
        return ""
    return told[0].stdout.strip() + ("+changes" if told[1].stdout.strip() else "")
