"""What `inspect-checkpoint` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.inspection.model_start import is_open

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evaluate.inspection.probing import Comparison, ReadingScore
    from evaluate.inspection.readings import Reading
    from evaluate.inspection.recognition import Recognition

_SHOWN = 6
_NO_SKILL = 0.693


def recognition_text(found: Recognition) -> str:
    """Returns a line for every fact, `name: fact`."""
    stored = found.stored
    heads = [f"{head}, {head.outputs} output{'' if head.outputs == 1 else 's'}" for head in found.heads]
    dtypes = ", ".join(f"{name} ({count} tensors)" for name, count in stored.dtypes)
    facts = [
        ("file", f"{found.path}, {found.path.stat().st_size / 2**20:.2f} MiB, {stored.kind}"),
        ("sha256", found.sha256),
        ("weights under", stored.wrapper or "no key: a bare state dict"),
        ("beside them", _some(stored.beside)),
        ("stored as", dtypes),
        ("config.json", _hub_text(found)),
        ("network", ", or ".join(f"{c.family} {c.architecture}" for c in found.candidates) or "unknown"),
        ("prefix", ", ".join(f"{b.prefix or 'none'} ({b.naming} names)" for b in found.backbones)),
        ("classifier", "; ".join(heads) or "none"),
        ("left over", _some(found.leftover)),
        ("parameters", f"{found.parameter_count:,}"),
    ]
    lines = [f"{name + ':':<15}{fact}" for name, fact in facts if fact]
    lines += [f"note: {note}" for note in found.notes]
    if found.problem:
        lines.append(f"to decide: {found.problem}")
    for key, comment in found.guessed:
        if is_open(comment):
            lines.append(f"not in the weights: {key}{comment.removeprefix('decide')}")
    return "\n".join(lines)


def comparison_text(comparison: Comparison, faces: str) -> str:
    """Returns the table of readings, the best fitting one first, and what it says.

    Args:
        comparison: The scored readings.
        faces: What they were scored on, in words.
    """
    rows = [_row(score, rank < comparison.alike) for rank, score in enumerate(comparison.scores)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    header = ("", "network", "normalization", "size", "log-loss", "AUC")
    widths = [max(width, len(title)) for width, title in zip(widths, header, strict=True)]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]
    return "\n".join([f"readings on {faces}:", *table, *_verdict(comparison)])


def tried_comments(best: Reading, others: Sequence[Reading]) -> dict[str, str]:
    """Returns comments on a model file's keys that readings differed in.

    Args:
        best: The reading that the file says.
        others: Readings that cannot be told apart from it.
    """
    tried: dict[str, Callable[[Reading], object]] = {
        "architecture": (lambda reading: reading.network),
        "input.size": (lambda reading: reading.contract.input.size),
        "input.mean": (lambda reading: reading.normalization),
        "input.std": (lambda reading: reading.normalization),
    }
    comments = {}
    for key, fact in tried.items():
        rivals = [str(value) for value in dict.fromkeys(map(fact, others)) if value != fact(best)]
        comments[key] = f"decide: these fit as well: {', '.join(rivals)}" if rivals else "fits the labelled faces best"
    comments["fake_index"] = "fits the labelled faces best"
    comments["family"] = comments["architecture"]
    return comments


def _verdict(comparison: Comparison) -> list[str]:
    best = comparison.scores[0]
    if comparison.blind:
        return ["no reading tells fakes from reals better than chance: other faces, another crop or another network"]
    if comparison.inverted:
        return [
            f"AUC is below 0.5: fake_index is probably {1 - best.reading.contract.fake_index}; say so in a model file "
            "and pass it by --model, the order above means nothing until then"
        ]
    if comparison.alike > 1:
        return [
            f"the {comparison.alike} readings marked * cannot be told apart by these faces: decide by the training "
            "code, or pass more faces"
        ]
    poor = f"; a log-loss above {_NO_SKILL} is worse than knowing nothing" if best.log_loss > _NO_SKILL else ""
    return [f"the reading marked * fits best{poor}"]


def _row(score: ReadingScore, is_best: bool) -> tuple[str, ...]:
    reading = score.reading
    return (
        "*" if is_best else "",
        reading.network,
        reading.normalization,
        str(reading.contract.input.size),
        f"{score.log_loss:.4f}",
        f"{score.auc:.4f}",
    )


def _hub_text(found: Recognition) -> str:
    hub = found.hub
    if hub is None:
        return ""
    labels = f", labels {', '.join(hub.labels)}" if hub.labels else ""
    size = f", size {hub.size}" if hub.size else ""
    return f"{hub.architecture}{size}{labels}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
