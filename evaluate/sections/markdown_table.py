"""Markdown tables, and text from file names made safe inside them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Alignment = Literal["left", "center", "right"]

_RULES: dict[Alignment, str] = {"left": ":---", "center": ":---:", "right": "---:"}
# An underscore after a letter or digit, as in most file names, begins no emphasis and stays readable.
_SPECIAL = re.compile(r"[\\`*<>\[\]|&~$]|(?<![^\W_])_")


def markdown_table(header: Sequence[str], alignments: Sequence[Alignment], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a table whose cells are Markdown already."""
    return [_line(header), _line([_RULES[alignment] for alignment in alignments]), *map(_line, rows)]


def escaped(text: str) -> str:
    """Returns Markdown that shows `text` literally, on one line, also inside a table."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", printable)


def image_link(alternative: str, path: str) -> str:
    """Returns an image with a relative path, whose special characters are percent-encoded."""
    return f"![{alternative}]({quote(path)})"


def file_link(text: str, path: str) -> str:
    """Returns a link to a file by a relative path, whose special characters are percent-encoded."""
    return f"[{escaped(text)}]({quote(path)})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
