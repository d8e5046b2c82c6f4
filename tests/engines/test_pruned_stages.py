"""What the stages, the command and the report do with a pruned detector, whoever pruned it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from calibration.datasets.celeb_df import samples_from_celeb_df
from calibration.int8_recipe import Int8Recipe
from engines import stages as stages_module
from engines.backend import BuildOptions
from engines.int8_stages import recipe_of_pruned
from engines.onnxruntime_backend import OnnxRuntimeBackend
from engines.run_folder import RunFolder
from engines.spec import read_spec
from engines.stages import StageInputs, Stages
from engines.store import ArtifactStore
from evaluate.record import read_record
from export.errors import DataError
from export.sidecar import read_artifact
from export.variant import pruning_from_name, variant_from_name
from pruning.recipe import PruningRecipe
from tests.detectors import contract_for_tests
from tests.engines.pruning_stand_in import MISSED, PruningStandIn, graph_of, pruning_record
from tests.signoff_run import GRADED, SignoffCase, write_case

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    import onnx

QUICK = ("--backend", "onnxruntime")


@pytest.fixture
def case(tmp_path: Path, fp32_model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> SignoffCase:
    """A run of the network that `fp32_model` was exported from, which spares exporting it and what is pruned anew."""
    monkeypatch.setattr(stages_module, "onnx_from_torch", lambda detector: graph_of(detector, fp32_model))
    return write_case(tmp_path)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> PruningStandIn:
    found = PruningStandIn()
    monkeypatch.setattr(stages_module, "PruningWorkshop", found)
    return found


def stages_of(case: SignoffCase, dry_run: bool = False, recipe: PruningRecipe | None = None) -> Stages:
    contract = contract_for_tests()
    inputs = StageInputs(case.checkpoint, contract, samples_from_celeb_df(case.calibration, "all"))
    store = ArtifactStore(contract.network_json(), dry_run)
    return Stages(RunFolder(case.out), store, inputs, Int8Recipe(), recipe or PruningRecipe())


class RecordingBackend(OnnxRuntimeBackend):
    """Remembers the options that it was asked to build with."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[BuildOptions] = []

    def options_that_matter(self, options: BuildOptions) -> Mapping[str, Any]:
        self.asked.append(options)
        return options.to_dict()


def test_a_source_is_pruned_once_and_kept_with_its_record(case: SignoffCase, stand_in: PruningStandIn) -> None:
    recipe = PruningRecipe("magnitude", keep=("conv_head",))
    pruning = pruning_from_name("s50")
    for _ in range(2):
        stages_of(case, recipe=recipe).pruned_weights(pruning)
    weights = RunFolder(case.out).model("s50")
    resume = weights.parent / "s50.resume.pt"
    assert stand_in.calls == [("s50", recipe, resume)]
    assert not resume.exists()
    artifact = read_artifact(weights)
    assert artifact.recipe.options["pruning"] == "s50"
    assert artifact.recipe.options["recipe"] == recipe.to_dict()
    facts = artifact.facts["pruning"]
    assert {**facts, "warnings": []} == json.loads(json.dumps(pruning_record(pruning, recipe).to_dict()))
    assert "calibration images" in facts["warnings"][0]  # the set is tiny


def test_another_recipe_prunes_anew(case: SignoffCase, stand_in: PruningStandIn) -> None:
    pruning = pruning_from_name("p50")
    for recipe in (PruningRecipe(), PruningRecipe(distill_steps=0), PruningRecipe(distill_steps=0)):
        stages_of(case, recipe=recipe).pruned_weights(pruning)
    assert [name for name, _, _ in stand_in.calls] == ["p50", "p50"]


def test_only_removed_channels_are_expected_to_shrink_a_file(case: SignoffCase) -> None:
    run, planned = RunFolder(case.out), stages_of(case, dry_run=True)
    for name in ("q16", "q16-p50", "q16-n24", "q16-s50", "q8", "q8-s20"):
        planned.graph(variant_from_name(name))
    sizes = {step.path: step.size_bytes - 600_000 for step in planned._store.steps}
    assert sizes[run.onnx("q16-p50")] == sizes[run.onnx("q16-n24")] == sizes[run.onnx("q16")]
    assert sizes[run.onnx("q16-s50")] == pytest.approx(0.5 * sizes[run.onnx("q16")], abs=2)
    assert sizes[run.onnx("q8-s20")] == pytest.approx(0.8 * sizes[run.onnx("q8")], abs=2)
    assert sizes[run.model("s50")] == pytest.approx(sizes[run.onnx("q16")], abs=2)


def test_only_engines_of_two_in_four_zeros_may_skip_them(case: SignoffCase, stand_in: PruningStandIn) -> None:
    made, backend, options = stages_of(case), RecordingBackend(), BuildOptions(workspace_mib=64)
    for name in ("baseline", "q16-p50", "q16-n24"):
        made.engine(variant_from_name(name), backend, options)
    assert backend.asked == [options, options, replace(options, sparse_weights=True)]


def test_pruning_without_calibration_images_is_refused(case: SignoffCase) -> None:
    stages = stages_of(case)
    stages._inputs = replace(stages._inputs, samples=None)
    with pytest.raises(DataError, match="pruning to n24 needs calibration images; pass --calibration DATA"):
        stages.graph(variant_from_name("q16-n24"))


def test_a_limit_missed_by_pruning_is_told_once_for_each_source(
    case: SignoffCase, stand_in: PruningStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.missed = (MISSED,)
    assert case.build("--variants", "baseline", "q16-s50", "q32-s50", "q16-p50", *QUICK) == 3
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if "limit missed" in line] == [
        f"build-engines: limit missed: s50: {MISSED}",
        f"build-engines: limit missed: p50: {MISSED}",
    ]


def test_the_report_tells_each_source_and_what_pruning_measured(case: SignoffCase, stand_in: PruningStandIn) -> None:
    names = ("baseline", "q16-n24", "q16-s50")
    assert case.build("--variants", *names, *QUICK) == 0
    assert case.evaluate() in GRADED
    record = read_record(case.out / "report/report.json")
    assert [(variant.name, variant.source) for variant in record.variants] == [
        ("baseline", "dense"),
        ("q16-n24", "n24"),
        ("q16-s50", "s50"),
    ]
    expected = [variant_from_name(name).pruning for name in names]
    assert [variant.pruning and replace(variant.pruning, warnings=()) for variant in record.variants] == [
        pruning_record(pruning, PruningRecipe()) if pruning else None for pruning in expected
    ]
    text = (case.out / "report/report.md").read_text(encoding="utf-8")
    assert "- q16-s50: FP16 of the model pruned to s50, engines/q16-s50.onnxruntime.onnx run by" in text


def test_another_pruning_recipe_drops_what_the_first_one_made(case: SignoffCase, stand_in: PruningStandIn) -> None:
    """Otherwise q16-p50 would be reported and explained with the weights that q32-p50 was made from."""

    def engines() -> list[str]:
        return [engine.variant.name for engine in read_spec(RunFolder(case.out)).engines]

    assert case.build("--variants", "q16", "q16-p50", *QUICK) == 0
    assert case.build("--variants", "baseline", "--pruning-recipe", "magnitude", *QUICK) == 0
    assert engines() == ["q16", "q16-p50", "baseline"]
    assert case.build("--variants", "q32-p50", "--pruning-recipe", "magnitude", *QUICK) == 0
    assert engines() == ["q16", "baseline", "q32-p50"]


def test_the_size_limit_of_int8_shrinks_with_the_channels() -> None:
    recipe = Int8Recipe(max_size_mib=29.5)
    limits = {
        name: recipe_of_pruned(recipe, pruning_from_name(name)).max_size_mib for name in ("p50", "n24", "s50", "s20")
    }
    assert limits == {"p50": 29.5, "n24": 29.5, "s50": 15.25, "s20": pytest.approx(23.8)}
    assert recipe_of_pruned(recipe, None) is recipe
    tight = replace(recipe, max_size_mib=0.5)
    assert recipe_of_pruned(tight, pruning_from_name("s95")).max_size_mib == 0.5
