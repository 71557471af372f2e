"""Concepts that were planted in features, in embeddings alone, or nowhere; and scores by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import f1_score, roc_auc_score

from featurelib.schema import Refusal
from featurelib.slices import concept
from featurelib.slices.concept import Labelled, discriminant, find_concept

N, N_FEATURES, D = 800, 60, 12


def labelled(
    draw: np.random.Generator, rates: dict[int, float], elsewhere: float = 0.02, shift: float = 0.0
) -> Labelled:
    """Texts of which an eighth are examples; some features fire on them at the given rates."""
    is_example = np.arange(N) % 8 == 0
    dense = draw.gamma(2, 0.5, (N, N_FEATURES)) * (draw.random((N, N_FEATURES)) < 0.1)
    for feature_id, rate in rates.items():
        dense[:, feature_id] = draw.gamma(4, 0.5, N) * (draw.random(N) < np.where(is_example, rate, elsewhere))
    embeddings = draw.standard_normal((N, D)) + shift * is_example[:, None]
    return Labelled(csr_matrix(dense.astype(np.float32)), embeddings.astype(np.float32), is_example)


def test_a_planted_feature_is_found_and_carries_it() -> None:
    found = find_concept(labelled(np.random.default_rng(0), {7: 0.95}))
    assert found.single.feature_ids == found.several.feature_ids == [7] and found.single.carries
    assert found.single.f1.low > 0.7 and found.single.auroc.value > 0.9
    assert not found.ceiling.carries and abs(found.ceiling.auroc.value - 0.5) < 0.12
    assert (found.n_chosen_on, found.n_examples, found.n_others) == (400, 50, 350)


def test_a_concept_in_three_features_needs_all_three() -> None:
    draw = np.random.default_rng(1)
    texts = labelled(draw, {})
    kind, dense = draw.integers(0, 3, N), texts.activations.toarray()
    for place, feature_id in enumerate((4, 9, 30)):
        fires = np.where(texts.is_example & (kind == place), draw.random(N) < 0.95, draw.random(N) < 0.01)
        dense[:, feature_id] = draw.gamma(4, 0.5, N) * fires
    found = find_concept(Labelled(csr_matrix(dense), texts.embeddings, texts.is_example))
    assert sorted(found.several.feature_ids) == [4, 9, 30] and found.several.carries and not found.single.carries


def test_what_is_nowhere_is_carried_by_nothing() -> None:
    for seed in range(20):
        found = find_concept(labelled(np.random.default_rng(seed), {}), seed)
        assert not found.single.carries and not found.several.carries and not found.ceiling.carries
        assert found.several.auroc.low < 0.62


def test_what_is_in_the_embedding_alone_is_said_by_its_ceiling() -> None:
    found = find_concept(labelled(np.random.default_rng(2), {}, shift=2.0))
    assert found.ceiling.carries and not found.several.carries


def test_scores_are_scikit_learns_on_the_half_that_tests() -> None:
    texts = labelled(np.random.default_rng(3), {7: 0.7, 8: 0.5})
    found = find_concept(texts)
    choose, test = (texts.part(rows) for rows in concept._halves(texts.is_example, 0))
    assert len(np.intersect1d(*concept._halves(texts.is_example, 0))) == 0
    own = test.activations[:, found.single.feature_ids[0]].toarray().ravel()
    assert found.single.auroc.value == pytest.approx(roc_auc_score(test.is_example, own))
    chosen = choose.activations[:, found.single.feature_ids[0]].toarray().ravel()
    cuts = {cut: f1_score(choose.is_example, chosen >= cut) for cut in np.unique(chosen)}
    best = max(cuts, key=lambda cut: cuts[cut])
    assert found.single.f1.value == pytest.approx(f1_score(test.is_example, own >= best))


def test_the_discriminant_is_scikit_learns() -> None:
    draw = np.random.default_rng(4)
    x = draw.standard_normal((300, 5)) @ draw.standard_normal((5, 5))
    is_example = draw.random(300) < 0.3
    x[is_example] += 1
    expected = LinearDiscriminantAnalysis(solver="lsqr").fit(x, is_example).coef_[0]
    own = discriminant(x.astype(np.float32), is_example)
    assert own @ expected / np.linalg.norm(own) / np.linalg.norm(expected) > 0.98


def test_too_few_are_refused() -> None:
    texts = labelled(np.random.default_rng(5), {})
    with pytest.raises(Refusal, match="5 examples are given; 8 or more"):
        find_concept(Labelled(texts.activations, texts.embeddings, np.arange(N) < 5))
    with pytest.raises(Refusal, match="3 other texts are given"):
        find_concept(Labelled(texts.activations, texts.embeddings, np.arange(N) >= 3))
