"""Which frames are taken of a video, and that they are the same pixels everywhere."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from export.errors import VideoError
from preparation import decoding
from preparation.decoding import frames_of_video, spaced_indices
from tests.preparation.numbered_video import number_of, numbered_frame, write_numbered, write_video

ROOT = Path(__file__).parents[2]
LENGTH = 30


def taken(path: Path, count: int) -> tuple[list[int], list[int]]:
    """Returns the indices of the frames taken, and the numbers that their pixels show."""
    frames = list(frames_of_video(path, count).frames)
    return [frame.index for frame in frames], [number_of(frame.pixels) for frame in frames]


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [
        (30, 4, [0, 9, 19, 29]),
        (100, 1, [0]),
        (1, 32, [0]),
        (5, 5, [0, 1, 2, 3, 4]),
        (5, 32, [0, 1, 2, 3, 4]),
        (300, 3, [0, 149, 299]),
        (0, 8, []),
    ],
)
def test_indices_are_evenly_spaced(length: int, count: int, expected: list[int]) -> None:
    assert spaced_indices(length, count) == expected


@pytest.mark.parametrize("length", [2, 31, 32, 33, 299, 1000])
@pytest.mark.parametrize("count", [2, 7, 32])
def test_indices_start_with_the_first_and_end_with_the_last_in_steps_that_differ_by_one(
    length: int, count: int
) -> None:
    indices = spaced_indices(length, count)
    assert len(indices) == min(length, count)
    assert (indices[0], indices[-1]) == (0, length - 1)
    assert np.ptp(np.diff(indices)) <= 1


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("h264.mp4", {}),
        ("bframes.mp4", {"options": {"bf": "3", "g": "10"}}),
        ("fragmented.mp4", {"container": {"movflags": "frag_keyframe+empty_moov"}}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
        ("vp9.webm", {"codec": "libvpx-vp9"}),
        ("mjpeg.mov", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
        ("gray.mkv", {"pixel_format": "gray"}),
        ("ten.mkv", {"pixel_format": "yuv420p10le"}),
        ("full.mkv", {"pixel_format": "yuv444p"}),
        ("rgb.mkv", {"codec": "ffv1", "pixel_format": "bgr0"}),
        ("alpha.mkv", {"codec": "ffv1", "pixel_format": "yuva420p"}),
        ("transport.ts", {}),
    ],
)
def test_frames_are_those_of_the_indices_whatever_the_codec(tmp_path: Path, name: str, settings: Any) -> None:
    path = write_numbered(tmp_path / name, LENGTH, **settings)
    assert taken(path, 4) == ([0, 9, 19, 29], [0, 9, 19, 29])
    assert frames_of_video(path, 4).damage == ""
    # Many frames are not held while they are counted.
    assert taken(path, LENGTH) == (list(range(LENGTH)), list(range(LENGTH)))


def test_large_videos_are_decoded_twice_to_the_same_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_numbered(tmp_path / "video.mp4", LENGTH)
    once = [frame.pixels for frame in frames_of_video(path, 7).frames]
    monkeypatch.setattr(decoding, "_MOST_HELD_BYTES", 0)
    twice = [frame.pixels for frame in frames_of_video(path, 7).frames]
    assert np.array_equal(once, twice)


def test_a_file_that_misstates_its_length_is_counted(tmp_path: Path) -> None:
    """The header of an AVI says how many frames it has."""
    path = write_numbered(tmp_path / "video.avi", LENGTH, codec="mpeg4")
    content = path.read_bytes()
    header = content.index(b"strh") + 8
    for stated in (7, 1000):
        changed = bytearray(content)
        changed[header + 32 : header + 36] = stated.to_bytes(4, "little")
        path.write_bytes(changed)
        assert taken(path, 3) == ([0, 14, 29], [0, 14, 29])


def test_a_variable_frame_rate_does_not_matter(tmp_path: Path) -> None:
    times = [0, 1, 2, 3, 100, 101, 300, 700, 701, 702]
    path = write_numbered(tmp_path / "video.mp4", len(times), times=times)
    assert taken(path, 4) == ([0, 3, 6, 9], [0, 3, 6, 9])


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (270, 3), (-90, 3)])
def test_frames_are_turned_upright(tmp_path: Path, rotation: int, turns: int) -> None:
    """A camera that was turned stores its frames turned the other way."""
    upright = [numbered_frame(number, 64, 48 if turns % 2 else 64) for number in range(5)]
    stored = [np.rot90(frame, -turns) for frame in upright]
    path = write_video(tmp_path / "video.mp4", stored, rotation=rotation)
    frames = list(frames_of_video(path, 5).frames)
    assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2, 3, 4]
    assert all(frame.pixels.shape == upright[0].shape for frame in frames)
    assert max(np.abs(f.pixels.astype(int) - u).mean() for f, u in zip(frames, upright, strict=True)) < 8


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_matrix_of_the_file_is_obeyed(tmp_path: Path, mirrored: bool) -> None:
    """The matrix is written into the track header, as ISO/IEC 14496-12 places it, not by the library that reads it."""
    upright = numbered_frame(0b00110101)
    path = write_video(tmp_path / "video.mp4", [upright[:, ::-1] if mirrored else upright[::-1, ::-1]] * 3)
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    one, minus = (1 << 16).to_bytes(4, "big"), (2**32 - (1 << 16)).to_bytes(4, "big")
    assert content[place : place + 4] == one
    content[place : place + 4] = minus
    content[place + 16 : place + 20] = one if mirrored else minus
    path.write_bytes(content)
    assert taken(path, 1)[1] == [0b00110101]


def test_odd_sizes_keep_every_pixel(tmp_path: Path) -> None:
    frames = [numbered_frame(number, 45, 67) for number in range(3)]
    path = write_video(tmp_path / "video.mkv", frames, codec="ffv1", pixel_format="yuv420p")
    found = list(frames_of_video(path, 3).frames)
    assert [frame.pixels.shape for frame in found] == [(45, 67, 3)] * 3
    assert [number_of(frame.pixels) for frame in found] == [0, 1, 2]


# Kr and Kb of ITU-R BT.601, BT.709 and BT.2020, and how FFmpeg numbers them.
MATRICES = {"601": (0.299, 0.114, 5), "709": (0.2126, 0.0722, 1), "2020": (0.2627, 0.0593, 9)}


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_are_those_of_the_declared_matrix_and_range(
    tmp_path: Path, matrix: str, full_range: bool, depth: int
) -> None:
    """Against the defining equations of the standards, at patches of one colour each."""
    kr, kb, number = MATRICES[matrix]
    colours = np.random.default_rng(5).integers(0, 256, (6, 3)) / 255
    luma = colours @ (kr, 1 - kr - kb, kb)
    blue, red = (colours[:, 2] - luma) / (2 * (1 - kb)), (colours[:, 0] - luma) / (2 * (1 - kr))
    scale, peak = 1 << depth - 8, (1 << depth) - 1
    planes = (
        [peak * luma, (peak + 1) / 2 + peak * blue, (peak + 1) / 2 + peak * red]
        if full_range
        else [scale * (16 + 219 * luma), scale * (128 + 224 * blue), scale * (128 + 224 * red)]
    )
    kind = np.uint8 if depth == 8 else np.uint16
    values = np.stack([np.kron(np.round(plane), np.ones((16, 16))) for plane in planes]).astype(kind)
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("ffv1", rate=25)
        stream.height, stream.width = values.shape[1:]
        stream.pix_fmt = "yuv444p" if depth == 8 else "yuv444p10le"
        stream.codec_context.colorspace, stream.codec_context.color_range = number, 2 if full_range else 1
        frame = av.VideoFrame(values.shape[2], values.shape[1], stream.pix_fmt)
        for plane, content in zip(frame.planes, values, strict=True):
            rows = np.zeros((plane.height, plane.line_size // content.itemsize), kind)
            rows[:, : content.shape[1]] = content
            plane.update(rows.tobytes())
        frame.colorspace, frame.color_range, frame.pts = number, 2 if full_range else 1, 0
        for packet in [*stream.encode(frame), *stream.encode()]:
            output.mux(packet)
    (found,) = frames_of_video(path, 1).frames
    patches = found.pixels[8, 8::16]
    assert np.abs(patches - 255 * colours).max() <= 2


def _digest_elsewhere(path: Path, cpu_flags: str) -> str:
    """Returns the digest of a video's frames where the processor is said to have none of its special instructions."""
    script = f"""
import ctypes, hashlib, pathlib, av
from preparation.decoding import frames_of_video
libraries = {{line.split()[-1] for line in open('/proc/self/maps') if 'libavutil' in line}}
flags = {cpu_flags}
if flags is not None:
    library = ctypes.CDLL(libraries.pop())
    library.av_force_cpu_flags(flags)
    assert library.av_get_cpu_flags() == flags
pixels = b''.join(frame.pixels.tobytes() for frame in frames_of_video(pathlib.Path({str(path)!r}), 5).frames)
print(hashlib.sha256(pixels).hexdigest())
"""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("codec", "pixel_format"), [("libx264", "yuv420p"), ("mpeg4", "yuv420p")])
def test_pixels_do_not_depend_on_the_processor(tmp_path: Path, codec: str, pixel_format: str) -> None:
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (50, 66, 3), dtype=np.uint8) for _ in range(5)]
    path = write_video(tmp_path / "video.mkv", frames, codec=codec, pixel_format=pixel_format)
    assert _digest_elsewhere(path, "None") == _digest_elsewhere(path, "0")


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_truncated_file_gives_what_decodes(tmp_path: Path, share: float) -> None:
    # Without frames that are predicted from later ones, what is missing is the end.
    options = {"g": "5", "bf": "0"}
    path = write_numbered(tmp_path / "video.mp4", 60, container={"movflags": "faststart"}, options=options)
    content = path.read_bytes()
    data = content.index(b"mdat")
    path.write_bytes(content[: data + int(share * (len(content) - data))])
    video = frames_of_video(path, 4)
    assert 4 < video.length < 60
    assert f"{video.length} of 60 frames decode" in video.damage
    indices, numbers = taken(path, 4)
    assert numbers == indices == spaced_indices(video.length, 4)


def test_damage_in_the_middle_is_noted(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "video.mp4", 60, options={"g": "5"})
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)
    video = frames_of_video(path, 8)
    assert video.damage
    assert len(list(video.frames)) == 8


def _audio(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.rate, frame.time_base, frame.pts = 16000, Fraction(1, 16000), 0
        for packet in [*stream.encode(frame), *stream.encode()]:
            output.mux(packet)


def _without_end(path: Path) -> None:
    write_numbered(path, LENGTH)
    path.write_bytes(path.read_bytes()[:-200])


def _unknown_codec(path: Path) -> None:
    write_numbered(path, 3)
    path.write_bytes(path.read_bytes().replace(b"avc1\0\0\0\0", b"zzzz\0\0\0\0"))


def _picture(path: Path) -> None:
    Image.fromarray(numbered_frame(1)).save(path, "PNG")


def _playlist(path: Path) -> None:
    """FFmpeg would open whatever a playlist names, be it elsewhere on the disk or in the network."""
    write_numbered(path.with_name("secret.ts"), 3)
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.ts\n#EXT-X-ENDLIST\n", encoding="utf-8")


UNREADABLE = {
    "missing.mp4": (lambda path: path.unlink(missing_ok=True), "no video at"),
    "empty.mp4": (lambda path: path.write_bytes(b""), "is empty"),
    "page.mp4": (lambda path: path.write_text("<html>404 Not Found</html>" * 90, encoding="utf-8"), "is no video"),
    "noise.avi": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(9000)), "is no video"),
    "sound.mp4": (_audio, "only audio"),
    "cut.mp4": (_without_end, "is no video"),
    "unknown.mp4": (_unknown_codec, "no decoder for"),
    "picture.mp4": (_picture, "is no video"),
    "list.m3u8": (_playlist, "is no video"),
    "list.mp4": (_playlist, "is no video"),
    "folder.mp4": (lambda path: path.mkdir(), "no video at"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_video_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    write, expected = UNREADABLE[name]
    write(tmp_path / name)
    with pytest.raises(VideoError, match=expected) as caught:
        frames_of_video(tmp_path / name, 4)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_mean_something_to_ffmpeg_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write_numbered(tmp_path / "video.mp4", 3).read_bytes()
    monkeypatch.chdir(tmp_path)
    for name in ("a%03d.mp4", "-x.mp4", "concat:a|b.mp4", "http:x.mp4", "\u6f22 \udcff.mp4"):
        Path(name).write_bytes(content)
        assert taken(Path(name), 3) == ([0, 1, 2], [0, 1, 2])


def test_a_song_with_a_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as output:
        sound: Any = output.add_stream("aac", rate=16000)
        cover: Any = output.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 48, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.rate, frame.time_base, frame.pts = 16000, Fraction(1, 16000), 0
        picture = av.VideoFrame.from_ndarray(numbered_frame(1), "rgb24")
        picture.pts = 0
        for packet in [*cover.encode(picture), *cover.encode(), *sound.encode(frame), *sound.encode()]:
            output.mux(packet)
    with pytest.raises(VideoError, match="only audio"):
        frames_of_video(path, 4)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_damaged_ends_in_frames_or_in_one_line(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    name, codec = [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9")][seed % 3]
    path = write_numbered(tmp_path / name, 12, codec=codec)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    places = rng.integers(0, len(content), rng.integers(1, 60))
    content[places] = rng.integers(0, 256, len(places))
    path.write_bytes(content.tobytes())
    frames = []
    with suppress(VideoError):
        frames = list(frames_of_video(path, 4).frames)
    assert len(frames) <= 4
