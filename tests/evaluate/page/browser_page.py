"""Pages in a headless Chromium, watched for errors and for whatever they would load."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")


@dataclass
class Watched:
    """A page and what it did that it should not.

    Attributes:
        page: The page.
        complaints: Errors, messages on the console, dialogs and requests.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)

    def table(self, identifier: str) -> list[list[str]]:
        """Returns the text of each cell of a table's body."""
        script = "t => Array.from(t.tBodies[0].rows, r => Array.from(r.cells, c => c.innerText.trim()))"
        found: list[list[str]] = self.page.eval_on_selector(f"#{identifier}", script)
        return found

    def elements(self) -> int:
        """Returns the number of elements."""
        return int(self.page.evaluate("document.querySelectorAll('*').length"))

    def show_gallery(self) -> None:
        """Scrolls to the videos and waits for their cards."""
        self.page.evaluate("document.getElementById('gallery').scrollIntoView({behavior: 'instant'})")
        self.page.wait_for_selector("#gallery-count:not(:empty)")

    def choose(self, name: str, value: str) -> None:
        """Clicks what stands for a radio button, as a reader would."""
        self.page.click(f"label:has(input[name={name}][value={value}])")

    def all_cards(self) -> list[str]:
        """Returns the names of all videos that match, asking for more until there are none."""
        while self.page.locator("#gallery-more").is_visible():
            self.page.click("#gallery-more")
        return self.page.locator("#cards h3").all_text_contents()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Starts the system's Chromium, or skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, path: Path, **options: Any) -> Iterator[Watched]:
    """Opens a page from disk and holds at the end that it neither failed nor asked for anything."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce", **options)
    page = context.new_page()
    watched = Watched(page)
    complaints = watched.complaints
    page.on("console", lambda message: complaints.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: _note_request(complaints, request.url, path.as_uri()))
    page.goto(path.as_uri())
    yield watched
    context.close()
    assert complaints == []


def _note_request(complaints: list[str], url: str, own: str) -> None:
    if url.partition("#")[0] != own and not url.startswith("data:"):
        complaints.append(f"request: {url}")
