"""Chromium for the browser tests, which can be run several times in one session, to see whether they always pass."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.server import CHROMIUM_FLAGS, find_chromium
from tests.support.visit import Visit


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --times."""
    parser.addoption("--times", type=int, default=1, help="run every browser test so many times")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every browser test the number of its round; the option is known where this folder is named to pytest."""
    times = metafunc.config.getoption("--times", default=1)
    if times > 1:
        metafunc.fixturenames.append("round_number")
        metafunc.parametrize("round_number", range(1, times + 1), scope="session")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; without one the tests are skipped, unless REQUIRE_BROWSER is set."""
    chromium = find_chromium()
    if chromium is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail("no Chromium was found, and REQUIRE_BROWSER is set; install it, e.g. apt-get install chromium")
        pytest.skip("no Chromium or Chrome was found; install one, e.g. apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """A fresh tab at the server that the file of tests names by its fixture `address`."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    visit = Visit(context.new_page(), address)
    yield visit
    visit.check()
    context.close()
