"""`model.toml`: the contract as a person writes it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from export.contract import ModelContract, contract_from_mapping
from export.errors import ContractError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def contract_from_toml(path: Path) -> ModelContract:
    """Reads a model file.

    Raises:
        ContractError: The file is missing, is not TOML, or a key is unknown, missing or out of range.
    """
    if not path.is_file():
        raise ContractError(
            f"no model file at {path}; inspect-checkpoint CHECKPOINT --out {path} writes one to start from, or pass "
            "--model FILE"
        )
    try:
        mapping = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ContractError(f"{path} is not valid TOML: {error}") from error
    try:
        return contract_from_mapping(mapping)
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from None


def toml_from_contract(contract: ModelContract) -> str:
    """Returns the text of a model file that reads back as `contract`; what is not declared is left out."""
    tables = asdict(contract)
    declared = {name: tables.pop(name) for name in ("input", "faces", "video")}
    lines = toml_lines(tables)
    for name, table in declared.items():
        if table is not None:
            lines += ["", f"[{name}]", *toml_lines(table)]
    return "\n".join([*lines, ""])


def toml_lines(table: Mapping[str, Any]) -> list[str]:
    """Returns a line for each key, without those that say nothing."""
    return [
        f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None and value not in ("", ())
    ]
