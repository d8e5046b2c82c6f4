from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from calibration.datasets.celeb_df import samples_from_celeb_df
from demo import training
from demo.training import TrainingError, TrainingPlan, train_detector
from export.checkpoint import detector_from_checkpoint
from export.preprocessing import array_from_file
from tests.celeb_df_tree import write_tree
from tests.detectors import contract_for_tests

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from calibration.samples import SampleSet
    from export.contract import Head, ModelContract

CONTRACT = contract_for_tests(size=32)
PLAN = TrainingPlan(epochs=2, frozen_share=0.5, batch_size=4)


def loaded_scores(path: Path, contract: ModelContract, samples: SampleSet) -> NDArray[np.float32]:
    """Scores with the toolkit's own loader and preprocessing, which share no step with the training."""
    module = detector_from_checkpoint(path, contract).module
    images = np.stack([array_from_file(sample.path, contract.input) for sample in samples.samples])
    with torch.inference_mode():
        scores: NDArray[np.float32] = module(torch.from_numpy(images)).reshape(-1).numpy()
    return scores


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    return samples_from_celeb_df(write_tree(tmp_path_factory.mktemp("train"), 0))


@pytest.fixture(scope="module")
def trained(samples: SampleSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "checkpoint.safetensors"
    train_detector(path, CONTRACT, samples, PLAN)
    return path


def test_checkpoint_loads_with_full_coverage(trained: Path) -> None:
    assert detector_from_checkpoint(trained, CONTRACT).parameter_count > 90_000


def test_training_again_is_reused(trained: Path, samples: SampleSet) -> None:
    before = trained.stat().st_mtime_ns
    train_detector(trained, CONTRACT, samples, PLAN)
    assert trained.stat().st_mtime_ns == before
    assert not list(trained.parent.glob("*.resume.pt"))


def test_the_same_seed_trains_the_same_weights(trained: Path, samples: SampleSet, tmp_path: Path) -> None:
    again = train_detector(tmp_path / "again.safetensors", CONTRACT, samples, PLAN)
    assert again.path.read_bytes() == trained.read_bytes()


@pytest.mark.parametrize("stop_after", [1, 2])
def test_interrupted_training_resumes_to_the_same_weights(
    stop_after: int, trained: Path, samples: SampleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = training._Training._train_epoch
    calls = []

    def interrupted(self: training._Training, label: str) -> float:
        calls.append(label)
        if len(calls) > stop_after:
            raise KeyboardInterrupt
        return original(self, label)

    path = tmp_path / "checkpoint.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(training._Training, "_train_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_detector(path, CONTRACT, samples, PLAN)
    assert not path.exists()
    torch.rand(7)  # what happened in between must not matter
    train_detector(path, CONTRACT, samples, PLAN)
    assert path.read_bytes() == trained.read_bytes()


def test_frozen_epoch_leaves_the_statistics_alone(samples: SampleSet, tmp_path: Path) -> None:
    weights = [
        load_file(train_detector(tmp_path / f"{frozen}.safetensors", CONTRACT, samples, plan).path)
        for frozen, plan in (
            (0, TrainingPlan(epochs=2, frozen_share=0, batch_size=4)),
            (1, TrainingPlan(epochs=2, frozen_share=0.5, batch_size=4)),
        )
    ]
    assert torch.equal(weights[0]["bn1.running_var"], weights[1]["bn1.running_var"])
    assert not torch.equal(weights[0]["conv_head.weight"], weights[1]["conv_head.weight"])


@pytest.mark.parametrize("fake_index", [0, 1])
@pytest.mark.parametrize("head", ["one-logit", "two-logits"])
def test_fakes_score_higher_whatever_the_head(head: Head, fake_index: int, samples: SampleSet, tmp_path: Path) -> None:
    contract = contract_for_tests(size=64, head=head, fake_index=fake_index)
    plan = TrainingPlan(epochs=6, frozen_share=0.5, batch_size=4, learning_rate=5e-3)
    artifact = train_detector(tmp_path / "x.safetensors", contract, samples, plan)
    scores = loaded_scores(artifact.path, contract, samples)
    labels = np.array([sample.is_fake for sample in samples.samples])
    assert roc_auc_score(labels, scores) > 0.8
    # Every image of so small a set is checked, so the loaded detector must show the very range that was stored.
    stored = [artifact.facts["smallest_logit"], artifact.facts["largest_logit"]]
    np.testing.assert_allclose([scores.min(), scores.max()], stored, rtol=1e-3, atol=1e-4)


def test_two_logits_exchange_their_rows_with_the_class_that_is_fake(samples: SampleSet, tmp_path: Path) -> None:
    weights = [
        load_file(
            train_detector(
                tmp_path / f"{index}.safetensors",
                contract_for_tests(size=32, head="two-logits", fake_index=index),
                samples,
                PLAN,
            ).path
        )
        for index in (0, 1)
    ]
    assert weights[0]["classifier.weight"].abs().max() > 0
    torch.testing.assert_close(weights[0]["classifier.weight"].flip(0), weights[1]["classifier.weight"])
    torch.testing.assert_close(weights[0]["conv_head.weight"], weights[1]["conv_head.weight"])


def test_exploding_logits_are_refused(samples: SampleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LARGEST_LOGIT", 1e-6)
    with pytest.raises(TrainingError, match="some images explode"):
        train_detector(tmp_path / "x.safetensors", CONTRACT, samples, PLAN)
    assert not (tmp_path / "x.safetensors").exists()


def test_exploding_logits_are_accepted_on_request_only(
    samples: SampleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LARGEST_LOGIT", 1e-6)
    path = tmp_path / "x.safetensors"
    artifact = train_detector(path, CONTRACT, samples, PLAN, may_explode=True)
    assert artifact.facts["largest_logit"] > artifact.facts["smallest_logit"]
    before = path.stat().st_mtime_ns
    with pytest.raises(TrainingError, match="some images explode"):
        train_detector(path, CONTRACT, samples, PLAN)
    train_detector(path, CONTRACT, samples, PLAN, may_explode=True)
    assert path.stat().st_mtime_ns == before
