"""The map and the text map: what is lassoed, picked and coloured, against the planted run that they are drawn from."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from featurelib import charts, queries
from featurelib.queries import MOST_COMBINED
from featurelib.storage.store import open_store
from featurelib.ui import textmap
from featurelib.ui.kit.theme import LIGHT
from featurelib.ui.map import figure
from featurelib.ui.texts import lasso
from featurelib.ui.texts.id_list import read, written
from featurelib.ui.texts.map_chart import point_names
from tests.support.map_run import FAMILY_OF, LIVE, PLACED, map_run
from tests.support.numpy_run import HOSTILE, N_FEATURES, NumpyRun, fidelity_rows, make_run
from tests.support.page import Open, UseData, addresses, bodies, lines, links, names, page_of, param, words
from tests.support.region_run import SIZES, regions

FIVE = [4, 8, 20, 30, 31]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    folder = tmp_path_factory.mktemp("maps")
    make_run(folder / "plain")
    return map_run(folder / "mapped")


@pytest.fixture
def show(made: NumpyRun, use_data: UseData) -> Open:
    use_data(made.run.path.parent)
    return lambda file, /, **params: page_of(file, {"run": "mapped", **params})


def densest(made: NumpyRun, ids: list[int]) -> list[int]:
    counts = np.count_nonzero(made.activations, axis=0)
    return sorted(ids, key=lambda feature_id: (-counts[feature_id], feature_id))


def picks(app: AppTest) -> dict[str, str]:
    """What the page tells the browser to draw over the map."""
    [found] = re.findall(r'<span class="map-picks"([^>]*)>', " ".join(bodies(app)))
    return dict(re.findall(r'data-(\w+)="([^"]*)"', found))


def drawn(app: AppTest) -> dict[str, Any]:
    return json.loads(app.main.get("plotly_chart")[0].proto.spec)


def selected(app: AppTest, ids: list[int], monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page after the browser has sent a selection of these ids."""
    import featurelib.ui.texts.map_chart as map_chart

    drawn_before = map_chart.chart

    def chart(figure: object, **options: Any) -> object:
        if not sent:
            sent.append(True)
            options["chosen"]({"points": [{"customdata": feature_id} for feature_id in ids]})
        return drawn_before(figure, **options)

    sent: list[bool] = []
    monkeypatch.setattr(map_chart, "chart", chart)
    app.run()
    app.run()
    assert not app.exception
    return app


def test_a_lasso_is_kept_in_the_address_and_a_pick_keeps_it(
    show: Open, made: NumpyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = selected(show("map.py", drag="lasso"), FIVE, monkeypatch)
    assert read(param(app, "lasso") or "") == FIVE and param(app, "drag") is None
    assert picks(app) == {"lit": written(FIVE), "drag": "pan", "accent": LIGHT.accent, "ringed": LIGHT.palette[1]}
    listed = [name for name, _ in lines(app, "map")]
    assert "5 features in the lasso" in words(app.main)
    assert listed == [made.labels[feature_id] for feature_id in densest(made, FIVE)]

    selected(app, [8], monkeypatch)
    assert param(app, "feature") == "8" and read(param(app, "lasso") or "") == FIVE
    said = words(app.main)
    assert said.index(f"{made.labels[8]} feature 8") < said.index("5 features in the lasso")
    assert picks(app)["ring"] == "8" and picks(app)["lit"] == written(FIVE)
    selected(app, [], monkeypatch)
    assert param(app, "feature") is None and "5 features in the lasso" in words(app.main)

    app.button(key="forget the lasso").click().run()
    assert param(app, "lasso") is None and "in the lasso" not in words(app.main) and "lit" not in picks(app)


def test_a_line_of_the_lasso_picks_its_feature_and_keeps_everything_else(show: Open, made: NumpyRun) -> None:
    app = show("map.py", lasso=written(FIVE), colour="density", feature=4)
    asked = [parse_qs(query) for query in addresses(app, "map")]
    assert [int(query["feature"][0]) for query in asked] == densest(made, FIVE)
    assert all(query["lasso"] == [written(FIVE)] and query["colour"] == ["density"] for query in asked)
    [strong] = re.findall(r'class="in-app strong"[^>]*feature=(\d+)', " ".join(bodies(app)))
    assert strong == "4" and names(app, "feature")[0] == "open this feature ›"


def test_a_lasso_too_long_for_the_address_is_kept_in_the_session(
    show: Open, made: NumpyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasso, "SHORT", 6)
    app = selected(show("map.py"), FIVE, monkeypatch)
    assert param(app, "lasso") is None and "5 features in the lasso" in words(app.main)
    selected(app, [31], monkeypatch)
    assert f"{made.labels[31]} feature 31" in words(app.main) and "5 features in the lasso" in words(app.main)
    app.switch_page("textmap.py").run()
    assert "in the lasso" not in words(app.main)
    app.switch_page("map.py").run()
    assert "5 features in the lasso" in words(app.main)
    selected(app, [8, 9], monkeypatch)
    assert read(param(app, "lasso") or "") == [8, 9] and "2 features in the lasso" in words(app.main)
    app.button(key="forget the lasso").click().run()
    assert "in the lasso" not in words(app.main)


@pytest.mark.parametrize("asked", ["!", "a..b", "zzzzzzzzzzz", "1." * 4000, "<b>"])
def test_a_lasso_that_cannot_be_read_is_a_sentence(show: Open, asked: str) -> None:
    app = show("map.py", lasso=asked)
    assert "in the lasso" not in words(app.main) and "Click a point" in words(app.main)
    assert re.search("the address lists|is longer than", words(app.main), re.IGNORECASE)


def test_features_that_the_map_does_not_have_are_left_out(show: Open) -> None:
    app = show("map.py", lasso=written([3, 4, 8, 999]))  # 3 is dead, so that nothing fires it
    assert "2 features in the lasso" in words(app.main)
    assert picks(app)["lit"] == written([4, 8])


def test_a_lasso_leads_to_its_combination_and_two_to_their_comparison(show: Open, made: NumpyRun) -> None:
    two = show("map.py", lasso=written([8, 20]))
    first, second = densest(made, [8, 20])
    assert names(two, "compare") == ["compare ›"]
    assert addresses(two, "compare") == [f"run=mapped&a={first}&b={second}"]
    assert addresses(two, "combine") == [f"run=mapped&with={first}%2C{second}"]
    many = [int(feature_id) for feature_id in LIVE[:30]]
    app = show("map.py", lasso=written(many))
    assert names(app, "compare") == [] and names(app, "combine") == [f"combine the {MOST_COMBINED} densest ›"]
    sent = parse_qs(addresses(app, "combine")[0])["with"][0]
    assert sent == ",".join(map(str, densest(made, many)[:MOST_COMBINED]))
    combined = show("combine.py", **{"with": sent})
    assert "can be combined at most" not in words(combined) and made.labels[densest(made, many)[0]] in links(combined)
    assert "5 more are in the download" in words(app.main)


def test_words_and_themes_stand_out_before_the_lasso_which_is_listed_still(show: Open) -> None:
    app = show("map.py", q="label20", lasso=written(FIVE))
    assert picks(app)["lit"] == written([20]) and "5 features in the lasso" in words(app.main)
    theme = show("map.py", colour="theme", level="groups", cluster=1)
    assert picks(theme)["lit"] == written([f for f in LIVE if f % SIZES[1] == 1])


def colours_of(app: AppTest) -> dict[int, float | None]:
    """The number by which each feature is coloured, None where it is grey."""
    [written_paint] = re.findall(r'data-paint="([^"]*)"', " ".join(bodies(app)))
    paint = json.loads(unquote(html.unescape(written_paint)))
    values = array_of(paint["values"], "u1" if paint["kinds"] else "f4")
    ids = LIVE.tolist() if paint["ids"] is None else array_of(paint["ids"], "i4")
    shown = {f: None if v == 255 and paint["kinds"] or np.isnan(v) else v for f, v in zip(ids, values, strict=True)}
    return dict.fromkeys(LIVE.tolist()) | shown


def array_of(written_array: str, kind: str) -> list[float]:
    return np.frombuffer(base64.b64decode(written_array), kind).tolist()


def test_each_kind_of_colour_is_what_the_tables_say(show: Open, made: NumpyRun) -> None:
    rows = fidelity_rows(made.labels).query("method == 'ours' and predictor == 'resembles'").set_index("feature_id")
    shown = colours_of(show("map.py", colour="fidelity"))
    assert list(shown) == LIVE.tolist()
    for feature_id, colour in shown.items():
        auroc = rows["auroc"].get(feature_id)
        assert (colour is None) == (auroc is None or np.isnan(auroc))
        assert colour is None or colour == pytest.approx(auroc, rel=1e-5)

    shown = colours_of(show("map.py", colour="family"))
    assert {f: None if c is None else int(c) for f, c in shown.items()} == {
        int(f): FAMILY_OF[f] if FAMILY_OF.get(int(f), 99) < 8 else None for f in LIVE
    }
    having, fires = (made.texts["group"] == "g2").to_numpy(), made.activations > 0
    shown = colours_of(show("map.py", colour="lift", column="group", value="g2"))
    for feature_id, colour in shown.items():
        lift = fires[having, feature_id].mean() / fires[:, feature_id].mean()
        assert (colour is None) == (fires[having, feature_id].sum() < 3)
        assert colour is None or colour == pytest.approx(np.log2(lift), abs=1e-5)


@pytest.mark.parametrize("level", ["themes", "groups", "fine"])
def test_the_key_names_the_largest_themes_of_the_level(show: Open, level: str) -> None:
    number = ["themes", "groups", "fine"].index(level)
    app = show("map.py", colour="theme", level=level)
    [key] = [body for body in bodies(app) if 'class="kinds"' in body]
    truth = regions().query("level == @number").sort_values(["n_features", "region_id"], ascending=[False, True])
    kinds = re.findall(r'background:(#\w+)"></i><bdi>(.*?)</bdi><small><bdi>(\d+)</bdi>', key)
    assert [int(n) for _, _, n in kinds] == truth["n_features"].tolist()[:8]
    assert [colour for colour, _, _ in kinds] == list(LIGHT.palette[: len(kinds)])
    shown = colours_of(app)
    for place, region in enumerate(truth["region_id"].tolist()):
        assert {shown[f] for f in LIVE.tolist() if f % SIZES[number] == region} == {place}
    assert "<script>" not in key and app.select_slider(key="address level").value == level
    assert f"{SIZES[number]}" in app.select_slider(key="address level").options[number]


def test_other_colours_leave_the_figure_as_it_is(show: Open) -> None:
    """It is sent once; what is picked, lassoed or coloured comes beside it."""
    bare = show("map.py")
    figures = {bare.main.get("plotly_chart")[0].proto.spec}
    for params in ({"colour": "density"}, {"colour": "family", "feature": 8}, {"lasso": written(FIVE), "q": "star"}):
        figures.add(show("map.py", **params).main.get("plotly_chart")[0].proto.spec)
    assert len(figures) == 1
    assert json.loads(figures.pop())["data"][1]["meta"] == html.unescape(
        re.findall(r'data-called="([^"]*)"', " ".join(bodies(bare)))[0]
    )
    texts = [
        show("textmap.py", **params) for params in ({"feature": 20}, {"feature": 8, "text": 4}, {"colour": "group"})
    ]
    assert len({app.main.get("plotly_chart")[0].proto.spec for app in texts}) == 1


def test_only_colours_of_which_the_run_knows_something_are_offered(show: Open, use_data: UseData) -> None:
    offered = show("map.py").selectbox(key="address colour").options
    assert offered == ["Themes", "Density", "Max. activation", "Fidelity of names", "Families", "Clusters", "Topics",
                       "A column's value"]  # fmt: skip
    plain = page_of("map.py", {"run": "plain"})
    assert plain.selectbox(key="address colour").options == [o for o in offered if o not in ("Themes", "Families")]
    assert "Near are" not in [group.label for group in plain.main.get("button_group")] and drawn(plain)["data"]
    wrong = page_of("map.py", {"run": "plain", "colour": "theme", "level": "fine"})
    assert "The address says colour=theme" in words(wrong)
    assert "no text has the value" not in words(page_of("map.py", {"run": "plain", "colour": "lift", "value": "x"}))


def test_names_of_points_are_sent_beside_the_figure_as_one_attribute(show: Open, made: NumpyRun) -> None:
    app = show("map.py")
    [body] = [body for body in bodies(app) if 'class="map-names"' in body]
    [element] = ElementTree.fromstring(body).iter("span")
    assert read(element.get("data-ids")) == list(range(N_FEATURES))
    sent = element.get("data-names").replace("\n", " ")  # XML reads a line break in an attribute as a blank
    assert sent == " ".join(made.labels[feature_id] for feature_id in range(N_FEATURES))
    assert all("hovertext" not in trace for trace in drawn(app)["data"])
    hostile = ["<img src=x onerror=alert(1)>", '"></script>', "100 % & %3C"]
    [element] = ElementTree.fromstring(f"<p>{point_names([1, 2, 5], hostile)}</p>")
    assert "<" not in element.get("data-names") and ">" not in element.get("data-names")
    assert unquote(element.get("data-names")) == " ".join(hostile) and element.get("data-ids") == "1.1.3"


def test_sixteen_thousand_features_and_their_names_are_less_than_three_megabytes() -> None:
    label = "superconductors · quantum wires · flux"  # longer than most
    names_sent = point_names(range(16_384), [label] * 16_384)
    assert figure.NAMED >= 16_384 and len(names_sent) < 1e6  # beside half a megabyte of the figure: tests/charts


def test_the_picture_has_every_feature(made: NumpyRun) -> None:
    store = open_store(made.generation)
    from types import SimpleNamespace

    from featurelib.ui.map.colouring import Chosen

    run = SimpleNamespace(store=store, name="mapped")
    drawn_map = figure.Drawn(queries.layout(store, "firing", "theme", 0), "firing", Chosen("theme"))
    svg = ElementTree.fromstring(figure.picture_of(run, drawn_map, [4, 8]))
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}circle"))) == len(LIVE) == N_FEATURES - 2
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert set(texts) <= {"galaxy · star", " ".join(HOSTILE.split())} and texts


def test_the_text_map_names_regions_keeps_a_lasso_and_knows_titles(
    show: Open, made: NumpyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [1, 2, 4, 50, 52]
    app = selected(show("textmap.py", feature=20, drag="lasso"), ids, monkeypatch)
    assert read(param(app, "lasso") or "") == ids and "5 texts in the lasso" in words(app.main)
    assert {name["name"] for name in drawn(app)["layout"]["annotations"]} == {"level 0", "level 1"}
    selected(app, [50], monkeypatch)
    said = words(app.main)
    assert said.index("title 50 text 50") < said.index("5 texts in the lasso") and picks(app)["ring"] == "50"
    assert picks(app)["lit"] == written(ids)
    values = made.activations[:, 20]
    best = sorted(ids, key=lambda text_id: (-values[text_id], text_id))
    own = [parse_qs(query) for query in addresses(app, "textmap") if "lasso=" in query]
    assert [int(query["text"][0]) for query in own] == best
    [body] = [body for body in bodies(app) if 'class="map-names"' in body]
    column = queries.kind_column(open_store(made.generation))
    sent = ElementTree.fromstring(body).find(".//span").get("data-names")
    assert sent.startswith(f"title {PLACED[0]} {column}: {made.texts[column][PLACED[0]]} title {PLACED[1]} ")
    app.button(key="forget the lasso").click().run()
    assert "in the lasso" not in words(app.main)
    assert "title 50 text 50" in words(app.main)


def test_titles_of_many_texts_are_short_and_of_too_many_left_out(
    made: NumpyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty thousand titles of thirty letters, with the figure, are below three megabytes."""
    values = np.random.default_rng(0).random(50_000).astype("f4")
    rows = pa.table({"text_id": np.arange(50_000), "x": values, "y": values})
    drawn_map = charts.text_map(rows, charts.Colouring(pa.chunked_array([values]), "year"), LIGHT).to_json()
    assert 50_000 * (textmap.SHORT_TITLE + 3) <= textmap.MOST_OF_TITLES <= 3_000_000 - len(drawn_map)
    monkeypatch.setattr(textmap, "SHORT_TITLE", 7)
    sent = []
    for most in (len(PLACED) * 60, len(PLACED) * 11, 10):
        monkeypatch.setattr(textmap, "MOST_OF_TITLES", most)
        sent.append(textmap.titles(open_store(made.generation)))
    assert "\t" in sent[0] and f"title {PLACED[-1]}\t" in sent[0]
    assert "\t" not in sent[1] and "title 1" in sent[1] and f"title {PLACED[-1]}" not in sent[1]
    assert sent[2] == point_names((), ())


def test_maps_without_regions_families_or_texts_say_so(use_data: UseData, tmp_path: Path) -> None:
    make_run(tmp_path / "half", upto="layout")
    use_data(tmp_path)
    for colour in ("density", "cluster", "lift", "fidelity"):
        app = page_of("map.py", {"run": "half", "colour": colour})
        assert len(drawn(app)["data"]) == 2 or "not done" in words(app.main)
