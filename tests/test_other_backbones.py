"""Other networks than EfficientNet go from a checkpoint to a report by the two verbs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from safetensors.torch import save_file

from tests.detectors import contract_for_tests
from tests.other_networks import randomized_network
from tests.signoff_run import DONE, GRADED, write_case

if TYPE_CHECKING:
    from pathlib import Path

VARIANTS = ("baseline", "q16", "q8", "q8w", "q32-p20", "q32-s10")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "method"), [("test_resnet", "additive"), ("test_vit", "hirescam"), ("test_convnext", "hirescam")]
)
def test_from_checkpoint_to_report(architecture: str, method: str, tmp_path: Path) -> None:
    case = write_case(tmp_path, architecture, 32)
    save_file(randomized_network(contract_for_tests(architecture, 32)).state_dict(), case.checkpoint)
    assert case.build("--backend", "onnxruntime", "--variants", *VARIANTS) in DONE
    assert case.evaluate("--backend", "onnxruntime") in GRADED
    record = json.loads((case.out / "report/report.json").read_text(encoding="utf-8"))
    variants = {variant["name"]: variant for variant in record["variants"]}
    assert variants.keys() == set(VARIANTS)
    assert record["heatmap_method"] == method
    assert record["heatmap_obstacle"] == ""
    heatmaps = [sample["heatmap"] for found in variants["q8"]["samples"].values() for sample in found]
    assert heatmaps
    assert all((case.out / "report" / path).is_file() for path in heatmaps)
    text = (case.out / "report/report.md").read_text(encoding="utf-8")
    assert ("HiResCAM" in text) == (method == "hirescam")
    assert ("splits the logit exactly" in text) == (method == "additive")
