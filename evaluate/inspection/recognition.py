"""What a checkpoint is, as far as its weights and `config.json` beside it tell, and the contract to start from."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast, get_args

import timm

from evaluate.inspection.architectures import Candidate, candidates_of
from evaluate.inspection.hub_config import HubConfig, hub_config_beside
from export.checkpoint import detector_from_checkpoint
from export.checkpoints.backbone_weights import BackboneWeights, backbone_from_weights, backbone_keys, placed_backbones
from export.checkpoints.efficientnet_sizes import EFFICIENTNET_SIZES, EFFICIENTNET_V2_SIZES
from export.checkpoints.families import network_of_family
from export.checkpoints.head import classifier_of
from export.checkpoints.head_weights import HeadWeights, heads_in, suggested_layers
from export.checkpoints.key_naming import Backbone, backbones_in
from export.checkpoints.network import require_known_architecture
from export.checkpoints.torchvision_names import unmapped_network
from export.checkpoints.weights_file import StoredWeights, weights_from_file
from export.contract import HeadLayer, InputContract, Interpolation, ModelContract, Resize
from export.errors import CheckpointError, ContractError
from export.face_contract import Aggregation
from export.sidecar import sha256_of_file

if TYPE_CHECKING:
    from pathlib import Path

_USUAL_SIZE = 224


@dataclass(frozen=True)
class Recognition:
    """What was recognised.

    Attributes:
        path: The checkpoint.
        sha256: Its digest.
        stored: What the file holds.
        hub: What `config.json` beside it says.
        candidates: Networks that the tensors fit, the likeliest one first.
        backbones: Where networks of that kind stand in the checkpoint.
        heads: Classifiers that read the network's features; where no network is known, every linear layer.
        leftover: Keys that are part of neither.
        start: A contract to start from; None where the network is unknown.
        guessed: Keys of `start` that nothing tells -> what is known of each.
        problem: Why `start` does not load the checkpoint; empty if it does.
        parameter_count: Number of parameters of the detector; of all tensors where it does not load.
        notes: What was chosen and what was left unused in loading.
    """

    path: Path
    sha256: str
    stored: StoredWeights
    hub: HubConfig | None
    candidates: tuple[Candidate, ...]
    backbones: tuple[Backbone, ...]
    heads: tuple[HeadWeights, ...]
    leftover: tuple[str, ...]
    start: ModelContract | None
    guessed: tuple[tuple[str, str], ...]
    problem: str
    parameter_count: int
    notes: tuple[str, ...]


def recognised(path: Path, declared: ModelContract | None = None) -> Recognition:
    """Recognises a checkpoint.

    Args:
        path: The file.
        declared: What a model file says; nothing is guessed then.

    Raises:
        CheckpointError: The file is no checkpoint or is refused, the declared architecture is unknown, or `config.json`
            beside it cannot be true.
    """
    stored = weights_from_file(path)
    hub = hub_config_beside(path)
    candidates = _candidates(stored, hub, declared)
    if not candidates:
        return _unknown(path, stored, hub)
    draft = declared or _draft(candidates[0], hub)
    require_known_architecture(draft)
    module = network_of_family(draft, outputs=1)
    names = backbone_keys(module, draft.architecture)
    backbones = placed_backbones(stored.tensors, names)
    features = classifier_of(module, draft).in_features
    found, heads, problem = _parts(stored, names, draft, features)
    start = declared or _with_head(draft, heads)
    guessed = () if declared else _guesses(start, candidates, hub)
    notes: tuple[str, ...] = ()
    count = sum(tensor.numel() for tensor in stored.tensors.values() if tensor.is_floating_point())
    if not problem:
        try:
            detector = detector_from_checkpoint(path, start)
            count, notes = detector.parameter_count, detector.notes
        except CheckpointError as error:
            problem = str(error).removeprefix(f"{path}: ")
    if problem and hub is not None and declared is None:
        others = {candidate.architecture for candidate in candidates_of(stored.tensors)}
        if others and hub.architecture.partition(".")[0] not in others:
            problem = f"{hub.path.name} beside it names {hub.architecture}: {problem}; move it away if it is another's"
    leftover = () if found is None else tuple(sorted(set(found.rest) - {n for head in heads for n in head.names}))
    return Recognition(
        path, sha256_of_file(path), stored, hub, candidates, backbones, heads, leftover, start, guessed, problem, count,
        notes or stored.notes,
    )  # fmt: skip


def _candidates(stored: StoredWeights, hub: HubConfig | None, declared: ModelContract | None) -> tuple[Candidate, ...]:
    if declared is not None:
        return (Candidate(declared.family, declared.architecture),)
    if hub is not None and timm.is_model(hub.architecture):
        return (Candidate("timm", hub.architecture),)
    return candidates_of(stored.tensors)


def _parts(
    stored: StoredWeights, names: tuple[str, ...], draft: ModelContract, features: int
) -> tuple[BackboneWeights | None, tuple[HeadWeights, ...], str]:
    try:
        found = backbone_from_weights(stored.tensors, names, draft)
    except CheckpointError as error:
        return None, heads_in(stored.tensors), str(error)
    return found, tuple(head for head in heads_in(found.rest) if head.inputs == features), ""


def _unknown(path: Path, stored: StoredWeights, hub: HubConfig | None) -> Recognition:
    partly = backbones_in(stored.tensors)
    problem = (
        f"it has the names of an EfficientNet ({partly[0].naming} names, prefix {partly[0].prefix or 'none'}) and the "
        "tensors of none, so some are missing, pruned or of a changed layer; declare which one in a model file and "
        "pass it by --model FILE to see them"
        if partly
        else unmapped_network(stored.tensors)
        or "no network that is known here has these names and shapes; if it is one of timm's, name it in a model "
        "file and pass it by --model FILE"
    )
    count = sum(tensor.numel() for tensor in stored.tensors.values() if tensor.is_floating_point())
    heads = heads_in(stored.tensors)
    return Recognition(
        path, sha256_of_file(path), stored, hub, (), partly, heads, (), None, (), problem, count, stored.notes
    )


def _draft(candidate: Candidate, hub: HubConfig | None) -> ModelContract:
    size = native_size(candidate)
    known = InputContract(size)
    if hub is not None:
        try:
            known = replace(known, size=hub.size or size, interpolation=hub.interpolation or known.interpolation)
            known = replace(known, mean=hub.mean or known.mean, std=hub.std or known.std)
        except ContractError as error:
            raise CheckpointError(f"{hub.path}: {error}; mend it or move it away") from None
    fake_index = hub.fake_index if hub is not None and hub.fake_index is not None else 1
    return ModelContract(candidate.architecture, known, fake_index=fake_index, family=candidate.family)


def native_size(candidate: Candidate) -> int:
    """Returns the image size that a network was designed for, in pixels."""
    efficientnet = re.fullmatch(r"(?:tf_)?efficientnet[_-](b\d|l2)(?:\..+)?", candidate.architecture)
    if efficientnet and efficientnet[1] in EFFICIENTNET_SIZES:
        return EFFICIENTNET_SIZES[efficientnet[1]].image_size
    if candidate.family == "torchvision":
        return EFFICIENTNET_V2_SIZES[candidate.architecture.removeprefix("efficientnet_v2_")].image_size
    settings = timm.get_pretrained_cfg(candidate.architecture)
    return int(settings.input_size[-1]) if settings is not None and settings.input_size else _USUAL_SIZE


def _with_head(draft: ModelContract, heads: tuple[HeadWeights, ...]) -> ModelContract:
    possible = [head for head in heads if head.can_detect]
    if not possible:
        return draft
    head = possible[0]
    start = replace(draft, head="one-logit" if head.outputs == 1 else "two-logits")
    if not head.is_one_layer:
        start = replace(start, head_layers=cast("tuple[HeadLayer, ...]", suggested_layers(head)))
    return start


def _guesses(
    start: ModelContract, candidates: tuple[Candidate, ...], hub: HubConfig | None
) -> tuple[tuple[str, str], ...]:
    told = f"from {hub.path.name}" if hub else ""
    guesses: dict[str, str] = {}
    others = [f"{c.family} {c.architecture}" for c in candidates[1:]]
    if others:
        guesses["architecture"] = f"decide: the same tensors are those of {', '.join(others)}, which pad otherwise"
    elif told:
        guesses["architecture"] = told
    if start.head_layers:
        guesses["head_layers"] = "decide: weights do not show activations; take them from the training code"
    known_index = hub is not None and hub.fake_index is not None
    means = "0 if a positive logit means real" if start.head == "one-logit" else "0 if the first output means fake"
    guesses["fake_index"] = told if known_index else f"decide: {means}"
    if start.family == "efficientnet-pytorch":
        guesses["family"] = "decide: add padding_size = N if it was constructed with image_size=N"
    native = native_size(Candidate(start.family, start.architecture))
    known_size = hub is not None and hub.size is not None
    guesses["input.size"] = told if known_size else f"decide: {native} is what the network was designed for"
    known_mean = hub is not None and hub.mean
    guesses["input.mean"] = told if known_mean else "decide: ImageNet's; 0.5 and 0.0 are usual, too"
    guesses["input.std"] = told if known_mean else "decide: ImageNet's; 0.5 and 1.0 go with these means"
    known_filter = hub is not None and hub.interpolation
    guesses["input.interpolation"] = told if known_filter else f"decide: {' or '.join(get_args(Interpolation))}"
    guesses["input.resize"] = f"decide: {' or '.join(get_args(Resize))}"
    # Not marked as open: it is no question about the network, and engines do not depend on it.
    guesses["video.aggregation"] = f"the default of {', '.join(get_args(Aggregation))}"
    return tuple(guesses.items())
