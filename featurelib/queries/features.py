"""Questions about features: one by its id, some by conditions, all on the map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurelib.queries.feature_filter import EVERY, FeatureFilter, check_number
from featurelib.queries.relevance import ranked
from featurelib.schema import FEATURES, Refusal
from featurelib.storage.answers import once_per_generation
from featurelib.storage.derived import card_words, cards
from featurelib.storage.fired import n_active
from featurelib.storage.store import Store

RELEVANCE = "relevance"
"""The order of what words find; without words there is none."""
SORTS = (
    "feature_id",
    "label",
    "density",
    "n_active",
    "max_activation",
    "mean_activation",
    "gate",
    "cluster",
    "auroc",
    "ap",
    "dead",
)
"""The columns that `features` sorts by."""
COLUMNS = """c.feature_id, c.label, w.keywords, c.density, c.n_active, c.max_activation, c.mean_activation, c.gate,
    c.cluster, c.auroc, c.ap, c.dead"""
ALL = 2**31
"""A limit that no run's number of features reaches."""


@dataclass(frozen=True)
class Feature:
    """One unit of the SAE and what is known of it on this corpus."""

    feature_id: int
    label: str
    label_source: str
    """evidence, or tokens in a token run; keywords or single texts where nothing told candidates apart; none when it is
    only its number.

    "not yet" before the stage that names features is done.
    """
    n_active: int
    """The number of texts on which it fires."""
    n_texts: int
    """The number of texts of the corpus."""
    density: float
    """n_active / n_texts."""
    log10_density: float | None
    """None when dead."""
    max_activation: float
    mean_activation: float
    """The mean over the texts on which it fires; 0 when dead."""
    dead: bool
    """Whether it fires on no text of this corpus."""
    threshold: float | None
    """What the pre-activation must exceed; 0 where that depends on the text (TopK), None when the run does not say."""
    cluster: int | None
    """Its cluster in the layout, -1 for none; None when there is no layout yet."""
    auroc: float | None = None
    """How well similarity to the label predicts firing on the label test texts; None where it was not measured."""
    ap: float | None = None
    """The average precision of the same."""


def features(
    store: Store,
    which: FeatureFilter = EVERY,
    *,
    sort: str = "density",
    descending: bool = True,
    limit: int | None = 50,
    offset: int = 0,
) -> pa.Table:
    """Return a page of the features that meet the conditions, ties in the order of feature_id; `limit=None` gives all.

    Columns: feature_id, label, keywords, density, n_active, max_activation, mean_activation, gate (the threshold),
    cluster, auroc, ap (of our label, by similarity, on the label test texts), dead. Refusal for a `sort` that is none
    of SORTS; RELEVANCE is another one where the filter has words.
    """
    if sort == RELEVANCE and which.words.strip():
        store.need(FEATURES)
        return _by_relevance(store, which, limit, offset)
    if sort not in SORTS:
        raise Refusal(f"features cannot be sorted by '{str(sort)[:40]}'; use one of {', '.join(SORTS)}.")
    order = f"c.{sort} {'desc' if descending else 'asc'} nulls last, c.feature_id"
    conditions, values = which.conditions(store)
    store.need(FEATURES)
    if limit is None and not values and store.generation.complete:
        return _in_order(_every_feature(store), sort, descending).slice(offset)
    return store.look_up(
        f"""
        with page as (
            select c.*
            from {cards(store)} c
            where {conditions}
            order by {order}
            limit $limit offset $offset
        )
        select {COLUMNS}
        from page c
        join {card_words(store)} w on w.feature_id = c.feature_id
        order by {order}""",
        **values,
        limit=ALL if limit is None else limit,
        offset=offset,
    )


def _in_order(every: pa.Table, sort: str, descending: bool) -> pa.Table:
    """All features by a column, sorted in memory: SQL would hand each row to Python."""
    keys = {"feature_id": "ascending"} | {sort: "descending" if descending else "ascending"}
    return every.take(pc.sort_indices(every, sort_keys=[*keys.items()][::-1]))


@once_per_generation
def _every_feature(store: Store) -> pa.Table:
    """Every feature at the place of its id: some 6 MB for 16,384, read in a quarter of a second."""
    return store.look_up(
        f"""
        select {COLUMNS}
        from {cards(store)} c
        join {card_words(store)} w on w.feature_id = c.feature_id
        order by c.feature_id"""
    )


@once_per_generation
def silent_columns(store: Store) -> frozenset[str]:
    """Return which of auroc, ap and gate tell nothing: no label was measured, or all thresholds are the same."""
    row = store.ask(
        """
        select count(auroc) = 0 as auroc, count(ap) = 0 as ap,
            (select count(distinct gate) < 2 from maybe.gates) as gate
        from maybe.fidelity
        where method = 'ours' and predictor = 'resembles'"""
    ).to_pylist()[0]
    return frozenset(name for name, is_silent in row.items() if is_silent)


def count_features(store: Store, which: FeatureFilter = EVERY) -> int:
    """Return the number of features that meet the conditions."""
    conditions, values = which.conditions(store)
    store.need(FEATURES)
    rows = store.look_up(f"select count(*) as n from {cards(store)} c where {conditions}", **values)
    return int(rows["n"][0].as_py())


def feature(store: Store, feature_id: int) -> Feature:
    """Return one feature; Refusal naming the range when there is none with this id."""
    store.need(FEATURES)
    last = count_features(store) - 1
    if not 0 <= int(feature_id) <= last:
        raise Refusal(f"there is no feature {feature_id}; this run's features are 0 to {last}.")
    row = store.look_up(
        f"""
        select c.feature_id, c.label,
            case when exists(select 1 from maybe.labels) then c.label_source else 'not yet' end as label_source,
            c.n_active, c.density, f.log10_density, c.max_activation, c.mean_activation, c.dead,
            c.gate as threshold, c.cluster, c.auroc, c.ap
        from {cards(store)} c
        join features f on f.feature_id = c.feature_id
        where c.feature_id = $feature_id""",
        feature_id=int(feature_id),
    ).to_pylist()[0]
    return Feature(**row, n_texts=store.n_texts)


def keywords(store: Store, feature_id: int) -> pa.Table:
    """Return a feature's keywords: rank, keyword, score, n_texts; empty when it has none."""
    return store.look_up(
        """
        select rank, keyword, score, n_texts
        from keywords
        where feature_id = $feature_id
        order by rank""",
        feature_id=feature_id,
    )


def labels(store: Store, ids: Iterable[int]) -> dict[int, str]:
    """Return the labels of some features, by id; unknown ids are left out."""
    store.need(FEATURES)
    rows = store.look_up(
        f"""
        select feature_id, label
        from {cards(store)}
        where feature_id in (select unnest($ids::bigint[]))
        order by feature_id""",
        ids=[int(feature_id) for feature_id in ids],
    )
    return dict(zip(rows["feature_id"].to_pylist(), rows["label"].to_pylist(), strict=True))


def find_features(store: Store, words: str, *, limit: int = 20) -> pa.Table:
    """Return features by id, or by words that all occur in label, keywords or explanation: feature_id, label, density.

    The most relevant first (see `relevance`). Empty without words.
    """
    store.need(FEATURES)
    check_number(store.lowered(words).split())
    return _of_ids(store, ranked(store, words).feature_ids[:limit], "c.feature_id, c.label, c.density")


def _of_ids(store: Store, ids: list[int], columns: str) -> pa.Table:
    """The columns of some features, in the order of their ids as given."""
    rows = store.look_up(
        f"""
        select {columns}
        from {cards(store)} c
        join {card_words(store)} w on w.feature_id = c.feature_id
        where c.feature_id in (select unnest($ids::bigint[]))
        order by c.feature_id""",
        ids=ids,
    )
    place = {feature_id: number for number, feature_id in enumerate(rows["feature_id"].to_pylist())}
    return rows.take(pa.array([place[feature_id] for feature_id in ids], pa.int64()))


def _by_relevance(store: Store, which: FeatureFilter, limit: int | None, offset: int) -> pa.Table:
    """A page of the features that meet the conditions, in the order of relevance of its words."""
    conditions, values = which.conditions(store)
    rows = store.look_up(
        f"select c.feature_id from {cards(store)} c where {conditions} order by c.feature_id", **values
    )
    meeting = set(rows["feature_id"].to_pylist())
    ids = [feature_id for feature_id in ranked(store, which.words).feature_ids if feature_id in meeting]
    return _of_ids(store, ids[offset : None if limit is None else offset + limit], COLUMNS)


def random_feature(store: Store, draw: float) -> int:
    """Return the live feature at the share `draw` (from 0, below 1) of all live ones; Refusal when all are dead."""
    live = np.flatnonzero(n_active(store))
    if not len(live):
        raise Refusal("every feature of this run is dead on its corpus, so there is none to draw.")
    return int(live[int(min(max(float(draw), 0.0), 1 - 1e-9) * len(live))])
