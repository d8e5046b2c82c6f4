"""Versions of installed packages: they determine what a stage makes, so they belong to its recipe."""

from __future__ import annotations

from importlib import metadata, util


def versions_of(*packages: str) -> dict[str, str]:
    """Returns the installed version of each distribution that is installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def require_installed(*packages: str) -> None:
    """Looks for packages without loading them.

    Raises:
        ModuleNotFoundError: One is missing; the same error as its import would raise.
    """
    for package in packages:
        if util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
