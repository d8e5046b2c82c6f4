"""Random damage to an engine and its sidecar: by accident, by a careless hand and by a forger."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from export.sidecar import Recipe, sha256_of_json, sidecar_path

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    Mutation = Callable[[Path, Path, random.Random], None]

TEXTS = ("", "a", "8.9", "portable default", "../../etc/passwd", "/dev/zero", "a\nb", "a\0b", "\ud800", "1; rm -rf .")
NUMBERS = (0, 1, -1, 0.5, 1e300, 10**40)


def random_value(rng: random.Random, depth: int = 0) -> Any:
    """Draws a JSON value of a random type."""
    kind = rng.randrange(6 if depth < 3 else 4)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.choice(NUMBERS)
    if kind in (2, 3):
        return rng.choice(TEXTS)
    values = [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return values if kind == 4 else dict(zip(TEXTS, values, strict=False))


def flipped(path: Path, rng: random.Random) -> None:
    """Flips a few bits."""
    content = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncated(path: Path, rng: random.Random) -> None:
    """Cuts the file somewhere, also at once."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.choice((0, 1, 3, 4, 60, rng.randrange(len(content))))])


def zeroed(path: Path, rng: random.Random) -> None:
    """Overwrites a part with zeros, as a file system does that lost a block."""
    content = bytearray(path.read_bytes())
    start = rng.randrange(len(content))
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    path.write_bytes(rng.choice((bytes(content), bytes(len(content)))))


def overwritten(path: Path, rng: random.Random) -> None:
    """Puts something else in its place."""
    path.write_bytes(rng.choice((b"ftrt" + bytes(999), b"PK\x03\x04", b"{}", b"[]", b"null", b"3", rng.randbytes(999))))


def not_a_file(path: Path, rng: random.Random) -> None:
    """Puts a folder, a pipe, a device or a broken link in its place, or nothing."""
    path.unlink()
    kind = rng.randrange(5)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        path.symlink_to("/dev/zero")
    elif kind == 3:
        path.symlink_to(path.name)


DAMAGE = (flipped, truncated, zeroed, overwritten, not_a_file)


def plan_damaged(engine: Path, other: Path, rng: random.Random) -> None:
    """Damages the engine."""
    rng.choice(DAMAGE)(engine, rng)


def plan_of_another_variant(engine: Path, other: Path, rng: random.Random) -> None:
    """Puts another variant's engine in its place, with or without its sidecar, copied or linked."""
    parts = [(engine, other)] + [(sidecar_path(engine), sidecar_path(other))] * rng.randrange(2)
    for target, source in parts:
        target.unlink()
        shutil.copyfile(source, target) if rng.randrange(2) else target.symlink_to(source)


def sidecar_damaged(engine: Path, other: Path, rng: random.Random) -> None:
    """Damages the sidecar."""
    rng.choice(DAMAGE)(sidecar_path(engine), rng)


def sidecar_of_another_variant(engine: Path, other: Path, rng: random.Random) -> None:
    """Puts another variant's sidecar in its place."""
    shutil.copyfile(sidecar_path(other), sidecar_path(engine))


def sidecar_of_hostile_text(engine: Path, other: Path, rng: random.Random) -> None:
    """Writes what JSON parsers stumble over into the middle of the sidecar."""
    text = sidecar_path(engine).read_text(encoding="utf-8")
    hostile = rng.choice(
        ("NaN", "-Infinity", "1e999", "[" * 99_999, "9" * 9_999, '{"a": 1, "a": 2}', '"\\ud800"', '{"a":' * 700 + "1")
    )
    place = rng.choice([index for index, letter in enumerate(text) if letter == ":"])
    rest = text[text.index("\n", place) :]
    sidecar_path(engine).write_text(text[: place + 1] + hostile + "," + rest, encoding="utf-8")


def sidecar_edited(engine: Path, other: Path, rng: random.Random) -> None:
    """Changes, adds or removes entries and leaves the digests as they are."""
    _edit(engine, rng, sealed=False)


def sidecar_forged(engine: Path, other: Path, rng: random.Random) -> None:
    """Changes, adds or removes entries and computes the digests anew; that of the engine stays."""
    _edit(engine, rng, sealed=True)


MUTATIONS: tuple[Mutation, ...] = (
    plan_damaged,
    plan_of_another_variant,
    sidecar_damaged,
    sidecar_of_another_variant,
    sidecar_of_hostile_text,
    sidecar_edited,
    sidecar_forged,
    sidecar_forged,
)


def _edit(engine: Path, rng: random.Random, sealed: bool) -> None:
    path = sidecar_path(engine)
    record = json.loads(path.read_text(encoding="utf-8"))
    for _ in range(rng.randint(1, 3)):
        place = rng.choice(("facts", "facts", "facts", "options", "parents"))
        part = record.get(place) if rng.randrange(5) else record
        if not isinstance(part, dict) or not part:
            continue
        key = rng.choice([key for key in part if key != "sha256"] + ["device", "sparsity", "precisions", "batch"])
        if key in ("precisions", "sparsity") and rng.randrange(2):
            part[key] = {name: random_value(rng) for name in ("source", "layers", "eligible", "picked")}
        elif rng.randrange(4):
            part[key] = random_value(rng)
        else:
            part.pop(key, None)
    if sealed:
        _seal(record)
    path.write_text(json.dumps(record), encoding="utf-8")


def _seal(record: dict[str, Any]) -> None:
    if "facts" in record:
        record["facts_sha256"] = sha256_of_json(record["facts"])
    try:
        record["key"] = Recipe(record["kind"], record["parents"], record["options"]).key
    except (KeyError, TypeError, ValueError):
        record["key"] = "0" * 64
