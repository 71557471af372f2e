"""Ten browser tabs clicking at once: every row drawn is compared with numpy's answer for the address that is shown.

Usage: python -m benchmarks.tabs [RUN_FOLDER] [--tabs 10] [--clicks 20] [--seed 0] [--shared-connection]

The answers come from the run's activations and texts read with pyarrow, not from the dashboard's queries. A click is
timed from the mouse to the page that shows numpy's answer. --shared-connection starts the server with one DuckDB
connection for all sessions in place of a cursor per question: the same comparison must then go red.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.schema import BY_TEXT, FEATURES, LABELS, TEXTS
from featurelib.storage.runs import Run
from tests.support.server import CHROMIUM_FLAGS, find_chromium, serve

ROWS = 10
PAUSE = 0.05
"""Seconds between two looks at a page."""
PATIENCE = 30.0
"""Seconds after which a page that does not show numpy's answer is wrong."""
ROUNDED = 6e-3
"""Activations are shown with three digits."""
SHARED = """
from featurelib.storage.store import Store
Store._cursor = lambda self: self._con
Store._close = lambda self, cursor: None
"""
LINKS = ", ".join(f'[data-testid="stMain"] a[href*="{name}="]:visible' for name in ("feature", "text"))
READ_TEXT_LINKS = """() => [...document.querySelectorAll('.read-texts-top a[href*="text="]')]
    .map(link => Number(new URL(link.href).searchParams.get('text')))"""
READ_ACTIVATIONS = """() => [...document.querySelectorAll('.read-texts-top .activation bdi')]
    .map(shown => shown.innerText)"""
READ_FEATURES = """() => [...document.querySelectorAll('[data-testid="stMain"] a[href*="feature="]')].map(link => [
        Number(new URL(link.href).searchParams.get('feature')), link.innerText])"""
DRAWN = """() => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'
    && !document.querySelector('[data-stale="true"]') && !!document.querySelector('h1')"""


class Oracle:
    """What numpy says each address must show."""

    def __init__(self, folder: Path) -> None:
        generation = Run(folder).current()
        rows = pa.concat_tables(pq.read_table(part) for part in generation.parts(BY_TEXT))
        self.text_ids = rows["text_id"].to_numpy()
        self.feature_ids = rows["feature_id"].to_numpy()
        self.activations = rows["activation"].to_numpy()
        self.labels = pq.read_table(generation.file(LABELS))["label"].to_pylist()
        self.texts = pq.read_table(generation.file(TEXTS))
        self.n_features = pq.read_metadata(generation.file(FEATURES)).num_rows

    def top_texts(self, feature_id: int, count: int, column: str | None, value: str | None) -> list[int]:
        """The ids of the texts on which the feature is strongest; the smaller id first where two are equal.

        With a `column` of the texts, only those count whose value there is, or holds, `value`.
        """
        own = self.feature_ids == feature_id
        if column:
            own = own & self.having(column, value)[self.text_ids]
        texts, activations = self.text_ids[own], self.activations[own]
        return texts[np.lexsort((texts, -activations))][:count].tolist()

    def having(self, column: str, value: str | None) -> np.ndarray:
        """Which texts have the value, bool [n_texts]."""
        values = self.texts[column].to_pylist()
        return np.array(
            [value in map(str, entry) if isinstance(entry, list) else str(entry) == value for entry in values]
        )

    def activation(self, text_id: int, feature_id: int) -> float:
        """The feature's activation on the text."""
        return float(self.activations[(self.text_ids == text_id) & (self.feature_ids == feature_id)][0])

    def features_of(self, text_id: int) -> list[int]:
        """The ids of the features that fire on the text, the strongest first."""
        own = self.text_ids == text_id
        features, activations = self.feature_ids[own], self.activations[own]
        return features[np.lexsort((features, -activations))].tolist()

    def strongest(self, count: int) -> list[int]:
        """The ids of the features with the largest activations; the smaller id first where two are equal."""
        largest = np.zeros(self.n_features, np.float32)
        np.maximum.at(largest, self.feature_ids, self.activations)
        return np.lexsort((np.arange(self.n_features), -largest))[:count].tolist()


@dataclass
class Tally:
    """What the tabs saw."""

    compared: int = 0
    rows: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


async def read(page: Any, oracle: Oracle) -> tuple[list[Any], list[Any]] | None:
    """What the page shows and what numpy says it must show; None for a page that is not compared."""
    asked = parse_qs(urlsplit(page.url).query)
    place = urlsplit(page.url).path.strip("/") or "overview"
    if place == "feature" and "feature" in asked:
        number = int(asked["feature"][0])
        title = await page.locator("h1").first.inner_text()
        ids = list(dict.fromkeys(await page.evaluate(READ_TEXT_LINKS)))
        numbers = [float(text) for text in await page.evaluate(READ_ACTIVATIONS)]
        top = oracle.top_texts(number, ROWS, asked.get("column", [None])[0], asked.get("value", [None])[0])
        true = [oracle.activation(text_id, number) for text_id in top]
        same = len(numbers) == len(true) and np.allclose(numbers, true, rtol=ROUNDED)
        return [title.strip(), *ids, same], [oracle.labels[number], *top, True]
    shown = list(dict.fromkeys(feature_id for feature_id, label in await page.evaluate(READ_FEATURES) if label))
    if place == "text" and "text" in asked:
        return shown, oracle.features_of(int(asked["text"][0]))
    if place == "overview":
        return shown[:ROWS], oracle.strongest(ROWS)
    return None


async def compare(page: Any, oracle: Oracle, tally: Tally) -> None:
    """Wait until the page shows numpy's answer for its address; a page that never does is wrong.

    A wrong answer stays: a page that was drawn is not drawn again by itself.
    """
    end = time.perf_counter() + PATIENCE
    while True:
        answers = None
        if await page.evaluate(DRAWN):
            answers = await read(page, oracle)
            if answers is None or answers[0] == answers[1]:
                break
        if time.perf_counter() > end:
            shown, expected = answers or ([], [])
            tally.wrong.append(f"{page.url}: shows {shown[:6]}…, numpy says {expected[:6]}…")
            break
        await page.wait_for_timeout(PAUSE * 1000)
    if answers:
        tally.compared += 1
        tally.rows += len(answers[1])
    if await page.locator('[data-testid="stException"]').count():
        tally.wrong.append(f"{page.url}: an exception is shown")


async def click_through(browser: Any, address: str, oracle: Oracle, tally: Tally, draw: random.Random, n: int) -> None:
    """One tab: open the overview, then click links at random."""
    context = await browser.new_context(viewport={"width": 1440, "height": 1200})
    page = await context.new_page()
    page.set_default_timeout(60_000)
    started = time.perf_counter()
    await page.goto(address)
    await compare(page, oracle, tally)
    tally.seconds["first visit"].append(time.perf_counter() - started)
    for _ in range(n):
        link = draw.choice(await page.locator(LINKS).all())
        target = await link.get_attribute("href")
        same = target.split("?")[-1] == page.url.split("?")[-1]
        before = page.url
        started = time.perf_counter()
        await link.click()
        if not same:
            await page.wait_for_function("before => location.href !== before", arg=before)
        await compare(page, oracle, tally)
        tally.seconds[urlsplit(page.url).path.strip("/") or "overview"].append(time.perf_counter() - started)
    await context.close()


def memory(process: int) -> float:
    """The resident memory of a process, in MB (Linux)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


async def measure(address: str, process: int, oracle: Oracle, given: argparse.Namespace) -> Tally:
    """Let all tabs click at once."""
    from playwright.async_api import async_playwright

    tally = Tally()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        draws = [random.Random(f"{given.seed}-{number}") for number in range(given.tabs)]
        tabs = [click_through(browser, address, oracle, tally, draw, given.clicks) for draw in draws]
        for ended in await asyncio.gather(*tabs, return_exceptions=True):
            if isinstance(ended, BaseException):
                tally.wrong.append(f"a tab ended: {' '.join(str(ended).split())[:200]}")
        print(f"server memory with {given.tabs} tabs open: {memory(process):.0f} MB")
        await browser.close()
    return tally


def shared_connection(folder: Path, given: argparse.Namespace) -> dict[str, str]:
    """The environment of a server whose sessions share one connection, if that was asked for."""
    if not given.shared_connection:
        return {}
    (folder / "sitecustomize.py").write_text(SHARED, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(Path.cwd())))}


def main() -> int:
    """Run the tabs and print the figures; 0 when every row was right."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("run", nargs="?", type=Path, default=Path("data/demo"))
    arguments.add_argument("--tabs", type=int, default=10)
    arguments.add_argument("--clicks", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--shared-connection", action="store_true")
    given = arguments.parse_args()
    oracle = Oracle(given.run)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.txt"
        with serve(given.run.parent, log, **shared_connection(Path(folder), given)) as (address, process):
            print(f"server memory before the first visit: {memory(process):.0f} MB")
            tally = asyncio.run(measure(f"{address}/?run={given.run.name}", process, oracle, given))
        tracebacks = log.read_text(encoding="utf-8").count("Traceback")
    for place, seconds in sorted(tally.seconds.items()):
        middle, late = np.percentile(seconds, [50, 95])
        print(f"{place:<12} {len(seconds):>5} times   median {middle:.2f} s   95th percentile {late:.2f} s")
    for sentence in tally.wrong[:10]:
        print(f"wrong: {sentence}")
    print(
        f"{tally.compared} pages with {tally.rows} rows compared with numpy: {len(tally.wrong)} wrong; "
        f"{tracebacks} tracebacks in the server's log"
    )
    return 1 if tally.wrong or tracebacks else 0


if __name__ == "__main__":
    sys.exit(main())
