"""Pooling of token activations, against loops over texts and features."""

from __future__ import annotations

import numpy as np
import pytest

from featurelib.sae.pooling import Fired, pool

N_FEATURES = 7
LENGTHS = [4, 1, 6, 3]


def drawn():
    """Activations of 14 tokens of four texts: dense, many of them 0; the last token of the second text has none."""
    draw = np.random.default_rng(0)
    dense = np.maximum(draw.normal(size=(sum(LENGTHS), N_FEATURES)), 0).astype(np.float32).round(1)
    dense[4] = 0
    return dense


def by_hand(own, how):
    """The pooled activations of one text from those of its tokens [n, F]."""
    if how.startswith("top"):
        n = int(how[3:])
        counts = np.zeros(N_FEATURES)
        for token in own:
            order = sorted(range(N_FEATURES), key=lambda feature: (-token[feature], feature))
            for feature in order[:n]:
                counts[feature] += token[feature] > 0
        return counts
    return {"max": own.max(0), "mean": own.mean(0), "sum": own.sum(0), "last": own[-1]}[how]


@pytest.mark.parametrize("how", ["max", "mean", "sum", "last", "top1", "top2", "top20"])
def test_pooling_is_as_by_hand(how):
    dense = drawn()
    rows, features = np.nonzero(dense)
    fired = Fired(rows, features.astype(np.int32), dense[rows, features])
    text_of_token = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    pooled = pool(fired, text_of_token, len(LENGTHS), N_FEATURES, how)
    whole = np.zeros((len(LENGTHS), N_FEATURES))
    whole[pooled.rows, pooled.feature_ids] = pooled.activations
    starts = np.cumsum([0, *LENGTHS])
    for text in range(len(LENGTHS)):
        np.testing.assert_allclose(whole[text], by_hand(dense[starts[text] : starts[text + 1]], how), rtol=1e-6)
    assert (pooled.activations > 0).all()
    assert (np.diff(pooled.rows * N_FEATURES + pooled.feature_ids) > 0).all()


def test_nothing_that_fires_pools_to_nothing():
    none = Fired(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    for how in ("max", "mean", "last", "top3"):
        assert len(pool(none, np.array([0, 0, 1]), 2, N_FEATURES, how).rows) == 0
