"""The ways of pruning that are compared, and how each of them is configured."""

from __future__ import annotations

from peers.methods import FP32, Method

_SHARE = 0.5
# Images per batch where batch-norm statistics are found anew. NNCF moves them by a tenth with each batch, so that large
# batches would leave more of the dense network's. After Torch-Pruning they are averaged over all batches, and the
# variance of a large batch is nearer to that of the set.
_NNCF_BATCH, _TORCH_BATCH = 8, 32
_NNCF = "nncf.prune, UNSTRUCTURED_MAGNITUDE_LOCAL"
_TORCH_PRUNING = (
    "Torch-Pruning's MagnitudePruner with GroupMagnitudeImportance(p=2), global, classifier ignored, its ratio "
    "bisected until half the parameters are left"
)
_RE_ESTIMATED = "then the batch-norm statistics are the mean of those of all calibration batches"
_RANDOM = (
    "a control: as many of the mid-channels of every MBConv block, drawn at random, as leave half the parameters; "
    "removed by the groups of Torch-Pruning's DependencyGraph; no repair"
)

_OURS = (
    Method(
        "ours-p50",
        "Engine Sign-off p50, accurate",
        "ours",
        {"variant": "q32-p50", "pruning_recipe": "accurate"},
    ),
    Method(
        "ours-p50-magnitude",
        "Engine Sign-off p50, magnitude",
        "ours",
        {"variant": "q32-p50", "pruning_recipe": "magnitude"},
    ),
    Method("ours-s50", "Engine Sign-off s50", "ours", {"variant": "q32-s50"}),
    Method("ours-n24", "Engine Sign-off n24", "ours", {"variant": "q32-n24"}),
)

_PEERS = (
    Method(
        "nncf-magnitude-50",
        "NNCF magnitude",
        "nncf-pruning",
        {"share": _SHARE, "keeps_layers": False, "batch_norm": None},
        f"{_NNCF} at 0.5, nothing ignored, no repair",
    ),
    Method(
        "nncf-bn-adaptation-50",
        "NNCF magnitude, BN adaptation",
        "nncf-pruning",
        {"share": _SHARE, "keeps_layers": False, "batch_norm": _NNCF_BATCH},
        f"{_NNCF} at 0.5, nothing ignored, then nncf.batch_norm_adaptation over all calibration images",
    ),
    Method(
        "nncf-magnitude-kept-50",
        "NNCF magnitude, sensitive layers dense",
        "nncf-pruning",
        {"share": _SHARE, "keeps_layers": True, "batch_norm": None},
        f"{_NNCF}; stem, depthwise, squeeze-and-excitation and classifier are ignored, and the others have as many "
        "more zeros as make half of all weights; no repair",
    ),
    Method(
        "torch-pruning-50",
        "Torch-Pruning L2",
        "torch-pruning",
        {"share": _SHARE, "channels": "global-l2", "round_to": None, "batch_norm": None},
        f"{_TORCH_PRUNING}; no repair",
    ),
    Method(
        "torch-pruning-bn-50",
        "Torch-Pruning L2, BN re-estimated",
        "torch-pruning",
        {"share": _SHARE, "channels": "global-l2", "round_to": None, "batch_norm": _TORCH_BATCH},
        f"{_TORCH_PRUNING}; {_RE_ESTIMATED}",
    ),
    Method(
        "torch-pruning-round8-50",
        "Torch-Pruning L2, multiples of 8, BN re-estimated",
        "torch-pruning",
        {"share": _SHARE, "channels": "global-l2", "round_to": 8, "batch_norm": _TORCH_BATCH},
        f"{_TORCH_PRUNING}, with round_to=8, because ONNX Runtime computes other numbers of channels slowly; "
        f"{_RE_ESTIMATED}",
    ),
    Method(
        "random-channels-50",
        "Random mid-channels",
        "torch-pruning",
        {"share": _SHARE, "channels": "random-mid", "batch_norm": None, "seed": 0},
        _RANDOM,
    ),
)

PRUNING_METHODS: tuple[Method, ...] = (FP32, *_OURS, *_PEERS)
