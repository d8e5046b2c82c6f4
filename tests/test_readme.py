"""What README and docs tell a newcomer to type exists, and every link leads somewhere.

The two verbs are run in `tests/test_end_to_end.py`.
"""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest

from demo.cli import parsed_arguments as parse_demo
from engines.cli_options import parsed_arguments as parse_build
from evaluate.cli import parsed_arguments as parse_evaluate
from evaluate.inspection.cli import parsed_arguments as parse_inspect
from evaluate.verdict.cli_grade import parsed_arguments as parse_grade
from export.checkpoints.network import require_known_architecture
from export.contract import Family
from export.model_file import contract_from_toml
from export.variant import DEFAULT_VARIANTS
from preparation.cli import parsed_arguments as parse_prepare

PARSERS = {
    "build-engines": parse_build,
    "evaluate-engines": parse_evaluate,
    "inspect-checkpoint": parse_inspect,
    "prepare-data": parse_prepare,
    "grade-report": parse_grade,
}
ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in code_blocks("bash") for line in block.splitlines() if line.strip()]
    return [shlex.split(line.replace(".venv/bin/", ""), comments=True) for line in lines]


def test_installation_names_extras_that_exist() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    extras = set(settings["options.extras_require"])
    for line in re.findall(r"\.\[([a-z,]+)\]", README + (ROOT / "Makefile").read_text(encoding="utf-8")):
        assert set(line.split(",")) <= extras
    assert ("pip", "install") in {tuple(command[:2]) for command in commands()}


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {command[1] for command in commands() if command[0] == "make"}
    assert named
    assert named <= targets


def test_model_files_of_the_readme_are_valid(tmp_path: Path) -> None:
    families = set()
    for block in code_blocks("toml"):
        (tmp_path / "model.toml").write_text(block, encoding="utf-8")
        contract = contract_from_toml(tmp_path / "model.toml")
        require_known_architecture(contract)
        families.add(contract.family)
    assert families == set(get_args(Family))


def test_variants_of_the_readme_are_the_default_ones() -> None:
    table = README[README.index("### Variants") : README.index("Default are these nine")]
    assert set(re.findall(r"`((?:baseline|q)[a-z0-9-]*)`", table)) == set(DEFAULT_VARIANTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documented_commands_parse(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    lines = re.findall(rf"^ *(?:\.venv/bin/)?((?:{'|'.join(PARSERS)}) .*)$", text, re.MULTILINE)
    for line in lines:
        if "..." not in line:
            name, *options = shlex.split(line, comments=True)
            PARSERS[name](options)
    assert lines or document != ROOT / "README.md"


def test_demo_command_of_the_docs_parses() -> None:
    lines = re.findall(r"^    (signoff-demo .*)$", (ROOT / "docs/demo.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert lines
    for line in lines:
        assert parse_demo(shlex.split(line)[1:]).out == Path("runs/small")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (document.parent / link).exists(), link
