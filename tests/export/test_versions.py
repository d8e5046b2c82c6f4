from __future__ import annotations

import sys

import pytest

from export.versions import require_installed, versions_of


def test_a_missing_package_is_told_as_its_import_would_tell_it() -> None:
    with pytest.raises(ModuleNotFoundError) as by_import:
        import no_such_package  # noqa: F401
    with pytest.raises(ModuleNotFoundError) as found:
        require_installed("sys", "no_such_package")
    assert (str(found.value), found.value.name) == (str(by_import.value), by_import.value.name)


def test_what_is_installed_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    require_installed("wave", "json")
    assert "wave" not in sys.modules


def test_only_what_is_installed_has_a_version() -> None:
    assert list(versions_of("numpy", "no-such-package")) == ["numpy"]
