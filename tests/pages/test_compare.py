"""Two features side by side, against numpy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib import queries
from featurelib.schema import BY_FEATURE, NEIGHBOUR_ROWS
from featurelib.storage.runs import Run
from featurelib.storage.store import open_store
from tests.support.page import Open, cards, links, words


def fired(tiny: Run) -> dict[int, set[int]]:
    """The texts on which each feature fires."""
    rows = pa.concat_tables([pq.read_table(path) for path in tiny.current().parts(BY_FEATURE)]).to_pandas()
    return {int(feature_id): set(group) for feature_id, group in rows.groupby("feature_id")["text_id"]}


def overlapping(own: dict[int, set[int]]) -> tuple[int, int]:
    """Two features that share some texts and have some alone."""
    return next((a, b) for a in own for b in own if a < b and own[a] & own[b] and own[a] - own[b] and own[b] - own[a])


def test_the_page_counts_both_and_each_alone(open_tiny: Open, tiny: Run) -> None:
    own = fired(tiny)
    a, b = overlapping(own)
    app = open_tiny("compare.py", a=a, b=b)
    said = words(app)
    both = len(own[a] & own[b])
    assert f"{both} texts with both" in said and f"{len(own[a] - own[b])} with the first alone" in said
    assert f"{len(own[b] - own[a])} with the second alone" in said
    assert f"Both fire {both} texts" in said
    assert len(cards(app)) == sum(min(5, len(texts)) for texts in (own[a] & own[b], own[a] - own[b], own[b] - own[a]))


def test_common_neighbours_are_in_both_lists(tiny: Run) -> None:
    store = open_store(tiny.current())
    rows = pq.read_table(tiny.current().file(NEIGHBOUR_ROWS)).to_pandas()
    of = {
        feature_id: dict(zip(own["neighbour_id"], own["cosine"], strict=True))
        for feature_id, own in rows.groupby("feature_id")
    }
    found = queries.common_neighbours(store, 1, 2, limit=100).to_pylist()
    assert {row["feature_id"] for row in found} == of[1].keys() & of[2].keys() and found
    sums = [row["first"] + row["second"] for row in found]
    assert (np.diff(sums) <= 1e-6).all()
    assert queries.cosine_of(store, 1, 2) == of[1].get(2, of[2].get(1))


def test_a_feature_leads_to_its_comparison_with_the_nearest(open_tiny: Open) -> None:
    assert "compare with the nearest ›" in links(open_tiny("feature.py", feature=4), "compare")


def test_wrong_addresses_get_a_sentence(open_tiny: Open) -> None:
    assert "Choose two features here" in words(open_tiny("compare.py"))
    assert "Choose two features here" in words(open_tiny("compare.py", a=3, find_b="star"))
    assert "compared with itself" in words(open_tiny("compare.py", a=3, b=3))
    assert "there is no feature 99" in words(open_tiny("compare.py", a=3, b=99)).casefold()
