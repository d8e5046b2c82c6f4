from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy import stats

import evaluate.maps.cam
from engines.run_folder import RunFolder
from engines.spec import read_spec
from engines.store import ArtifactStore
from evaluate.evaluated import evaluated_variants
from evaluate.maps.errors import CamError
from evaluate.maps.heatmap import heatmap_from_map
from evaluate.maps.source_maps import SourceMaps
from evaluate.maps.visual_evidence import visual_evidence
from evaluate.scoring.request import EvaluationRequest
from evaluate.scoring.session import opened_session
from evaluate.scoring.stored_engines import stored_engines
from export.checkpoints.network import module_from_contract
from export.model_file import contract_from_toml
from export.sidecar import read_json
from tests.evaluate.conftest import copied
from tests.signoff_run import GRADED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluate.maps.cam import CamResult
    from evaluate.maps.visual_evidence import VisualEvidence
    from tests.signoff_run import SignoffCase


def record_of(case: SignoffCase) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((case.out / "report/report.json").read_text(encoding="utf-8"))
    return record


def evidence_of(case: SignoffCase, samples: Sequence[str], told: list[str] | None = None) -> VisualEvidence:
    request = EvaluationRequest(case.out, case.test, from_scores=True)
    with opened_session(request, (told if told is not None else []).append) as session:
        return visual_evidence(session, evaluated_variants(session, stored_engines(session)), samples)


def outside_maps(case: SignoffCase, weights: Path, frames: Sequence[str]) -> np.ndarray:
    """HiResCAM by autograd at the last activation, from the files alone."""
    contract = contract_from_toml(case.checkpoint.with_name("model.toml"))
    module = module_from_contract(contract)
    module.load_state_dict(load_file(weights))
    module.eval()
    maps = []
    for frame in frames:
        image = Image.open(case.test / frame).resize((64, 64), Image.Resampling.BICUBIC)
        pixels = (np.asarray(image, np.float64) / 255 - contract.input.mean) / contract.input.std
        batch = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32))
        features = module.forward_features(batch).detach().requires_grad_()  # type: ignore[operator]  # timm's
        module.forward_head(features).sum().backward()  # type: ignore[operator]  # timm's
        assert features.grad is not None
        maps.append((features * features.grad).sum(1)[0].detach().numpy() * features[0, 0].numel())
    return np.stack(maps)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images of every batch of maps that is computed."""
    compute, batches = evaluate.maps.cam.class_activation_maps, []

    def counting(module: torch.nn.Module, images: np.ndarray) -> CamResult:
        batches.append(len(images))
        return compute(module, images)

    monkeypatch.setattr("evaluate.maps.cam.class_activation_maps", counting)
    return batches


def test_agreement_is_that_of_maps_by_autograd(laddered: SignoffCase) -> None:
    """Twelve videos: all of them are in the sample, each by its first frame."""
    frames = [path.relative_to(laddered.test).as_posix() for path in sorted(laddered.test.rglob("000.png"))]
    dense = outside_maps(laddered, laddered.checkpoint, frames)
    pruned = outside_maps(laddered, laddered.out / "models/p50.safetensors", frames)
    expected = [stats.pearsonr(a.ravel(), b.ravel()).statistic for a, b in zip(dense, pruned, strict=True)]
    others = [
        stats.pearsonr(a.ravel(), b.ravel()).statistic for i, a in enumerate(dense) for b in np.delete(pruned, i, 0)
    ]
    found = {variant["name"]: variant["cam_agreement"] for variant in record_of(laddered)["variants"]}
    assert found["baseline"] is None
    assert found["q16"] is None
    agreement = found["q16-p50"]
    assert agreement["videos"] == len(frames) == 12
    assert agreement["pearson"] == pytest.approx(np.mean(expected), abs=1e-4)
    assert agreement["null_pearson"] == pytest.approx(np.mean(others), abs=1e-4)
    assert agreement["pearson_interval"]["low"] <= agreement["pearson"] <= agreement["pearson_interval"]["high"]
    assert agreement["masks"] is None


def test_masks_beside_the_test_set_are_used(laddered: SignoffCase, tmp_path: Path) -> None:
    case = copied(laddered, tmp_path)
    for frame in case.test.glob("Celeb-synthesis/*/000.png"):
        mask = case.test / "masks" / frame.relative_to(case.test)
        mask.parent.mkdir(parents=True)
        pixels = np.zeros((48, 48), np.uint8)
        pixels[12:36, 12:36] = 35
        Image.fromarray(pixels).save(mask)
    agreement = evidence_of(case, []).agreements["p50"]
    assert agreement.masks is not None
    assert agreement.dense_masks is not None
    assert (agreement.masks.videos, agreement.masks.area) == (4, pytest.approx(0.25, abs=0.01))
    assert 0 <= agreement.masks.energy_inside <= 1


def test_every_map_is_computed_once(fresh: SignoffCase, counted: list[int]) -> None:
    assert fresh.evaluate() in GRADED
    computed = {path.stem: np.load(path)["frames"].tolist() for path in (fresh.out / "results/maps").glob("*.npz")}
    assert set(computed) == {"dense", "p50"}
    assert sum(counted) == sum(map(len, computed.values()))
    assert all(len(set(frames)) == len(frames) for frames in computed.values())


def test_the_gallery_shows_every_video_by_every_source(laddered: SignoffCase) -> None:
    record = record_of(laddered)
    gallery = record["gallery"]
    assert [entry["sample"] for entry in gallery] == sorted(path.name + ".mp4" for path in laddered.test.glob("*/*"))
    frames = {row.split(",")[0]: row.rsplit(",", 1)[-1].strip() for row in scores_rows(laddered, "baseline")}
    contract = contract_from_toml(laddered.checkpoint.with_name("model.toml")).input
    weights = {"dense": laddered.checkpoint, "p50": laddered.out / "models/p50.safetensors"}
    for entry in gallery[:3]:
        assert list(entry["heatmaps"]) == ["dense", "p50"]
        image = Image.open(laddered.test / frames[entry["sample"]])
        face = Image.open(laddered.out / "report" / entry["picture"])
        assert face.size == (224, 224)
        expected = np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC).resize((224, 224)), float)
        assert np.abs(np.asarray(face, float) - expected).mean() < 3  # JPEG
        for source, path in entry["heatmaps"].items():
            values = outside_maps(laddered, weights[source], [frames[entry["sample"]]])[0]
            drawn = np.asarray(Image.open(laddered.out / "report" / path), float)
            wanted = heatmap_from_map(image, contract, values.astype(np.float32), record["heatmap_limit"], 224)
            assert np.abs(drawn - np.asarray(wanted, float)).mean() < 3


def scores_rows(case: SignoffCase, variant: str) -> list[str]:
    return (case.out / "results" / variant / "scores.csv").read_text(encoding="utf-8").splitlines()[1:]


def test_a_second_command_draws_and_computes_nothing(laddered: SignoffCase, tmp_path: Path, counted: list[int]) -> None:
    case, told = copied(laddered, tmp_path), []
    samples = [entry["sample"] for entry in record_of(case)["gallery"]]
    pictures = {path: path.stat().st_mtime_ns for path in case.out.rglob("*.jpg")}
    evidence = evidence_of(case, samples, told)
    assert not [line for line in told if "making" in line]
    assert counted == []
    assert {path: path.stat().st_mtime_ns for path in case.out.rglob("*.jpg")} == pictures
    assert [entry.sample for entry in evidence.gallery] == samples


def test_other_videos_are_drawn_and_stale_pictures_go(
    laddered: SignoffCase, tmp_path: Path, counted: list[int]
) -> None:
    case, told = copied(laddered, tmp_path), []
    evidence = evidence_of(case, ["00102.mp4", "id104_0000.mp4"], told)
    assert [line for line in told if "making" in line] == [f"making {case.out / 'results/gallery.list'}"]
    assert counted == []  # their maps are there
    assert [entry.sample for entry in evidence.gallery] == ["00102.mp4", "id104_0000.mp4"]
    listed = {path for entry in evidence.gallery for path in (entry.picture, *entry.heatmaps.values())}
    gallery = case.out / "report/gallery"
    assert {path.relative_to(case.out / "report").as_posix() for path in gallery.rglob("*.jpg")} == listed
    assert evidence_of(case, []).gallery == ()
    assert list(gallery.rglob("*")) == []


@pytest.mark.parametrize("damage", ["edited", "gone"])
def test_a_damaged_picture_is_drawn_again(damage: str, laddered: SignoffCase, tmp_path: Path) -> None:
    case = copied(laddered, tmp_path)
    victim = case.out / "report/gallery/p50/00100.mp4.jpg"
    content = victim.read_bytes()
    if damage == "edited":
        victim.write_bytes(b"x")
    else:
        victim.unlink()
    evidence_of(case, [entry["sample"] for entry in record_of(case)["gallery"]])
    assert victim.read_bytes() == content


def test_an_exchanged_image_has_its_map_computed_again_and_no_other(
    laddered: SignoffCase, tmp_path: Path, counted: list[int]
) -> None:
    case = copied(laddered, tmp_path)
    run = RunFolder(case.out)
    spec = read_spec(run)

    def maps() -> SourceMaps:
        return SourceMaps(run, spec, case.test, ArtifactStore(spec.contract.network_json()))

    frames = np.load(run.maps("dense"))["frames"].tolist()
    before = maps().of("dense", frames)
    assert counted == []
    other, victim = case.test / frames[1], case.test / frames[0]
    victim.write_bytes(other.read_bytes())
    after = maps().of("dense", frames)
    assert counted == [1]
    np.testing.assert_allclose(after[frames[0]], before[frames[1]], atol=1e-4)
    assert all(np.array_equal(after[frame], before[frame]) for frame in frames[1:])
    assert len(np.load(run.maps("dense"))["frames"]) == len(frames)


def test_edited_maps_are_refused(laddered: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = copied(laddered, tmp_path)
    path = case.out / "results/maps/p50.npz"
    path.write_bytes(path.read_bytes() + b" ")
    assert case.evaluate() == 2
    told = capsys.readouterr().err
    assert "p50.npz was changed after it was made" in told
    assert "delete it" in told


def test_interrupted_maps_go_on_where_they_stopped(
    laddered: SignoffCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = copied(laddered, tmp_path)
    for path in (case.out / "results/maps").iterdir():
        path.unlink()
    compute, batches = evaluate.maps.cam.class_activation_maps, []

    def interrupted(module: torch.nn.Module, images: np.ndarray) -> CamResult:
        if len(batches) == 1:
            raise KeyboardInterrupt
        batches.append(len(images))
        return compute(module, images)

    monkeypatch.setattr("evaluate.maps.cam.class_activation_maps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evidence_of(case, [])
    batches.append(0)
    evidence_of(case, [])
    whole = {path.stem: len(read_maps(path)) for path in (laddered.out / "results/maps").glob("*.npz")}
    found = {path.stem: read_maps(path) for path in (case.out / "results/maps").glob("*.npz")}
    assert sum(batches) == sum(map(len, found.values()))
    assert {source: len(frames) <= whole[source] for source, frames in found.items()} == {"dense": True, "p50": True}
    facts = read_json(case.out / "results/maps/dense.npz.json")["facts"]
    assert facts == {"maps": len(found["dense"]), "method": "additive"}


def test_a_network_without_maps_is_shown_by_faces_and_the_reason(
    laddered: SignoffCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = copied(laddered, tmp_path)
    for path in (case.out / "results/maps").iterdir():
        path.unlink()

    def refused(_module: torch.nn.Module, _images: np.ndarray) -> CamResult:
        raise CamError("it keeps no places apart")

    monkeypatch.setattr("evaluate.maps.cam.class_activation_maps", refused)
    sample = record_of(laddered)["gallery"][0]["sample"]
    evidence = evidence_of(case, [sample])
    assert evidence.obstacle == "it keeps no places apart"
    assert not evidence.explanation.paths
    assert not evidence.agreements
    assert [(each.sample, each.heatmaps) for each in evidence.gallery] == [(sample, {})]
    assert (case.out / "report" / evidence.gallery[0].picture).is_file()


def read_maps(path: Path) -> list[str]:
    return list(np.load(path)["frames"].tolist())
