"""From JSON values to the frozen dataclasses they were made from; nothing is ignored, guessed or converted."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from export.errors import ArtifactError

Kind = TypeVar("Kind")


def decoded_from_json(kind: type[Kind], value: object) -> Kind:
    """Builds a `kind` out of parsed JSON.

    Supports dataclasses, tuples of one kind or of a fixed length, dicts, string enums, literals, optionals, str, int,
    float and bool.

    Raises:
        ArtifactError: A key is unknown or missing, or a value is of another type; the message names the place.
    """
    decoded: Kind = _decoded(kind, value, kind.__name__)
    return decoded


def _decoded(kind: Any, value: Any, place: str) -> Any:
    if is_dataclass(kind):
        return _decoded_dataclass(kind, value, place)
    if get_origin(kind) is UnionType:
        return None if value is None else _decoded(_required_kind(kind), value, place)
    if get_origin(kind) is tuple:
        _require(isinstance(value, list | tuple), place, value, "a list")
        kinds = _kinds_of_items(kind, value, place)
        return tuple(_decoded(kinds[index], item, f"{place}[{index}]") for index, item in enumerate(value))
    if get_origin(kind) is dict:
        _require(isinstance(value, dict), place, value, "an object")
        key_kind, item_kind = get_args(kind)
        return {_decoded(key_kind, k, place): _decoded(item_kind, item, f"{place}.{k}") for k, item in value.items()}
    return _decoded_scalar(kind, value, place)


def _kinds_of_items(kind: Any, value: Any, place: str) -> tuple[Any, ...]:
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis:
        return kinds[:1] * len(value)
    _require(len(value) == len(kinds), place, value, f"a list of {len(kinds)}")
    return kinds


def _decoded_dataclass(kind: Any, value: Any, place: str) -> Any:
    _require(isinstance(value, dict), place, value, "an object")
    kinds = get_type_hints(kind)
    required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    known = {f.name for f in fields(kind)}
    unknown, missing = sorted(set(value) - known), sorted(required - set(value))
    if unknown or missing:
        raise ArtifactError(f"{place}: unknown keys {unknown}, missing keys {missing}; write the file again")
    return kind(**{name: _decoded(kinds[name], item, f"{place}.{name}") for name, item in value.items()})


def _decoded_scalar(kind: Any, value: Any, place: str) -> Any:
    if get_origin(kind) is Literal:
        _require(value in get_args(kind), place, value, f"one of {get_args(kind)}")
        return value
    if issubclass(kind, Enum):
        choices = [member.value for member in kind]
        _require(value in choices, place, value, f"one of {choices}")
        return kind(value)
    # bool is a subclass of int, and JSON writers of other languages drop the point of a whole float.
    accepted = int | float if kind is float else kind
    _require(isinstance(value, accepted) and isinstance(value, bool) == (kind is bool), place, value, kind.__name__)
    if kind is float:
        _require(math.isfinite(value), place, value, "a finite number")
    return kind(value)


def _required_kind(union: Any) -> Any:
    return next(kind for kind in get_args(union) if kind is not NoneType)


def _require(condition: bool, place: str, value: object, expected: str) -> None:
    if not condition:
        raise ArtifactError(f"{place} is {str(value)[:60]!r}; expected {expected}: write the file again")
