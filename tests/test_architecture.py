"""The rooms import in one direction, the GPU packages stay in one room, and nothing heavy loads by accident."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "export": {"export"},
    "calibration": {"calibration", "export"},
    "preparation": {"preparation", "calibration", "export"},
    "pruning": {"pruning", "calibration", "export"},
    "engines": {"engines", "pruning", "calibration", "export"},
    "evaluate": {"evaluate", "engines", "pruning", "calibration", "export"},
    "demo": {"demo", "evaluate", "engines", "pruning", "calibration", "export"},
}
GPU_PACKAGES = {"tensorrt", "tensorrt_rtx", "pycuda", "cuda"}
FORBIDDEN_NAMES = {"utils", "common", "helpers", "misc", "onnx", "tensorrt", "torch", "platform"}
MODULES = sorted(path for room in ALLOWED for path in (ROOT / room).rglob("*.py"))


def imported_packages(path: Path) -> set[str]:
    """Returns the top-level name of everything that a module imports, by whatever statement."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide which room is meant"
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_downwards(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    assert imported_packages(path) & set(ALLOWED) <= ALLOWED[room]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_engines_names_the_gpu_packages(path: Path) -> None:
    if path.relative_to(ROOT).parts[0] != "engines":
        assert not imported_packages(path) & GPU_PACKAGES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_named_by_their_subject(path: Path) -> None:
    assert path.stem not in FORBIDDEN_NAMES


def test_commands_parse_their_options_alike() -> None:
    assert [path for path in MODULES if "ArgumentParser(" in path.read_text(encoding="utf-8")] == []


def test_a_planted_upward_import_is_caught(tmp_path: Path) -> None:
    module = tmp_path / "planted.py"
    module.write_text("from evaluate.metrics import roc_auc\nimport engines.store as store\n", encoding="utf-8")
    assert imported_packages(module) - ALLOWED["export"] == {"evaluate", "engines"}


@pytest.mark.parametrize(
    "command",
    [
        "engines.cli",
        "evaluate.cli",
        "evaluate.verdict.cli_grade",
        "evaluate.verdict.cli_compare",
        "evaluate.inspection.cli",
        "preparation.cli",
        "demo.cli",
    ],
)
def test_commands_answer_without_loading_frameworks(command: str) -> None:
    """`--help` and a mistyped option must answer at once, also on a device without torch."""
    script = (
        f"import sys, {command} as command\n"
        "try: command.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'timm', 'nncf', 'onnx', 'onnxruntime', 'matplotlib', 'av'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "example" in done.stdout


def test_a_wrong_path_to_a_checkpoint_is_told_without_loading_frameworks() -> None:
    script = (
        "import sys\nfrom evaluate.inspection.cli import main\n"
        "code = main(['nowhere.pth'])\n"
        "heavy = {'torch', 'timm', 'onnx', 'onnxruntime', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr.strip()) == (
        2,
        "inspect-checkpoint: error: no checkpoint at nowhere.pth; pass the file that the training script wrote",
    )


@pytest.mark.parametrize("pipeline", ["engines.pipeline", "evaluate.pipeline"])
def test_mistakes_in_the_command_and_the_data_are_told_without_loading_torch(pipeline: str) -> None:
    """It takes seconds to load, and evaluating again what is all stored needs none of it."""
    script = (
        f"import sys, {pipeline}\n"
        "heavy = {'torch', 'timm', 'nncf', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
