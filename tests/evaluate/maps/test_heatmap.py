from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from evaluate.maps.heatmap import heatmap_from_map, heatmap_path, shared_limit, tinted, write_heatmap
from evaluate.selection import Outcome
from export.contract import InputContract
from export.preprocessing import resized_image

if TYPE_CHECKING:
    from pathlib import Path


def redness(pixels: np.ndarray) -> float:
    return float(np.mean(pixels[..., 0].astype(float) - pixels[..., 2]))


@pytest.mark.parametrize("size", [64, 240])
def test_positive_places_redden_negative_ones_turn_blue_and_zero_leaves_the_face(size: int) -> None:
    contract = InputContract(size=size)
    rng = np.random.default_rng(3)
    image = Image.fromarray(rng.integers(60, 200, (90, 70, 3), dtype=np.uint8))
    values = np.zeros((8, 8), np.float32)
    values[1, 1], values[6, 6] = 3.0, -3.0
    side = max(size, 224)
    heatmap = heatmap_from_map(image, contract, values, limit=2.0)
    face = np.asarray(resized_image(image, contract).resize((side, side), Image.Resampling.BICUBIC))
    drawn = np.asarray(heatmap)
    assert heatmap.size == (side, side)
    cell = side // 8
    positive, negative = (slice(cell, 2 * cell),) * 2, (slice(6 * cell, 7 * cell),) * 2
    untouched = slice(0, 3 * cell), slice(5 * cell, None)
    assert redness(drawn[positive]) > redness(face[positive]) + 40
    assert redness(drawn[negative]) < redness(face[negative]) - 40
    assert np.array_equal(drawn[untouched], face[untouched])


def test_tint_saturates_at_the_limit_and_grows_with_the_evidence() -> None:
    grey = np.full((1, 5, 3), 128, np.uint8)
    reds = tinted(grey, np.array([[0.0, 0.25, 0.5, 1.0, 9.0]]))
    steps = reds[0, :, 0].astype(int)
    assert steps[0] == 128
    assert np.all(np.diff(steps[:4]) > 0)
    assert np.array_equal(reds[0, 3], reds[0, 4])
    assert np.allclose(reds[0, 3], 0.3 * 128 + 0.7 * np.array([202, 0, 32]), atol=0.5)


def test_the_limit_is_the_99th_percentile_over_all_maps_together() -> None:
    rng = np.random.default_rng(8)
    maps = [rng.normal(size=(12, 12)).astype(np.float32) * scale for scale in (1, 5)]
    everything = sorted(abs(float(value)) for each in maps for value in each.ravel())
    position = 0.99 * (len(everything) - 1)
    low = int(position)
    expected = everything[low] + (position - low) * (everything[low + 1] - everything[low])
    assert shared_limit(maps) == pytest.approx(expected)


@pytest.mark.parametrize("maps", [[], [np.zeros((3, 3), np.float32)]])
def test_maps_without_evidence_still_have_a_positive_limit(maps: list[np.ndarray]) -> None:
    assert shared_limit(maps) == 1.0


def test_heatmaps_lie_where_the_reference_report_looks_for_them(tmp_path: Path) -> None:
    path = heatmap_path(tmp_path / "results" / "q8", Outcome.FALSE_NEGATIVE, "id9_id3_0009.mp4")
    write_heatmap(path, Image.new("RGB", (224, 224), (10, 200, 30)))
    expected = tmp_path / "results/q8/result/false_negatives/heatmap/id9_id3_0009.mp4.jpg"
    with Image.open(expected) as image:
        assert (image.format, image.size) == ("JPEG", (224, 224))
        assert np.allclose(np.asarray(image)[100, 100], (10, 200, 30), atol=4)
