from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING

import pytest

from engines.timing_cache import TimingCacheFile
from export.errors import BackendError

if TYPE_CHECKING:
    from pathlib import Path

GPU = {"name": "NVIDIA RTX A2000 / 12 GB", "compute_capability": "8.6"}


def cache(folder: Path) -> TimingCacheFile:
    return TimingCacheFile(folder, GPU, "10.0.1")


def test_each_device_and_version_has_a_file_of_its_own(tmp_path: Path) -> None:
    assert cache(tmp_path).path.name == "NVIDIA-RTX-A2000-12-GB-sm8.6-tensorrt10.0.1.timing"
    others = [
        TimingCacheFile(tmp_path, {**GPU, "name": "NVIDIA L4"}, "10.0.1"),
        TimingCacheFile(tmp_path, {**GPU, "compute_capability": "8.9"}, "10.0.1"),
        TimingCacheFile(tmp_path, GPU, "10.1.0"),
    ]
    assert len({file.path for file in [cache(tmp_path), *others]}) == 4


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert cache(tmp_path / "new" / "folder").read() == (b"", "")
    cache(tmp_path).update(lambda current: current + b"\x00one")
    cache(tmp_path).update(lambda current: current + b"two")
    assert cache(tmp_path).read() == (b"\x00onetwo", "")


def test_any_damage_is_noticed(tmp_path: Path) -> None:
    file = cache(tmp_path)
    file.update(lambda _: b"measured times")
    whole = file.path.read_bytes()
    flipped = [whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :] for at in range(len(whole))]
    cut = [whole[:length] for length in range(len(whole))]
    for data in [*flipped, *cut, whole + b"x", b"ftrt"]:
        file.path.write_bytes(data)
        payload, ignored = file.read()
        assert payload == b"", data
        assert "is damaged" in ignored, data
    file.update(lambda current: current + b"anew")
    assert file.read() == (b"anew", "")


def test_a_failing_update_leaves_the_old_times(tmp_path: Path) -> None:
    file = cache(tmp_path)
    file.update(lambda _: b"old")

    def fail(current: bytes) -> bytes:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        file.update(fail)
    assert file.read() == (b"old", "")
    assert [path.suffix for path in tmp_path.iterdir()].count(".timing") == 1


def add_often(folder: Path, letter: bytes) -> None:
    for _ in range(20):
        cache(folder).update(lambda current: current + letter)


def test_processes_do_not_lose_each_other_s_times(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add_often, args=(tmp_path, letter)) for letter in (b"a", b"b", b"c")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sorted(cache(tmp_path).read()[0]) == sorted(b"abc" * 20)


def test_a_file_where_the_folder_belongs_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match=r"--timing-cache .*file: .* expected a folder to write to"):
        cache(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_an_unreadable_file_is_ignored(tmp_path: Path) -> None:
    file = cache(tmp_path)
    file.update(lambda _: b"times")
    file.path.chmod(0)
    assert file.read()[1].endswith("it cannot be read (Permission denied)")
