"""Labels that are addresses, markup or one endless word, on every page of a telephone: no link, no script, no width."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from featurelib.schema import LABELS, TEXTS
from featurelib.storage.runs import Run
from precompute.build.provenance import write_manifest
from tests.support.server import serve
from tests.support.visit import Visit

pytestmark = pytest.mark.browser
HOSTILE = (
    "see http://evil.example/a and www.evil.example or a@evil.example",
    "[click](http://evil.example) ![x](http://evil.example/x.png)",
    "<img src=http://evil.example/x onerror=alert(1)><script>alert(1)</script>",
    "w" * 400,
    "https://evil.example/" + "q" * 300,
    ":material/delete: $\\frac{1}{2}$ `code` **bold** # head",
    "\u202eright to left \u2066 and \u200bno width",
    "javascript:alert(1) data:text/html,<script>alert(1)</script>",
)
PATHS = (
    *("/", "/features", "/features?sort=label&order=rising", "/feature?feature=3", "/feature?feature=4&view=bands"),
    *("/map", "/families", "/evaluation", "/audit?every=yes", "/search?q=star&by=features", "/search?q=galaxy"),
    *("/text?text=3", "/try?t=galaxy%20star", "/try?t=galaxy%0Astar&lines=yes", "/steer?text=3&set=3:0.5,4:0.2"),
    *("/textmap", "/combine?with=3", "/similar?a=3&b=4", "/splitting"),
    *("/columns", "/slices?a_words=star", "/slices?a_words=%3Cb%3E"),
)
LINKS = """() => [...document.querySelectorAll('a')].map(link => link.href)
    .filter(href => !href.startsWith(location.origin) && !href.startsWith('blob:'))"""


@pytest.fixture(scope="module")
def hostile(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server on a copy of the tiny run whose labels and first texts are hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copytree(tiny_data, folder / "data")
    generation = Run(folder / "data" / "tiny").current()
    for table, column in ((LABELS, "label"), (TEXTS, "text")):
        rows = pq.read_table(generation.file(table))
        values = rows[column].to_pylist()
        new = [HOSTILE[place % len(HOSTILE)] if place < 64 else value for place, value in enumerate(values)]
        place = rows.schema.get_field_index(column)
        pq.write_table(rows.set_column(place, rows.schema.field(place), [new]), generation.file(table))
    write_manifest(generation)
    with serve(folder / "data", folder / "log.txt") as (address, _):
        yield address


@pytest.mark.parametrize("path", PATHS)
def test_hostile_labels_make_no_link_and_no_page_wider_than_a_telephone(browser: Any, hostile: str, path: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    visit = Visit(context.new_page(), hostile)
    visit.open(path)
    assert visit.page.evaluate(LINKS) == []
    assert visit.page.locator('img[src*="evil"]').count() == 0
    width = visit.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, f"{path} is {width} px wide"
    visit.check()
    context.close()
