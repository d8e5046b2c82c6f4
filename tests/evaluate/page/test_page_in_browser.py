from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from evaluate.comparison import compared_variants
from evaluate.metrics import ConfusionCounts
from evaluate.page.page import write_page
from evaluate.page.variant_row import frozen_threshold
from tests.evaluate.page.browser_page import chromium, opened
from tests.evaluate.page.page_reference import (
    HOSTILE_NAMES,
    draw_face,
    labels_of,
    page_record,
    page_verdict,
    scores_of,
    with_gallery,
)
from tests.evaluate.reference import reference_record
from tests.evaluate.statistics.drawn_scores import FRESH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator

    from evaluate.record import ReportRecord
    from tests.evaluate.page.browser_page import Watched

PICTURED = 30


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def record(folder: Path) -> ReportRecord:
    return with_gallery(page_record(), folder, PICTURED, side=96)


@pytest.fixture(scope="module")
def report(folder: Path, record: ReportRecord) -> Path:
    write_page(folder / "report.html", record, page_verdict(record))
    return folder / "report.html"


@pytest.fixture
def watched(browser: Browser, report: Path) -> Iterator[Watched]:
    with opened(browser, report) as found:
        yield found


@pytest.mark.parametrize("seed", [0, FRESH])
def test_slider_figures_are_those_of_scikit_learn(watched: Watched, record: ReportRecord, seed: int) -> None:
    is_fake = labels_of(record)
    rng = np.random.default_rng(seed)
    on_scores = rng.choice(scores_of(record, "q8"), 4).tolist()
    thresholds = [0.0, 0.001, 0.5, 0.999, 1.0, *on_scores, *rng.uniform(0, 1, 6).tolist()]
    script = """thresholds => thresholds.map(threshold => {
        const input = document.getElementById('threshold-number');
        input.value = threshold;
        input.dispatchEvent(new Event('input'));
        return Array.from(document.getElementById('threshold-table').tBodies[0].rows, row => [
            row.dataset.variant, ...Array.from(row.cells).slice(1).map(cell => Number(cell.dataset.value)),
            Array.from(row.cells).slice(6, 10).map(cell => cell.textContent).join(' ')]);
    })"""
    shown = watched.page.evaluate(script, [repr(threshold) for threshold in thresholds])
    before = {threshold: scores_of(record, "baseline") >= threshold for threshold in thresholds}
    for threshold, rows in zip(thresholds, shown, strict=True):
        assert [row[0] for row in rows] == [variant.name for variant in record.variants]
        for name, at, tp, tn, fp, fn, precision, recall, f1, accuracy, flips, texts in rows:
            called = scores_of(record, name) >= threshold
            assert at == threshold
            assert confusion_matrix(is_fake, called, labels=[False, True]).ravel().tolist() == [tn, fp, fn, tp]
            counts = ConfusionCounts(tp, tn, fp, fn)
            ratios = [counts.precision, counts.recall, counts.f1, counts.accuracy]
            assert [precision, recall, f1, accuracy] == pytest.approx(ratios)
            assert flips == np.sum(called != before[threshold])
            printed = [float(text) for text in texts.split()]
            assert printed == pytest.approx([precision, recall, f1, accuracy], abs=0.00051)


@pytest.mark.parametrize("origin", ["default", "frozen", "refitted"])
def test_buttons_set_the_thresholds_of_the_record(watched: Watched, record: ReportRecord, origin: str) -> None:
    watched.page.click(f"[data-threshold={origin}]")
    assert watched.page.get_attribute(f"[data-threshold={origin}]", "aria-pressed") == "true"
    for row, variant in zip(watched.table("threshold-table"), record.variants, strict=True):
        assert variant.statistics
        point = variant.statistics.at(origin)  # type: ignore[arg-type]  # one of the three
        assert point
        counts = point.confusion
        assert row[1:6] == [f"{point.threshold:.4f}", *map(str, (counts.tp, counts.tn, counts.fp, counts.fn))]


def test_opens_at_the_frozen_threshold_where_flips_are_those_that_were_graded(
    watched: Watched, record: ReportRecord
) -> None:
    assert watched.page.get_attribute("[data-threshold=frozen]", "aria-pressed") == "true"
    for row, variant in zip(watched.table("threshold-table"), record.variants, strict=True):
        assert variant.statistics
        drift = variant.statistics.drift
        assert row[10] == str(drift.flips.share.count if drift else 0)


def test_no_two_of_eight_models_look_alike(watched: Watched) -> None:
    style = """() => Array.from(document.querySelectorAll('#variant-table .glyph'), glyph => [
        getComputedStyle(glyph).stroke, glyph.firstElementChild.getAttribute('href')])"""
    colours, markers = zip(*watched.page.evaluate(style), strict=True)
    assert len(set(colours)) == len(set(markers)) == 8


def test_marks_lie_on_the_curve_at_the_threshold(watched: Watched, record: ReportRecord) -> None:
    script = """() => Array.from(document.querySelectorAll('#roc use.marker[data-variant]'), mark => {
        const [x, y, size] = ['x', 'y', 'width'].map(name => Number(mark.getAttribute(name)));
        return [x + size / 2, y + size / 2]; })"""

    def marks_at(threshold: float) -> np.ndarray:
        watched.page.fill("#threshold-number", repr(threshold))
        return np.array(watched.page.evaluate(script))

    # Everything is called fake at 0, nothing at 1: the upper right and the lower left corner.
    upper, lower = marks_at(0.0), marks_at(1.0)
    assert np.allclose(upper, upper[0])
    assert np.allclose(lower, lower[0])
    is_fake = labels_of(record)
    for threshold in (0.2, 0.5, 0.9):
        found = (marks_at(threshold) - lower) / (upper - lower)
        for mark, variant in zip(found, record.variants, strict=True):
            called = scores_of(record, variant.name) >= threshold
            assert mark == pytest.approx([called[~is_fake].mean(), called[is_fake].mean()], abs=1e-3)


def test_legend_hides_a_curve_and_its_mark(watched: Watched) -> None:
    button = watched.page.locator("#roc .legend button", has_text="q8w")
    assert watched.page.locator("#roc path.curve:visible").count() == 8
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert watched.page.locator("#roc path.curve:visible").count() == 7
    assert watched.page.locator("#roc use[data-variant=q8w]").count() == 0
    watched.page.click("#roc-corner")
    assert watched.page.locator("#roc path.curve.away").count() == 1
    watched.page.locator("#roc .legend button", has_text="q8w").click()
    assert watched.page.locator("#roc use[data-variant=q8w]").count() == 1


def test_columns_sort_both_ways(watched: Watched, record: ReportRecord) -> None:
    names = [variant.name for variant in record.variants]
    keys = {
        "Model": {v.name: v.name for v in record.variants},
        "AUC": {v.name: v.auc for v in record.variants},
        "Size": {v.name: v.size_bytes for v in record.variants},
        "Latency": {v.name: v.latency[0].batches[0].latency.median for v in record.variants if v.latency},
    }
    sorted_headers = "#variant-table [aria-sort=ascending], #variant-table [aria-sort=descending]"
    for title, key_of in keys.items():
        button = watched.page.locator("#variant-table thead button", has_text=title).first
        header = button.locator("xpath=..")
        for direction in ("ascending", "descending"):
            button.click()
            assert header.get_attribute("aria-sort") == direction
            assert watched.page.locator(sorted_headers).count() == 1
            shown = [row[0].split("\n")[0] for row in watched.table("variant-table")]
            assert sorted(shown) == sorted(names)
            # What was not measured comes last, whichever the direction.
            measured = [key_of[name] for name in shown[: len(key_of)]]
            assert measured == sorted(measured, reverse=direction == "descending")  # type: ignore[type-var]


def test_worst_grades_sort_last_and_no_candidates_after_them(watched: Watched) -> None:
    watched.page.locator("#variant-table thead button", has_text="Grade").click()
    grades = [row[1].split("\n")[0] for row in watched.table("variant-table")]
    rank = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2, "reference": 3}
    assert [rank[grade] for grade in grades] == sorted(rank[grade] for grade in grades)
    assert grades[-1] == "reference"


def test_sorted_decisions_stay_sorted_when_the_threshold_moves(watched: Watched) -> None:
    watched.page.locator("#threshold-table thead button", has_text="FP").click()
    for threshold in ("0.1", "0.6", "0.9"):
        watched.page.fill("#threshold-number", threshold)
        alarms = [int(row[4]) for row in watched.table("threshold-table")]
        assert alarms == sorted(alarms)


def test_search_finds_names_by_all_words(watched: Watched, record: ReportRecord) -> None:
    watched.show_gallery()
    watched.page.fill("#gallery-search", "ID7_  00")
    expected = {v.sample for v in record.videos if "id7_" in v.sample and "00" in v.sample}
    assert 1 < len(expected) < sum("id7_" in v.sample for v in record.videos)
    assert set(watched.all_cards()) == expected
    assert f"{len(expected)} of {len(record.videos)} videos" in watched.page.inner_text("#gallery-count")
    watched.page.fill("#gallery-search", "no such name")
    assert watched.page.locator("#cards article").count() == 0


@pytest.mark.parametrize("decision", ["flipped", "wrong"])
@pytest.mark.parametrize("label", ["both", "real", "fake"])
def test_filters_show_the_videos_that_the_scores_say(
    watched: Watched, record: ReportRecord, decision: str, label: str
) -> None:
    watched.show_gallery()
    watched.page.fill("#threshold-number", "0.4")
    watched.page.select_option("#gallery-variant", label="q16-p50")
    watched.choose("decision", decision)
    watched.choose("label", label)
    is_fake = labels_of(record)
    called, before = scores_of(record, "q16-p50") >= 0.4, scores_of(record, "baseline") >= 0.4
    meant = (called != before) if decision == "flipped" else (called != is_fake)
    if label != "both":
        meant &= is_fake == (label == "fake")
    expected = {video.sample for video, chosen in zip(record.videos, meant, strict=True) if chosen}
    assert 0 < len(expected) < len(record.videos)
    assert set(watched.all_cards()) == expected


def test_any_model_means_at_least_one(watched: Watched, record: ReportRecord) -> None:
    watched.show_gallery()
    watched.choose("decision", "flipped")
    frozen = frozen_threshold(record)
    before = scores_of(record, "baseline") >= frozen
    flipped = np.any([(scores_of(record, v.name) >= frozen) != before for v in record.variants], axis=0)
    shown = watched.page.inner_text("#gallery-count")
    assert shown.startswith(f"{flipped.sum()} of {len(record.videos)} videos")


def test_cards_show_scores_decisions_and_heatmaps(watched: Watched, record: ReportRecord) -> None:
    watched.show_gallery()
    watched.page.fill("#threshold-number", "0.7")
    video = record.videos[3].sample
    watched.page.fill("#gallery-search", video)
    card = watched.page.locator("#cards article")
    assert card.count() == 1
    assert card.locator(".tag").inner_text() == "fake"
    assert card.locator("figcaption").all_inner_texts() == ["video", "dense", "p50", "s50"]
    sizes = card.locator("img").evaluate_all(
        "images => Promise.all(images.map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert sizes == [96] * 4
    before = scores_of(record, "baseline")[3] >= 0.7
    for variant in record.variants:
        score = float(scores_of(record, variant.name)[3])
        row = card.locator(f"li[data-variant={variant.name}]")
        assert row.locator(".score").inner_text() == f"{score:.4f}"
        assert row.locator(".called").inner_text() == ("fake" if score >= 0.7 else "real")
        marks = row.locator(".marks").inner_text()
        assert ("✕" in marks) == (score < 0.7)
        assert ("⇄" in marks) == ((score >= 0.7) != before)


def test_orders_of_the_gallery(watched: Watched, record: ReportRecord) -> None:
    watched.show_gallery()
    watched.page.select_option("#gallery-variant", label="q8")
    scores, before = scores_of(record, "q8"), scores_of(record, "baseline")
    names = np.array([video.sample for video in record.videos])
    for order, key in (("moved", -np.abs(scores - before)), ("score", -scores)):
        watched.page.select_option("#gallery-order", order)
        assert (
            watched.page.locator("#cards h3").all_text_contents() == names[np.argsort(key, kind="stable")][:24].tolist()
        )
    watched.page.select_option("#gallery-order", "name")
    assert watched.page.locator("#cards h3").all_text_contents() == sorted(names)[:24]


def test_scatter_counts_flips_and_names_the_nearest_video(watched: Watched, record: ReportRecord) -> None:
    watched.page.select_option("#agreement-variant", label="q8")
    frozen = frozen_threshold(record)
    is_fake, called = labels_of(record), scores_of(record, "q8") >= frozen
    flipped = called != (scores_of(record, "baseline") >= frozen)
    broken = int(np.sum(flipped & (called != is_fake)))
    text = watched.page.inner_text("#agreement-sum")
    counts = f"{broken} broken, {flipped.sum() - broken} repaired"
    assert text == f"{flipped.sum()} of 518 decisions flipped at {frozen:.4f}: {counts}."
    dots = watched.page.locator("#scatter path.dots").evaluate_all(
        "paths => paths.map(p => [p.getAttribute('class'), (p.getAttribute('d').match(/M/g) ?? []).length])"
    )
    drawn = dict(dots)
    assert drawn["dots fake flipped"] == np.sum(flipped & is_fake)
    assert drawn["dots real"] == np.sum(~flipped & ~is_fake)
    watched.page.locator("#scatter svg").first.scroll_into_view_if_needed()
    box = watched.page.locator("#scatter svg").first.bounding_box()
    assert box
    watched.page.mouse.move(box["x"] + box["width"] * 0.93, box["y"] + box["height"] * 0.05)
    assert "→" in watched.page.inner_text("#scatter-video")


def test_reliability_bars_are_the_counts_of_the_bins(watched: Watched, record: ReportRecord) -> None:
    watched.page.select_option("#agreement-variant", label="q8")
    found = next(variant.statistics for variant in record.variants if variant.name == "q8")
    assert found
    titles = watched.page.locator("#reliability rect.bin title").all_text_contents()
    assert titles == [f"{each.count} videos" for each in found.quality.reliability]


def test_keyboard_alone_is_enough(watched: Watched) -> None:
    page = watched.page

    def focus() -> Locator:
        return page.locator(":focus")

    page.keyboard.press("Tab")
    assert focus().inner_text() == "Skip to the variants"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.get_attribute("html", "data-theme") == "dark"
    page.focus("#variant-table thead button")
    page.keyboard.press("Enter")
    assert page.get_attribute("#variant-table th", "aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert page.get_attribute("#variant-table th", "aria-sort") == "descending"
    page.focus("#threshold-slider")
    before = float(page.input_value("#threshold-number"))
    page.keyboard.press("ArrowRight")
    assert float(page.input_value("#threshold-number")) == pytest.approx(before + 0.001, abs=0.0006)
    page.keyboard.press("End")
    assert [row[2] for row in watched.table("threshold-table")] == ["0"] * 8
    page.focus("[data-threshold=frozen]")
    page.keyboard.press("Enter")
    folded = page.locator("details.finding:not([open])").first
    folded.locator("summary").focus()
    page.keyboard.press("Enter")
    assert page.locator(":focus").evaluate("summary => summary.parentElement.open")
    watched.show_gallery()
    page.focus("input[name=decision]")
    page.keyboard.press("ArrowRight")
    assert "of 518 videos" in page.inner_text("#gallery-count")
    page.focus("#gallery-more")
    page.keyboard.press("Enter")
    assert focus().evaluate("card => Array.from(card.parentElement.children).indexOf(card)") == 24


def test_everything_that_takes_focus_shows_it(watched: Watched) -> None:
    script = """() => { const shown = document.activeElement.matches('fieldset.buttons input')
        ? document.activeElement.nextElementSibling : document.activeElement;
        const style = getComputedStyle(shown);
        return [shown.outerHTML.slice(0, 80), style.outlineStyle, parseFloat(style.outlineWidth)]; }"""
    for start, count in ((".skip", 44), ("#agreement-variant", 12), ("#gallery-search", 4)):
        watched.page.focus(start)
        for _ in range(count):
            watched.page.keyboard.press("Tab")
            what, style, width = watched.page.evaluate(script)
            assert style != "none", what
            assert width >= 1, what


def test_controls_and_plots_have_names(watched: Watched) -> None:
    watched.show_gallery()
    unnamed = watched.page.evaluate("""() => Array.from(document.querySelectorAll('input, select, button, [role=img]'))
        .filter(e => !(e.labels?.length || e.getAttribute('aria-label') || e.innerText?.trim()))
        .map(e => e.outerHTML)""")
    assert unnamed == []
    assert watched.page.locator("img:not([alt])").count() == 0


def test_links_lead_to_findings_and_unfold_them(watched: Watched) -> None:
    link = watched.page.locator("#variant-table a", has_text="PASS").first
    target = (link.get_attribute("href") or "").removeprefix("#")
    assert not watched.page.locator(f"#{target}").evaluate("details => details.open")
    link.click()
    watched.page.wait_for_selector(f"#{target}[open]")
    links = watched.page.eval_on_selector_all("a[href]", "links => links.map(link => link.getAttribute('href'))")
    assert all(watched.page.locator(link).count() == 1 for link in links)


def test_names_show_as_text_and_run_nothing(browser: Browser, tmp_path: Path) -> None:
    record = with_gallery(page_record(40, 40, HOSTILE_NAMES, variants=4), tmp_path, 10, side=48)
    write_page(tmp_path / "report.html", record, page_verdict(record))
    with opened(browser, tmp_path / "report.html") as watched:
        watched.show_gallery()
        assert set(HOSTILE_NAMES) < set(watched.all_cards())
        watched.page.fill("#gallery-search", "<script>alert")
        assert watched.page.locator("#cards h3").all_text_contents() == ["<script>alert(1)</script>"]
        assert watched.page.locator("script").count() == 3
        assert watched.page.locator("img[onerror], img[src=x]").count() == 0


def test_a_whole_test_set_opens_with_a_small_document(browser: Browser, tmp_path: Path) -> None:
    record = with_gallery(page_record(), tmp_path, 518, side=64)
    started = time.perf_counter()
    write_page(tmp_path / "report.html", record, page_verdict(record))
    time.perf_counter() - started
    started = time.perf_counter()
    with opened(browser, tmp_path / "report.html") as watched:
        time.perf_counter() - started
        (tmp_path / "report.html").stat().st_size / 1e6
        assert watched.elements() < 3000
        assert watched.page.locator("#cards article").count() == 0
        watched.show_gallery()
        assert watched.page.locator("#cards article").count() == 24
        assert watched.elements() < 6000
        watched.page.fill("#gallery-search", "_05")
        assert len(watched.all_cards()) == sum("_05" in video.sample for video in record.videos)


def test_paper_has_everything_unfolded_in_light_colours(browser: Browser, report: Path) -> None:
    with opened(browser, report, color_scheme="dark") as watched:
        page = watched.page
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert page.locator("details:not([open])").count() > 0
        page.emulate_media(media="print")
        page.wait_for_selector("#cards article")
        assert page.locator("details:not([open])").count() == 0
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)" != dark
        assert not page.locator("#theme").is_visible()
        assert page.evaluate("getComputedStyle(document.querySelector('.scroller')).overflowX") == "visible"
        page.emulate_media(media="screen")
        assert len(page.pdf(format="A4")) > 50_000


def test_tables_fit_on_paper(browser: Browser, report: Path) -> None:
    with opened(browser, report) as watched:
        watched.page.set_viewport_size({"width": 718, "height": 1000})
        watched.page.emulate_media(media="print")
        wide = watched.page.eval_on_selector_all(
            "table", "tables => tables.filter(t => t.getBoundingClientRect().right > innerWidth).map(t => t.id)"
        )
        assert wide == []


def test_light_and_dark_follow_the_system_and_the_button(browser: Browser, report: Path) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, report, color_scheme="dark") as watched:
        dark = watched.page.evaluate(colour)
        assert watched.page.get_attribute("#theme", "aria-pressed") == "true"
        watched.page.click("#theme")
        light = watched.page.evaluate(colour)
        assert sum(map(int, light[4:-1].split(","))) > 600 > 200 > sum(map(int, dark[4:-1].split(",")))
        watched.page.emulate_media(color_scheme="light")
        watched.page.wait_for_selector("html[data-theme=light]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: Browser, report: Path, scheme: str) -> None:
    """Holds the colours of text to the contrast of 4.5 that WCAG 2 asks for at level AA."""
    with opened(browser, report, color_scheme=scheme) as watched:
        watched.show_gallery()
        found = watched.page.evaluate("""() => {
            const behind = e => { for (; e; e = e.parentElement) {
                const colour = getComputedStyle(e).backgroundColor;
                if (!/, 0\\)$/.test(colour)) return colour; } return 'rgb(255, 255, 255)'; };
            const texts = Array.from(document.querySelectorAll('body *:not(script):not(noscript)')).filter(e =>
                e.checkVisibility() && !(e instanceof SVGElement) &&
                Array.from(e.childNodes).some(n => n.nodeType === 3 && n.data.trim()));
            return Array.from(new Set(texts.map(e => JSON.stringify([getComputedStyle(e).color, behind(e)]))));
        }""")
        assert len(found) > 5
        for pair in found:
            front, back = (_luminance(colour) for colour in json.loads(pair))
            assert (max(front, back) + 0.05) / (min(front, back) + 0.05) >= 4.5, pair


@pytest.mark.parametrize("width", [360, 400, 768])
def test_narrow_screens_scroll_only_inside_tables(browser: Browser, report: Path, width: int) -> None:
    with opened(browser, report) as watched:
        watched.page.set_viewport_size({"width": width, "height": 800})
        watched.show_gallery()
        assert watched.page.evaluate("document.documentElement.scrollWidth") == width


def test_tables_can_be_read_without_scripts(browser: Browser, report: Path) -> None:
    with opened(browser, report, java_script_enabled=False) as watched:
        assert watched.page.locator("#variant-table tbody tr").count() == 8
        assert watched.page.locator("noscript p").is_visible()


def test_records_without_scores_open_too(browser: Browser, tmp_path: Path) -> None:
    bare = reference_record(simulated=True)
    alone = replace(page_record(40, 40, variants=4), variants=page_record(40, 40, variants=4).variants[:1])
    orphans = compared_variants(page_record(40, 40, variants=4).variants[1:])
    for index, found in enumerate((bare, alone, replace(alone, variants=orphans), replace(bare, variants=()))):
        path = tmp_path / f"{index}" / "report.html"
        for variant in found.variants[:1]:
            for sample in next(iter(variant.samples.values()))[:2]:
                draw_face(path.parent / str(sample.heatmap), index, 1, side=48)
        path.parent.mkdir(exist_ok=True)
        write_page(path, found, None)
        with opened(browser, path) as watched:
            assert watched.page.locator("#threshold-controls").is_visible() == (index in (1, 2))
            rows = watched.table("threshold-table")
            assert [row[0] for row in rows] == [variant.name for variant in found.variants]
            if index == 0:
                assert rows[0][2:6] == ["292", "163", "15", "48"]
            watched.show_gallery()


def _luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
