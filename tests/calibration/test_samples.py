from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from calibration.samples import Sample, SampleSet, require_both_classes, require_disjoint
from export.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


def sample_set(root: Path, *entries: tuple[str, bool, tuple[str, ...]]) -> SampleSet:
    """Makes a set with one file per (video, is_fake, identities)."""
    samples = []
    for video, is_fake, identities in entries:
        path = root / video / "0.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(video.encode())
        samples.append(Sample(path, is_fake, video, identities))
    return SampleSet(root, tuple(samples))


ENTRIES = (("real/a", False, ("id1",)), ("fake/b", True, ("id2", "id3")), ("fake/c", True, ("id2", "id4")))


def test_counts_and_origins(tmp_path: Path) -> None:
    samples = sample_set(tmp_path, *ENTRIES)
    assert (samples.real_count, samples.fake_count) == (1, 2)
    assert samples.videos == {"real/a", "fake/b", "fake/c"}
    assert samples.identities == {"id1", "id2", "id3", "id4"}
    assert samples.samples[1].video_name == "b"


def test_digest_ignores_place_and_order_but_not_content(tmp_path: Path) -> None:
    here = sample_set(tmp_path / "here", *ENTRIES)
    there = sample_set(tmp_path / "there", *reversed(ENTRIES))
    assert here.sha256 == there.sha256
    there.samples[0].path.write_bytes(b"changed")
    assert SampleSet(there.root, there.samples).sha256 != here.sha256


@pytest.mark.parametrize("change", [{"is_fake": True}, {"video": "real/x"}])
def test_digest_covers_label_and_video(tmp_path: Path, change: dict[str, object]) -> None:
    samples = sample_set(tmp_path, *ENTRIES)
    changed = (replace(samples.samples[0], **change), *samples.samples[1:])  # type: ignore[arg-type]
    assert SampleSet(tmp_path, changed).sha256 != samples.sha256


@pytest.mark.parametrize("kept", [slice(0, 1), slice(1, 3)])
def test_one_sided_set_is_refused(tmp_path: Path, kept: slice) -> None:
    samples = sample_set(tmp_path, *ENTRIES)
    require_both_classes(samples, "test")
    with pytest.raises(DataError, match="both classes are needed"):
        require_both_classes(SampleSet(tmp_path, samples.samples[kept]), "test")


def test_overlap_is_refused(tmp_path: Path) -> None:
    calibration = sample_set(tmp_path / "c", *ENTRIES)
    require_disjoint(calibration, sample_set(tmp_path / "ok", ("real/x", False, ("id9",))))
    with pytest.raises(DataError, match="share 1 videos, such as fake/b"):
        require_disjoint(calibration, sample_set(tmp_path / "video", ("fake/b", True, ("id9",))))
    with pytest.raises(DataError, match="share 1 identities, such as id3"):
        require_disjoint(calibration, sample_set(tmp_path / "person", ("real/x", False, ("id3",))))
