"""Every question against pandas on a run written with numpy; every order total; no string becomes SQL."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import binomtest, chisquare

from featurelib import queries
from featurelib.queries import FeatureFilter
from featurelib.queries.features import SORTS
from featurelib.schema import COPIES, Refusal
from featurelib.storage import files
from featurelib.storage.store import Store, open_store
from tests.support.numpy_run import (
    CLASHING,
    DEAD,
    HOSTILE,
    N_FEATURES,
    N_TEXTS,
    ODD_COLUMN,
    NumpyRun,
    fidelity_rows,
    make_run,
    weights,
)

SOME = (0, 1, 5, 20, 39)
INJECTIONS = [
    "'; drop view texts; --",
    '"; drop view texts; --',
    "' or '1'='1",
    "%",
    "_",
    "\\",
    "1 union select * from texts",
    "$words",
    "${words}",
    "x\x00y",
    "a" * 100_000,
    "é" * 10,
    "🦉",
    "*",
    "(",
    "[",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("queries") / "small")


@pytest.fixture(scope="module")
def store(made: NumpyRun) -> Store:
    return open_store(made.generation)


@pytest.fixture(scope="module")
def cards(made: NumpyRun) -> pd.DataFrame:
    """All features with everything that a table of them shows."""
    fires = made.activations > 0
    n_active = fires.sum(0)
    frame = pd.DataFrame({"feature_id": range(N_FEATURES), "label": pd.Series(made.labels)})
    joined = made.keywords.sort_values("rank").groupby("feature_id")["keyword"].agg(", ".join)
    frame["keywords"] = frame["feature_id"].map(joined).fillna("")
    frame["density"], frame["n_active"] = n_active / N_TEXTS, n_active
    frame["max_activation"] = made.activations.max(0)
    frame["mean_activation"] = made.activations.sum(0, dtype=np.float64) / np.maximum(n_active, 1)
    frame["gate"], frame["cluster"] = weights()["threshold"], made.layout["cluster"]
    measured = fidelity_rows(made.labels).query("method == 'ours' and predictor == 'resembles'").set_index("feature_id")
    for name in ("auroc", "ap"):
        frame[name] = frame["feature_id"].map(measured[name]).astype(float)
    frame["dead"] = n_active == 0
    return frame


def agree(table, frame: pd.DataFrame) -> None:
    """The same columns, the same rows in the same order, floats to 1e-6."""
    answer = table.to_pandas()
    assert list(answer.columns) == list(frame.columns)
    pd.testing.assert_frame_equal(
        answer, frame.reset_index(drop=True), check_dtype=False, rtol=1e-6, atol=1e-9, check_index_type=False
    )


def strongest(made: NumpyRun, feature_id: int) -> pd.DataFrame:
    rows = made.rows[made.rows["feature_id"] == feature_id]
    return rows.sort_values(["activation", "text_id"], ascending=[False, True]).reset_index(drop=True)


def test_counts(store: Store, made: NumpyRun) -> None:
    n_active = (made.activations > 0).sum(0)
    counts = queries.counts(store)
    assert (counts.n_texts, counts.n_features, counts.n_dead) == (N_TEXTS, N_FEATURES, len(DEAD))
    assert counts.n_dense == (n_active > 0.1 * N_TEXTS).sum() and counts.n_activations == n_active.sum()
    assert all(type(value) is int for value in vars(counts).values())


def test_evaluation_and_one_metric(store: Store) -> None:
    assert queries.evaluation(store)["split"].to_pylist() == ["held_out", "train"]
    assert queries.metric(store, "fvu", "held_out").value == 0.5
    assert queries.metric(store, "fvu", "nowhere") is None


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", SORTS)
def test_features_in_every_order_page_by_page(store: Store, cards: pd.DataFrame, sort: str, descending: bool) -> None:
    expected = cards.sort_values([sort, "feature_id"], ascending=[not descending, True])
    pages = [
        queries.features(store, sort=sort, descending=descending, limit=7, offset=offset) for offset in range(0, 42, 7)
    ]
    feature_ids = [feature_id for page in pages for feature_id in page["feature_id"].to_pylist()]
    if sort in ("label",):
        expected = expected.assign(key=expected["label"].map(lambda label: label.encode()))
        expected = expected.sort_values(["key", "feature_id"], ascending=[not descending, True])
    assert feature_ids == expected["feature_id"].tolist()


def test_features_hold_what_numpy_finds(store: Store, cards: pd.DataFrame) -> None:
    expected = cards.sort_values(["density", "feature_id"], ascending=[False, True])
    agree(queries.features(store, limit=None), expected)


FILTERS = {
    "words": (FeatureFilter(words="GALAXY key1"), lambda c: text_of(c).map(lambda t: "galaxy" in t and "key1" in t)),
    "id": (FeatureFilter(words="12"), lambda c: (c["feature_id"] == 12) | text_of(c).str.contains("12", regex=False)),
    "density": (FeatureFilter(density_low=0.05, density_high=0.1), lambda c: c["density"].between(0.05, 0.1)),
    "activation": (
        FeatureFilter(activation_low=0.6, activation_high=0.8),
        lambda c: c["max_activation"].between(0.6, 0.8),
    ),
    "least": (FeatureFilter(density_low=55 / 300), lambda c: c["n_active"] >= 55),
    "most": (FeatureFilter(density_high=55 / 300), lambda c: c["n_active"] <= 55),
    "dead": (FeatureFilter(dead=True), lambda c: c["dead"]),
    "live": (FeatureFilter(dead=False), lambda c: ~c["dead"]),
    "cluster": (FeatureFilter(cluster=-1), lambda c: c["cluster"] == -1),
    "fidelity": (FeatureFilter(fidelity_low=0.9), lambda c: c["auroc"] >= 0.9),
    "precision": (FeatureFilter(ap_low=0.5), lambda c: c["ap"] >= 0.5),
    "ids": (FeatureFilter(ids=(4, 2, 99)), lambda c: c["feature_id"].isin([2, 4])),
    "no ids": (FeatureFilter(ids=()), lambda c: c["feature_id"] < 0),
    "all": (FeatureFilter(words="  "), lambda c: c["feature_id"] >= 0),
    "together": (
        FeatureFilter(words="key", dead=False, cluster=1),
        lambda c: text_of(c).str.contains("key") & ~c["dead"] & (c["cluster"] == 1),
    ),
}


def text_of(cards: pd.DataFrame) -> pd.Series:
    return (cards["label"] + " " + cards["keywords"]).str.lower()


@pytest.mark.parametrize("name", FILTERS)
def test_filters_let_through_what_pandas_lets_through(store: Store, cards: pd.DataFrame, name: str) -> None:
    which, keep = FILTERS[name]
    expected = cards[keep(cards)]
    features = queries.features(store, which, sort="feature_id", descending=False, limit=None)
    assert features["feature_id"].to_pylist() == expected["feature_id"].tolist()
    assert queries.count_features(store, which) == len(expected)
    assert name in ("all", "no ids") or 0 < len(expected) < N_FEATURES


@pytest.mark.parametrize("typed", INJECTIONS)
def test_typed_strings_are_values_and_never_sql(store: Store, made: NumpyRun, cards: pd.DataFrame, typed: str) -> None:
    wanted = typed.strip().lower().split()
    expected = [f for f, text in enumerate(text_of(cards)) if all(word in text for word in wanted)]
    features = queries.features(store, FeatureFilter(words=typed), sort="feature_id", descending=False, limit=None)
    assert features["feature_id"].to_pylist() == expected
    assert set(queries.find_features(store, typed, limit=100)["feature_id"].to_pylist()) == set(expected)
    for column in ("group", "labels", "rank", ODD_COLUMN):
        assert queries.top_texts(store, 1, column=column, value=typed).num_rows == 0
    with pytest.raises(Refusal, match="cannot be sorted by"):
        queries.features(store, sort=typed)
    with pytest.raises(Refusal, match="have no column"):
        queries.metadata_values(store, 1, typed)
    with pytest.raises(Refusal, match="have no column"):
        queries.top_texts(store, 1, column=typed, value="x")
    assert queries.metric(store, typed, typed) is None
    assert queries.counts(store).n_texts == N_TEXTS


def test_one_feature(store: Store, cards: pd.DataFrame) -> None:
    for feature_id in (*SOME, *DEAD):
        feature, row = queries.feature(store, feature_id), cards.loc[feature_id]
        for name in ("label", "n_active", "density", "dead", "cluster"):
            assert getattr(feature, name) == row[name], name
        assert feature.n_texts == N_TEXTS and feature.threshold == pytest.approx(row["gate"])
        assert feature.mean_activation == pytest.approx(row["mean_activation"], rel=1e-6)
        assert feature.label_source == ("none" if feature_id == 5 else "keywords")
        expected = None if row["dead"] else pytest.approx(math.log10(row["density"]))
        assert feature.log10_density == expected


@pytest.mark.parametrize("feature_id", [-1, 40, 2**31, 2**63, 10**30])
def test_an_unknown_feature_is_refused_with_the_range(store: Store, feature_id: int) -> None:
    with pytest.raises(Refusal, match="features are 0 to 39"):
        queries.feature(store, feature_id)


@pytest.mark.parametrize("text_id", [-1, 300, 2**63, 10**30])
def test_an_unknown_text_is_refused_with_the_range(store: Store, text_id: int) -> None:
    with pytest.raises(Refusal, match="texts are 0 to 299"):
        queries.text(store, text_id)


def test_keywords_and_labels(store: Store, made: NumpyRun) -> None:
    expected = made.keywords[made.keywords["feature_id"] == 4].drop(columns="feature_id")
    agree(queries.keywords(store, 4), expected)
    assert queries.keywords(store, 5).num_rows == 0
    assert queries.labels(store, [7, 2, 2, 999]) == {2: made.labels[2], 7: made.labels[7]}
    assert queries.labels(store, []) == {}


def test_finding_features_puts_the_id_first_and_then_labels_that_hold_the_word(
    store: Store, cards: pd.DataFrame
) -> None:
    assert queries.find_features(store, "12")["feature_id"].to_pylist()[0] == 12
    features = queries.find_features(store, "Star", limit=50).to_pandas()
    hits = cards[text_of(cards).str.contains("star")]
    in_label = hits["label"].str.lower().str.contains("star")
    assert sorted(features["feature_id"]) == sorted(hits["feature_id"]) and 0 < in_label.sum() < len(hits)
    first = features["feature_id"].tolist()[: in_label.sum()]
    assert sorted(first) == sorted(hits.loc[in_label, "feature_id"])
    assert queries.find_features(store, "").num_rows == 0


@pytest.mark.parametrize("feature_id", [*SOME, *DEAD])
def test_top_texts(store: Store, made: NumpyRun, feature_id: int) -> None:
    expected = strongest(made, feature_id)
    top = queries.top_texts(store, feature_id, limit=100).to_pandas()
    assert top["text_id"].tolist() == expected["text_id"].tolist()[:100]
    assert top["activation"].tolist() == expected["activation"].tolist()[:100]
    assert top["rank"].tolist() == list(range(1, len(top) + 1))
    assert top["text"].tolist() == made.texts["text"][top["text_id"]].tolist()
    assert {"source_id", "n_tokens", "truncated", "cut", "sae_split", "title", "group", "year", "labels"} <= set(top)
    for name in CLASHING:
        shown = name if name == "value" else f"source_{name}"
        assert top[shown].tolist() == made.texts[name][top["text_id"]].tolist()
    page = queries.top_texts(store, feature_id, limit=5, offset=5)
    assert page["rank"].to_pylist() == top["rank"].tolist()[5:10]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> tuple[NumpyRun, Store, np.ndarray]:
    """A run with copies: the equal embeddings, and every seventh text of the first seventy; each text's group."""
    made = make_run(tmp_path_factory.mktemp("copied") / "small")
    group = np.arange(N_TEXTS)
    group[200:220] = group[100:120]
    group[:70] = np.arange(70) % 7
    sizes = np.bincount(group, minlength=N_TEXTS)[group]
    rows = np.flatnonzero(sizes > 1)
    columns = [rows, group[rows], sizes[rows] - 1, np.ones(len(rows), bool)]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, COPIES.schema, strict=True)], schema=COPIES.schema)
    files.write_parquet(made.generation.file(COPIES), table, COPIES.schema)
    (made.generation.path / "manifest.json").unlink()
    return made, open_store(made.generation), group


@pytest.mark.parametrize(("column", "value"), [(None, None), ("group", "g2")])
def test_the_strongest_of_its_copies_stands_for_them(copied, column: str | None, value: str | None) -> None:
    made, store, group = copied
    for feature_id in (*SOME, DEAD[0]):
        rows = strongest(made, feature_id).assign(group=lambda r: group[r["text_id"]])
        rows = rows.head(100) if column is None else rows[rows["text_id"].map(made.texts["group"]) == value]
        rows = rows.assign(rank=range(1, len(rows) + 1))
        kept = rows.drop_duplicates("group")
        others = rows.groupby("group").size() - 1
        narrowed = {"column": column, "value": value}
        top = queries.top_texts(store, feature_id, limit=500, collapse=True, **narrowed).to_pandas()
        assert top["text_id"].tolist() == kept["text_id"].tolist() and top["rank"].tolist() == kept["rank"].tolist()
        assert top["n_copies"].tolist() == kept["group"].map(others).tolist()
        assert top["n_copies"].sum() + len(top) == len(rows)
        n = queries.count_top_texts(store, feature_id, collapse=True, **narrowed)
        pages = [
            queries.top_texts(store, feature_id, limit=7, offset=first, collapse=True, **narrowed).to_pandas()
            for first in range(0, n + 7, 7)
        ]
        assert n == len(kept) and pd.concat(pages)["text_id"].tolist() == kept["text_id"].tolist()
        every = queries.top_texts(store, feature_id, limit=500, **narrowed)
        assert every["text_id"].to_pylist() == rows["text_id"].tolist() and not any(every["n_copies"].to_pylist())
        assert queries.count_top_texts(store, feature_id, **narrowed) == len(rows)


def test_random_texts_are_drawn_evenly_from_all_on_which_it_fires(store: Store, made: NumpyRun) -> None:
    rows = strongest(made, 1)
    drawn = [queries.random_texts(store, 1, limit=5, seed=seed).to_pandas() for seed in range(80)]
    for sample in drawn:
        assert sample["rank"].is_monotonic_increasing and sample["text_id"].is_unique and len(sample) == 5
        assert sample["text_id"].tolist() == rows["text_id"][sample["rank"] - 1].tolist()
        assert sample["activation"].tolist() == rows["activation"][sample["rank"] - 1].tolist()
    times = pd.concat(drawn)["rank"].value_counts().reindex(range(1, len(rows) + 1), fill_value=0)
    assert chisquare(times).pvalue > 1e-3 and len({tuple(sample["rank"]) for sample in drawn}) > 70
    again = queries.random_texts(store, 1, limit=5, seed=3).to_pandas()
    assert again["text_id"].tolist() == drawn[3]["text_id"].tolist()
    assert queries.random_texts(store, 1, limit=10**4).num_rows == len(rows)
    assert queries.random_texts(store, DEAD[0]).num_rows == 0
    top = queries.top_texts(store, 1, limit=1).to_pylist()[0]
    assert set(drawn[0].columns) == set(top) - {"n_copies"}


@pytest.mark.parametrize(
    ("column", "value", "holds"),
    [
        ("group", "g2", lambda texts: texts["group"] == "g2"),
        ("year", "2003", lambda texts: texts["year"] == 2003),
        ("labels", "m4", lambda texts: texts["labels"].map(lambda members: "m4" in members)),
        ("rank", "r1", lambda texts: texts["rank"] == "r1"),
        ("activation", "r0", lambda texts: texts["activation"] == "r0"),
        (ODD_COLUMN, "o0", lambda texts: texts[ODD_COLUMN] == "o0"),
    ],
)
def test_top_texts_with_a_metadata_value(store: Store, made: NumpyRun, column: str, value: str, holds) -> None:
    for feature_id in SOME:
        rows = strongest(made, feature_id)
        expected = rows[rows["text_id"].isin(made.texts["text_id"][holds(made.texts)])]["text_id"].tolist()
        top = queries.top_texts(store, feature_id, limit=500, column=column, value=value)
        assert top["text_id"].to_pylist() == expected
        assert top["rank"].to_pylist() == list(range(1, len(expected) + 1))


def test_metadata_columns(store: Store) -> None:
    columns = {column.name: (column.type, column.n_distinct) for column in queries.metadata_columns(store)}
    twice = dict.fromkeys((*CLASHING, ODD_COLUMN), ("VARCHAR", 2))
    assert columns == twice | {
        "title": ("VARCHAR", 300),
        "group": ("VARCHAR", 4),
        "year": ("BIGINT", 7),
        "labels": ("VARCHAR[]", 8),
    }


def wilson(k: np.ndarray, n: int) -> tuple[list[float], list[float]]:
    intervals = [binomtest(int(n_hits), n).proportion_ci(0.95, "wilson") for n_hits in k]
    return [interval.low for interval in intervals], [interval.high for interval in intervals]


@pytest.mark.parametrize("column", ["group", "year", "labels", "value", "feature_id", ODD_COLUMN])
def test_metadata_values(store: Store, made: NumpyRun, column: str) -> None:
    every = made.texts.explode(column).dropna(subset=[column]).drop_duplicates(["text_id", column])
    for feature_id in SOME:
        text_ids = strongest(made, feature_id)["text_id"]
        n_texts = every[every["text_id"].isin(text_ids)][column].astype(str).value_counts()
        corpus = every[column].astype(str).value_counts() / N_TEXTS
        expected = pd.DataFrame({"value": n_texts.index, "n_texts": n_texts.to_numpy()})
        expected["share"] = expected["n_texts"] / len(text_ids)
        expected["low"], expected["high"] = wilson(expected["n_texts"].to_numpy(), len(text_ids))
        expected["corpus_share"] = expected["value"].map(corpus)
        expected["lift"] = expected["share"] / expected["corpus_share"]
        expected = expected.sort_values(["n_texts", "value"], ascending=[False, True]).head(3)
        agree(queries.metadata_values(store, feature_id, column, limit=3), expected)


def test_active_features(store: Store, made: NumpyRun) -> None:
    rows = made.rows[made.rows["text_id"].isin([7, 105, 5]) & (made.rows["feature_id"] != 1)]
    rows = rows.sort_values(["text_id", "activation", "feature_id"], ascending=[True, False, True])
    expected = rows.groupby("text_id").head(3).assign(label=lambda r: r["feature_id"].map(made.labels))
    active = queries.active_features(store, [105, 7, 5, 5, 9999], per_text=3, without=1)
    agree(active, expected[["text_id", "feature_id", "label", "activation"]])
    assert queries.active_features(store, []).num_rows == 0


def test_one_text(store: Store, made: NumpyRun) -> None:
    text = queries.text(store, 5)
    assert text.text == HOSTILE and text.title == "title 5" and text.source_id == "s5" and text.source_row == 6
    own = {"title": "title 5", "group": "g1", "year": 2005, "labels": ["l2", "m0"], ODD_COLUMN: "o1"}
    assert queries.text_metadata(store, 5) == own | dict.fromkeys(CLASHING, "r1")
    assert queries.text_metadata(store, 5, ["year", ODD_COLUMN]) == {"year": 2005, ODD_COLUMN: "o1"}
    assert text.n_active == (made.activations[5] > 0).sum() and text.cut == -1


def test_the_features_of_a_text(store: Store, made: NumpyRun, cards: pd.DataFrame) -> None:
    rows = made.rows[made.rows["text_id"] == 105].sort_values(["activation", "feature_id"], ascending=[False, True])
    expected = rows.merge(cards[["feature_id", "label", "max_activation", "density"]])
    agree(
        queries.text_features(store, 105), expected[["feature_id", "label", "activation", "max_activation", "density"]]
    )


def test_histograms_hold_every_text_of_a_feature_in_40_bins(store: Store, made: NumpyRun) -> None:
    for feature_id in SOME:
        values = made.activations[:, feature_id][made.activations[:, feature_id] > 0].astype(np.float64)
        expected = np.bincount(np.ceil(values * 40 / values.max()).astype(int) - 1, minlength=40)
        histogram = queries.histogram(store, feature_id)
        assert histogram["n_texts"].to_pylist() == expected.tolist()
        assert histogram["bin"].to_pylist() == list(range(40)) and histogram["right"][39].as_py() == values.max()
    assert queries.histogram(store, DEAD[0]).num_rows == 0


def test_bands_are_equally_large_and_drawn_by_the_seed(store: Store, made: NumpyRun) -> None:
    for feature_id in SOME:
        rows = strongest(made, feature_id)
        parts = [rows.iloc[part] for part in np.array_split(np.arange(len(rows)), 4)]
        bands = queries.bands(store, feature_id, n_bands=4, per_band=3, seed=1).to_pandas()
        for band, part in enumerate(parts, 1):
            drawn = bands[bands["band"] == band]
            assert len(drawn) == min(3, len(part)) and set(drawn["text_id"]) <= set(part["text_id"])
            assert set(drawn["n_band"]) == {len(part)}
            assert set(drawn["low"]) == {part["activation"].min()} and set(drawn["high"]) == {part["activation"].max()}
        assert bands["rank"].is_monotonic_increasing
        again = queries.bands(store, feature_id, n_bands=4, per_band=3, seed=1).to_pandas()
        assert bands["text_id"].tolist() == again["text_id"].tolist()
    text_ids, other = (queries.bands(store, SOME[0], seed=seed)["text_id"].to_pylist() for seed in (1, 2))
    assert text_ids != other
    assert queries.bands(store, DEAD[0]).num_rows == 0


def test_bands_and_texts_bring_what_top_texts_bring(store: Store) -> None:
    top = {row["text_id"]: row for row in queries.top_texts(store, SOME[0], limit=100).to_pylist()}
    shared = set(next(iter(top.values()))) - {"rank", "activation", "n_copies"}
    for row in queries.bands(store, SOME[0]).to_pylist():
        if row["text_id"] in top:
            assert {name: row[name] for name in shared} == {name: top[row["text_id"]][name] for name in shared}
    ids = [*list(top)[:5][::-1], 10**9]
    texts = queries.texts(store, [*ids, ids[0]]).to_pylist()
    assert (
        texts == [{name: top[text_id][name] for name in texts[0]} for text_id in ids[:-1]] and set(texts[0]) == shared
    )


def test_bands_of_fewer_texts_than_bands(store: Store, made: NumpyRun) -> None:
    feature_id = int(np.argmin(np.where((made.activations > 0).sum(0) > 0, (made.activations > 0).sum(0), 10**6)))
    rows = strongest(made, feature_id)
    bands = queries.bands(store, feature_id, n_bands=len(rows) + 3, per_band=2)
    assert bands["text_id"].to_pylist() == rows["text_id"].tolist()


@pytest.mark.parametrize("name", ["neighbours", "opposites"])
def test_neighbours_and_opposites(store: Store, made: NumpyRun, name: str) -> None:
    directions = weights()["W_dec"].astype(np.float64)
    for feature_id in SOME:
        cosines = pd.Series(directions @ directions[feature_id]).drop(feature_id)
        ordered = cosines.sort_values(ascending=name == "opposites").head(6)
        neighbours = getattr(queries, name)(store, feature_id, limit=6)
        assert neighbours["feature_id"].to_pylist() == ordered.index.tolist()
        assert neighbours["cosine"].to_numpy() == pytest.approx(ordered.to_numpy(), abs=1e-6)
        assert neighbours["label"].to_pylist() == [made.labels[f] for f in ordered.index]


def test_coactivations(store: Store, made: NumpyRun) -> None:
    fires = (made.activations > 0).astype(int)
    both = fires.T @ fires
    for feature_id in SOME:
        rows = [
            (f, made.labels[f], both[feature_id, f], both[feature_id, f] / (both[f, f] + both[feature_id, feature_id]
             - both[feature_id, f]), both[feature_id, f] / both[feature_id, feature_id],
             both[feature_id, f] * N_TEXTS / (both[feature_id, feature_id] * both[f, f]))
            for f in range(N_FEATURES) if f != feature_id and both[feature_id, f] >= 8
        ]  # fmt: skip
        expected = pd.DataFrame(rows, columns=["feature_id", "label", "n_both", "jaccard", "conditional", "lift"])
        expected = expected.sort_values(["lift", "n_both", "feature_id"], ascending=[False, False, True]).head(10)
        agree(queries.coactivations(store, feature_id, limit=10, min_both=8), expected)


def test_bins_hold_everything_once(store: Store, cards: pd.DataFrame, made: NumpyRun) -> None:
    logs = np.log10(cards["density"][~cards["dead"]])
    density_bins = queries.density_bins(store, 10).to_pandas()
    counts, edges = np.histogram(logs, bins=10)
    assert density_bins["n_features"].tolist() == counts.tolist()
    assert density_bins["left"].to_numpy() == pytest.approx(edges[:-1])
    l0 = (made.activations > 0).sum(1)
    bins = queries.l0_bins(store, 5).to_pandas()
    assert bins["n_texts"].sum() == N_TEXTS and len(bins) <= 5
    for row in bins.itertuples():
        assert row.n_texts == ((l0 >= row.left) & (l0 < row.right)).sum()
    assert queries.cosine_bins(store)["n_texts"].to_numpy().sum() == N_TEXTS


def test_worst_texts_are_ordered_totally(store: Store) -> None:
    frame = store.ask("select text_id, fvu, cosine, n_active from text_summaries").to_pandas()
    expected = frame.sort_values(["fvu", "text_id"], ascending=[False, True]).head(8)
    worst_texts = queries.worst_texts(store, 8).to_pandas()
    assert worst_texts["text_id"].tolist() == expected["text_id"].tolist()
    assert expected["fvu"].duplicated().any() and all(len(opening) <= 160 for opening in worst_texts["opening"])


def test_layout_has_every_feature_in_small_types(store: Store, cards: pd.DataFrame) -> None:
    layout = queries.layout(store)
    assert layout["feature_id"].to_pylist() == list(range(N_FEATURES))
    assert [str(layout.schema.field(name).type) for name in ("x", "y", "density", "log10_density")] == ["float"] * 4
    assert layout["log10_density"].null_count == len(DEAD) and layout["dead"].to_pylist() == cards["dead"].tolist()


def test_a_random_feature_is_alive_and_each_has_its_turn(store: Store) -> None:
    live = [f for f in range(N_FEATURES) if f not in DEAD]
    assert [queries.random_feature(store, (i + 0.5) / len(live)) for i in range(len(live))] == live
    assert queries.random_feature(store, 1.0) == live[-1] and queries.random_feature(store, 0.0) == live[0]


def test_answers_are_the_same_with_one_thread_and_with_eight(made: NumpyRun) -> None:
    single_thread, eight_threads = (open_store(made.generation, threads=threads) for threads in (1, 8))
    for question in (
        lambda store: queries.features(store, limit=None),
        lambda store: queries.top_texts(store, 1, limit=100, column="group", value="g1"),
        lambda store: queries.metadata_values(store, 1, "labels"),
        lambda store: queries.active_features(store, range(50)),
        lambda store: queries.bands(store, 1),
        lambda store: queries.cosine_bins(store),
        lambda store: queries.worst_texts(store, 50),
    ):
        assert question(single_thread).equals(question(eight_threads))


def test_a_run_of_dead_features_has_empty_answers_and_a_sentence(tmp_path: Path) -> None:
    made = make_run(tmp_path / "dead", upto="summarise")
    frame = pd.read_parquet(made.generation.path / "summaries/features.parquet")
    frame = frame.assign(n_active=0, density=0.0, log10_density=None, dead=True)
    frame.to_parquet(made.generation.path / "summaries/features.parquet")
    store = open_store(made.generation)
    assert queries.density_bins(store).num_rows == 0
    with pytest.raises(Refusal, match="every feature"):
        queries.random_feature(store, 0.5)


def test_strongest_titles_are_those_of_the_first_top_texts(store: Store, made: NumpyRun) -> None:
    titles = queries.strongest_titles(store, [*SOME, *DEAD])
    for feature_id, title in zip([*SOME, *DEAD], titles, strict=True):
        first = strongest(made, feature_id)["text_id"].tolist()[:1]
        assert title == (made.texts["title"][first[0]] if first else "")
