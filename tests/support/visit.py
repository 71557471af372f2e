"""A tab of Chromium on the dashboard that waits for what it reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SECONDS = 120
"""How long anything may take: a machine with every core busy needs a minute for what takes seconds otherwise."""
DRAWN = """() => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'
    && !document.querySelector('[data-stale="true"]') && !!document.querySelector('h1')"""
TEXT_IDS = """[...new Set([...document.querySelectorAll('a[href*="text="]')].map(link => new URL(link.href))
    .filter(url => url.pathname === '/text').map(url => +url.searchParams.get('text')))]"""


class Visit:
    """One tab, and everything in it that should not happen."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address, self.wrong = page, address, []
        page.set_default_timeout(SECONDS * 1000)
        page.on("pageerror", lambda error: self.wrong.append(f"script error: {error}"))
        page.on("console", lambda said: self.wrong.append(said.text) if "Content Security" in said.text else None)
        page.on("request", self._look)

    def _look(self, request: Any) -> None:
        own = request.url.startswith((self.address, self.address.replace("http", "ws"), "data:", "blob:"))
        if not own:
            self.wrong.append(f"asked a foreign address: {request.url}")

    def open(self, path: str) -> None:
        """Open an address as a pasted link."""
        self.page.goto(self.address + path)
        self.settle()

    def settle(self) -> None:
        """Wait until the script has run to its end and what is shown no longer changes.

        A script that is started again for a late message of the browser stands still for a moment between its two runs,
        so on a busy machine half a page can look settled: wait for what is to be read as well.
        """
        self.page.wait_for_function(DRAWN)
        self.still(lambda: self.page.locator('[data-testid="stMain"]').inner_html())

    def still(self, read: Callable[[], Any], seconds: float = 0.15) -> Any:
        """What `read` gives once it gives the same twice, `seconds` apart, while the page is drawn."""
        before = object()
        end = time.monotonic() + SECONDS
        while (now := read()) != before or not self.page.evaluate(DRAWN):
            assert time.monotonic() < end, f"it still changes after {SECONDS} s"
            before = now
            self.page.wait_for_timeout(1000 * seconds)
        return now

    def expect(self, read: Callable[[], Any], wanted: Any) -> None:
        """Read until `wanted` is read; fails with what was read last."""
        end = time.monotonic() + SECONDS
        while (now := read()) != wanted and time.monotonic() < end:
            self.page.wait_for_timeout(100)
        assert now == wanted

    def text_ids(self) -> list[int]:
        """The ids of the texts that the page links to, in the page's order, each once."""
        return self.page.evaluate(TEXT_IDS)

    @property
    def text(self) -> str:
        """All text that is shown."""
        return self.page.locator("body").inner_text()

    def check(self) -> None:
        """No traceback, no script error, no request elsewhere, nothing that the policy stopped."""
        assert self.page.locator('[data-testid="stException"]').count() == 0
        assert "Traceback" not in self.text
        assert self.wrong == []
