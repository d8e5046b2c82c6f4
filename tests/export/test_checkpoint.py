from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from export.checkpoint import detector_from_checkpoint
from export.errors import CheckpointError
from tests.detectors import contract_for_tests, randomized_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

CONTRACT = contract_for_tests()


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return randomized_module(CONTRACT)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).standard_normal((4, 3, 64, 64)).astype(np.float32))


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


def without_counters(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


CONTAINERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model": lambda s: {"model": s, "optimizer": {"lr": 1.0}},
    "net": lambda s: {"net": s},
    "model_state_dict": lambda s: {"model_state_dict": s},
    "parallel": lambda s: {"state_dict": prefixed(s, "module.")},
    "compiled parallel": lambda s: prefixed(s, "_orig_mod.module."),
    "backbone": lambda s: {"model": prefixed(s, "backbone.")},
    "old, without counters": without_counters,
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_give_the_trained_logits(
    container: str, module: nn.Module, images: torch.Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "detector.pth"
    torch.save(CONTAINERS[container](module.state_dict()), path)
    detector = detector_from_checkpoint(path, CONTRACT)
    assert not detector.module.training
    with torch.inference_mode():
        torch.testing.assert_close(detector.module(images), module(images), rtol=0, atol=0)


def test_safetensors(module: nn.Module, images: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "detector.safetensors"
    save_file(module.state_dict(), path)
    with torch.inference_mode():
        torch.testing.assert_close(detector_from_checkpoint(path, CONTRACT).module(images), module(images))


def test_ema_wins(module: nn.Module, images: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "detector.pth"
    other = randomized_module(CONTRACT, seed=9).state_dict()
    torch.save({"state_dict": other, "state_dict_ema": module.state_dict()}, path)
    detector = detector_from_checkpoint(path, CONTRACT)
    assert detector.wrapper == "state_dict_ema"
    with torch.inference_mode():
        torch.testing.assert_close(detector.module(images), module(images))


@pytest.mark.parametrize("fake_index", [0, 1])
def test_two_logits_become_their_margin(fake_index: int, images: torch.Tensor, tmp_path: Path) -> None:
    contract = contract_for_tests(head="two-logits", fake_index=fake_index)
    module = randomized_module(contract)
    path = tmp_path / "detector.pth"
    torch.save(module.state_dict(), path)
    detector = detector_from_checkpoint(path, contract)
    with torch.inference_mode():
        probability = torch.softmax(module(images), dim=1)[:, fake_index]
        torch.testing.assert_close(torch.sigmoid(detector.module(images))[:, 0], probability, rtol=1e-4, atol=1e-5)
    assert (detector.contract.head, detector.contract.fake_index) == ("one-logit", 1)


def test_one_logit_that_means_real_is_negated(module: nn.Module, images: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "detector.pth"
    torch.save(module.state_dict(), path)
    detector = detector_from_checkpoint(path, contract_for_tests(fake_index=0))
    with torch.inference_mode():
        torch.testing.assert_close(detector.module(images), -module(images))


class Touch:
    """Unpickling it creates a file: what a malicious checkpoint would do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path, touched = tmp_path / "detector.pth", tmp_path / "touched"
    torch.save({"state_dict": Touch(touched)}, path)
    with pytest.raises(CheckpointError, match=r"save model\.state_dict\(\) instead"):
        detector_from_checkpoint(path, CONTRACT)
    assert not touched.exists()


def test_whole_module_is_refused(module: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "detector.pth"
    torch.save(module, path)
    with pytest.raises(CheckpointError, match=r"save model\.state_dict\(\) instead"):
        detector_from_checkpoint(path, CONTRACT)


def damaged(state: dict[str, Any], change: str) -> dict[str, Any]:
    state = dict(state)
    if change == "missing":
        del state["conv_head.weight"]
    elif change == "unexpected":
        state["fc.extra"] = torch.zeros(1)
    elif change == "shape":
        state["conv_head.weight"] = state["conv_head.weight"][:, :-1].clone()
    else:
        state["conv_head.weight"] = state["conv_head.weight"] * float("nan")
    return state


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("missing", r"1 tensors missing \(conv_head.weight\), 0 unexpected"),
        ("unexpected", r"1 tensors are part of neither network nor classifier \(fc.extra\)"),
        ("shape", "conv_head.weight is .* instead of"),
        ("nan", "NaN or infinity"),
    ],
)
def test_partial_checkpoints_are_refused(change: str, told: str, module: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "detector.pth"
    torch.save(damaged(module.state_dict(), change), path)
    with pytest.raises(CheckpointError, match=told):
        detector_from_checkpoint(path, CONTRACT)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 1, 1000, -100])
def test_truncated_files_are_refused(suffix: str, kept: int, module: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / f"detector{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save(module.state_dict(), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="copy"):
        detector_from_checkpoint(path, CONTRACT)


@pytest.mark.parametrize("content", [b"not a checkpoint at all", pickle.dumps([1, 2, 3]), pickle.dumps({})])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "detector.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        detector_from_checkpoint(path, CONTRACT)


def test_unknown_architecture_suggests_names(module: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "detector.pth"
    torch.save(module.state_dict(), path)
    with pytest.raises(CheckpointError, match=r"did you mean .*efficientnet_b5"):
        detector_from_checkpoint(path, contract_for_tests("eficientnet_b5"))
    with pytest.raises(CheckpointError, match='or family = "efficientnet-pytorch" or family = "deepfakebench"'):
        detector_from_checkpoint(path, contract_for_tests("efficientnet-b5"))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        detector_from_checkpoint(tmp_path / "none.pth", CONTRACT)
