"""The command `build-engines`."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from engines.cli_options import CURVE_VARIANTS, DEFAULT_PRUNINGS, PRECISIONS, parsed_arguments
from export.command import EXIT_LIMIT_MISSED, run_command
from export.errors import SignoffError, VariantError
from export.variant import (
    DEFAULT_VARIANTS,
    DENSE,
    Pruning,
    Variant,
    name_from_parts,
    pruning_from_name,
    variant_from_name,
)
from pruning.recipe import PruningRecipe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from engines.backend import BuildOptions
    from engines.request import BuildRequest
    from engines.store import Step


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `build-engines`; returns 0, 2 if something the user can mend is wrong, 3 if a limit is missed."""
    arguments = parsed_arguments(argv)
    return run_command("build-engines", lambda: _run(arguments))


def variants_from_arguments(
    names: Sequence[str] | None,
    precisions: Sequence[str] | None,
    prunings: Sequence[str] | None,
    curve: bool = False,
) -> tuple[Variant, ...]:
    """Resolves the selecting options to variants.

    Args:
        names: Exactly these.
        precisions: All of these precisions, and the baseline.
        prunings: All of these source models, and the baseline.
        curve: Also those that show size against AUC.

    Raises:
        VariantError: A name is unknown, or names and filters are mixed.
    """
    if names is not None and (precisions is not None or prunings is not None):
        raise VariantError("--variants names exactly what to build; drop it, or drop --precision and --pruning")
    if names is None:
        names = _selected_names(precisions, prunings)
    return tuple(dict.fromkeys(variant_from_name(name) for name in (*names, *(CURVE_VARIANTS if curve else ()))))


def _selected_names(precisions: Sequence[str] | None, prunings: Sequence[str] | None) -> Sequence[str]:
    if precisions is None and prunings is None:
        return DEFAULT_VARIANTS
    wanted = [PRECISIONS[name] for name in precisions or PRECISIONS]
    sources = [_source_pruning(name) for name in prunings or DEFAULT_PRUNINGS]
    return ["baseline", *(name_from_parts(precision, pruning) for precision in wanted for pruning in sources)]


def _source_pruning(name: str) -> Pruning | None:
    if name == DENSE:
        return None
    try:
        return pruning_from_name(name)
    except VariantError as error:
        raise VariantError(f"{error}, or {DENSE} for none") from None


def _run(arguments: argparse.Namespace) -> int:
    request = _request(arguments)
    # Imported here, so that --help and a mistake in the command answer at once.
    from engines.pipeline import build_engines, build_notes, calibration_stability, missed_limits

    steps = build_engines(request, arguments.dry_run, announce=partial(print, flush=True))
    print(_table(steps, arguments.dry_run))
    if arguments.dry_run:
        return 0
    for note in build_notes(request):
        print(f"note: {note}")
    print(f"run folder: {arguments.out}\nnext: {_next_command(request)}")
    if request.stability:
        print(_stability_table(calibration_stability(request)))
    missed = missed_limits(request)
    for sentence in missed:
        print(f"build-engines: limit missed: {sentence}", file=sys.stderr)
    return EXIT_LIMIT_MISSED if missed else 0


def _next_command(request: BuildRequest) -> str:
    # evaluate-engines runs those for ONNX Runtime if it is not told otherwise.
    backend = "" if "onnxruntime" in request.backends else f" --backend {request.backends[0]}"
    return f"evaluate-engines {request.out} --test DATA{backend}"


def _require_tensorrt(arguments: argparse.Namespace, backends: Sequence[str]) -> None:
    """Refuses options that only TensorRT's builders know where none of them builds."""
    if any(backend.startswith("tensorrt") for backend in backends):
        return
    given = {
        "--sm": arguments.sm,
        "--timing-cache": arguments.timing_cache,
        "--version-compatible": arguments.version_compatible,
        "--hardware-compatible": arguments.hardware_compatible,
        "--optimization-level": arguments.optimization_level is not None,
    }
    idle = [option for option, value in given.items() if value]
    if idle:
        raise SignoffError(
            f"{', '.join(idle)} would have no effect on {', '.join(backends)}; leave it out, or build for --backend "
            "tensorrt or tensorrt-rtx"
        )


def _request(arguments: argparse.Namespace) -> BuildRequest:
    from calibration.int8_recipe import Int8Recipe
    from engines.backend import default_backends
    from engines.request import BuildRequest
    from export.checkpoints.file_kind import kind_of_file
    from export.model_file import contract_from_toml

    kind_of_file(arguments.checkpoint)  # one that is missing is told before the model file that it would lie beside
    backends = tuple(arguments.backend or default_backends())
    _require_tensorrt(arguments, backends)
    model_file = arguments.model or arguments.checkpoint.parent / "model.toml"
    return BuildRequest(
        out=arguments.out,
        checkpoint=arguments.checkpoint,
        contract=contract_from_toml(model_file),
        variants=variants_from_arguments(
            arguments.variants, arguments.precision, arguments.pruning, arguments.pruning_curve
        ),
        backends=backends,
        calibration=arguments.calibration,
        calibration_split=arguments.calibration_split,
        calibration_images=arguments.calibration_images,
        seed=arguments.seed,
        int8=Int8Recipe(
            name=arguments.int8_recipe,
            method=None if arguments.calibration_method == "auto" else arguments.calibration_method,
            max_size_mib=arguments.max_size_mib,
            max_auc_drop=arguments.max_auc_drop,
            keep_float=tuple(arguments.keep_float),
            quantize=tuple(arguments.quantize),
        ),
        pruning=PruningRecipe(
            name=arguments.pruning_recipe,
            max_auc_drop=arguments.max_pruning_auc_drop,
            max_flip_share=arguments.max_pruning_flips / 100,
            distill_steps=arguments.distill_steps,
            keep=tuple(arguments.keep_dense),
        ),
        skip_unreadable=arguments.skip_unreadable,
        stability=arguments.calibration_stability,
        options=_build_options(arguments),
    )


def _build_options(arguments: argparse.Namespace) -> BuildOptions:
    from engines.backend import BuildOptions

    smallest, typical, largest = arguments.batch
    return BuildOptions(
        smallest,
        typical,
        largest,
        arguments.workspace,
        tuple(dict.fromkeys(map(_dotted_sm, arguments.sm))),
        version_compatible=arguments.version_compatible,
        hardware_compatible=arguments.hardware_compatible,
        optimization_level=arguments.optimization_level,
        timing_cache=arguments.timing_cache,
        input_form=arguments.input,
    )


def _table(steps: Sequence[Step], dry_run: bool) -> str:
    width = max(len(str(step.path)) for step in steps)
    return "\n".join(f"{step.path!s:<{width}}  {_size_and_state(step, dry_run)}" for step in steps)


def _size_and_state(step: Step, dry_run: bool) -> str:
    size = f"{step.size_bytes / 2**20:8.2f} MiB"
    if step.reused:
        return f" {size}  reused"
    return f"~{size}  would be made" if dry_run else f" {size}  made"


def _stability_table(points: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    lines = ["logit SQNR by calibration set:"]
    for name, measured in points.items():
        lines += [f"{name}  {p['images']:4d} images, seed {p['seed']}  {p['sqnr_db']:5.1f} dB" for p in measured]
    return "\n".join(lines)


def _dotted_sm(text: str) -> str:
    digits = text.lower().removeprefix("sm").replace(".", "")
    if not digits.isdigit() or not 2 <= len(digits) <= 3:
        raise SignoffError(f"--sm {text}: expected an SM version such as 8.6 or 12.0")
    return f"{digits[:-1]}.{digits[-1]}"


if __name__ == "__main__":
    raise SystemExit(main())
