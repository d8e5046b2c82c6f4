from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.samples import Sample
from evaluate.scoring.unfinished_scores import ScoredSample, UnfinishedScores, frames_of

ROOT = Path("/data")
# Before Python 3.13 the csv module does not quote a carriage return; a run then goes on from the batch before it.
NAMES = st.text(st.characters(exclude_characters="/\0\r", exclude_categories=("Cs",)), min_size=1, max_size=8)
FRAMES = ("", "7", '8,"')
LOGITS = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def scored_samples(names: list[str], logits: list[float | None]) -> list[ScoredSample]:
    return [
        ScoredSample(Sample(ROOT / f"{index}{name}.png", index % 2 == 0, f"set/{name}", (), FRAMES[index % 3]), logit)
        for index, (name, logit) in enumerate(zip(names, logits, strict=False))
    ]


def readable(batch: list[ScoredSample]) -> list[ScoredSample]:
    return [entry for entry in batch if entry.logit is not None]


def batches_of(scored: list[ScoredSample], batch_size: int) -> list[list[ScoredSample]]:
    """Cuts as a run does: each batch up to its last readable image; what follows the last of all is in none."""
    batches: list[list[ScoredSample]] = [[]]
    for entry in scored:
        batches[-1].append(entry)
        if len(readable(batches[-1])) == batch_size:
            batches.append([])
    while batches[-1] and batches[-1][-1].logit is None:
        batches[-1].pop()
    return [batch for batch in batches if batch]


@settings(max_examples=50, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=12), st.lists(LOGITS, max_size=12), st.integers(1, 4), st.data())
def test_wherever_the_file_ends_every_whole_batch_before_is_kept(
    names: list[str], logits: list[float | None], batch_size: int, data: st.DataObject
) -> None:
    truth = scored_samples(names, logits)
    samples = [entry.sample for entry in truth]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frames.partial.csv"
        file = UnfinishedScores(path, "key", ROOT)
        assert file.resumed(samples, batch_size) == ()
        ends = []
        for batch in batches_of(truth, batch_size):
            file.append(batch)
            ends.append((path.stat().st_size, batch))
        cut = data.draw(st.integers(0, path.stat().st_size))
        path.write_bytes(path.read_bytes()[:cut])
        kept = file.resumed(samples, batch_size)
        # The end of the last line may be missing.
        whole = [batch for end, batch in ends if end - 1 <= cut and len(readable(batch)) == batch_size]
        assert list(kept) == [entry for batch in whole for entry in batch]
        assert file.resumed(samples, batch_size) == kept
        assert UnfinishedScores(path, "other", ROOT).resumed(samples, batch_size) == ()


@pytest.fixture
def scored() -> list[ScoredSample]:
    return scored_samples(list("abcdef"), [1.5, -0.25, None, 3.0, 4.0, 5.0])


def written(path: Path, scored: list[ScoredSample]) -> UnfinishedScores:
    file = UnfinishedScores(path, "key", ROOT)
    file.resumed([], 2)
    file.append(scored)
    return file


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("set/e", "set/x"),
        ("4.0", "4.0.0"),
        ("4.0", "nan"),
        ("4.0", "inf"),
        ("set/e,1", "set/e,0"),
        ("4e.png", "4x.png"),
        ("set/e,", "set/e,,"),
        ("set/e,", '"set/e,'),
        ("set/e,1,4.0,7,", "set/e,1,4.0,8,"),
    ],
)
def test_nothing_is_taken_from_a_line_that_was_not_written_so(
    old: str, new: str, scored: list[ScoredSample], tmp_path: Path
) -> None:
    path = tmp_path / "frames.partial.csv"
    file = written(path, scored)
    samples = [entry.sample for entry in scored]
    assert len(file.resumed(samples, 1)) == 6
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert list(file.resumed(samples, 1)) == scored[:4]


def test_an_image_that_must_decode_is_met_again(scored: list[ScoredSample], tmp_path: Path) -> None:
    file = written(tmp_path / "frames.partial.csv", scored)
    assert list(file.resumed([entry.sample for entry in scored], 1, skip_unreadable=False)) == scored[:2]


def test_frames_are_the_images_that_decode(scored: list[ScoredSample]) -> None:
    assert [(f.path, f.video, f.is_fake, f.logit, f.frame) for f in frames_of(scored, ROOT)][:3] == [
        ("0a.png", "set/a", True, 1.5, ""),
        ("1b.png", "set/b", False, -0.25, "7"),
        ("3d.png", "set/d", False, 3.0, ""),
    ]
