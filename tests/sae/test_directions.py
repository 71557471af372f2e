"""Nearest and opposite directions against float64 from the definition, with copies, zeros and every size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featurelib.sae.evaluation import nearest_directions
from featurelib.sae.evaluation.directions import Nearest
from featurelib.sae.gates import Relu
from featurelib.sae.model import SAE


def sae_of(directions: np.ndarray) -> SAE:
    n, d = directions.shape
    weights = torch.from_numpy(directions.astype(np.float32))
    return SAE(weights.T.contiguous(), torch.zeros(n), weights, torch.zeros(d), Relu())


def slow(directions: np.ndarray, limit: int, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole rows sorted, cosines rounded to float32 after they were computed in float64."""
    unit = directions.astype(np.float32).astype(np.float64)
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    unit /= np.where(lengths > 0, lengths, 1)
    cosines = (unit @ unit.T).astype(np.float32)
    order = -sign * cosines
    np.fill_diagonal(order, np.inf)
    ids = np.argsort(order, axis=1, kind="stable")[:, :limit]
    return ids, np.take_along_axis(cosines, ids, axis=1)


def check(found: Nearest, directions: np.ndarray, limit: int, sign: int) -> None:
    ids, cosines = slow(directions, limit, sign)
    n, most = ids.shape
    np.testing.assert_array_equal(found.neighbour_id.reshape(n, most), ids)
    np.testing.assert_array_equal(found.cosine.reshape(n, most), cosines)
    np.testing.assert_array_equal(found.feature_id, np.repeat(np.arange(n), most))
    np.testing.assert_array_equal(found.rank, np.tile(np.arange(1, most + 1), n))
    assert [column.dtype for column in found] == [np.int32, np.int32, np.int32, np.float32]


@pytest.mark.parametrize(("n", "d", "n_nearest", "n_opposite"), [(700, 24, 20, 5), (300, 3, 50, 10), (40, 16, 50, 10)])
def test_they_are_those_of_whole_sorted_rows(n: int, d: int, n_nearest: int, n_opposite: int) -> None:
    draw = np.random.default_rng(n)
    directions = draw.standard_normal((n, d))
    directions[n // 2 : n // 2 + 8] = directions[3]
    directions[9], directions[n - 1] = -directions[3], 0
    found = nearest_directions(sae_of(directions), n_nearest, n_opposite)
    check(found.nearest, directions, min(n_nearest, n - 1), 1)
    check(found.opposite, directions, min(n_opposite, n - 1), -1)
    np.testing.assert_allclose(found.largest, slow(directions, 1, 1)[1][:, 0], atol=1e-7)


def test_copies_in_every_group_are_not_taken_for_one() -> None:
    """Features that repeat at a regular distance all fall into one group of columns."""
    directions = np.tile(np.random.default_rng(1).standard_normal((64, 12)), (16, 1))
    directions += 1e-4 * np.random.default_rng(2).standard_normal(directions.shape)
    found = nearest_directions(sae_of(directions), 20, 10)
    check(found.nearest, directions, 20, 1)
    check(found.opposite, directions, 10, -1)


def test_directions_of_length_0_have_the_first_others_at_cosine_0() -> None:
    directions = np.random.default_rng(3).standard_normal((600, 8))
    directions[100:500] = 0
    found = nearest_directions(sae_of(directions), 5, 3)
    check(found.nearest, directions, 5, 1)
    check(found.opposite, directions, 3, -1)


def test_one_feature_has_no_other() -> None:
    found = nearest_directions(sae_of(np.ones((1, 4))), 50, 10)
    assert not len(found.nearest.cosine) and not len(found.opposite.cosine) and not len(found.largest)


def test_nothing_is_found_where_nothing_is_wanted() -> None:
    found = nearest_directions(sae_of(np.random.default_rng(0).standard_normal((20, 4))), 3, 0)
    assert len(found.nearest.cosine) == 60 and not len(found.opposite.cosine)
