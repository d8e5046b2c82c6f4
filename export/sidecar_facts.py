"""The types of what sidecars state, so that those who read a fact may rely on it, even in a sidecar that was forged.

A key that is not there is not known; a key that is not listed is left to its reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.stored_json import Stated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    Reader = Callable[[Stated, str], object]


def _text_or_texts(stated: Stated, key: str) -> object:
    return stated.texts(key) if stated.is_list(key) else stated.text(key)


def _some_texts_by_name(stated: Stated, key: str) -> object:
    return stated.texts_by_name(key) or stated.refuse(key, "at least one entry")


def _optional_whole_number(stated: Stated, key: str) -> object:
    return None if stated.is_null(key) else stated.whole_number(key)


def _optional_part(stated: Stated, key: str) -> object:
    return None if stated.is_null(key) else stated.part(key)


def _sparsity(stated: Stated, key: str) -> object:
    inner = stated.inner(key)
    return [_optional_whole_number(inner, told) for told in ("eligible", "picked") if told in inner]


def _precisions(stated: Stated, key: str) -> object:
    inner = stated.inner(key)
    layers = inner.inner("layers")
    return [inner.text("source"), *(layers.whole_number(precision) for precision in layers)]


def _threshold(stated: Stated, key: str) -> object:
    inner = stated.inner(key)
    aggregation = [inner.text("aggregation")] if "aggregation" in inner else []
    return [inner.number("value"), inner.text("origin"), inner.text("validation_sha256"), *aggregation]


_FACTS: dict[str, dict[str, Reader]] = {
    "engine": {
        "input": Stated.text,
        "batch": Stated.three_whole_numbers,
        "compute_capabilities": _text_or_texts,
        "device": Stated.texts_by_name,
        "cuda_major": Stated.whole_number,
        "precisions": _precisions,
        "weights_bytes": _optional_whole_number,
        "download_bytes": _optional_whole_number,
        "build_seconds": Stated.number,
        "warnings": Stated.texts,
        "version_compatible": Stated.flag,
        "hardware_compatible": Stated.flag,
        "sparsity": _sparsity,
        "recommended_threshold": _threshold,
    },
    "frame-scores": {
        "unreadable": Stated.texts,
        "lost_videos": Stated.texts,
        "notes": Stated.texts,
        "backend": Stated.text,
        "device": Stated.text,
        "simulation": Stated.text,
        "batch_size": Stated.whole_number,
        "conditions": Stated.texts_by_name,
        "python": Stated.text,
        "machine": Stated.text,
        "root": Stated.text,
        "identities": Stated.texts,
        "faceless_fakes": Stated.texts,
        "faceless_reals": Stated.texts,
    },
    "onnx": {"int8": _optional_part},
    "weights": {"pruning": _optional_part},
}
_OPTIONS: dict[str, dict[str, Reader]] = {
    "engine": {"backend": _some_texts_by_name, "device": Stated.texts_by_name},
}


def require_types(kind: str, facts: Mapping[str, Any], options: Mapping[str, Any], sidecar: Path) -> None:
    """Reads every known fact and option of an artifact once.

    Raises:
        ArtifactError: One is of another type than its readers expect.
    """
    for values, table in ((facts, _FACTS), (options, _OPTIONS)):
        stated = Stated(values, sidecar)
        for key, read in table.get(kind, {}).items():
            if key in stated:
                read(stated, key)
