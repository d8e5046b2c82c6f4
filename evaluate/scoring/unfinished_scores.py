"""Scores of a run that is not over: written batch by batch, so that a run that was cut short goes on where it stopped.

    recipe,<key>
    video,label,logit,frame,path    one line per face, in the order of the test set; the logit is empty where the image
                                    does not decode

A run goes on at the boundary of a batch. Every batch then holds the images that it would have held in an undisturbed
run, and its logits are the same to the last bit.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from calibration.samples import path_from_root
from evaluate.scoring.score_files import FRAME_COLUMNS
from evaluate.scoring.scoring import frame_score
from export.sidecar import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from calibration.samples import Sample
    from evaluate.scores import FrameScore


@dataclass(frozen=True)
class ScoredSample:
    """A sample and the logit of its image; None if that does not decode."""

    sample: Sample
    logit: float | None


class UnfinishedScores:
    """The file of one run; another key, which names another recipe or batch size, starts it anew.

    Args:
        path: Where it lies.
        key: Digest of everything that determines the logits, the batch size included.
        root: Data root, to which the frames' paths are relative.
    """

    def __init__(self, path: Path, key: str, root: Path) -> None:
        self._path = path
        self._key = key
        self._root = root

    def resumed(
        self, samples: Sequence[Sample], batch_size: int, skip_unreadable: bool = True
    ) -> tuple[ScoredSample, ...]:
        """Returns what an earlier run has of the first samples, to the end of its last full batch, and drops the rest.

        A line that was torn by a kill, and whatever follows a line that is not that of its sample, counts as not there.
        Unless they are to be skipped, so does whatever follows an image that does not decode: the run must meet it.
        """
        decodable = takewhile(lambda entry: skip_unreadable or entry.logit is not None, self._read(samples))
        known = tuple(decodable)
        kept = known[: _end_of_last_full_batch(known, batch_size)]
        write_text(self._path, _text([("recipe", self._key)]) + self._lines(kept))
        return kept

    def append(self, scored: Iterable[ScoredSample]) -> None:
        """Adds the samples of one batch; they survive a kill of this process from then on."""
        with self._path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(self._lines(scored))

    def _read(self, samples: Sequence[Sample]) -> Iterator[ScoredSample]:
        rows = _rows(self._path)
        if next(rows, None) != ["recipe", self._key]:
            return
        for sample, row in zip(samples, rows, strict=False):
            if len(row) != len(FRAME_COLUMNS):
                return
            video, label, number, *place = row
            logit = _logit(number)
            if (video, label, *place) != self._description(sample) or (logit is None and number):
                return
            yield ScoredSample(sample, logit)

    def _lines(self, scored: Iterable[ScoredSample]) -> str:
        rows = []
        for entry in scored:
            video, label, *place = self._description(entry.sample)
            rows.append((video, label, "" if entry.logit is None else repr(entry.logit), *place))
        return _text(rows)

    def _description(self, sample: Sample) -> tuple[str, str, str, str]:
        return sample.video, str(int(sample.is_fake)), sample.frame, path_from_root(sample.path, self._root)


def frames_of(scored: Iterable[ScoredSample], root: Path) -> tuple[FrameScore, ...]:
    """Returns the frames whose images decode, with paths relative to the data root."""
    return tuple(frame_score(entry.sample, entry.logit, root) for entry in scored if entry.logit is not None)


def _end_of_last_full_batch(known: Sequence[ScoredSample], batch_size: int) -> int:
    end, images = 0, 0
    for index, entry in enumerate(known, start=1):
        images += entry.logit is not None
        if entry.logit is not None and images % batch_size == 0:
            end = index
    return end


def _rows(path: Path) -> Iterator[list[str]]:
    """Yields the rows; none if there is no such file. A torn line lacks some of the path, which comes last."""
    if not path.is_file():
        return
    text = path.read_bytes().decode("utf-8", errors="replace")
    try:
        yield from csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error:
        return


def _text(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _logit(text: str) -> float | None:
    try:
        logit = float(text)
    except ValueError:
        return None
    return logit if math.isfinite(logit) else None
