"""Rewritten pickles hold what Python's own unpickler finds in the originals, and none runs what a safe load refuses."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pickle
import pickletools
import secrets
import struct
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from export.checkpoints.pickle_protocol import in_protocol_2, understood_by_torch
from export.checkpoints.weights_file import weights_from_file
from export.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
# Texts that name modules and classes are kept and wanted again like any others.
TEXTS = ("collections", "OrderedDict", "argparse", "Namespace", "weight", "\u00e4\u6f22\U0001f600", "line\nline", "")
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def drawn(rng: np.random.Generator, known: list[Any], depth: int) -> Any:
    """Returns a random value, which may hold earlier ones."""
    some: list[Any] = [drawn(rng, known, depth - 1) for _ in range(rng.integers(0, 5))] if depth else []
    texts = [str(rng.choice(TEXTS)) for _ in some]
    kinds = [
        lambda: some,
        lambda: tuple(some),
        lambda: dict(zip(texts, some, strict=True)),
        lambda: OrderedDict(zip(texts, some, strict=True)),
        lambda: argparse.Namespace(**dict(zip(texts, some, strict=True))),
        lambda: set(texts),
        lambda: frozenset(texts),
        lambda: rng.bytes(int(rng.integers(0, 600))),
        lambda: bytearray(rng.bytes(3)),
        lambda: str(rng.choice(TEXTS)) * int(rng.integers(0, 300)),
        lambda: int(rng.integers(-(1 << 62), 1 << 62)) ** int(rng.integers(1, 4)),
        lambda: float(rng.normal()),
        lambda: np.float32(rng.normal()),
        lambda: bool(rng.integers(2)),
        lambda: None,
        lambda: known[int(rng.integers(len(known)))] if known else None,
    ]
    value = kinds[int(rng.integers(len(kinds)))]()
    known.append(value)
    return value


def without_sets(value: Any) -> Any:
    """Returns a value as it is compared: sets, whose counterparts are lists and tuples, sorted."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, dict):
        return [type(value).__name__, *((key, without_sets(item)) for key, item in value.items())]
    if isinstance(value, argparse.Namespace):
        return without_sets(vars(value))
    if isinstance(value, (list, tuple)):
        is_of_texts = all(isinstance(item, str) for item in value)
        return sorted(value) if is_of_texts else [without_sets(item) for item in value]
    return value


@pytest.mark.parametrize("seed", [0, FRESH])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_are_those_of_the_original(protocol: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(40):
        known: list[Any] = []
        value = [drawn(rng, known, 4) for _ in range(6)]
        file = io.BytesIO(b"before" + pickle.dumps(value, protocol) + b"after")
        file.seek(6)
        rewritten = in_protocol_2(file)
        assert file.read() == b"after"
        assert {opcode.proto for opcode, _, _ in pickletools.genops(rewritten)} <= {0, 1, 2}
        assert without_sets(pickle.loads(rewritten)) == without_sets(value)


def test_what_is_shared_stays_shared_and_what_is_long_whole() -> None:
    tensor = OrderedDict(a=1)
    names = [f"{number}.weight" * 20 for number in range(700)]  # more than a byte counts, more than a frame holds
    value = [tensor, names, tensor, list(names), "x" * 200_000, b"\xff" * 70_000]
    value.append(value)
    found = pickle.loads(in_protocol_2(io.BytesIO(pickle.dumps(value, 5))))
    assert found[:-1] == value[:-1]
    assert found[0] is found[2]
    assert found[-1] is found


def test_a_protocol_that_is_understood_is_left_alone(tmp_path: Path) -> None:
    for is_zip in (True, False):
        torch.save({"a": torch.ones(1)}, tmp_path / "a", _use_new_zipfile_serialization=is_zip)
        assert understood_by_torch(tmp_path / "a") == tmp_path / "a"


def short(text: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(text.encode())]) + text.encode()


def long(text: str) -> bytes:
    return pickle.BINUNICODE8 + struct.pack("<Q", len(text.encode())) + text.encode()


def evil_pickles(canary: Path) -> dict[str, bytes]:
    """Returns pickles that call `os.system`, by way of every opcode that is rewritten."""
    touch = f"touch {canary}"
    system, call = os.system.__module__, short(touch) + pickle.TUPLE1 + pickle.REDUCE
    name = short(system) + short("system") + pickle.STACK_GLOBAL
    kept = short("system") + pickle.MEMOIZE + short(system) + pickle.MEMOIZE
    taken_back = short(system) + pickle.MEMOIZE + short("system") + pickle.MEMOIZE + pickle.STACK_GLOBAL
    get = [pickle.BINGET + bytes([place]) for place in (0, 1)]
    frame = pickle.FRAME + struct.pack("<Q", 5)
    dressed = {
        "text": name + call,
        "long text": long(system) + long("system") + pickle.STACK_GLOBAL + call,
        "kept": kept + get[1] + get[0] + pickle.STACK_GLOBAL + call,
        "taken back": taken_back + get[0] + get[1] + pickle.STACK_GLOBAL + call,
        "built-in": short("builtins") + short("eval") + pickle.STACK_GLOBAL
        + short(f"__import__('os').system({touch!r})") + pickle.TUPLE1 + pickle.REDUCE,
        "attribute": short("os") + short("system") + pickle.STACK_GLOBAL + call,
        "new object": short("collections") + short("OrderedDict") + pickle.STACK_GLOBAL
        + name + call + pickle.TUPLE1 + pickle.EMPTY_DICT + pickle.NEWOBJ_EX,
        "set": pickle.EMPTY_SET + pickle.MARK + name + call + pickle.ADDITEMS,
        "frozen set": pickle.MARK + name + call + pickle.FROZENSET,
        "bytes": name + pickle.SHORT_BINBYTES + bytes([len(touch)]) + touch.encode() + pickle.TUPLE1 + pickle.REDUCE,
        "computed name": short("_codecs") + short("decode") + pickle.STACK_GLOBAL
        + pickle.SHORT_BINBYTES + bytes([len(system)]) + system.encode() + pickle.TUPLE1 + pickle.REDUCE
        + short("system") + pickle.STACK_GLOBAL + call,
        "two lines": short("collections") + short(f"OrderedDict\nc{system}\nsystem\n") + pickle.STACK_GLOBAL + call,
        "buffer": name + pickle.NEXT_BUFFER + pickle.READONLY_BUFFER + pickle.TUPLE1 + pickle.REDUCE,
        "array": name + pickle.BYTEARRAY8 + struct.pack("<Q", len(touch)) + touch.encode()
        + pickle.TUPLE1 + pickle.REDUCE,
    }  # fmt: skip
    return {key: pickle.PROTO + b"\x05" + code + pickle.STOP for key, code in dressed.items()} | {
        "frame": pickle.PROTO + b"\x04" + frame + name + call + pickle.STOP
    }


def checkpoint_of(code: bytes) -> bytes:
    """Returns a file of torch whose pickle is another one."""
    saved, forged = io.BytesIO(), io.BytesIO()
    torch.save({"weight": torch.ones(2)}, saved)
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(forged, "w") as other:
        for name in archive.namelist():
            other.writestr(name, code if name.endswith("data.pkl") else archive.read(name))
    return forged.getvalue()


# Forged for the rewriting; Python's own unpickler stumbles over them.
NOT_FOR_PYTHON = {"two lines", "buffer", "array", "frame"}


@pytest.mark.parametrize("way", evil_pickles(None))  # type: ignore[arg-type]
def test_nothing_is_called_whatever_opcodes_say_so(way: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "evil.pth"
    code = evil_pickles(canary)[way]
    path.write_bytes(checkpoint_of(code))
    with pytest.raises(CheckpointError) as caught:
        weights_from_file(path)
    assert "\n" not in str(caught.value)
    magic = pickle.dumps(torch.serialization.MAGIC_NUMBER, 4) + pickle.dumps(1001, 4) + pickle.dumps({}, 4)
    path.write_bytes(magic + code + pickle.dumps([], 4))
    with pytest.raises(CheckpointError):
        weights_from_file(path)
    assert not canary.exists()
    if way not in NOT_FOR_PYTHON:
        with contextlib.suppress(TypeError):  # of what is made of the call's result
            pickle.loads(code)
        assert canary.exists()  # the trap would have snapped


@pytest.mark.parametrize("seed", [0, FRESH])
def test_damaged_traps_do_not_snap_either(seed: int, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "evil.pth"
    rng = np.random.default_rng(seed)
    for code in evil_pickles(canary).values():
        for _ in range(8):
            damaged = bytearray(code)
            damaged[int(rng.integers(2, len(code)))] = int(rng.integers(256))
            path.write_bytes(checkpoint_of(bytes(damaged)))
            with pytest.raises(CheckpointError):
                weights_from_file(path)
    assert not canary.exists()
