"""The text of a `model.toml` to start from, with a comment wherever something was guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.model_file import toml_from_contract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from export.contract import ModelContract

_DECIDE = "decide"


def commented_toml(contract: ModelContract, guesses: Mapping[str, str]) -> str:
    """Returns a model file that reads back as `contract`.

    Args:
        contract: What the file says.
        guesses: Key, with its table and a dot before it, -> the comment that follows it.
    """
    table = ""
    lines = []
    for line in toml_from_contract(contract).splitlines():
        if line.startswith("["):
            table = f"{line.strip('[]')}."
        comment = guesses.get(table + line.partition(" = ")[0], "")
        lines.append(f"{line}  # {comment}" if comment else line)
    return "\n".join([*lines, ""])


def is_open(comment: str) -> bool:
    """Tells whether a comment on a guess asks the user to decide."""
    return comment.startswith(_DECIDE)
