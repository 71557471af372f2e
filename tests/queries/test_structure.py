"""What is asked about structure (families, pairs, combinations, clusters) against numpy; the stage that makes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from featurelib import charts, queries, schema
from featurelib.charts.coactivation import relative
from featurelib.queries.families import FAMILY_SORTS
from featurelib.schema import Refusal
from featurelib.storage.store import Store, open_store
from featurelib.ui.kit.theme import DARK, LIGHT
from precompute.stages.families import find_families
from tests.support.numpy_run import N_FEATURES, N_TEXTS, NumpyRun
from tests.support.structure_run import ALWAYS, CHILDREN, GRANDCHILD, ROOT, SeededJob, planted, structure_run

GROUPS = np.repeat(np.eye(4, 16), 10, axis=0)
"""Label vectors in four groups of ten features."""


def vectors() -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.05, GROUPS.shape)
    return (GROUPS + noise).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return structure_run(tmp_path_factory.mktemp("structure") / "planted", planted(), vectors=vectors())


@pytest.fixture(scope="module")
def store(made: NumpyRun) -> Store:
    return open_store(made.generation)


def fires(made: NumpyRun) -> np.ndarray:
    return made.activations > 0


def test_the_stage_writes_the_planted_family_with_both_conditionals(made: NumpyRun) -> None:
    rows = pq.read_table(made.generation.file(schema.FAMILIES)).to_pandas()
    assert rows["feature_id"].tolist() == [ROOT, *CHILDREN, GRANDCHILD]
    assert rows["parent_id"].fillna(-1).tolist() == [-1, ROOT, ROOT, CHILDREN[0]]
    assert rows["depth"].tolist() == [0, 1, 1, 2] and rows["family_id"].tolist() == [0] * 4
    assert rows["n_both"].fillna(-1).tolist() == [-1, 14, 10, 7]
    np.testing.assert_allclose(rows["conditional"], [np.nan, 1, 1, 1])
    np.testing.assert_allclose(rows["share_of_parent"], [np.nan, 14 / 28, 10 / 28, 7 / 14])
    np.testing.assert_allclose(rows["nesting"], [np.nan, 1, 1, 1])
    done = made.generation.done("families")
    assert done.facts["n_families"] == 1 and done.facts["n_outside"] == N_FEATURES - 4
    assert done.facts["n_dense"] == 1 and done.facts["largest"] == done.facts["most_allowed"] == 4
    assert "1 family, the largest with 4 of 40 features; 90% in none" in done.line


def test_labels_are_clustered_as_they_were_planted(made: NumpyRun) -> None:
    cluster = pq.read_table(made.generation.file(schema.KEYWORD_CLUSTERS)).to_pandas()
    assert cluster["feature_id"].tolist() == list(range(N_FEATURES))
    groups = [set(cluster["cluster"][start : start + 10]) for start in range(0, 40, 10)]
    assert all(len(group) == 1 for group in groups) and set.union(*groups) == {0, 1, 2, 3}


def test_without_label_vectors_there_are_no_clusters_and_the_reason_is_kept(tmp_path: Path) -> None:
    made = structure_run(tmp_path / "plain", planted())
    assert pq.read_table(made.generation.file(schema.KEYWORD_CLUSTERS)).num_rows == 0
    assert made.generation.done("families").facts["no_keyword_clusters"] == "the labels have no vectors"
    store = open_store(made.generation)
    assert queries.clusters(store, "topic").num_rows == 0
    assert set(queries.layout(store, kind="topic")["cluster"].to_pylist()) == {-1}


def test_two_builds_give_the_same_bytes(made: NumpyRun, tmp_path: Path) -> None:
    again = structure_run(tmp_path / "again", planted(), vectors=vectors())
    for table in (schema.FAMILIES, schema.FAMILY_METRICS, schema.KEYWORD_CLUSTERS):
        assert again.generation.file(table).read_bytes() == made.generation.file(table).read_bytes()


def test_dead_features_alone_make_no_family(tmp_path: Path) -> None:
    made = structure_run(tmp_path / "dead", np.zeros((N_TEXTS, N_FEATURES), np.float32))
    facts = find_families(SeededJob(made.generation)).facts
    assert facts["n_families"] == 0 and facts["n_dead"] == facts["n_outside"] == N_FEATURES
    assert queries.families(open_store(made.generation)).num_rows == 0


def test_one_family_with_its_measures(store: Store, made: NumpyRun) -> None:
    together = fires(made).T.astype(float) @ fires(made)
    members = [ROOT, *CHILDREN, GRANDCHILD]
    outside = [feature_id for feature_id in range(N_FEATURES) if feature_id not in members]
    inside = np.mean([together[i, j] for i in members for j in members if i != j])
    off = together[np.ix_(members, outside)].mean()
    family = queries.family(store, 0)
    assert (family.root_id, family.size, family.depth, family.n_active) == (ROOT, 4, 2, 28)
    assert family.label == made.labels[ROOT] and family.density == pytest.approx(28 / N_TEXTS)
    assert family.block_ratio == pytest.approx(inside / off) and family.in_block == pytest.approx(inside)
    assert family.r_parent_child == pytest.approx((14 + 10 + 7) / 3)
    assert family.r_children == pytest.approx((0 + 7 + 0) / 3)
    assert family.over_shuffled == pytest.approx(family.block_ratio / family.shuffled_ratio)
    with pytest.raises(Refusal, match="there is no family 7; this run's families are 0 to 0"):
        queries.family(store, 7)


def test_families_are_found_by_the_words_of_any_member(store: Store, made: NumpyRun) -> None:
    assert queries.families(store, made.labels[GRANDCHILD])["family_id"].to_pylist() == [0]
    assert queries.families(store, f"label{ROOT} label{CHILDREN[1]}").num_rows == queries.count_families(store) == 1
    assert queries.families(store, "label20").num_rows == queries.count_families(store, "label20") == 0
    for sort in FAMILY_SORTS:
        assert queries.families(store, sort=sort, descending=False)["root_id"].to_pylist() == [ROOT]
    with pytest.raises(Refusal, match="cannot be sorted by 'x; drop'"):
        queries.families(store, sort="x; drop")


def test_members_and_relatives(store: Store) -> None:
    rows = queries.family_members(store, 0).to_pandas()
    assert rows["feature_id"].tolist() == [ROOT, CHILDREN[0], CHILDREN[1], GRANDCHILD]
    assert rows["n_active"].tolist() == [28, 14, 10, 7]
    kin = queries.relatives(store, CHILDREN[0]).to_pylist()
    assert [(row["kin"], row["feature_id"], row["conditional"], row["share_of_parent"]) for row in kin] == [
        ("parent", ROOT, 1.0, 0.5),
        ("child", GRANDCHILD, 1.0, 0.5),
    ]
    assert queries.relatives(store, ALWAYS).num_rows == 0


@pytest.mark.parametrize("by", queries.MEASURES)
@pytest.mark.parametrize("feature_id", [ALWAYS, ROOT, GRANDCHILD, 25])
@pytest.mark.parametrize("min_both", [1, 5, 8])
def test_coactivations_in_each_order_are_those_of_numpy(
    store: Store, made: NumpyRun, by: str, feature_id: int, min_both: int
) -> None:
    fired = fires(made)
    both, counts = (fired[:, [feature_id]] & fired).sum(axis=0), fired.sum(axis=0)
    others = [other for other in range(N_FEATURES) if other != feature_id and both[other] >= min_both]
    measures = {
        "lift": both * N_TEXTS / np.maximum(counts * counts[feature_id], 1),
        "jaccard": both / np.maximum(counts + counts[feature_id] - both, 1),
        "conditional": both / counts[feature_id],
    }
    expected = sorted(others, key=lambda other: (-measures[by][other], -both[other], other))[:12]
    rows = queries.coactivations(store, feature_id, limit=12, min_both=min_both, by=by).to_pandas()
    assert rows["feature_id"].tolist() == expected
    assert rows["n_both"].tolist() == both[expected].tolist()
    for name, values in measures.items():
        np.testing.assert_allclose(rows[name], values[expected], rtol=1e-12)


def test_an_unknown_order_is_refused(store: Store) -> None:
    with pytest.raises(Refusal, match="cannot be ordered by 'cosine'"):
        queries.coactivations(store, 3, by="cosine")


def test_the_matrix_keeps_the_order_and_the_densest(store: Store, made: NumpyRun) -> None:
    together = fires(made).T.astype(int) @ fires(made).astype(int)
    ids = [GRANDCHILD, ROOT, 3, 999, ROOT, ALWAYS]
    matrix = queries.coactivation_matrix(store, ids)
    kept = [GRANDCHILD, ROOT, 3, ALWAYS]
    assert matrix.feature_ids == kept and matrix.labels == [made.labels[feature_id] for feature_id in kept]
    np.testing.assert_array_equal(matrix.n_both, together[np.ix_(kept, kept)])
    assert queries.coactivation_matrix(store, []).n_both.shape == (0, 0)


COMBINATIONS = [
    ([ROOT], []),
    ([ROOT], [CHILDREN[0]]),
    ([ROOT, CHILDREN[0]], [GRANDCHILD]),
    ([ROOT, 25], [26, 27]),
    ([], [ALWAYS]),
    ([], [ROOT]),
    ([3], []),
    ([CHILDREN[0], CHILDREN[1]], []),
]


@pytest.mark.parametrize(("present", "absent"), COMBINATIONS)
def test_combined_texts_are_those_of_numpy(store: Store, made: NumpyRun, present: list[int], absent: list[int]) -> None:
    fired = fires(made)
    kept = fired[:, present].all(axis=1) & ~fired[:, absent].any(axis=1)
    strength = (made.activations[:, present] / np.maximum(made.activations.max(axis=0)[present], 1e-9)).min(
        axis=1, initial=2
    )
    ids = np.flatnonzero(kept)
    expected = ids[np.lexsort((ids, -strength[ids]))]
    counts = queries.count_combined(store, present, absent)
    assert (counts.n_texts, counts.n_matching) == (N_TEXTS, len(ids))
    assert counts.n_present == fired[:, present].all(axis=1).sum()
    rows = queries.combined_texts(store, present, absent, limit=7, offset=2)
    assert rows["text_id"].to_pylist() == expected[2:9].tolist()
    if present:
        np.testing.assert_allclose(rows["strength"].to_pylist(), strength[expected[2:9]], rtol=1e-6)


def test_a_feature_cannot_fire_and_not_fire(store: Store) -> None:
    with pytest.raises(Refusal, match="feature 7 cannot fire and not fire"):
        queries.count_combined(store, [7, 8], [7])
    with pytest.raises(Refusal, match="21 features are named; 20 can be combined"):
        queries.combined_texts(store, range(21))


def test_clusters_have_their_features_and_most_frequent_keywords(store: Store, made: NumpyRun) -> None:
    for kind, of in (("cluster", made.layout["cluster"].to_numpy()), ("topic", None)):
        clusters = queries.clusters(store, kind).to_pandas()
        assert clusters["n_features"].is_monotonic_decreasing and (clusters["cluster"] >= 0).all()
        for row in clusters.to_dict("records"):
            members = queries.cluster_features(store, kind, row["cluster"])["feature_id"].to_pylist()
            if of is not None:
                assert sorted(members) == np.flatnonzero(of == row["cluster"]).tolist()
            own = made.keywords[made.keywords["feature_id"].isin(members)]
            counted = own.groupby("keyword")["feature_id"].nunique()
            words = queries.cluster_keywords(store, kind, row["cluster"], limit=5).to_pylist()
            assert [word["n_features"] for word in words] == sorted(counted, reverse=True)[:5]
            assert all(counted[word["keyword"]] == word["n_features"] for word in words)
    with pytest.raises(Refusal, match="no clusters of the kind 'x'"):
        queries.clusters(store, "x")


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_the_square_shows_every_pair_and_no_diagonal(colours: object) -> None:
    n_both = np.array([[10, 4, 0], [4, 8, 2], [0, 2, 5]])
    figure = charts.coactivation_heatmap(["a <b>", "b", "c"], n_both, colours, measure="jaccard")
    drawn = np.array(figure.data[0].z, float)
    assert np.isnan(np.diag(drawn)).all()
    np.testing.assert_allclose(drawn[[0, 0, 1], [1, 2, 2]], [4 / 14, 0, 2 / 11])
    assert figure.data[0].text[0][1] == "a &lt;b&gt;<br>b<br>29 %: 4 texts of 10 and 8"
    np.testing.assert_allclose(relative(n_both, "geometric")[0, 1], 4 / np.sqrt(80))
    assert len(charts.coactivation_heatmap(["x"] * 99, np.ones((99, 99), int), colours).data[0].z) == 60
    assert charts.coactivation_heatmap([], np.zeros((0, 0), int), colours).data[0].z is not None
