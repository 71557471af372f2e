"""From coarse to fine on the pages Features and Families: the slider, groups, a group's features, prefixes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs

import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from featurelib import schema
from featurelib.storage.runs import Run
from precompute.__main__ import main
from tests.conftest import TINY_FLAGS
from tests.support.numpy_run import DEAD, HOSTILE, N_FEATURES, NumpyRun, make_run
from tests.support.page import Open, UseData, addresses, bodies, names, page_of, param, table, text_of, words
from tests.support.planted import Planted
from tests.support.region_run import NAMES, SIZES, coverage, record_prefixes, region_run, regions
from tests.support.shared import build_once
from tests.support.structure_run import ROOT, structure_run
from tests.support.structure_run import planted as planted_families

LEVELS = ["themes", "groups", "fine", "all"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    folder = tmp_path_factory.mktemp("granularity")
    region_run(folder / "older", older=True)
    make_run(folder / "plain")
    return region_run(folder / "regions")


@pytest.fixture
def show(made: NumpyRun, use_data: UseData) -> Open:
    use_data(made.run.path.parent)
    return lambda file, /, **params: page_of(file, {"run": "regions", **params})


@pytest.fixture(scope="module")
def matryoshka(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a run whose SAE is a Matryoshka, made by the real command."""

    def build(folder: Path) -> None:
        flags = (*TINY_FLAGS, "--architecture", "matryoshka")
        assert main(["build", str(planted.path), "--name", "nested", "--data", str(folder), *flags]) == 0

    return build_once(tmp_path_factory, "matryoshka", build)


def live_of(level: int, region: int) -> list[int]:
    return [f for f in range(N_FEATURES) if f not in DEAD and f % SIZES[level] == region]


def slider(app: AppTest) -> list[str]:
    """What the steps of the slider are called; it shows the first letters of the chosen one as its value."""
    (found,) = app.main.get("select_slider")
    return list(found.options)


def test_the_slider_leads_from_themes_to_all_features_which_are_shown_at_first(show: Open) -> None:
    app = show("features.py")
    assert slider(app) == ["2 themes", "4 groups", "8 fine groups", "all 40 features"]
    assert app.main.select_slider[0].value == "all"
    assert "40 of 40 features" in words(app) and table(app).rows[0]["id"]


@pytest.mark.parametrize("level", [0, 1, 2])
def test_each_level_shows_its_groups_and_a_row_leads_to_their_features(show: Open, level: int) -> None:
    app = show("features.py", level=LEVELS[level])
    truth = regions().query("level == @level").sort_values(["share", "region_id"], ascending=[False, True])
    shown = table(app)
    kind = ("theme", "group", "fine group")[level]
    assert [row["group"] for row in shown.rows] == [
        row.label if isinstance(row.label, str) else f"{kind} {row.region_id}" for row in truth.itertuples()
    ]
    assert shown.numbers("features") == truth["n_features"].tolist()
    assert [row["texts"] for row in shown.rows] == [f"{100 * share:.2f} %" for share in truth["share"]]
    assert [row["name is in"] for row in shown.rows] == [
        f"{row.n_holding} of {row.n_strongest}" if isinstance(row.label, str) else "–" for row in truth.itertuples()
    ]
    assert [row["AUROC"] for row in shown.rows] == [
        "–" if auroc != auroc else f"{auroc:.2f}" for auroc in truth["auroc"]
    ]
    assert ("in" in shown.heads) == (level > 0)
    assert shown.opens == [f"features?run=regions&region={level}-{region}" for region in truth["region_id"]]
    region = int(truth["region_id"].iloc[0])
    opened = show("features.py", region=f"{level}-{region}", sort="feature_id", order="rising")
    assert [int(row["id"]) for row in table(opened).rows] == live_of(level, region)
    assert f"{len(live_of(level, region))} of 40 features" in words(opened)


def test_a_group_tells_where_it_lies_what_is_in_it_and_the_way_back(show: Open) -> None:
    app = show("features.py", region="1-1", q="label", sort="feature_id", page=1)
    assert NAMES[1, 1] in words(app)
    found = dict(zip(names(app, "features"), addresses(app, "features"), strict=True))
    assert found["name21 star1"] == "run=regions&region=2-1" and found["name25 star5"] == "run=regions&region=2-5"
    around = next(query for name, query in found.items() if query == "run=regions&region=0-1")
    assert around
    assert parse_qs(found["all features"]) == {"run": ["regions"], "q": ["label"], "sort": ["feature_id"]}
    # the name of the group around it is hostile, and is drawn as text
    markup = next(body for body in bodies(app) if "only those in" in body)
    assert "<script>" not in markup and HOSTILE in text_of(markup)


@pytest.mark.parametrize("region", ["0-9", "7-0", "x", "1", "0-1-2", "9999999-1", "-1-0", "0-1<b>"])
def test_a_group_that_is_not_there_is_a_sentence_and_all_features(show: Open, region: str) -> None:
    app = show("features.py", region=region)
    assert "All features are shown" in words(app) and "40 of 40 features" in words(app)


def test_moving_the_slider_is_written_into_the_address_and_begins_anew(show: Open) -> None:
    app = show("features.py", region="0-1", sort="ap", order="rising", page=1, q="star")
    app.main.select_slider[0].set_value("groups").run()
    assert not app.exception
    assert param(app, "level") == "groups" and param(app, "q") == "star"
    assert [param(app, name) for name in ("region", "sort", "order", "page")] == [None] * 4
    rows = table(app).rows
    assert rows and all("star" in row["group"] for row in rows)
    app.main.select_slider[0].set_value("all").run()
    assert param(app, "level") is None and not app.exception


def test_groups_are_sorted_searched_and_said_to_be_none(show: Open) -> None:
    shown = table(show("features.py", level="fine", sort="coverage", order="rising"))
    truth = regions().query("level == 2 and label.notna()")
    expected = (truth["n_holding"] / truth["n_strongest"]).sort_values(kind="stable").index
    assert [row["group"] for row in shown.rows][: len(truth)] == truth.loc[expected, "label"].tolist()
    assert shown.order == {"name is in": "ascending"}
    assert shown.sorts["AUROC"] == "features?run=regions&level=fine&sort=auroc&order=falling"
    assert "No name of a group holds these words" in words(show("features.py", level="themes", q="zebra"))
    assert "The address says level=huge" in words(show("features.py", level="huge"))


def test_the_names_of_each_level_are_judged_beside_the_slider(show: Open) -> None:
    truth = regions().query("level == 1 and label.notna()")
    share = 100 * truth["n_holding"].sum() / truth["n_strongest"].sum()
    said = words(show("features.py", level="groups"))
    assert f"names: coverage {share:.1f} % · AUROC {truth['auroc'].mean():.3f}" in said
    older = words(page_of("features.py", {"run": "older", "level": "groups"}))
    assert f"names: coverage {share:.1f} % · AUROC –" in older
    assert {row["AUROC"] for row in table(page_of("features.py", {"run": "older", "level": "fine"})).rows} == {"–"}


def test_features_tell_in_how_many_texts_their_name_is(show: Open) -> None:
    held = coverage().query("method == 'ours' and n_strongest > 0").set_index("feature_id")
    for row in table(show("features.py")).rows:
        feature_id = int(row["id"])
        known = held.loc[feature_id] if feature_id in held.index else None
        assert row["name is in"] == ("–" if known is None else f"{known.n_holding} of {known.n_strongest}")


@pytest.mark.parametrize("level", [0, 1, 2])
def test_families_show_groups_in_the_groups_they_lie_in(show: Open, level: int) -> None:
    app = show("families.py", level=LEVELS[level])
    (tree,) = [body for body in bodies(app) if 'class="tree groups"' in body]
    expected: list[str] = []

    def walk(at: int, inside: int | None) -> None:
        rows = regions().query("level == @at").sort_values(["share", "region_id"], ascending=[False, True])
        for row in rows.itertuples():
            if at == 0 or row.parent_id == inside:
                expected.append(f"{at}-{row.region_id}")
                if at < level:
                    walk(at + 1, row.region_id)

    walk(0, None)
    assert re.findall(r"region=(\d+-\d+)", tree) == expected
    assert tree.count("<details open>") == sum(SIZES[:level])
    top = regions().query("level == 0").sort_values("share").iloc[-1]
    first = " ".join(text_of(tree.split('<div class="tree-row">')[1], " ").split())
    numbers = f"{top.n_features} {100 * top.share:.2f} % {top.n_holding} of {top.n_strongest} {top.auroc:.2f}"
    assert numbers in first


def test_a_tree_of_groups_keeps_what_words_find_and_what_that_lies_in(show: Open) -> None:
    app = show("families.py", level="fine", q="name27")
    (tree,) = [body for body in bodies(app) if 'class="tree groups"' in body]
    assert re.findall(r"region=(\d+-\d+)", tree) == ["0-1", "1-3", "2-7"]
    assert "No name of a group holds these words" in words(show("families.py", level="themes", q="name27"))


def test_families_are_what_the_last_step_shows(show: Open) -> None:
    app = show("families.py")
    assert slider(app)[-1] == "families"
    assert "This run has no families" in words(app)


@pytest.mark.parametrize("page", ["features.py", "families.py"])
def test_a_run_without_regions_has_no_slider(show: Open, page: str) -> None:
    app = page_of(page, {"run": "plain"})
    assert not app.main.get("select_slider") and "names: coverage" not in words(app)


def test_a_level_of_a_matryoshka_shows_exactly_its_first_features(matryoshka: Path, use_data: UseData) -> None:
    use_data(matryoshka)
    generation = Run(matryoshka / "nested").current()
    assert json.loads((generation.sae_folder / "cfg.json").read_text())["metadata"]["prefixes"] == [2, 4, 8, 16, 32]
    assert generation.describe()["sae"]["prefixes"] == [2, 4, 8, 16, 32]
    app = page_of("features.py", {"run": "nested", "level": "first-8"})
    assert slider(app) == [*(f"first {size} features" for size in (2, 4, 8, 16)), "all 32 features"]
    assert sorted(int(row["id"]) for row in table(app).rows) == list(range(8))
    assert "8 of 32 features" in words(app)
    active = pq.read_table(generation.file(schema.FEATURES)).to_pandas().set_index("feature_id")["n_active"]
    live = page_of("features.py", {"run": "nested", "level": "first-8", "least": 1, "sort": "n_active"})
    expected = active[(active.index < 8) & (active > 0)].sort_values(ascending=False)
    assert [int(row["texts"].replace(",", "")) for row in table(live).rows] == expected.tolist()
    everything = page_of("features.py", {"run": "nested"})
    assert "32 of 32 features" in words(everything)


def test_families_of_a_matryoshka_begin_with_its_first_features(tmp_path: Path, use_data: UseData) -> None:
    made = structure_run(tmp_path / "planted", planted_families())
    record_prefixes(made.generation, (ROOT, ROOT + 5, N_FEATURES))
    use_data(tmp_path)
    none = page_of("families.py", {"run": "planted", "level": f"first-{ROOT}"})
    assert slider(none) == ["first 10 features", "first 15 features", "families"]
    assert "No family begins with one of these features" in words(none)
    one = page_of("families.py", {"run": "planted", "level": f"first-{ROOT + 5}"})
    assert "1 of 1 families have their root among the first 15 features" in words(one)
    assert [row["root"] for row in table(one).rows] == [made.labels[ROOT]]
    assert "root among" not in words(page_of("families.py", {"run": "planted"}))
