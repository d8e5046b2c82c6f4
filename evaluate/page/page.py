"""report.html, rendered from the record and the verdict: one file that loads nothing and runs from disk."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from evaluate.aggregation_text import aggregation_sentences
from evaluate.faceless_text import faceless_names, faceless_text
from evaluate.latency_comparison import latency_settings, rows_at
from evaluate.lookalike_text import lookalike_lines
from evaluate.number_text import (
    correlation_text,
    decibel_text,
    diff_interval_text,
    diff_text,
    interval_text,
    milliseconds_text,
    p_value_text,
    percent_text,
    rate_text,
    reduction_text,
    speed_up_text,
)
from evaluate.page.embedded_data import embedded_json, page_data
from evaluate.page.embedded_image import EmbeddedImages
from evaluate.page.mask_agreement import mask_agreements
from evaluate.page.page_warnings import PARTIAL_DATA, page_warnings
from evaluate.page.variant_row import frozen_threshold, variant_table
from evaluate.sections.cam_section import agreements
from evaluate.sections.ladder_section import ladder_threshold
from evaluate.sections.slice_section import worst_slices
from evaluate.sections.visual_analysis import MEANING
from evaluate.verdict.limit_text import limit_bound, limit_name, limit_value
from evaluate.verdict.verdict_lines import grade_text
from evaluate.verdict.verdict_text import (
    decision_threshold_sentence,
    domination_notes,
    grade_meanings,
    main_reason,
    pass_caveat,
    relaxed_limits,
    run_grade_text,
    smallest_passing,
    verdict_sentence,
    waivers,
)
from export.sidecar import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from evaluate.record import ReportRecord
    from evaluate.verdict.verdict import Verdict

# In the order in which they run; each may use the names of those before it.
_SCRIPTS = (
    "elements.js",
    "data.js",
    "theme.js",
    "sorting.js",
    "chart.js",
    "threshold.js",
    "roc.js",
    "frontier.js",
    "agreement.js",
    "gallery.js",
    "start.js",
)


def page_from_record(record: ReportRecord, verdict: Verdict | None, folder: Path) -> str:
    """Returns the page.

    Args:
        record: The record of the evaluation.
        verdict: What limits make of it; None where it was not graded.
        folder: The report's folder, which the record's paths of pictures start from. Pictures that cannot be read are
            left out and counted on the page.
    """
    images = EmbeddedImages(folder)
    data = page_data(record, images)
    style, script = _package_text("page.css"), _script()
    template = _environment().from_string(_package_text("page.html"))
    text = template.render(
        record=record,
        heatmap_meaning=MEANING[record.heatmap_method],
        verdict=verdict,
        table=variant_table(record, verdict),
        entries={entry.variant: entry for entry in verdict.variants} if verdict else {},
        dominations=domination_notes(record, verdict) if verdict else {},
        decision_threshold=decision_threshold_sentence(record, verdict) if verdict else "",
        meanings=grade_meanings(verdict) if verdict else [],
        partial_data=PARTIAL_DATA,
        data_json=Markup(embedded_json(data)),
        images_json=Markup(embedded_json(images.uris)),
        missing_images=len(images.missing),
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
    )
    # A file name need not be valid Unicode; the page must be.
    return text.encode("utf-8", "replace").decode("utf-8")


def write_page(path: Path, record: ReportRecord, verdict: Verdict | None) -> None:
    """Writes the page atomically; the record's paths of pictures are relative to its folder."""
    write_text(path, page_from_record(record, verdict, path.parent))


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "auc": "{:.4f}".format,
        "bound": lambda finding: limit_bound(finding.limit, finding.allowed),
        "correlation": correlation_text,
        "decibels": lambda decibels: "–" if decibels is None else decibel_text(decibels),
        "difference": diff_text,
        "difference_interval": diff_interval_text,
        "interval": interval_text,
        "milliseconds": milliseconds_text,
        "p_value": p_value_text,
        "percent": percent_text,
        "rate": rate_text,
        "reduction": reduction_text,
        "speed_up": speed_up_text,
        "threshold": "{:.4g}".format,
    }
    environment.globals |= {
        "aggregation_sentences": aggregation_sentences,
        "agreements": agreements,
        "faceless_names": faceless_names,
        "faceless_text": faceless_text,
        "frozen_threshold": frozen_threshold,
        "grade_text": grade_text,
        "latency_settings": latency_settings,
        "limit_bound": limit_bound,
        "limit_name": limit_name,
        "limit_value": limit_value,
        "lookalike_lines": lookalike_lines,
        "main_reason": main_reason,
        "ladder_threshold": ladder_threshold,
        "mask_agreements": mask_agreements,
        "page_warnings": page_warnings,
        "pass_caveat": pass_caveat,
        "relaxed_limits": relaxed_limits,
        "rows_at": rows_at,
        "run_grade_text": run_grade_text,
        "smallest_passing": smallest_passing,
        "verdict_sentence": verdict_sentence,
        "waivers": waivers,
        "worst_slices": worst_slices,
    }
    return environment


def _policy(style: str, script: str) -> str:
    """Returns a content security policy that allows this style, this script and embedded pictures, and no network."""
    return (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _source(text: str) -> str:
    digest = b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def _script() -> str:
    parts = "".join(_package_text(name) for name in _SCRIPTS)
    return f'\n(() => {{\n"use strict";\n{parts}}})();\n'


def _package_text(name: str) -> str:
    return files("evaluate.page").joinpath(name).read_text(encoding="utf-8")
