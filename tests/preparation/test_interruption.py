"""However often prepare-data is interrupted, what it ends with is what it would have made at once."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from calibration.datasets.dataset import samples_from_path
from export.errors import ArtifactError, DataError
from preparation import making, output_folder, pipeline
from preparation.output_folder import OutputFolder
from tests.preparation.face_videos import CUT, FaceVideos, tree_digest, write_face_videos

ROOT = Path(__file__).parents[2]
NAMES = tuple(f"{label}/clip{number}.mp4" for label in ("real", "fake") for number in range(4))


class Crash(BaseException):
    """Ends a command like a kill: no handler of errors sees it."""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> FaceVideos:
    return write_face_videos(tmp_path_factory.mktemp("videos"), NAMES)


@pytest.fixture(scope="module")
def whole(case: FaceVideos) -> dict[str, str]:
    """What is made at once."""
    assert case.prepare() == 0
    return tree_digest(case.out)


@pytest.fixture
def other(case: FaceVideos, tmp_path: Path) -> FaceVideos:
    return FaceVideos(case.source, case.boxes, tmp_path / "faces")


def _command(case: FaceVideos) -> subprocess.Popen[str]:
    arguments = [str(case.source), str(case.out), "--boxes", str(case.boxes), *CUT, "--workers", "2"]
    # Slowed down, so that there is something to interrupt.
    script = (
        "import sys, time\n"
        "from preparation import making\n"
        "cut = making.crop_of_face\n"
        "def slowly(*arguments):\n"
        "    time.sleep(0.03)\n"
        "    return cut(*arguments)\n"
        "making.crop_of_face = slowly\n"
        "from preparation.cli import main\n"
        f"sys.exit(main({arguments!r}))\n"
    )
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, cwd=ROOT, text=True)


def _wait_for_crops(out: Path) -> None:
    end = time.monotonic() + 120
    while not any(out.glob("*/*/*.png")):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_command_goes_on(other: FaceVideos, whole: dict[str, str], how: signal.Signals) -> None:
    process = _command(other)
    _wait_for_crops(other.out)
    time.sleep(secrets.randbelow(100) / 1000)
    process.send_signal(how)
    _, told = process.communicate(timeout=120)
    if how is signal.SIGINT:
        assert process.returncode == 2
        assert told.count("\n") == 1
        assert "run the same command again to go on" in told
    with pytest.raises(DataError, match="not complete"):
        samples_from_path(other.out, "calibration")
    # No folder of a video is there in part.
    assert {len(list(crop.parent.iterdir())) for crop in other.out.glob("*/*/*.png")} == {4}
    before = {path: path.stat().st_mtime_ns for path in other.out.glob("*/*/*.png")}
    assert other.prepare() == 0
    assert tree_digest(other.out) == whole
    kept = sum(path.stat().st_mtime_ns == time for path, time in before.items())
    assert kept >= len(before) - 4 * 2  # at most a video per worker had no record yet


# Where a command crashes: what is called there, for the how-manyth time, and whether that is still done.
PLACES = {
    "crop": (making, "crop_of_face", 9, False),
    "record": (output_folder, "write_record", 3, False),
    "between record and crops": (output_folder, "write_record", 3, True),
    "video": (OutputFolder, "take", 3, True),
    "manifest": (pipeline, "write_manifest", 1, True),
    "sheet": (pipeline, "write_contact_sheet", 1, False),
    "end": (pipeline, "write_prepared", 1, False),
}


def crash_at(patch: pytest.MonkeyPatch, owner: object, name: str, time_of: int, done: bool) -> None:
    real, calls = getattr(owner, name), count(1)

    def crashing(*arguments: object) -> object:
        is_time = next(calls) == time_of
        result = real(*arguments) if done or not is_time else None
        if is_time:
            raise Crash
        return result

    patch.setattr(owner, name, crashing)


@pytest.mark.parametrize("place", PLACES)
def test_a_crash_anywhere_is_made_good(
    other: FaceVideos, whole: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        crash_at(patch, *PLACES[place])
        with pytest.raises(Crash):
            other.prepare("--workers", "1")
    with pytest.raises(DataError, match="not complete"):
        samples_from_path(other.out, "calibration")
    assert other.prepare() == 0
    assert tree_digest(other.out) == whole


def test_an_interrupted_change_of_settings_ends_in_the_new_ones(
    other: FaceVideos, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert other.prepare("--margin", "0.5") == 0
    with monkeypatch.context() as patch:
        crash_at(patch, *PLACES["crop"])
        with pytest.raises(Crash):
            other.prepare("--workers", "1")
    # Half of the faces have another margin by now: nobody may take them for a data set.
    with pytest.raises(DataError, match="not complete"):
        samples_from_path(other.out, "calibration")
    assert other.prepare() == 0
    assert tree_digest(other.out) == whole


def test_an_interrupted_removal_leaves_no_data_set(other: FaceVideos, monkeypatch: pytest.MonkeyPatch) -> None:
    assert other.prepare() == 0
    fewer = other.out.parent / "fewer"
    shutil.copytree(other.source, fewer)
    for name in NAMES[2:4]:
        (fewer / name).unlink()
    with monkeypatch.context() as patch:
        crash_at(patch, OutputFolder, "remove", 1, True)
        with pytest.raises(Crash):
            FaceVideos(fewer, other.boxes, other.out).prepare()
    with pytest.raises(DataError, match="not complete"):
        samples_from_path(other.out, "calibration")


def test_two_commands_do_not_work_in_one_folder(other: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    with OutputFolder(other.out).opened():
        assert other.prepare() == 2
        assert "another command works on" in capsys.readouterr().err
        with pytest.raises(ArtifactError), OutputFolder(other.out).opened():
            pass
    assert other.prepare() == 0


def test_what_a_killed_command_left_half_done_goes(other: FaceVideos, whole: dict[str, str]) -> None:
    left = other.out / ".prepared/unfinished/abc"
    left.mkdir(parents=True)
    (left / "candidate_1").write_bytes(b"x")
    assert other.prepare() == 0
    assert tree_digest(other.out) == whole
