"""Nothing in the source runs code that a file brings along: no pickle, no host code of plans, no cached engines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("export", "calibration", "pruning", "engines", "evaluate", "demo", "benchmarks")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
SAFE_BY = {
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
}
NEVER_CALLED = {"pickle.load", "pickle.loads", "joblib.load", "yaml.load", "eval", "exec", "os.system"}
NEVER_SET = {"engine_host_code_allowed", "plugins_to_serialize"}
ONLY_AS = {"trt_engine_cache_enable": "False", "trt_ep_context_file_path": ""}  # of ONNX Runtime's TensorRT provider


def unsafe(source: str) -> list[str]:
    """Returns the lines of a module that could run what a file holds."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keyword, value = SAFE_BY.get(name, ("", None))
            stated = {argument.arg: ast.unparse(argument.value) for argument in node.keywords}
            if name in NEVER_CALLED or (keyword and stated.get(keyword) != str(value)):
                found.append(f"{node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in NEVER_SET:
            found.append(f"{node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.Dict):
            for key, value_node in zip(node.keys, node.values, strict=True):
                name = key.value if isinstance(key, ast.Constant) else ""
                if name in ONLY_AS and ast.unparse(value_node).strip("'\"") != ONLY_AS[str(name)]:
                    found.append(f"{node.lineno}: {name}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_what_a_file_holds(path: Path) -> None:
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "pickle.loads(blob)",
        "eval(text)",
        "runtime.engine_host_code_allowed = True",
        "config.plugins_to_serialize = [plugin]",
        "options = {'trt_engine_cache_enable': 'True'}",
    ],
)
def test_planted_mistakes_are_caught(line: str) -> None:
    assert len(unsafe(f"def function():\n    {line}\n")) == 1


def test_what_is_safe_passes() -> None:
    safe = (
        "np.load(path, allow_pickle=False)\ntorch.load(path, weights_only=True)\n{'trt_engine_cache_enable': 'False'}\n"
    )
    assert unsafe(safe) == []
