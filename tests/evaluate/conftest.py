"""A run that several tests look at."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.signoff_run import DONE, GRADED, SignoffCase, write_case

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> SignoffCase:
    """Engines of a dense and a pruned model, not evaluated yet; tests take copies of the run folder."""
    case = write_case(tmp_path_factory.mktemp("built"))
    assert case.build("--variants", "baseline", "q16", "q16-p50", "--backend", "onnxruntime") in DONE
    return case


@pytest.fixture(scope="session")
def laddered(built: SignoffCase, tmp_path_factory: pytest.TempPathFactory) -> SignoffCase:
    """The run, evaluated with a ladder; not to be changed."""
    case = copied(built, tmp_path_factory.mktemp("laddered"))
    assert case.evaluate("--ladder") in GRADED
    return case


@pytest.fixture
def fresh(built: SignoffCase, tmp_path: Path) -> SignoffCase:
    """A run of one's own, not evaluated yet."""
    return copied(built, tmp_path)


def copied(case: SignoffCase, folder: Path) -> SignoffCase:
    """Copies run folder and test set."""
    shutil.copytree(case.out, folder / "run")
    shutil.copytree(case.test, folder / "test")
    return replace(case, out=folder / "run", test=folder / "test")
