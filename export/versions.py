"""Versions of installed packages: they determine what a stage makes, so they belong to its recipe."""

from __future__ import annotations

from importlib import metadata


def versions_of(*packages: str) -> dict[str, str]:
    """Returns the installed version of each distribution that is installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
