"""The pages about structure, and the clusters on the map, against planted runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from featurelib import ui
from featurelib.storage.runs import Done
from featurelib.ui.matching import both_sides, fates
from tests.queries.test_structure import vectors
from tests.support.numpy_run import N_FEATURES, N_TEXTS, NumpyRun, make_run
from tests.support.page import Open, UseData, addresses, bodies, names, page_of, table, text_of, words
from tests.support.structure_run import ALWAYS, CHILDREN, GRANDCHILD, ROOT, SPLIT_INTO, planted, split, structure_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    folder = tmp_path_factory.mktemp("structure")
    structure_run(folder / "other", split(planted()))
    return structure_run(folder / "planted", planted(), vectors=vectors())


@pytest.fixture
def show(made: NumpyRun, use_data: UseData) -> Open:
    use_data(made.run.path.parent)
    return lambda file, /, **params: page_of(file, {"run": "planted", **params})


def labelled_links(app: AppTest) -> list[tuple[str, str]]:
    return list(zip(names(app), addresses(app), strict=True))


def test_the_families_page_shows_the_planted_family_as_a_tree(show: Open, made: NumpyRun) -> None:
    app = show("families.py")
    assert [row["root"] for row in table(app).rows] == [made.labels[ROOT]]
    said = words(app)
    assert "1 family" in said and "4 features, 2 steps deep" in said and "10.0 % of 40 features are in one" in said
    tree = next(body for body in bodies(app) if 'class="tree"' in body)
    hrefs = [int(feature_id) for feature_id in re.findall(r'href="feature\?run=planted&amp;feature=(\d+)"', tree)]
    assert hrefs == [ROOT, CHILDREN[0], GRANDCHILD, CHILDREN[1]]
    rows = [" ".join(text_of(row, " ").split()) for row in tree.split('<div class="tree-row">')[1:]]
    assert rows[1].endswith("14 100 % 50.0 %") and rows[2].endswith("7 100 % 50.0 %")
    assert tree.count("<details") == 2 and tree.index("<details open>") < tree.index("<details>")


def test_the_families_page_searches_sorts_and_says_what_is_not_there(show: Open, made: NumpyRun) -> None:
    assert "No family matches" in words(show("families.py", q="label20"))
    named = show("families.py", q=f"label{GRANDCHILD}", sort="label", order="rising")
    assert table(named).order == {"root": "ascending"}
    assert "there is no family 99; this run's families are 0 to 0" in words(show("families.py", family=99)).lower()
    assert "a whole number is expected" in words(show("families.py", family="x"))
    assert "The address says sort=nope" in words(show("families.py", sort="nope", heat="nope"))


def test_a_row_of_the_list_leads_to_its_family_in_the_same_order(show: Open) -> None:
    assert table(show("families.py")).opens == ["families?run=planted&family=0"]
    sorted_anew = table(show("families.py", sort="depth", q="label"))
    assert sorted_anew.opens == ["families?run=planted&sort=depth&q=label&family=0"]
    assert sorted_anew.sorts["depth"] == "families?run=planted&q=label&sort=depth&order=rising"
    assert sorted_anew.sorts["root"] == "families?run=planted&q=label&sort=label&order=rising"


def test_a_second_page_of_each_table_opens(show: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    first = table(show("splitting.py"))
    second = table(show("splitting.py", page=2, other="other"))
    assert len(first.rows) == fates.PER_PAGE and not set(first.opens) & set(second.opens)
    assert all("page=2" in address for address in second.opens)
    assert all("page=" not in address for address in second.sorts.values())
    monkeypatch.setattr("streamlit.pagination", lambda *_, **__: None)
    families = table(show("families.py", page=1, label="x"))
    assert families.opens == ["families?run=planted&page=1&label=x&family=0"]


def test_a_run_without_families_says_so(use_data: UseData, tmp_path: Path) -> None:
    make_run(tmp_path / "none")
    make_run(tmp_path / "half", upto="keywords")
    use_data(tmp_path)
    assert "This run has no families" in words(page_of("families.py", {"run": "none"}))
    assert "stage 'families' is not done" in words(page_of("families.py", {"run": "half"}))
    assert "no topics" in words(page_of("map.py", {"run": "none", "colour": "topic"})).lower()
    make_run(tmp_path / "begun", upto="train")
    assert "the stage 'summarise' of 'begun' is not done" in words(page_of("splitting.py", {"run": "begun"}))


def test_combined_texts_and_their_counts(show: Open, made: NumpyRun) -> None:
    app = show("combine.py", **{"with": f"{ROOT},{ALWAYS}", "without": CHILDREN[0]})
    fires = made.activations > 0
    kept = fires[:, ROOT] & fires[:, ALWAYS] & ~fires[:, CHILDREN[0]]
    said = words(app)
    assert f"{kept.sum()} {ui.percent(kept.mean())} of {N_TEXTS} texts" in said
    assert f"{fires[:, ROOT].sum()} on which all that must fire do" in said
    expected = fires[:, ROOT].mean() * (1 - fires[:, CHILDREN[0]].mean()) * N_TEXTS
    assert f"{ui.number(expected)} expected by chance" in said
    opened = [int(query.rpartition("=")[2]) for label, query in labelled_links(app) if label == "open text"]
    strength = (made.activations / np.maximum(made.activations.max(0), 1e-9))[:, [ROOT, ALWAYS]].min(1)
    best = sorted(np.flatnonzero(kept).tolist(), key=lambda text_id: (-strength[text_id], text_id))
    assert opened == best[:10] and len(best) > 10


def test_one_feature_alone_is_not_compared_with_chance(show: Open) -> None:
    assert "by chance" not in words(show("combine.py", **{"with": ROOT}))


def test_features_are_added_moved_and_removed_by_links(show: Open, made: NumpyRun) -> None:
    app = show("combine.py", **{"with": ROOT, "find": f"label{ALWAYS}"})
    links = dict(labelled_links(app))
    assert links["with"] == f"run=planted&with={ROOT}%2C{ALWAYS}" or links["with"].endswith(f"{ROOT}%2C{ALWAYS}")
    assert links["without"].endswith(f"with={ROOT}&without={ALWAYS}") and links["remove"] == "run=planted"
    assert links["swap"].endswith(f"without={ROOT}")


@pytest.mark.parametrize("value", ["abc", "7,x", "-1", "9" * 30, "<b>", "7;drop view texts", ",", "\x00", "3,3,3"])
def test_a_wrong_combination_is_a_sentence(show: Open, value: str) -> None:
    app = show("combine.py", **{"with": value, "without": "5000"})
    assert "there is no feature 5000" in words(app).lower()
    if value in ("abc", "7,x", "-1"):
        assert "ids of features are expected" in words(app)


def test_the_same_feature_in_both_lists_is_refused(show: Open) -> None:
    assert "feature 7 cannot fire and not fire" in words(show("combine.py", **{"with": 7, "without": 7})).lower()
    assert "21 features are named" in words(show("combine.py", **{"with": ",".join(map(str, range(21)))}))


def test_the_splitting_page_tells_what_became_of_the_root(show: Open, made: NumpyRun) -> None:
    app = show("splitting.py", feature=ROOT)
    said, shown = words(app), table(show("splitting.py", fate="split", feature=ROOT))
    assert shown.rows[0]["became"] == "split" and shown.rows[0]["nested in it"] == "3"
    stayed = table(show("splitting.py", fate="stayed", sort="jaccard"))
    child = stayed.rows[stayed.opened("feature").index(CHILDREN[1])]
    assert child["became"] == "stayed" and child["best overlap"] == "1.00"
    assert f"{made.labels[ROOT]} feature {ROOT} · 28 texts" in said and "split : two or more features" in said
    there = [query for query in addresses(app) if query.startswith("run=other&")]
    assert {f"run=other&feature={feature_id}" for feature_id in SPLIT_INTO} <= set(there)
    assert "1 split" in words(show("splitting.py", fate="split"))
    assert shown.opened("feature") == [ROOT]
    assert "there is no feature 4000" in words(show("splitting.py", feature=4000)).lower()
    former = show("splitting.py", fate="absorbed")
    assert words(former) == words(show("splitting.py", fate="nested")) and "The address says" not in words(former)
    assert former.selectbox(key="address fate").value == "nested"


def test_without_a_run_that_fits_the_page_says_which_would(use_data: UseData, tmp_path: Path) -> None:
    make_run(tmp_path / "alone")
    use_data(tmp_path)
    assert "no other run here: build one more on the same source" in words(page_of("splitting.py", {"run": "alone"}))
    other = make_run(tmp_path / "second").generation
    other.mark_done("ingest", Done("other texts", {}, "", {}))
    (other.path / "manifest.json").unlink()
    said = words(page_of("splitting.py", {"run": "alone"}))
    assert "second: they do not have the same texts" in said and "--features" in said


@pytest.mark.parametrize("kind", ["cluster", "topic"])
def test_a_cluster_of_the_map_shows_its_keywords_and_features(show: Open, made: NumpyRun, kind: str) -> None:
    app = show("map.py", colour=kind, cluster=1)
    said = words(app)
    size = 8 if kind == "cluster" else 10
    assert f"{'Cluster' if kind == 'cluster' else 'Topic'} 1 {size} features" in said
    if kind == "cluster":
        members = np.flatnonzero(made.layout["cluster"].to_numpy() == 1)
        density = (made.activations > 0).mean(0)
        best = sorted(members.tolist(), key=lambda feature_id: (-density[feature_id], feature_id))
        assert [made.labels[feature_id] for feature_id in best] == [
            label for label, query in labelled_links(app) if "feature=" in query
        ][:8]
        own = made.keywords[made.keywords["feature_id"].isin(members)].groupby("keyword")["feature_id"].nunique()
        assert f"{own.max()}" in said
    assert "most frequent keywords" in said and "Fire together" in said


def test_an_unknown_cluster_is_a_sentence(show: Open) -> None:
    assert "The address says cluster=77" in words(show("map.py", colour="cluster", cluster=77))


def test_a_feature_s_parent_and_children_lead_on(made: NumpyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def page() -> None:
        import os
        from pathlib import Path

        from featurelib import queries
        from featurelib.storage.runs import Run
        from featurelib.storage.store import open_store
        from featurelib.ui.feature import relatives

        store = open_store(Run(Path(os.environ["PLANTED_RUN"])).current())
        relatives.relatives(queries.relatives(store, 11).to_pylist())
        relatives.relatives(queries.relatives(store, 0).to_pylist())

    monkeypatch.setenv("PLANTED_RUN", str(made.run.path))
    app = AppTest.from_function(page).run()
    assert not app.exception and "Parent" in words(app) and "Children" in words(app)
    assert addresses(app, "feature") == [f"feature={ROOT}", f"feature={GRANDCHILD}"]
    assert addresses(app, "families") == ["family=0"]


def test_two_saes_side_by_side_are_counted_as_numpy_counts_them(show: Open, made: NumpyRun) -> None:
    """Both runs have the same directions: a feature is matched by direction, and by texts too where they overlap."""
    sides = planted() > 0, split(planted()) > 0
    counted = {}
    for side, fires, others in (("here", *sides), ("there", *sides[::-1])):
        both = fires.astype(int).T @ others.astype(int)
        either = fires.sum(0)[:, None] + others.sum(0) - both
        overlap = np.where(both >= 5, both / np.maximum(either, 1), 0).max(axis=1)
        frequent = fires.sum(0) >= 5
        counted[side, "both"] = np.flatnonzero(frequent & (overlap >= 0.5))
        counted[side, "direction"] = np.flatnonzero(frequent & (overlap < 0.5))
        counted[side, "rare"] = np.flatnonzero(~frequent)
        counted[side, "alone"] = np.empty(0, int)
    assert all(len(counted["here", kind]) for kind in ("both", "direction", "rare"))
    for (side, kind), ids in counted.items():
        app = show("matching.py", kind=kind, side=side, sort="label", order="rising")
        run = {"here": "planted", "there": "other"}[side]
        assert f"{len(ids)} features, beside the most similar of" in words(app)
        listed = re.findall(r'href="feature\?([^"]*)"', "".join(bodies(app)))
        expected = {f"run={run}&amp;feature={feature_id}" for feature_id in ids.tolist()}
        assert set(listed) <= expected and len(listed) == min(len(ids), both_sides.PER_PAGE)
        share = 100 * len(ids) / N_FEATURES
        assert f"{len(ids)} · {share:.3g}" in words(app)
    assert "100 % of the features of planted that are not rare are found in other" in words(show("matching.py"))
