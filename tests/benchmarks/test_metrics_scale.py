"""The benchmark of very many scores, of a few: what it prints is what it measured, and its limits bind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

if TYPE_CHECKING:
    from pathlib import Path


def test_both_sides_compute_the_same_and_say_what_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from metrics_scale import main
    from metrics_scale_side import drawn_scores

    out = tmp_path / "out.json"
    assert main(["--samples", "3000", "--variants", "2", "--json", str(out)]) == 0
    record = json.loads(out.read_text(encoding="utf-8"))
    assert (record["samples"], record["variants"]) == (3000, 2)
    ours, peer = record["sides"]
    is_fake, scores = drawn_scores(3000, 2)
    for side in (ours, peer):
        assert side["aucs"] == pytest.approx([roc_auc_score(is_fake, row) for row in scores])
        assert 0 < side["metrics_seconds"] <= side["seconds"]
        # An interpreter with NumPy takes more than that and less than this.
        assert 0.01 < side["peak_gib"] < 1
    heading, first, second, ratio, _ = capsys.readouterr().out.splitlines()
    assert heading.split()[0] == "side"
    assert [first.split()[0], second.split()[0]] == ["ours", "scikit-learn"]
    assert f"{peer['metrics_seconds'] / ours['metrics_seconds']:.2f} times" in ratio


@pytest.mark.parametrize("limit", ["MOST_SECONDS", "MOST_GIB"])
def test_a_missed_limit_is_exit_code_3(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import metrics_scale

    side = metrics_scale.Side("ours", seconds=59.0, metrics_seconds=30.0, peak_gib=1.9, aucs=[0.9])
    monkeypatch.setattr(metrics_scale, "_measured", lambda *_: side)
    assert metrics_scale.main([]) == 0
    monkeypatch.setattr(metrics_scale, limit, 1.5)
    assert metrics_scale.main([]) == 3


def test_variants_beside_the_baseline_have_noise_of_their_own() -> None:
    from metrics_scale_side import drawn_scores

    is_fake, scores = drawn_scores(3000, 3)
    assert scores.shape == (3, 3000)
    assert is_fake.mean() == pytest.approx(2 / 3)
    assert (scores > 0).all()
    assert (scores < 1).all()
    assert (np.corrcoef(scores) > 0.9).all()
    assert np.unique(scores).size == scores.size
