"""The ways of pruning that are compared, and how each of them is configured."""

from __future__ import annotations

from peers.methods import FP32, Method

_SHARE = 0.5
_NNCF = "nncf.prune, UNSTRUCTURED_MAGNITUDE_LOCAL"
_TORCH_PRUNING = (
    "Torch-Pruning's MagnitudePruner with GroupMagnitudeImportance(p=2), global, classifier ignored, its ratio "
    "bisected until half the parameters are left"
)
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
        {"share": _SHARE, "keeps_layers": False, "batch_norm": False},
        f"{_NNCF} at 0.5, nothing ignored, no repair",
    ),
    Method(
        "nncf-bn-adaptation-50",
        "NNCF magnitude, BN adaptation",
        "nncf-pruning",
        {"share": _SHARE, "keeps_layers": False, "batch_norm": True},
        f"{_NNCF} at 0.5, nothing ignored, then nncf.batch_norm_adaptation over all calibration images",
    ),
    Method(
        "nncf-magnitude-kept-50",
        "NNCF magnitude, sensitive layers dense",
        "nncf-pruning",
        {"share": _SHARE, "keeps_layers": True, "batch_norm": False},
        f"{_NNCF}; stem, depthwise, squeeze-and-excitation and classifier are ignored, and the others have as many "
        "more zeros as make half of all weights; no repair",
    ),
    Method(
        "torch-pruning-50",
        "Torch-Pruning L2",
        "torch-pruning",
        {"share": _SHARE, "channels": "global-l2", "batch_norm": False},
        f"{_TORCH_PRUNING}; no repair",
    ),
    Method(
        "torch-pruning-bn-50",
        "Torch-Pruning L2, BN re-estimated",
        "torch-pruning",
        {"share": _SHARE, "channels": "global-l2", "batch_norm": True},
        f"{_TORCH_PRUNING}; then the batch-norm statistics are the mean of those of all calibration batches",
    ),
    Method(
        "random-channels-50",
        "Random mid-channels",
        "torch-pruning",
        {"share": _SHARE, "channels": "random-mid", "batch_norm": False, "seed": 0},
        _RANDOM,
    ),
)

PRUNING_METHODS: tuple[Method, ...] = (FP32, *_OURS, *_PEERS)
