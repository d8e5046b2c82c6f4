"""A run folder that has been scored, with drawn logits in the place of engines and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from calibration.datasets.celeb_df import samples_from_celeb_df
from calibration.samples import SampleSet
from engines.backend import backend_from_name
from engines.run_folder import RunFolder
from engines.spec import EngineSpec, RunSpec
from engines.store import ArtifactStore
from evaluate.evaluated import evaluated_variants
from evaluate.evaluated_run import evaluated_run
from evaluate.faceless import facts_of_faceless
from evaluate.scores import FrameScore
from evaluate.scoring.frame_files import FRAMES_KIND
from evaluate.scoring.request import EvaluationRequest
from evaluate.scoring.score_files import write_frame_scores
from evaluate.scoring.session import Session
from evaluate.scoring.stored_engines import stored_engines
from evaluate.scoring.validation import Validation
from export.sidecar import Recipe, make_artifact
from export.variant import variant_from_name
from tests.detectors import contract_for_tests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from calibration.samples import FacelessVideo
    from evaluate.evaluated_run import EvaluatedRun
    from export.face_contract import Aggregation

BACKEND = "onnxruntime"
VARIANTS = ("baseline", "q16", "q8")


@dataclass(frozen=True)
class ScoredRun:
    """A run folder with scores, and the sets that were scored.

    Attributes:
        root: The run folder.
        test: The test set's folder.
        validation: The validation set's folder.
        spec: What the run was built from.
        told: What was announced.
        faceless: Videos without a face, by the set they belong to.
        attributes: Video of the test set -> what it can be sliced by.
        aggregation: What `--aggregation` asks for.
    """

    root: Path
    test: Path
    validation: Path
    spec: RunSpec
    told: list[str]
    faceless: Mapping[str, tuple[FacelessVideo, ...]] = field(default_factory=dict)
    attributes: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    aggregation: Aggregation | None = None

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.root)

    def samples(self, role: str = "test") -> SampleSet:
        found = samples_from_celeb_df(self.test if role == "test" else self.validation)
        described = tuple(replace(each, attributes=self.attributes.get(each.video, ())) for each in found.samples)
        return SampleSet(found.root, described, self.faceless.get(role, ()))

    def session(self, validation: Validation | None = None, allow_partial: bool = False) -> Session:
        return Session(
            EvaluationRequest(
                self.root, self.test, from_scores=True, allow_partial=allow_partial, aggregation=self.aggregation
            ),
            self.folder,
            self.spec,
            backend_from_name(BACKEND),
            self.samples(),
            ArtifactStore(self.spec.contract.network_json(), announce=self.told.append),
            self.told.append,
            validation or Validation(),
        )

    def evaluated(self, validation: Validation | None = None, allow_partial: bool = False) -> EvaluatedRun:
        """Does what `--from-scores` does before it draws and writes."""
        session = self.session(validation, allow_partial)
        return evaluated_run(session, evaluated_variants(session, stored_engines(session)))

    def frames(self, variant: str, role: str = "test") -> tuple[FrameScore, ...]:
        """Draws a variant's scores: fakes tend to score higher, and the variants resemble each other."""
        samples = self.samples(role)
        common, own = np.random.default_rng(len(samples.samples)), np.random.default_rng([1, len(variant)])
        return tuple(
            FrameScore(
                sample.path.relative_to(samples.root).as_posix(),
                sample.video,
                sample.is_fake,
                float(np.float32(common.normal(1.5 * sample.is_fake - 0.3, 1.5) + 0.2 * own.normal())),
            )
            for sample in samples.samples
        )

    def score(
        self, variant: str, frames: Sequence[FrameScore], role: str = "test", unreadable: Sequence[str] = ()
    ) -> Path:
        """Writes scores of a variant's engine as a command would have written them."""
        samples = self.samples(role)
        path = self.folder.frames(variant, BACKEND) if role == "test" else self.folder.validation(variant, BACKEND)
        engine = self.folder.engine(variant, BACKEND, ".onnx")
        write_scored(path, frames, {"engine": digest_of(engine), role: samples.sha256}, self.spec, samples, unreadable)
        return path


def digest_of(path: Path) -> str:
    from export.sidecar import read_artifact

    return read_artifact(path).sha256


def write_scored(
    path: Path,
    frames: Sequence[FrameScore],
    parents: dict[str, str],
    spec: RunSpec,
    samples: SampleSet,
    unreadable: Sequence[str] = (),
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(temporary: Path) -> dict[str, object]:
        write_frame_scores(temporary, frames)
        lost = {s.video for s in samples.samples} - {frame.video for frame in frames}
        return {
            "unreadable": list(unreadable),
            "lost_videos": sorted(lost),
            "backend": "onnxruntime 1.2.3",
            "device": "CPU",
            "simulation": "",
            "notes": [],
            "root": str(samples.root),
            "identities": sorted(samples.identities),
            **facts_of_faceless(samples),
        }

    make_artifact(path, Recipe(FRAMES_KIND, parents, {"contract": spec.contract.network_json()}), write)


def write_faces(root: Path, first_identity: int, people: int = 6, frames: int = 2) -> Path:
    """Lays out as many real, YouTube and fake videos as there are people; two of each that are named."""
    for index in range(people):
        a, b = first_identity + 2 * index, first_identity + 2 * index + 1
        names = [f"YouTube-real/{a:05d}"]
        for take in range(2):
            names += [f"Celeb-real/id{a}_{take:04d}", f"Celeb-synthesis/id{a}_id{b}_{take:04d}"]
        for name in names:
            (root / name).mkdir(parents=True)
            for frame in range(frames):
                (root / name / f"{frame:03d}.png").write_bytes(f"{name} {frame}".encode())
    return root


def write_scored_run(folder: Path, variants: Sequence[str] = VARIANTS, people: int = 6) -> ScoredRun:
    """Writes a run whose engines have scores of a test set and of a validation set of other people."""
    engines = tuple(EngineSpec(variant_from_name(name), BACKEND) for name in variants)
    spec = RunSpec(contract_for_tests(), "checkpoint.safetensors", "0" * 64, engines, None)
    run = ScoredRun(
        folder / "run",
        write_faces(folder / "test", 0, people),
        write_faces(folder / "validation", 1000, people),
        spec,
        [],
    )
    for name in variants:
        graph = run.folder.onnx(name)
        engine = run.folder.engine(name, BACKEND, ".onnx")
        write_file(graph, f"graph of {name}", Recipe("onnx", {}))
        options = {"backend": {"onnxruntime": "1.2.3"}}
        write_file(engine, f"engine of {name}", Recipe("engine", {"onnx": digest_of(graph)}, options))
        for role in ("test", "validation"):
            run.score(name, run.frames(name, role), role)
    return run


def write_file(path: Path, content: str, recipe: Recipe) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(temporary: Path) -> dict[str, object]:
        temporary.write_text(content, encoding="utf-8")
        return {}

    make_artifact(path, recipe, write)
