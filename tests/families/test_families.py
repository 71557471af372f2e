"""Families: a planted hierarchy is found, and every number agrees with numpy, scipy or networkx from its definition."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from scipy import sparse, stats

from benchmarks.families import baseline_edges, baseline_families
from featurelib.families.counting import shuffled
from featurelib.families.links import Links, find_links
from featurelib.families.measures import measure_families
from featurelib.families.trees import Families, grow_families, largest_family
from featurelib.schema import DENSE, MIN_BOTH, Refusal
from featurelib.storage.activation_rows import incidence
from featurelib.storage.coactivation import Incidence, coactivation_counts

N_TEXTS, N_FEATURES = 2000, 60
ALWAYS, ROOT, CHILDREN, GRANDCHILD, OTHER_ROOT, OTHER_CHILD = 0, 41, (7, 33, 58), 20, 15, 50


def planted() -> np.ndarray:
    """bool [N_TEXTS, N_FEATURES]: an always-on feature, two families, the others independent of all."""
    draw = np.random.default_rng(3)
    fires = draw.random((N_TEXTS, N_FEATURES)) < draw.uniform(0.005, 0.09, N_FEATURES)
    fires[:, ALWAYS] = draw.random(N_TEXTS) < 0.97
    fires[:, ROOT] = draw.random(N_TEXTS) < 0.09
    for child, share in zip(CHILDREN, (0.4, 0.3, 0.25), strict=True):
        fires[:, child] = fires[:, ROOT] & (draw.random(N_TEXTS) < share)
    # a tenth of the grandchild's texts lie outside, so that it is nested and not a subset
    fires[:, GRANDCHILD] = fires[:, CHILDREN[0]] & (draw.random(N_TEXTS) < 0.5)
    fires[np.flatnonzero(~fires[:, ROOT])[:4], GRANDCHILD] = True
    fires[:, OTHER_ROOT] = draw.random(N_TEXTS) < 0.06
    fires[:, OTHER_CHILD] = fires[:, OTHER_ROOT] & (draw.random(N_TEXTS) < 0.3)
    return fires


def matrix(fires: np.ndarray) -> sparse.csc_array:
    texts, features = np.nonzero(fires)
    return incidence([(texts, features)], *fires.shape)


def grow(fires: np.ndarray) -> Families:
    activations = matrix(fires)
    return grow_families(find_links(activations), np.diff(activations.indptr))


def partition(families: Families, names: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(names[families.members(family)].tolist()) for family in range(families.n_families)}


def test_counts_are_those_of_numpy_whatever_the_parts_and_ranges() -> None:
    fires = planted()
    texts, features = np.nonzero(fires)
    cut = len(texts) // 3
    parts = [(texts[:cut], features[:cut]), (texts[cut:cut], features[cut:cut]), (texts[cut:], features[cut:])]
    activations = incidence(parts, *fires.shape)
    expected = fires.T.astype(int) @ fires.astype(int)
    whole = [Incidence.of(activations)]
    rows = [coactivation_counts(whole, N_FEATURES, first, min(first + 17, N_FEATURES)) for first in (0, 17, 34, 51)]
    np.testing.assert_array_equal(np.vstack(rows), expected)
    halves = [Incidence.of(activations[:900]), Incidence.of(activations[900:])]
    np.testing.assert_array_equal(coactivation_counts(halves, N_FEATURES, 0, N_FEATURES), expected)
    with pytest.raises(Refusal, match="two activations of one feature"):
        incidence([(texts, features), (texts[:1], features[:1])], *fires.shape)


def test_a_planted_hierarchy_is_found_and_nothing_else() -> None:
    families = grow(planted())
    assert partition(families, np.arange(N_FEATURES)) == {
        frozenset({ROOT, *CHILDREN, GRANDCHILD}),
        frozenset({OTHER_ROOT, OTHER_CHILD}),
    }
    assert families.roots.tolist() == [ROOT, OTHER_ROOT]
    assert families.parent[[*CHILDREN, GRANDCHILD, OTHER_CHILD]].tolist() == [ROOT, ROOT, ROOT, CHILDREN[0], OTHER_ROOT]
    assert families.depth[[ROOT, *CHILDREN, GRANDCHILD, ALWAYS]].tolist() == [0, 1, 1, 1, 2, -1]
    assert families.family[ALWAYS] == -1 and ALWAYS not in families.parent


def test_families_do_not_depend_on_the_numbers_of_the_features() -> None:
    fires = planted()
    names = np.random.default_rng(1).permutation(N_FEATURES)
    assert partition(grow(fires[:, names]), names) == partition(grow(fires), np.arange(N_FEATURES))


def correlated(seed: int) -> np.ndarray:
    """bool [800, 40]: features in loose groups, so that many pairs are near the bounds of an edge."""
    draw = np.random.default_rng(seed)
    topics = draw.random((800, 8)) < 0.08
    fires = np.zeros((800, 40), bool)
    for feature in range(40):
        topic = topics[:, feature % 8]
        inside, outside = draw.uniform(0.05, 0.9), draw.uniform(0.0, 0.06)
        fires[:, feature] = np.where(topic, draw.random(800) < inside, draw.random(800) < outside)
    return fires


def brute_links(fires: np.ndarray) -> dict[tuple[int, int], float]:
    """(child, parent) → H, from the definitions, one pair at a time."""
    n_texts, n_features = fires.shape
    counts, nestings, chances = fires.sum(axis=0), {}, []
    for child in range(n_features):
        for parent in range(n_features):
            larger = counts[parent] > counts[child] or (counts[parent] == counts[child] and parent < child)
            both = int((fires[:, child] & fires[:, parent]).sum())
            if not larger or both < MIN_BOTH or counts[parent] / n_texts > DENSE:
                continue
            base = counts[parent] / n_texts
            nested = (both / counts[child] - base) / (1 - base)
            if nested >= 0.3:
                table = [
                    [both, counts[child] - both],
                    [counts[parent] - both, n_texts - counts[child] - counts[parent] + both],
                ]
                chances.append(stats.fisher_exact(table, alternative="greater").pvalue)
                nestings[child, parent] = nested
    able = int((counts >= MIN_BOTH).sum())
    padded = np.concatenate([chances, np.ones(able * (able - 1) // 2 - len(chances))])
    kept = stats.false_discovery_control(padded)[: len(chances)] <= 0.01
    return {pair: nested for (pair, nested), significant in zip(nestings.items(), kept, strict=True) if significant}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_edges_are_those_of_fisher_s_test_and_benjamini_and_hochberg(seed: int) -> None:
    fires = correlated(seed)
    links, expected = find_links(matrix(fires)), brute_links(fires)
    pairs = list(zip(links.child.tolist(), links.parent.tolist(), strict=True))
    assert pairs == sorted(expected) and len(pairs) > 5
    np.testing.assert_allclose(links.nesting, [expected[pair] for pair in pairs])
    both = [int((fires[:, a] & fires[:, b]).sum()) for a, b in pairs]
    assert links.n_both.tolist() == both


def random_links(seed: int, n: int) -> tuple[Links, np.ndarray]:
    draw = np.random.default_rng(seed)
    counts = np.concatenate([np.sort(draw.integers(5, 500, n))[::-1], np.full(10 * n, 3)])
    child, parent = np.nonzero(np.tri(n, k=-1) * (draw.random((n, n)) < 0.3))
    weight = draw.uniform(0.3, 1, len(child))
    return Links(child.astype(np.int32), parent.astype(np.int32), np.full(len(child), 5), weight), counts


@pytest.mark.parametrize("seed", range(5))
def test_the_trees_are_the_maximum_branching_of_edmonds(seed: int) -> None:
    links, counts = random_links(seed, 30)
    families = grow_families(links, counts)
    graph = networkx.DiGraph()
    for child, parent, weight in zip(links.child, links.parent, links.nesting, strict=True):
        graph.add_edge(int(parent), int(child), weight=float(weight))
    best = networkx.algorithms.tree.branchings.maximum_branching(graph)
    expected = {(child, parent) for parent, child in best.edges}
    assert {(int(c), int(families.parent[c])) for c in np.flatnonzero(families.parent >= 0)} == expected


def test_no_family_is_larger_than_a_tenth_and_the_strongest_edges_stay() -> None:
    n = 200
    child = np.arange(1, n, dtype=np.int32)
    weight = np.linspace(0.4, 0.9, n - 1)
    links = Links(child, np.zeros(n - 1, np.int32), np.full(n - 1, 5), weight)
    families = grow_families(links, np.arange(n, 0, -1))
    assert families.n_families == 1 and len(families.members(0)) == largest_family(n) == 20
    assert set(families.members(0).tolist()) == {0, *range(n - 19, n)}
    chain = Links(child, child - 1, np.full(n - 1, 5), weight)
    family = grow_families(chain, np.arange(n, 0, -1)).family
    assert np.bincount(family[family >= 0]).max() <= 20 < (family >= 0).sum()


@pytest.mark.parametrize("n", [0, 1, 2, 19])
def test_a_small_dictionary_has_no_families(n: int) -> None:
    fires = np.ones((50, n), bool)
    families = grow(fires)
    assert families.n_families == 0 and families.family.tolist() == [-1] * n
    assert measure_families(matrix(fires), families) == []


def brute_measures(fires: np.ndarray, members: list[int]) -> dict[str, float]:
    """The baseline's definitions with feature ids where they belong; members[0] is the root."""
    together = fires.T.astype(float) @ fires.astype(float)
    outside = [feature_id for feature_id in range(fires.shape[1]) if feature_id not in members]
    children = members[1:]
    pairs = [together[i, j] for i in children for j in children if i < j]
    inside = np.mean([together[i, j] for i in members for j in members if i != j])
    off = np.mean([together[i, j] for i in members for j in outside])
    return {
        "r_parent_child": np.mean([together[members[0], i] for i in children]),
        "r_children": np.mean(pairs) if pairs else None,
        "in_block": inside,
        "off_block": off,
        "block_ratio": inside / off,
    }


def test_measures_are_the_baseline_s_with_feature_ids_where_they_belong() -> None:
    fires = planted()
    families = grow(fires)
    measured = measure_families(matrix(fires), families)
    assert [(family.family, family.root, family.size, family.depth) for family in measured] == [
        (0, ROOT, 5, 2),
        (1, OTHER_ROOT, 2, 1),
    ]
    for family in measured:
        expected = brute_measures(fires, families.members(family.family).tolist())
        for name, value in expected.items():
            assert getattr(family, name) == (None if value is None else pytest.approx(value)), name


def test_the_shuffled_ratio_is_what_shuffles_give_on_average() -> None:
    fires = planted()
    families, activations = grow(fires), matrix(fires)
    real = measure_families(activations, families)
    fakes = [shuffled(activations, seed) for seed in range(40)]
    np.testing.assert_array_equal(fakes[0].sum(axis=0), activations.sum(axis=0))
    assert (fakes[0] != activations).nnz > 0 and fakes[0].data.max() == 1
    drawn = np.array([[family.block_ratio for family in measure_families(fake, families)] for fake in fakes])
    for place, family in enumerate(real):
        wide = 4 * drawn[:, place].std() / np.sqrt(len(fakes))
        assert family.shuffled_ratio == pytest.approx(drawn[:, place].mean(), abs=wide)
        assert family.block_ratio > drawn[:, place].max()


def test_shuffled_activations_have_no_families() -> None:
    activations = matrix(planted())
    assert [len(find_links(shuffled(activations, seed))) for seed in range(5)] == [0] * 5


@pytest.mark.parametrize("seed", [0, 1])
def test_the_benchmark_s_baseline_algorithm_is_that_of_networkx(seed: int) -> None:
    fires = correlated(seed)
    together = fires.T.astype(np.int64) @ fires.astype(np.int64)
    counts = np.diag(together)
    graph = networkx.Graph()
    for i in range(len(counts)):
        for j in range(i + 1, len(counts)):
            if together[i, j] / (counts[i] + 1e-6) > 0.1:
                graph.add_edge(i, j, weight=together[i, j] / (counts[i] + 1e-6))
    tree = networkx.maximum_spanning_tree(graph)
    edges = baseline_edges(counts, together)
    assert len(edges) == tree.number_of_edges()
    total = sum(graph.edges[edge]["weight"] for edge in edges)
    assert total == pytest.approx(sum(edge["weight"] for *_, edge in tree.edges(data=True)))
    directed = networkx.DiGraph(edges)
    assert all(counts[parent] >= counts[child] for parent, child in edges)
    expected: list[set[int]] = []
    for _ in range(3):
        roots = [node for node in directed if directed.in_degree(node) == 0]
        expected += [{root, *networkx.descendants(directed, root)} for root in sorted(roots)]
        directed.remove_nodes_from(roots)
    kept: list[set[int]] = []
    for family in (family for family in expected if len(family) > 1):
        if all(len(family & other) / len(family | other) <= 0.6 for other in kept):
            kept.append(family)
    assert baseline_families(counts, together) == kept


@pytest.mark.parametrize(("shared", "n_links"), [(5, 1), (4, 0)])
def test_five_common_texts_are_enough_and_four_are_not(shared: int, n_links: int) -> None:
    fires = np.zeros((1000, 20), bool)
    fires[:40, 3] = True
    fires[:shared, 9] = True
    assert len(find_links(matrix(fires))) == n_links
