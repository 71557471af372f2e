"""Every page in Chromium, on the tiny run, through the real server: open, click a feature, follow a link, go back."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import featurelib
from featurelib.schema import LABELS, TOP_TEXT_ROWS
from featurelib.storage.runs import Generation, Run
from tests.conftest import TINY_FLAGS
from tests.support import ROOT
from tests.support.planted import Planted
from tests.support.server import serve
from tests.support.visit import TEXT_IDS, Visit

pytestmark = pytest.mark.browser
FEATURE = f"""() => {{
    const cards = document.querySelectorAll('.read-texts-top > .read-inline').length;
    return cards === 10 ? [document.querySelector('h1').innerText.trim(), {TEXT_IDS}] : null;
}}"""
"""The label of the feature and the ids of its ten texts, read in one moment, or null while they are not all there."""


@pytest.fixture(scope="module")
def address(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server on the tiny data folder."""
    with serve(tiny_data, tmp_path_factory.mktemp("server") / "log.txt") as (served, _):
        yield served


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", "How often features fire"),
        ("/features?run=tiny", "32"),
        ("/feature?run=tiny&feature=3", "Nearest"),
        ("/map?run=tiny", "Colour by"),
        ("/evaluation?run=tiny", "Compared with the training texts"),
        ("/search?run=tiny&q=galaxy", "galaxy"),
        ("/text?run=tiny&text=12", "Features that fire"),
        ("/try?run=tiny", "Try"),
    ],
)
def test_a_page_opens_at_its_address(visit: Visit, path: str, shown: str) -> None:
    visit.open(path)
    visit.page.get_by_text(re.compile(re.escape(shown), re.IGNORECASE)).first.wait_for()


def test_a_deep_link_shows_what_the_library_says(visit: Visit, tiny_data: Path) -> None:
    run = featurelib.open(tiny_data / "tiny")
    labels = run.ask("select feature_id, label from labels order by feature_id")["label"].tolist()
    visit.open("/feature?run=tiny&feature=5")
    visit.page.get_by_role("heading", name=labels[5]).first.wait_for()
    ids = run.top_texts(5)["text_id"].head(10).tolist()
    visit.expect(visit.text_ids, ids)


def test_a_click_on_a_feature_opens_it_and_back_leads_back(visit: Visit) -> None:
    visit.open("/?run=tiny")
    link = visit.page.locator('[data-testid="stMain"] a[href*="feature="]').first
    # a line of a list: the name, then its numbers
    label = link.inner_text().splitlines()[0]
    link.click()
    visit.page.wait_for_url(re.compile(r"/feature\?.*feature=\d+"))
    visit.page.get_by_role("heading", name=label).first.wait_for()
    visit.page.go_back()
    visit.page.get_by_text("How often features fire").first.wait_for()


def test_arrow_keys_go_to_neighbours_but_not_out_of_a_field(visit: Visit, tiny_data: Path) -> None:
    labels = featurelib.open(tiny_data / "tiny").ask("select feature_id, label from labels order by feature_id")[
        "label"
    ]
    visit.open("/feature?run=tiny&feature=4")
    visit.page.keyboard.press("ArrowRight")
    visit.expect(lambda: visit.page.locator("h1").inner_text(), labels[5])
    visit.settle()
    field = visit.page.get_by_placeholder("go to a feature: words or id")
    field.fill("star")
    field.press("ArrowLeft")
    visit.settle()
    assert visit.page.locator("h1").inner_text() == labels[5]
    visit.page.evaluate("document.activeElement.blur()")
    visit.page.keyboard.press("ArrowLeft")
    visit.expect(lambda: visit.page.locator("h1").inner_text(), labels[4])


def test_one_click_copies_the_address(visit: Visit) -> None:
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.open("/feature?run=tiny&feature=4&view=bands")
    visit.page.get_by_text("copy link").click()
    visit.page.get_by_text("copied").wait_for()
    copied = visit.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(visit.address) and "feature=4" in copied and "view=bands" in copied


NAMES = """() => [...document.querySelectorAll('.js-plotly-plot g.annotation')]
    .filter(name => name.style.opacity === '1')
    .map(name => document.querySelector('.js-plotly-plot').layout.annotations[+name.dataset.index].name)"""
"""The levels of the regions whose names are seen."""


def test_the_map_names_finer_regions_when_it_is_nearer(visit: Visit) -> None:
    visit.open("/map?run=tiny")
    visit.page.wait_for_selector(".js-plotly-plot g.annotation")
    visit.expect(lambda: set(visit.page.evaluate(NAMES)), {"level 0"})
    box = visit.page.locator(".js-plotly-plot").first.bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 320)
    for _ in range(14):
        visit.page.mouse.wheel(0, -240)
        visit.page.wait_for_timeout(200)
    visit.expect(lambda: "level 0" in visit.page.evaluate(NAMES), False)


FIRST_IDS = """() => [...document.querySelectorAll('.rows tbody a')]
    .map(link => +new URL(link.href).searchParams.get('feature'))"""
"""The ids of the features in the table that is shown."""
OUTLINE = """() => getComputedStyle(document.activeElement,
    document.activeElement.closest('td') ? '::after' : null).outlineStyle"""
"""How the element that has focus is outlined; a row by what covers it."""
SORTED_BY = {
    "id": "feature_id",
    "texts": "n_active",
    "density": "density",
    "maximum": "max_activation",
    "mean": "mean_activation",
}
"""Heads of numbers in the table of all features, and the columns that they sort by."""


def test_every_head_sorts_the_whole_table_and_opens_nothing(visit: Visit, tiny_data: Path) -> None:
    rows = featurelib.open(tiny_data / "tiny").features()
    visit.open("/features?run=tiny")
    for head, column in SORTED_BY.items():
        for descending in (True, False):
            visit.page.locator(".rows th a", has_text=re.compile(f"^{head}")).click()
            direction = "descending" if descending else "ascending"
            visit.page.wait_for_selector(f'.rows th[aria-sort="{direction}"]:has-text("{head}")')
            wanted = rows.sort_values([column, "feature_id"], ascending=[not descending, True])["feature_id"].tolist()
            visit.expect(lambda: visit.page.evaluate(FIRST_IDS), wanted[:50])
            assert visit.page.locator("h1").inner_text() == "Features" and "/features?" in visit.page.url


def test_a_table_is_walked_by_keyboard_and_only_enter_opens(visit: Visit) -> None:
    visit.open("/features?run=tiny")
    before = visit.page.url
    visit.page.locator(".rows th a").first.focus()
    for _ in range(15):
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate(OUTLINE) == "solid"
    visit.settle()
    assert visit.page.url == before
    label = visit.page.evaluate("document.activeElement.innerText")
    visit.page.keyboard.press("Enter")
    visit.expect(lambda: visit.page.locator("h1").inner_text(), label)
    assert "/feature?run=tiny&feature=" in visit.page.url
    visit.page.go_back()
    visit.expect(lambda: visit.page.locator("h1").inner_text(), "Features")
    with visit.page.context.expect_page() as tab:
        visit.page.locator(".rows tbody a").first.click(modifiers=["Control"])
    assert "/feature?run=tiny&feature=" in tab.value.url and visit.page.locator("h1").inner_text() == "Features"
    tab.value.close()


def test_a_lasso_on_the_map_lists_features_under_the_policy(visit: Visit) -> None:
    visit.open("/map?run=tiny&drag=lasso")
    plot = visit.page.locator(".js-plotly-plot .nsewdrag").first
    plot.wait_for(state="attached")
    box = visit.still(visit.page.locator(".js-plotly-plot").first.bounding_box)
    left, top, right, bottom = box["x"] + 5, box["y"] + 5, box["x"] + box["width"] - 5, box["y"] + box["height"] - 5
    mouse = visit.page.mouse
    mouse.move(left, top)
    mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        mouse.move(x, y, steps=8)
    mouse.up()
    visit.page.get_by_text(re.compile(r"\d+ features in the lasso")).first.wait_for()


def test_the_worker_tells_what_a_typed_text_turns_on(visit: Visit) -> None:
    visit.open("/try?run=tiny&t=galaxy%20star%20telescope%20redshift%20supernova%20nebula")
    visit.page.locator('[data-testid="stMain"] a[href*="feature="]').first.wait_for()


@pytest.mark.parametrize(
    "path",
    [
        "/feature?run=tiny&feature=9999",
        "/feature?run=tiny&feature=x",
        "/text?run=tiny&text=-1",
        "/?run=nowhere",
        "/features?run=tiny&sort=%27;drop",
        "/map?run=tiny&colour=plaid",
    ],
)
def test_a_bad_address_gets_a_sentence(visit: Visit, path: str) -> None:
    visit.page.goto(visit.address + path)
    visit.page.get_by_text(re.compile(r"9999|number|nowhere|known|plaid|one of|not ", re.IGNORECASE)).first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_telephone(browser: Any, address: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    visit = Visit(context.new_page(), address)
    paths = ("/", "/features", "/feature?feature=3", "/map", "/evaluation", "/search?q=star", "/text?text=3", "/try")
    for path in paths:
        visit.open(path)
        width = visit.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{path} is {width} px wide"
    visit.check()
    context.close()


def shown_feature(visit: Visit, old: tuple[str, tuple[int, ...]]) -> tuple[str, tuple[int, ...]]:
    """What the feature page shows, once its list of top texts is there: the label and the ids of the texts.

    What is not `old` must stand for two seconds: between two runs of a page's script a part of the one that was
    broken off can be seen. A list that never comes ends in a timeout.
    """

    def read() -> tuple[str, tuple[int, ...]] | None:
        shown = visit.page.evaluate(FEATURE)
        return shown and (shown[0], tuple(shown[1]))

    visit.page.wait_for_function(FEATURE)
    shown = read()
    while shown != old and (shown is None or visit.still(read, seconds=2) != shown):
        shown = read()
    return shown


def true_feature(generation: Generation, feature_id: int) -> tuple[str, tuple[int, ...]]:
    """The same, read from the generation's files."""
    label = pq.read_table(generation.file(LABELS))["label"][feature_id].as_py()
    top = pq.read_table(generation.file(TOP_TEXT_ROWS), filters=[("feature_id", "=", feature_id), ("rank", "<=", 10)])
    return label, tuple(top.sort_by("rank")["text_id"].to_pylist())


def test_a_rebuild_under_an_open_page_shows_the_old_generation_whole_then_the_new_one_whole(
    browser: Any, own_data: Path, planted: Planted, tmp_path: Path
) -> None:
    run = Run(own_data / "tiny")
    old = run.current()
    before = true_feature(old, 5)
    flags = [*TINY_FLAGS, "--k", "2", "--data", str(own_data)]
    command = [sys.executable, "-m", "precompute", "build", str(planted.path), "--name", "tiny", *flags]
    seen = []
    with serve(own_data, tmp_path / "log.txt") as (served, _):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        visit = Visit(context.new_page(), served)
        building = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while building.poll() is None:
            visit.open("/feature?run=tiny&feature=5")
            seen.append(shown_feature(visit, before))
            # a reader looks at what is shown; without a pause the browser takes the processor from the build
            visit.page.wait_for_timeout(1000)
        assert building.returncode == 0
        visit.open("/feature?run=tiny&feature=5")
        seen.append(shown_feature(visit, before))
        visit.check()
        context.close()
    new = run.current()
    assert (old.name, new.name) == ("g0001", "g0002")
    after = true_feature(new, 5)
    assert before != after and seen[0] == before and seen[-1] == after
    first_new = seen.index(after)
    assert seen == [before] * first_new + [after] * (len(seen) - first_new)
