"""Feature splitting: a planted split is reported, every number agrees with numpy, unequal runs are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from featurelib import matching, queries
from featurelib.matching import FATES
from featurelib.schema import MIN_BOTH, Refusal
from featurelib.storage.activation_rows import incidence
from featurelib.storage.runs import Done, Generation
from featurelib.storage.store import open_store
from tests.support.numpy_run import N_FEATURES, N_TEXTS, make_run, weights

N = 1000
SPLITS, STAYS, INSIDE, CHANGES, GONE, RARE, ALWAYS, HALF, FIVE = range(9)


def planted() -> tuple[np.ndarray, np.ndarray]:
    """bool [N, 9] and [N, 10]: of the first SAE's features one splits in two, one stays, one is nested, …"""
    small, large = np.zeros((N, 9), bool), np.zeros((N, 10), bool)
    small[:100, SPLITS] = True
    large[:45, 0], large[50:95, 1] = True, True
    small[200:260, STAYS] = True
    large[205:262, 2] = True
    small[300:330, INSIDE] = True
    large[290:420, 3] = True
    small[500:600, CHANGES] = True
    large[560:640, 4] = True
    small[700:750, GONE] = True
    large[::17, 5] = True
    small[900:904, RARE] = True
    small[:, ALWAYS] = True
    large[:, 6] = True
    # one nested feature that covers six tenths is no split
    small[760:860, HALF] = True
    large[800:900, 8] = True
    small[990:995, FIVE] = large[990:995, 9] = True
    return small, large


def hold(fires: np.ndarray) -> sparse.csc_array:
    return incidence([np.nonzero(fires)], *fires.shape)


def test_a_planted_split_is_reported_as_a_split() -> None:
    small, large = planted()
    matched = matching.match(hold(small), hold(large))
    fates = [FATES[fate] for fate in matched.fate]
    assert fates == ["split", "stayed", "nested", "changed", "vanished", "rare", "stayed", "nested", "stayed"]
    assert matched.n_nested.tolist() == [2, 1, 0, 0, 0, 0, 0, 1, 1] and matched.n_texts == N
    np.testing.assert_allclose(matched.covered[[SPLITS, STAYS, INSIDE, CHANGES]], [0.9, 55 / 60, 0, 0])
    assert np.isnan(matched.pairs.cosine).all()


@pytest.mark.parametrize("seed", range(3))
def test_every_number_is_that_of_numpy(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "FEATURES_AT_A_TIME", 7)
    monkeypatch.setattr(matching, "MOST_LIKE", 6)
    monkeypatch.setattr(matching, "PAIRS_AT_A_TIME", 11)
    draw = np.random.default_rng(seed)
    topics = draw.random((600, 6)) < 0.15
    small, large = (
        np.where(topics[:, draw.integers(0, 6, n)], draw.random((600, n)) < 0.6, draw.random((600, n)) < 0.03)
        for n in (20, 33)
    )
    small[:, 4], large[:, 5] = False, False
    directions, other = draw.normal(size=(20, 9)), draw.normal(size=(33, 9))
    directions, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (directions, other))
    matched = matching.match(hold(small), hold(large), matching.comparable(directions, other))
    pairs, expected = matched.pairs, []
    own, their = small.sum(0), large.sum(0)
    for s in range(20):
        both = (small[:, [s]] & large).sum(0)
        jaccard = both / np.maximum(own[s] + their - both, 1)
        kept = [o for o in range(33) if both[o] >= MIN_BOTH]
        nested = (both / np.maximum(their, 1) - own[s] / 600) / (1 - own[s] / 600)
        ranked = sorted(kept, key=lambda o: (-jaccard[o], o))
        expected += [(s, o) for place, o in enumerate(ranked) if place < matching.MOST_LIKE or nested[o] >= 0.5]
    assert list(zip(pairs.feature.tolist(), pairs.other.tolist(), strict=True)) == expected and len(expected) > 20
    for place, (s, o) in enumerate(expected):
        both, base = (small[:, s] & large[:, o]).sum(), own[s] / 600
        assert pairs.n_both[place] == both
        assert pairs.covers[place] == pytest.approx(both / own[s])
        assert pairs.inside[place] == pytest.approx(both / their[o])
        assert pairs.jaccard[place] == pytest.approx(both / (small[:, s] | large[:, o]).sum())
        assert pairs.nesting[place] == pytest.approx((both / their[o] - base) / (1 - base))
        assert pairs.within[place] == pytest.approx((both / own[s] - their[o] / 600) / (1 - their[o] / 600))
        assert pairs.cosine[place] == pytest.approx(directions[s] @ other[o], abs=1e-6)
    for s in range(20):
        parts = [o for (a, o), part in zip(expected, pairs.nested, strict=True) if a == s and part]
        covered = (small[:, s] & large[:, parts].any(axis=1)).sum() / own[s] if own[s] else np.nan
        assert matched.n_nested[s] == len(parts) and matched.covered[s] == pytest.approx(covered, nan_ok=True)


def test_the_other_way_round_what_split_off_is_nested() -> None:
    small, large = planted()
    back = matching.match(hold(large), hold(small))
    assert [FATES[fate] for fate in back.fate[[0, 1, 2]]] == ["nested", "nested", "stayed"]


def test_unequal_corpora_are_refused() -> None:
    small, large = planted()
    with pytest.raises(Refusal, match="on 1,000 texts and the other on 900"):
        matching.match(hold(small), hold(large[:900]))


def test_directions_are_read_without_torch_and_compared_only_in_one_space(tmp_path: Path) -> None:
    made = make_run(tmp_path / "one")
    read = matching.read_directions(made.generation.sae_folder)
    np.testing.assert_allclose(read, weights()["W_dec"], atol=1e-6)
    assert matching.read_directions(tmp_path) is None
    assert matching.comparable(read, None) is None and matching.comparable(read, read[:, :3]) is None
    assert matching.comparable(read, read) is not None
    (tmp_path / "sae_weights.safetensors").write_bytes(b"\0" * 30)
    with pytest.raises(Refusal, match="cannot be read"):
        matching.read_directions(tmp_path)


def mark(generation: Generation, stage: str, fingerprint: str) -> None:
    generation.mark_done(stage, Done(fingerprint, {}, "", {}))


def test_only_runs_of_the_same_texts_and_embeddings_are_compared(tmp_path: Path) -> None:
    generation, other = make_run(tmp_path / "one").generation, make_run(tmp_path / "other").generation
    assert queries.why_not_comparable(generation, other) is None
    mark(other, "embed", "another embedder")
    assert "do not have the same embeddings" in queries.why_not_comparable(generation, other)
    mark(other, "ingest", "other texts")
    assert "do not have the same texts" in queries.why_not_comparable(generation, other)
    half = make_run(tmp_path / "half", upto="train").generation
    assert queries.why_not_comparable(generation, half) == "the stage 'summarise' of 'half' is not done"


def test_the_first_texts_are_asked_for_when_there_are_more_than_can_be_compared(tmp_path: Path) -> None:
    made = make_run(tmp_path / "one")
    store = open_store(made.generation)
    for most in (100_000, 120):
        rows = queries.firing_pairs(store, most=most)
        assert (rows.n_texts, rows.n_features) == (min(most, N_TEXTS), N_FEATURES)
        fires = incidence([(rows.text_ids, rows.feature_ids)], rows.n_texts, rows.n_features).toarray()
        np.testing.assert_array_equal(fires, made.activations[:most] > 0)
    assert queries.texts_per_feature(store)["n_active"].to_pylist() == (made.activations > 0).sum(0).tolist()


def test_counterparts_are_those_of_numpy_and_each_kind_is_planted() -> None:
    draw = np.random.default_rng(2)
    small, large = np.zeros((N, 6), bool), np.zeros((N, 6), bool)
    small[:100, 0] = large[5:105, 0] = True  # both: the same texts and nearly the same direction
    small[200:300, 1] = large[205:305, 1] = True  # the same texts, another direction
    small[400:450, 2], large[500:550, 2] = True, True  # the same direction, other texts
    small[600:700, 3], large[650:760, 3] = True, True  # a third of the texts
    small[800:850, 4] = True
    small[900:903, 5], large[950:990, 4] = True, True
    directions, others = (draw.normal(size=(6, 64)) for _ in range(2))
    others[0], others[2] = directions[0] + 0.1 * others[0], directions[2] + 0.1 * others[2]
    directions, others = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (directions, others))
    found = matching.counterparts(matching.match(hold(small), hold(large)), (directions, others))
    assert [matching.KINDS[kind] for kind in found.kind] == ["both", "overlap", "direction", "near", "alone", "rare"]
    cosines = directions @ others.T
    assert found.by_direction.tolist() == cosines.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.cosine, cosines.max(axis=1), atol=1e-6)
    both, either = (small[:, :4] & large[:, :4]).sum(0), (small[:, :4] | large[:, :4]).sum(0)
    np.testing.assert_allclose(found.jaccard[[0, 1, 3]], (both / either)[[0, 1, 3]])
    assert found.by_overlap.tolist() == [0, 1, -1, 3, -1, -1]
    assert found.share("both", "overlap", "direction") == pytest.approx(3 / 5)
    undirected = matching.counterparts(matching.match(hold(small), hold(large)), None)
    assert [matching.KINDS[kind] for kind in undirected.kind] == [
        "overlap",
        "overlap",
        "alone",
        "near",
        "alone",
        "rare",
    ]
