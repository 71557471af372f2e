"""What the store is asked of sets of texts, with and without an index, beside numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import spearmanr

from featurelib import queries
from featurelib.schema import Refusal
from featurelib.storage import fired
from featurelib.storage.index.making import make_index
from featurelib.storage.store import Store, open_store
from tests.support.numpy_run import N_FEATURES, N_TEXTS, NumpyRun, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("data") / "small")


def indexed(made: NumpyRun) -> Store:
    make_index(made.generation)
    store = open_store(made.generation)
    assert store.index is not None
    return store


def plain(made: NumpyRun) -> Store:
    store = open_store(made.generation)
    store._in_use.next_look = float("inf")
    return store


@pytest.fixture(params=[plain, indexed])
def store(request: pytest.FixtureRequest, made: NumpyRun) -> Store:
    return request.param(made)


def test_blocks_hold_every_activation_in_its_order(
    store: Store, made: NumpyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fired, "ROWS_OF_BLOCK", 200)
    blocks = list(fired.feature_blocks(store))
    assert len(blocks) > 3 and sum(block.n_features for block in blocks) == N_FEATURES
    for block in blocks:
        for number in range(block.n_features):
            own = slice(*block.offsets[number : number + 2])
            column = made.activations[:, block.first + number]
            expected = np.lexsort((np.arange(N_TEXTS), -column))[: (column > 0).sum()]
            assert block.text_ids[own].tolist() == expected.tolist()
            assert block.activations[own].tolist() == column[expected].tolist()


def test_the_texts_that_have_a_value(store: Store, made: NumpyRun) -> None:
    groups = made.texts["group"]
    assert queries.texts_having(store, "group", "g1").tolist() == np.flatnonzero(groups == "g1").tolist()
    with_list = [text_id for text_id, values in enumerate(made.texts["labels"]) if "m0" in values]
    assert queries.texts_having(store, "labels", "m0").tolist() == with_list
    assert queries.column_values(store, "labels") == ["l0", "l1", "l2", "m0", "m1", "m2", "m3", "m4"]
    with pytest.raises(Refusal, match="no text has the value 'g9'"):
        queries.texts_having(store, "group", "g9")


def test_one_value_against_the_others_that_have_one(store: Store, made: NumpyRun) -> None:
    groups = made.texts["group"].to_numpy()
    fires = made.activations > 0
    compared = queries.contrast_value(store, "group", "g1")
    others = np.array([group not in (None, "g1") and group == group for group in groups])
    assert (compared.n_a, compared.n_b) == ((groups == "g1").sum(), others.sum())
    rows = queries.contrast_rows(store, compared).to_pandas().set_index("feature_id")
    assert rows.index.tolist() == np.flatnonzero(fires[(groups == "g1") | others].any(axis=0)).tolist()
    for feature_id, row in rows.iterrows():
        of_a, of_b = fires[groups == "g1", feature_id], fires[others, feature_id]
        assert (row["active_a"], row["active_b"]) == (of_a.sum(), of_b.sum())
        assert row["difference"] == pytest.approx(of_a.mean() - of_b.mean())
        assert row["lift"] == pytest.approx(of_a.mean() / of_b.mean()) if of_b.any() else np.isnan(row["lift"])
        assert row["label"] == made.labels[feature_id]


def test_every_value_is_what_it_is_alone(store: Store, made: NumpyRun) -> None:
    for column in ("group", "labels"):
        rows = queries.value_contrasts(store, column).to_pylist()
        sizes = [len(queries.texts_having(store, column, row["value"])) for row in rows]
        assert sizes == sorted(sizes, reverse=True) and len(rows) == len(queries.column_values(store, column))
        for row in rows:
            alone = queries.contrast_value(store, column, row["value"])
            assert (row["n_texts"], row["n_features"]) == (alone.n_a, alone.differs.sum())


def test_a_slice_that_is_a_feature_is_told_by_that_feature(store: Store, made: NumpyRun) -> None:
    own = np.flatnonzero(made.activations[:, 8] > 0)
    compared = queries.contrast(store, own)
    assert compared.auroc[8] == 1 and compared.differs[8] and compared.density_a[8] == 1 and compared.active_b[8] == 0
    best = queries.top_texts_among(store, 8, own[:9], limit=4).to_pandas()
    expected = own[:9][np.lexsort((own[:9], -made.activations[own[:9], 8]))][:4]
    assert best["text_id"].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda store: queries.contrast(store, np.array([], int)), "slice A has 0 different texts"),
        (lambda store: queries.contrast(store, np.arange(N_TEXTS)), "slice B has 0 different texts"),
        (lambda store: queries.contrast(store, np.arange(9), np.arange(9)), "slice A has 0 different texts"),
        (lambda store: queries.trend_of(store, "group"), "0 different texts have 0 different values"),
    ],
)
def test_what_cannot_be_compared_is_refused(store: Store, ask: Callable[[Store], object], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        ask(store)


def test_texts_in_both_slices_are_taken_out_of_both(store: Store) -> None:
    compared = queries.contrast(store, np.arange(0, 60), np.arange(40, 150))
    assert (compared.n_a, compared.n_b) == (40, 90)


def test_columns_that_have_an_order(store: Store, made: NumpyRun) -> None:
    kinds = {column.name: column.kinds for column in queries.column_kinds(store)}
    assert kinds["group"] == kinds["labels"] == ("category",) and kinds["year"] == ("category", "number")
    assert "title" not in kinds
    bins = queries.bins_of(store, "year")
    assert bins.names == [str(year) for year in range(2000, 2007)]
    shares = queries.densities_by_bin(store, bins, [8, 3])
    fires = made.activations[:, 8] > 0
    expected = [fires[made.texts["year"] == year].mean() for year in range(2000, 2007)]
    assert shares[0].tolist() == pytest.approx(expected) and not shares[1].any()
    rows = queries.trend_rows(store, queries.trend_of(store, "year")).to_pandas()
    assert rows["feature_id"].tolist() == np.flatnonzero((made.activations > 0).sum(axis=0) >= 5).tolist()
    for feature_id, rho in zip(rows["feature_id"], rows["rho"], strict=True):
        assert rho == pytest.approx(spearmanr(made.activations[:, feature_id], made.texts["year"]).statistic)
