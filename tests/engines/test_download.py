from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zstandard

from engines.backend import BuildOptions
from engines.download import LEVELS, download_bytes, packed, planes, whole
from engines.stages import _built_engine
from export.contract import InputContract

if TYPE_CHECKING:
    from pathlib import Path

# More than one chunk, and an odd size.
SIZE = (1 << 21) + 12_345


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def fp16_weights() -> bytes:
    return np.random.default_rng(0).normal(0, 0.03, SIZE // 2).astype(np.float16).tobytes() + b"x"


def unpacked(frame: bytes) -> bytes:
    return zstandard.ZstdDecompressor(max_window_size=1 << 23).decompress(frame)


def interleaved(content: bytes) -> bytes:
    result = np.empty(len(content), np.uint8)
    split = (len(content) + 1) // 2
    result[0::2] = np.frombuffer(content[:split], np.uint8)
    result[1::2] = np.frombuffer(content[split:], np.uint8)
    return result.tobytes()


@pytest.mark.parametrize("two_byte_planes", [False, True])
def test_the_size_is_that_of_a_frame_that_unpacks_to_the_file(two_byte_planes: bool, tmp_path: Path) -> None:
    content = fp16_weights()
    path = written(tmp_path / "engine", content)
    frames = [b"".join(packed(whole(path), len(content), level)) for level in LEVELS]
    assert {unpacked(frame) for frame in frames} == {content}
    if two_byte_planes:
        split = [b"".join(packed(planes(path), len(content), level)) for level in LEVELS]
        assert {interleaved(unpacked(frame)) for frame in split} == {content}
        frames += split
    assert download_bytes(path, two_byte_planes) == min(map(len, frames))


def test_planes_help_half_precision(tmp_path: Path) -> None:
    path = written(tmp_path / "engine", fp16_weights())
    assert download_bytes(path) < 0.95 * download_bytes(path, two_byte_planes=False)


def test_half_the_weights_zero_is_well_below_the_dense_size(tmp_path: Path) -> None:
    weights = np.frombuffer(fp16_weights()[:-1], np.float16).copy()
    dense = download_bytes(written(tmp_path / "dense", weights.tobytes()))
    weights[np.abs(weights) < np.median(np.abs(weights))] = 0
    assert download_bytes(written(tmp_path / "pruned", weights.tobytes())) < 0.8 * dense


def test_random_bytes_do_not_shrink(tmp_path: Path) -> None:
    path = written(tmp_path / "engine", np.random.default_rng(0).bytes(SIZE))
    assert SIZE <= download_bytes(path) < 1.001 * SIZE


def test_an_empty_file_is_a_bare_frame(tmp_path: Path) -> None:
    assert 0 < download_bytes(written(tmp_path / "engine", b"")) < 20


class CopyingBackend:
    """Takes the graph for the engine."""

    def build(self, onnx: Path, engine: Path, options: BuildOptions) -> dict[str, Any]:
        engine.write_bytes(onnx.read_bytes())
        return {"batch": options.batch_max}


def test_it_is_a_fact_of_every_engine(tmp_path: Path) -> None:
    graph = written(tmp_path / "graph", fp16_weights())
    facts = _built_engine(
        CopyingBackend(),  # type: ignore[arg-type]
        graph,
        tmp_path / "engine",
        BuildOptions(),
        InputContract(64),
    )
    assert facts == {"batch": 32, "input": "float32", "download_bytes": download_bytes(graph)}
