"""The browser tests can be run several times in one session, to see whether they always pass."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --times."""
    parser.addoption("--times", type=int, default=1, help="run every browser test so many times")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every browser test the number of its round; the option is known where this folder is named to pytest."""
    times = metafunc.config.getoption("--times", default=1)
    if times > 1:
        metafunc.fixturenames.append("round_number")
        metafunc.parametrize("round_number", range(1, times + 1), scope="session")
