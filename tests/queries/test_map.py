"""What colours and names the maps, against numpy and pandas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featurelib import queries
from featurelib.schema import Refusal
from featurelib.storage.store import Store, open_store
from tests.support.map_run import FAMILY_OF, PLACED, map_run, region_texts, text_places
from tests.support.numpy_run import N_FEATURES, NumpyRun, fidelity_rows, make_run
from tests.support.region_run import SIZES, regions


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return map_run(tmp_path_factory.mktemp("map") / "mapped")


@pytest.fixture(scope="module")
def store(made: NumpyRun) -> Store:
    return open_store(made.generation)


def test_the_fidelity_of_names_is_ours_by_resemblance(store: Store, made: NumpyRun) -> None:
    rows = fidelity_rows(made.labels)
    ours = rows[(rows["method"] == "ours") & (rows["predictor"] == "resembles")].set_index("feature_id")["auroc"]
    expected = ours.reindex(range(N_FEATURES)).to_numpy()
    known = queries.name_fidelity(store)
    assert known["feature_id"].to_pylist() == list(range(N_FEATURES))
    np.testing.assert_allclose(known["auroc"].to_pandas(), expected, rtol=1e-6)


def test_features_know_their_family(store: Store) -> None:
    rows = queries.family_of(store).to_pylist()
    assert {row["feature_id"]: row["family_id"] for row in rows} == FAMILY_OF
    assert [row["feature_id"] for row in rows] == sorted(FAMILY_OF)


@pytest.mark.parametrize(("column", "value"), [("group", "g2"), ("year", "2003"), ("labels", "m0")])
def test_the_lift_of_a_value_is_its_share_over_the_density(
    store: Store, made: NumpyRun, column: str, value: str
) -> None:
    own = made.texts[column]
    having = own.map(lambda has: value in has) if column == "labels" else own.astype(str) == value
    fires = made.activations > 0
    rows = queries.value_lifts(store, column, value).to_pandas()
    here, density = fires[having.to_numpy()], fires.mean(axis=0)
    assert rows["feature_id"].tolist() == list(range(N_FEATURES)) and having.sum() > 10
    assert rows["n_texts"].tolist() == here.sum(axis=0).tolist()
    expected = np.divide(here.mean(axis=0), density, where=density > 0, out=np.full(N_FEATURES, np.nan))
    np.testing.assert_allclose(rows["lift"], expected, rtol=1e-5)


def test_an_unknown_value_is_refused(store: Store) -> None:
    with pytest.raises(Refusal, match="no text has the value 'nowhere' in 'group'"):
        queries.value_lifts(store, "group", "nowhere")


def test_the_levels_of_regions_are_those_that_divide_further(store: Store, tmp_path: Path) -> None:
    assert [tuple(level) for level in queries.region_levels(store)] == [
        (0, "themes", SIZES[0]),
        (1, "groups", SIZES[1]),
        (2, "fine", SIZES[2]),
    ]
    assert queries.region_levels(open_store(make_run(tmp_path / "none").generation)) == ()


@pytest.mark.parametrize("level", range(3))
def test_themes_of_each_level_colour_and_list_their_own_features(store: Store, level: int) -> None:
    truth = regions()
    truth = truth[truth["level"] == level].sort_values(["n_features", "region_id"], ascending=[False, True])
    rows = queries.clusters(store, "theme", level).to_pylist()
    assert [row["cluster"] for row in rows] == truth["region_id"].tolist()
    assert [row["keywords"] for row in rows] == truth["label"].fillna("").tolist()
    points = queries.layout(store, "firing", "theme", level)
    ids = points["feature_id"].to_numpy()
    assert points["cluster"].to_pylist() == (ids % SIZES[level]).tolist()
    members = queries.cluster_features(store, "theme", 1, level)["feature_id"].to_pylist()
    assert sorted(members) == ids[ids % SIZES[level] == 1].tolist()
    words = queries.cluster_keywords(store, "theme", 1, level).to_pylist()
    assert words and all(int(word["keyword"].split("key")[1]) in members for word in words)


def test_regions_stand_at_the_median_place_of_their_texts(store: Store) -> None:
    texts = region_texts().merge(text_places(), on="text_id").merge(regions()[["level", "region_id", "label"]])
    texts = texts[(texts["level"] < 2) & texts["label"].notna()]
    expected = texts.groupby(["level", "region_id", "label"]).agg(x=("x", "median"), y=("y", "median"), n=("x", "size"))
    expected = expected.reset_index().sort_values(["level", "n", "region_id"], ascending=[True, False, True])
    rows = queries.text_regions(store).to_pandas()
    assert rows[["level", "region_id", "label"]].values.tolist() == expected[
        ["level", "region_id", "label"]
    ].values.tolist()  # fmt: skip
    assert rows["n_texts"].tolist() == expected["n"].tolist() and len(rows) >= 4
    np.testing.assert_allclose(rows[["x", "y"]], expected[["x", "y"]])


def test_texts_are_called_by_their_titles_and_one_kind(store: Store, made: NumpyRun) -> None:
    column = queries.kind_column(store)
    assert column in made.texts and not isinstance(made.texts[column][1], list)
    rows = queries.text_titles(store).to_pandas()
    texts = made.texts.iloc[PLACED]
    assert rows["text_id"].tolist() == PLACED.tolist() and rows["title"].tolist() == texts["title"].tolist()
    assert rows["kind"].fillna("").tolist() == texts[column].fillna("").astype(str).tolist()
