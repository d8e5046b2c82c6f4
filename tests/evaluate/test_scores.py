from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import expit

from evaluate.aggregation import scores_from_logits
from evaluate.scores import (
    FrameScore,
    ScoreSet,
    VideoScore,
    sample_names_from_videos,
    video_scores_from_frames,
)
from evaluate.scoring.score_files import read_frame_scores, read_scores, write_frame_scores, write_scores
from export.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


def drawn_frames(seed: int) -> list[FrameScore]:
    rng = np.random.default_rng(seed)
    frames = []
    for video in range(12):
        folder = ("Celeb-real", "YouTube-real", "Celeb-synthesis")[video % 3]
        for index in range(int(rng.integers(1, 6))):
            logit = float(np.float32(rng.normal() * 3))
            frames.append(
                FrameScore(f"{folder}/v{video}/{index:03}.jpg", f"{folder}/v{video}.mp4", video % 3 == 2, logit)
            )
    return frames


def test_logits_become_scores_as_by_scipy_and_extremes_do_not_overflow() -> None:
    logits = np.array([-5000.0, -300.0, -2.5, 0.0, 3.25, 300.0, 5000.0])
    assert np.allclose(scores_from_logits(logits), expit(logits), rtol=1e-12, atol=0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_videos_get_the_mean_of_their_frames_and_the_frame_nearest_to_it(seed: int) -> None:
    frames = drawn_frames(seed)
    expected: dict[str, tuple[float, str]] = {}
    for video in {frame.video for frame in frames}:
        own = {frame.path: float(expit(frame.logit)) for frame in frames if frame.video == video}
        mean = sum(own.values()) / len(own)
        expected[video.split("/")[1]] = mean, sorted(own, key=lambda path: (abs(own[path] - mean), path))[0]
    scores = video_scores_from_frames(frames, "mean-probability")
    assert [video.sample for video in scores.videos] == sorted(expected)
    assert [video.path for video in scores.videos] == [expected[video.sample][1] for video in scores.videos]
    assert scores.scores.tolist() == pytest.approx([expected[video.sample][0] for video in scores.videos], abs=1e-12)
    assert scores.is_fake.tolist() == [int(video.sample[1:-4]) % 3 == 2 for video in scores.videos]


def test_the_order_of_frames_changes_no_bit_of_the_scores() -> None:
    frames = drawn_frames(4)
    shuffled = random.Random(5).sample(frames, len(frames))
    assert video_scores_from_frames(shuffled, "mean-probability") == video_scores_from_frames(
        frames, "mean-probability"
    )


def test_frames_equally_near_the_mean_are_ordered_by_name() -> None:
    frames = [FrameScore(f"a/v/{name}.jpg", "a/v.mp4", True, logit) for name, logit in (("b", 1.0), ("a", -1.0))]
    assert video_scores_from_frames(frames, "mean-probability").videos[0].path == "a/v/a.jpg"


def test_a_video_with_two_labels_is_refused() -> None:
    frames = [FrameScore(f"a/v/{label}.jpg", "a/v.mp4", label, 0.0) for label in (True, False)]
    with pytest.raises(DataError, match=r"a/v\.mp4 are labelled both"):
        video_scores_from_frames(frames, "mean-probability")


def test_only_names_held_by_two_folders_carry_their_folder() -> None:
    names = sample_names_from_videos(["a/1.mp4", "b/1.mp4", "b/2.mp4", "a/1.mp4"])
    assert names == {"a/1.mp4": "a/1.mp4", "b/1.mp4": "b/1.mp4", "b/2.mp4": "2.mp4"}


def test_score_files_read_back_bit_for_bit(tmp_path: Path) -> None:
    faces = [FrameScore(f"a/v/3-{face}.png", "a/v.mp4", True, face - 0.5, "3") for face in range(2)]
    frames = (*drawn_frames(6), *faces, FrameScore('odd, "name"/0 é.jpg', "odd/v.mp4", False, -1e-40))
    scores = video_scores_from_frames(frames, "mean-probability")
    write_frame_scores(tmp_path / "frames.csv", frames)
    write_scores(tmp_path / "scores.csv", scores)
    assert read_frame_scores(tmp_path / "frames.csv") == frames
    assert read_scores(tmp_path / "scores.csv") == scores


def test_scores_csv_says_1_for_fake(tmp_path: Path) -> None:
    write_scores(tmp_path / "s.csv", ScoreSet((VideoScore("id0_id1_0000.mp4", True, 0.1, "f/0.jpg"),)))
    assert (tmp_path / "s.csv").read_text() == "sample,label,score,path\nid0_id1_0000.mp4,1,0.1,f/0.jpg\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected sample,label,score,path"),
        ("sample,label,score\n", "expected sample,label,score,path"),
        ("sample,label,score,path,extra\n", "columns sample,label,score,path,extra"),
        ("sample,label,score,path\na,1,0.5\n", ":2: 3 fields"),
        ("sample,label,score,path\na,2,0.5,p\n", ":2: label '2'"),
        ("sample,label,score,path\na,1,nan,p\n", ":2: nan where a finite"),
        ("sample,label,score,path\na,1,1.5,p\n", r"in \[0, 1\]"),
        ("sample,label,score,path\na,1,high,p\n", "'high' is not a number"),
        ("sample,label,score,path\na,1,0.5,p\na,0,0.5,q\n", ":3: a is listed twice"),
        ('sample,label,score,path\n"a,1,0.5,p\n', "not a CSV file"),
    ],
)
def test_a_damaged_score_file_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_scores(tmp_path / "s.csv")
    assert "\n" not in str(caught.value)


def test_missing_scores_and_repeated_frames_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no scores at"):
        read_scores(tmp_path / "absent.csv")
    (tmp_path / "f.csv").write_text("video,label,logit,frame,path\nv,1,0.5,,p\nv,1,0.6,,p\n")
    with pytest.raises(DataError, match="p is listed twice"):
        read_frame_scores(tmp_path / "f.csv")


def test_scores_of_a_release_without_faces_are_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("video,label,logit,path\nv,1,0.5,p\n")
    with pytest.raises(DataError, match=r"expected video,label,logit,frame,path: delete it to have it made again"):
        read_frame_scores(tmp_path / "f.csv")
