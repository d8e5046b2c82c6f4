from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from evaluate.int8_comparison import sensitivity_of_groups
from evaluate.plots.int8_plot import write_sensitivity_plot
from tests.evaluate.int8_reference import b5_record

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.int8_record import Int8Record

BLUE, ORANGE, VERMILION = (0, 114, 178), (230, 159, 0), (213, 94, 0)


def drawn(path: Path, int8: Int8Record) -> Image.Image:
    sensitivity = sensitivity_of_groups(int8)
    assert sensitivity is not None
    write_sensitivity_plot(path, "q8", int8, sensitivity)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.convert("RGB")


def pixels_of(image: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(image) == colour).all(axis=-1).sum())


def test_the_json_has_every_group_and_the_whole_frontier(tmp_path: Path) -> None:
    int8 = b5_record()
    drawn(tmp_path / "sensitivity.png", int8)
    plotted = json.loads((tmp_path / "sensitivity.json").read_text(encoding="utf-8"))
    assert plotted["groups"] == [json.loads(json.dumps(asdict(group))) for group in int8.groups]
    assert plotted["frontier"] == [asdict(point) for point in int8.frontier]
    figures = [plotted[key] for key in ("model", "recipe", "sqnr_db", "min_sqnr_db", "size_mib", "max_size_mib")]
    assert figures == ["q8", "accurate", 26.04, 25.0, 27.8, 27.0]


def test_colours_say_how_groups_end_up(tmp_path: Path) -> None:
    int8 = replace(b5_record(), frontier=())
    image = drawn(tmp_path / "all.png", int8)
    assert all(pixels_of(image, colour) > 100 for colour in (BLUE, ORANGE, VERMILION))
    alike = replace(int8, groups=tuple(replace(group, arithmetic="int8") for group in int8.groups))
    image = drawn(tmp_path / "int8.png", alike)
    assert pixels_of(image, BLUE) > 100
    assert pixels_of(image, ORANGE) == pixels_of(image, VERMILION) == 0


def shortened(int8: Int8Record, groups: int, points: int) -> Int8Record:
    return replace(int8, groups=int8.groups[1 : 1 + groups], frontier=int8.frontier[:points])


@pytest.mark.parametrize(
    "int8",
    [
        replace(b5_record(), frontier=(), min_sqnr_db=None, max_size_mib=None),
        replace(b5_record(), frontier=tuple(point for point in b5_record().frontier if not point.weight_only)),
        shortened(b5_record(), groups=1, points=1),
        shortened(b5_record(), groups=2, points=0),
        replace(b5_record(), groups=tuple(replace(g, role="new kind", name="dotless") for g in b5_record().groups)),
        replace(b5_record(), groups=tuple(replace(g, int8_sqnr_db=None) for g in b5_record().groups)),
        replace(b5_record(), groups=tuple(replace(g, weights_sqnr_db=120.0) for g in b5_record().groups)),
    ],
    ids=[
        "nothing searched",
        "one kind of point",
        "one of each",
        "two groups",
        "unknown names",
        "weights alone",
        "beyond the scale",
    ],
)
def test_whatever_was_measured_can_be_plotted(tmp_path: Path, int8: Int8Record) -> None:
    assert pixels_of(drawn(tmp_path / "plot.png", int8), ORANGE) > 10


def test_the_plot_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    drawn(tmp_path / "a.png", b5_record())
    drawn(tmp_path / "b.png", b5_record())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
