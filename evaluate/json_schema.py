"""JSON Schemas of report.json and verdict.json, made from the dataclasses that these files are written from."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: dict[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*)$")


def json_schema(kind: type, title: str, version: int) -> dict[str, Any]:
    """Returns the schema of the JSON that `dataclasses.asdict` makes of a dataclass.

    It asks for what `export.decoding.decoded_from_json` asks for: no unknown key, none missing, every value of its
    type. Descriptions are those of the docstrings.

    Args:
        kind: The dataclass; it has a field `schema_version`.
        title: Name of the file.
        version: The only value of `schema_version`.
    """
    definitions: dict[str, Any] = {}
    _reference(kind, definitions)
    root = definitions.pop(kind.__name__)
    root["properties"]["schema_version"]["const"] = version
    root["required"] = sorted({*root["required"], "schema_version"})
    ordered = {name: definitions[name] for name in sorted(definitions)}
    return {"$schema": DIALECT, "title": title, **root, "$defs": ordered}


def _reference(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Defines a dataclass and all that it holds, and returns a reference to it."""
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}  # a mark, for a dataclass that holds itself
        definitions[name] = _object(kind, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _object(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    kinds, described = get_type_hints(kind), _attributes(kind)
    properties = {}
    for each in fields(kind):
        text = described.get(each.name)
        properties[each.name] = {**({"description": text} if text else {}), **_schema(kinds[each.name], definitions)}
    return {
        "type": "object",
        "description": inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0],
        "properties": properties,
        "required": [each.name for each in fields(kind) if _is_required(each)],
        "additionalProperties": False,
    }


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if is_dataclass(kind):
        return _reference(kind, definitions)
    arguments = get_args(kind)
    if get_origin(kind) is UnionType:
        return {"anyOf": [{"type": "null"} if a is NoneType else _schema(a, definitions) for a in arguments]}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if get_origin(kind) is dict:
        keys = {} if arguments[0] is str else {"propertyNames": _schema(arguments[0], definitions)}
        return {"type": "object", **keys, "additionalProperties": _schema(arguments[1], definitions)}
    if get_origin(kind) is Literal:
        return {"enum": list(arguments)}
    if issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    return {"type": _SCALARS[kind]}


def _is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _attributes(kind: type) -> dict[str, str]:
    """Reads the descriptions of the fields from the section `Attributes:` of a docstring."""
    _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if match := _ATTRIBUTE.match(line):
            name = match[1]
            found[name] = match[2]
        elif name and line.startswith(" " * 8):
            found[name] += f" {line.strip()}"
        else:
            break
    return found
