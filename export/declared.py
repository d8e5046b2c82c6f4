"""Checks of what a model file declares."""

from __future__ import annotations

from typing import Any, get_args

from export.errors import ContractError


def expect(condition: bool, key: str, value: object, expected: str) -> None:
    """Refuses a value.

    Raises:
        ContractError: The condition does not hold.
    """
    if not condition:
        raise ContractError(f"{key} = {value!r}; expected {expected}")


def expect_choice(key: str, value: object, choices: Any) -> None:
    """Refuses a value that is not one of a `Literal`'s.

    Raises:
        ContractError: It is another one.
    """
    expect(value in get_args(choices), key, value, "one of " + ", ".join(map(str, get_args(choices))))
