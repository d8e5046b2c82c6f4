"""Runs a command as on a machine on which some packages are not installed.

python -m tests.bare_machine torch,timm evaluate runs/b5 --test data/test
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec


class FinderWithout:
    """A finder of `sys.meta_path` that finds what another one finds, but for some packages."""

    def __init__(self, finder: Any, missing: frozenset[str]) -> None:
        self._finder = finder
        self._missing = missing

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name.partition(".")[0] in self._missing:
            return None
        spec: ModuleSpec | None = self._finder.find_spec(name, path, target)
        return spec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def main(arguments: Sequence[str]) -> int:
    packages, room, *options = arguments
    missing = frozenset(packages.split(","))
    sys.meta_path[:] = [FinderWithout(finder, missing) for finder in sys.meta_path]
    version = importlib.metadata.version

    def version_of_what_is_there(name: str) -> str:
        if name.replace("-", "_") in missing:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    importlib.metadata.version = version_of_what_is_there
    code: int = importlib.import_module(f"{room}.cli").main(options)
    assert not missing & {name.partition(".")[0] for name in sys.modules}
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
