from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import io
import json
import os
import pathlib
import pickle
import tarfile
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import nn

from export.checkpoints.weights_file import weights_from_file
from export.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 1))


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return network().state_dict()


def scripts_of_projects(state: dict[str, Any]) -> dict[str, Any]:
    """What training scripts hand to `torch.save`."""
    optimizer = torch.optim.AdamW(network().parameters())
    sum(parameter.sum() for group in optimizer.param_groups for parameter in group["params"]).backward()
    optimizer.step()
    return {
        "bare": state,
        "selimsef": {"epoch": 3, "state_dict": OrderedDict(state), "bce_best": np.float64(0.1), "args": ["b5.json"]},
        "polimi": {
            "net": state,
            "opt": optimizer.state_dict(),
            "train_loss": np.float32(0.3),
            "iteration": np.int64(7),
        },
        "sbi": {"model": state, "optimizer": optimizer.state_dict(), "epoch": 5},
        "tutorial": {"model_state_dict": state, "optimizer_state_dict": optimizer.state_dict(), "loss": torch.ones(1)},
        "timm": {
            "epoch": 1,
            "arch": "efficientnet_b5",
            "state_dict": state,
            "optimizer": optimizer.state_dict(),
            "args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs"), mean=np.array([0.5, 0.5]), amp=np.bool_(True)),
            "metric": np.float64(0.9),
        },
        "lightning": {
            "epoch": 2,
            "global_step": 100,
            "pytorch-lightning_version": "2.4.0",
            "state_dict": state,
            "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 3}}}},
            "callbacks": {"ModelCheckpoint{'monitor': 'auc'}": {"best_model_score": torch.tensor(0.9)}},
            "optimizer_states": [optimizer.state_dict()],
            "lr_schedulers": [{"_last_lr": [0.1], "best": np.float64(1.0)}],
            "hparams_name": "kwargs",
            "hyper_parameters": {"lr": 1e-3, "backbone": "efficientnet_b5", "root": pathlib.Path("data")},
        },
        "nested": {"checkpoint": {"model": state}, "epoch": torch.tensor(4), "history": defaultdict(list, auc=[0.5])},
        "parameters": {key: nn.Parameter(value, value.is_floating_point()) for key, value in state.items()},
    }


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_weights_are_found_in_what_scripts_save(
    is_zip: bool, protocol: int, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    wrappers = {}
    for name, saved in scripts_of_projects(state).items():
        path = tmp_path / name  # some projects give no extension
        torch.save(saved, path, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
        stored = weights_from_file(path)
        assert stored.kind == ("PyTorch zip" if is_zip else "PyTorch pickle")
        assert list(stored.tensors) == list(state), name
        assert all(torch.equal(stored.tensors[key], state[key]) for key in state), name
        wrappers[name] = stored.wrapper
    assert wrappers == {
        "bare": "",
        "selimsef": "state_dict",
        "polimi": "net",
        "sbi": "model",
        "tutorial": "model_state_dict",
        "timm": "state_dict",
        "lightning": "state_dict",
        "nested": "checkpoint.model",
        "parameters": "",
    }


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema"])
def test_averaged_weights_win_and_that_is_said(key: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    other = {name: torch.zeros_like(value) for name, value in state.items()}
    torch.save({"model": other, key: state, "epoch": 1}, tmp_path / "a.pth")
    stored = weights_from_file(tmp_path / "a.pth")
    assert stored.wrapper == key
    assert torch.equal(stored.tensors["0.weight"], state["0.weight"])
    assert stored.notes == (f"takes the averaged weights (EMA) of {key} rather than model",)


def test_an_average_without_names_is_not_used_and_that_is_said(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({"model": state, "ema": {"decay": 0.99, "shadow_params": [torch.ones(1)]}}, tmp_path / "a.pth")
    stored = weights_from_file(tmp_path / "a.pth")
    assert stored.wrapper == "model"
    assert "ema holds no weights under names" in stored.notes[0]
    shadow = {"decay": torch.tensor(0.99), "shadow_params": [torch.ones(1)]}
    torch.save({"model": state, "ema": shadow}, tmp_path / "a.pth")
    assert weights_from_file(tmp_path / "a.pth").wrapper == "model"


def test_parts_saved_side_by_side_keep_their_keys(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    head = {"weight": torch.ones(1, 4)}
    torch.save({"backbone": state, "head": head, "optimizer": {"state": {0: {"step": torch.ones(1)}}}}, tmp_path / "a")
    stored = weights_from_file(tmp_path / "a")
    assert set(stored.tensors) == {*(f"backbone.{key}" for key in state), "head.weight"}


def test_what_scripts_note_beside_weights_is_no_obstacle(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    now = dt.datetime.now(dt.timezone.utc)
    beside = {
        "date": [now, now.date(), dt.timedelta(1)],
        "path": pathlib.PureWindowsPath("a"),
        "frozen": frozenset("ab"),
        "numpy": [
            np.str_("b5"),
            np.array(["b5", "b4"]),
            np.array([b"x"]),
            np.datetime64("2020-01-01"),
            np.complex64(1j),
        ],
        "numpy generator": np.random.default_rng(0).random(3),
    }
    for name, value in beside.items():
        for is_zip in (True, False):
            torch.save({"model": state, name: value}, tmp_path / "a", _use_new_zipfile_serialization=is_zip)
            assert weights_from_file(tmp_path / "a").tensors.keys() == state.keys(), name


def test_counts_of_a_profiler_are_left_out_and_told(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    counted = {
        f"{place}total_{what}": torch.zeros(1, dtype=torch.float64)
        for place in ("", "0.")
        for what in ("ops", "params")
    }
    torch.save({**state, **counted}, tmp_path / "a.pth")
    stored = weights_from_file(tmp_path / "a.pth")
    assert list(stored.tensors) == list(state)
    assert stored.notes == ("leaves out 4 counts of a profiler (total_ops, total_params, ...)",)
    assert stored.dtypes == (("float32", 8),)


@pytest.mark.parametrize("view", ["channels last", "shared storage", "gradients"])
def test_how_tensors_lie_in_memory_does_not_matter(view: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    storage = torch.cat([value.flatten().float() for value in state.values()])
    places = np.cumsum([0, *(value.numel() for value in state.values())])
    laid_out = {
        "channels last": {k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in state.items()},
        "shared storage": {
            key: storage[start : start + value.numel()].view(value.shape) if value.is_floating_point() else value
            for (key, value), start in zip(state.items(), places, strict=False)
        },
        "gradients": {k: v.clone().requires_grad_(v.is_floating_point()) for k, v in state.items()},
    }
    torch.save(laid_out[view], tmp_path / "a.pth")
    stored = weights_from_file(tmp_path / "a.pth")
    assert all(torch.equal(stored.tensors[key], value) for key, value in state.items())
    assert not any(tensor.requires_grad for tensor in stored.tensors.values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    cast = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    save_file(cast, tmp_path / "model.safetensors")
    stored = weights_from_file(tmp_path / "model.safetensors")
    assert stored.tensors["0.weight"].dtype == torch.float32
    torch.testing.assert_close(stored.tensors["0.weight"].to(dtype), cast["0.weight"], rtol=0, atol=0)
    name = str(dtype).removeprefix("torch.")
    assert stored.dtypes == ((name, 8),)
    assert stored.notes == (f"8 tensors stored in {name} are read as float32",)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:Sparse")
def test_quantized_and_other_tensors_are_refused(tmp_path: Path) -> None:
    values = torch.ones(2, 2)
    for name, tensor in {
        "quantized": torch.quantize_per_tensor(values, 1.0, 0, torch.qint8),
        "quantized weights": values.to(torch.float8_e4m3fn),
        "fc.weight is torch.int8": values.to(torch.int8),
        "dense real": values.to(torch.complex64),
        "expected dense": values.to_sparse(),
    }.items():
        torch.save({"fc.weight": tensor}, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match=name):
            weights_from_file(tmp_path / "a.pth")


@pytest.mark.filterwarnings("ignore:torch.ao.quantization", "ignore:.*quantiz")
def test_dynamically_quantized_layers_are_called_so(tmp_path: Path) -> None:
    quantized = torch.ao.quantization.quantize_dynamic(network(), {nn.Linear})
    torch.save(quantized.state_dict(), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"quantized weights \(3.zero_point is .*pass the float checkpoint"):
        weights_from_file(tmp_path / "a.pth")


def test_files_without_tensors_say_so(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({}, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="holds no tensors; expected"):
        weights_from_file(path)
    torch.save({}, path.with_suffix(".pth"))
    with pytest.raises(CheckpointError, match="holds no tensors; expected"):
        weights_from_file(path.with_suffix(".pth"))


class Call:
    """Unpickling it calls a function: what a malicious checkpoint does."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_malicious_pickles_are_named_and_not_run(
    is_zip: bool, protocol: int, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    evil = {
        "posix.system|nt.system": Call(os.system, f"touch {canary}"),
        "builtins.exec|__builtin__.exec": Call(exec, f"open({str(canary)!r}, 'w').close()"),
        "builtins.eval|__builtin__.eval": Call(eval, f"open({str(canary)!r}, 'w').close()"),
    }
    path = tmp_path / "evil.pth"
    for name, call in evil.items():
        for saved in ({"state_dict": state, "beside": [{"deep": call}]}, {"state_dict": {**state, "x": call}}, call):
            torch.save(saved, path, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
            with pytest.raises(CheckpointError, match=f"would call .*({name}).* load it nowhere"):
                weights_from_file(path)
            assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists()  # the trap would have snapped


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_whole_modules_are_refused_with_advice(is_zip: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    for saved in (network(), {"model": network()}):
        torch.save(saved, path, _use_new_zipfile_serialization=is_zip)
        with pytest.raises(
            CheckpointError, match=r"whole pickled model \(of torch.nn.*save model.state_dict\(\) instead"
        ):
            weights_from_file(path)


class Settings:
    """A class of somebody's training script."""


@pytest.mark.parametrize("protocol", [2, 4])
def test_objects_beside_weights_are_named(protocol: int, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    beside = {"config": Settings(), "dtype": torch.float16, "date": dt.date(2020, 1, 1)}
    torch.save({"state_dict": state, **beside}, tmp_path / "a.pth", pickle_protocol=protocol)
    with pytest.raises(
        CheckpointError, match=r"\(tests.export.checkpoints.test_weights_file.Settings\).*save model.state_dict\(\)"
    ):
        weights_from_file(tmp_path / "a.pth")


def test_torchscript_is_refused_with_advice(tmp_path: Path) -> None:
    torch.jit.trace(network().eval(), torch.zeros(1, 3, 3, 3)).save(str(tmp_path / "a.pt"))
    with pytest.raises(CheckpointError, match="TorchScript program, which is code and is not run"):
        weights_from_file(tmp_path / "a.pt")


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return content.getvalue()


def graph() -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    made = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [onnx.ValueInfoProto(name="y")])
    content: bytes = helper.make_model(made).SerializeToString()
    return content


OTHERS = {
    "a Git LFS pointer.*git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n",
    "a web page": b"\n<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title>",
    "an index of a sharded checkpoint": json.dumps({"metadata": {}, "weight_map": {}}).encode(),
    "JSON text": b'{"architecture": "b5"}',
    r"compressed \(gzip\)": b"\x1f\x8b\x08" + bytes(20),
    "a tar archive; unpack": tarred(),
    "an HDF5 file, as Keras": b"\x89HDF\r\n\x1a\n" + bytes(20),
    "a Keras model": zipped("metadata.json", "config.json", "model.weights.h5"),
    "an ONNX graph": graph(),
    "a TensorRT engine": b"ptrt" + bytes(20),
    "a NumPy archive": zipped("a.npy", "b.npy"),
    "a zip archive of b5.pth, notes.txt": zipped("b5.pth", "notes.txt"),
    "a program of torch.export": zipped("a/archive_format", "a/models/model.json"),
    "cut off or damaged": zipped("archive/data.pkl")[:40],
    "is empty": b"",
    "begins with b'what'": b"what",
}


@pytest.mark.parametrize("told", OTHERS)
def test_other_files_are_called_by_their_name(told: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(OTHERS[told])
    with pytest.raises(CheckpointError, match=told):
        weights_from_file(path)


def test_parts_and_folders_are_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "model-00001-of-00003.safetensors")
    with pytest.raises(CheckpointError, match="one of 3 parts"):
        weights_from_file(tmp_path / "model-00001-of-00003.safetensors")
    save_file(state, tmp_path / "model-00001-of-00001.safetensors")
    assert weights_from_file(tmp_path / "model-00001-of-00001.safetensors").tensors.keys() == state.keys()
    with pytest.raises(CheckpointError, match="is a folder"):
        weights_from_file(tmp_path)


def test_safetensors_that_are_cut_off_say_how_much_is_missing(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(state, path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=f"cut off: {size - 10} of {size} bytes"):
        weights_from_file(path)


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_damage_never_ends_in_a_traceback(
    is_zip: bool, protocol: int, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "a.pth"
    torch.save(
        {"state_dict": state, "args": argparse.Namespace(lr=np.float64(0.1))},
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=is_zip,
    )
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng()
    for _ in range(60):
        damaged = whole.copy()
        # The pickle lies in front in both formats, and there damage does most.
        places = rng.integers(0, min(len(whole), 1500), 3)
        damaged[places] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(CheckpointError):
            weights_from_file(path)
