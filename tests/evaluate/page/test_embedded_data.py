from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.page.embedded_data import embedded_json, page_data
from evaluate.page.embedded_image import EmbeddedImages
from tests.evaluate.page.page_reference import page_record, scores_of

if TYPE_CHECKING:
    from pathlib import Path


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_json_survives_and_is_plain_text_to_html(value: object) -> None:
    text = embedded_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set("<>&") & set(text)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded_json([float("nan")])


def test_scores_are_exact(tmp_path: Path) -> None:
    record = page_record(40, 40, variants=4)
    data = json.loads(embedded_json(page_data(record, EmbeddedImages(tmp_path))))
    for variant in data["variants"]:
        assert variant["scores"] == scores_of(record, variant["name"]).tolist()
    assert data["fake"] == [1] * 40 + [0] * 40
    assert data["frozen"] == record.variants[0].statistics.at("frozen").threshold  # type: ignore[union-attr]


def test_pictures_of_unknown_videos_are_left_out(tmp_path: Path) -> None:
    record = page_record(40, 40, variants=4)
    unknown = tuple(replace(sample, sample="other") for sample in record.gallery)
    assert page_data(replace(record, gallery=unknown), EmbeddedImages(tmp_path))["gallery"] == []
