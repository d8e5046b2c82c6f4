"""What one benchmark compares: its methods, how each is measured and what its table shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.errors import SignoffError
from peers.methods import REFERENCE, Method
from peers.table import Column, markdown_of_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Suite:
    """One benchmark.

    Attributes:
        name: Name of the command and of its result files.
        title: Heading of the table.
        methods: The rows, the reference first.
        measurements: Steps of the worker that measure each graph.
        packages: Packages whose versions the record names.
        columns: What the table shows.
        legend: Paragraphs that say what the columns mean.
    """

    name: str
    title: str
    methods: tuple[Method, ...]
    measurements: tuple[str, ...]
    packages: tuple[str, ...]
    columns: tuple[Column, ...]
    legend: tuple[str, ...]

    def chosen(self, names: Sequence[str] | None) -> tuple[Method, ...]:
        """Returns the named methods in the table's order, always with the reference; all of them for None.

        Raises:
            SignoffError: A name is unknown.
        """
        if names is None:
            return self.methods
        known = [method.name for method in self.methods]
        for name in names:
            if name not in known:
                raise SignoffError(f"unknown method {name!r}; expected some of {', '.join(known)}")
        return tuple(method for method in self.methods if method.name in {REFERENCE, *names})

    def markdown(self, record: Mapping[str, Any]) -> str:
        """Returns the record as Markdown."""
        return markdown_of_record(record, self.title, self.columns, self.legend)
