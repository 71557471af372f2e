"""Tables that are derived from others: views in DuckDB, and in an index tables of their own.

A question that needs one gets its name from here, so that the view is there when DuckDB answers.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurelib.schema import TEXTS
from featurelib.storage.own_columns import listed_columns
from featurelib.storage.store import Store

LISTED_TEXTS, CARDS, CARD_WORDS, FAMILY_CARDS = "listed_texts", "cards", "card_words", "family_cards"
BETWEEN = r"[^\pL\pN\pM\x{200C}\x{200D}]+"
"""What stands between words, in DuckDB's patterns: neither letter, digit, mark nor joiner."""

CARDS_SQL = """
select f.feature_id, f.density, f.n_active, f.max_activation, f.mean_activation, f.dead,
    coalesce(l.label, 'feature ' || f.feature_id) as label, coalesce(l.source, 'none') as label_source, g.gate,
    p.cluster, q.auroc, q.ap
from maybe.features f
left join maybe.labels l on l.feature_id = f.feature_id
left join maybe.gates g on g.feature_id = f.feature_id
left join maybe.layout p on p.feature_id = f.feature_id
left join maybe.fidelity q on q.feature_id = f.feature_id and q.method = 'ours' and q.predictor = 'resembles'
order by f.feature_id
"""
"""Every feature with its numbers and its label."""

CARD_WORDS_SQL = f"""
with words as (
    select feature_id, string_agg(keyword, ', ' order by rank) as keywords,
        string_agg(keyword, ' ' order by rank) as own
    from maybe.keywords
    group by feature_id
), explained as (
    select feature_id, min(explanation) as explanation
    from maybe.explanations
    group by feature_id
), named as (
    select f.feature_id, coalesce(l.label, 'feature ' || f.feature_id) as label, l.label as own_label,
        coalesce(w.keywords, '') as keywords, coalesce(w.own, '') as own, coalesce(x.explanation, '') as explanation
    from maybe.features f
    left join maybe.labels l on l.feature_id = f.feature_id
    left join words w on w.feature_id = f.feature_id
    left join explained x on x.feature_id = f.feature_id
)
select feature_id, keywords, lower(label) as label_lower,
    lower(label || ' ' || keywords || ' ' || explanation) as searched,
    lower(regexp_replace(' ' || own_label, '{BETWEEN}', ' ', 'g')) as label_words,
    lower(regexp_replace(' ' || own_label || ' ' || own, '{BETWEEN}', ' ', 'g')) as all_words
from named
order by feature_id
"""
"""What is searched of every feature: lower case; of a feature without a label, label_words and all_words are null."""

FAMILY_CARDS_SQL = """
with named as (
    select i.family_id,
        lower(string_agg(coalesce(l.label, 'feature ' || i.feature_id), ' ' order by i.feature_id)) as names
    from maybe.families i
    left join maybe.labels l on l.feature_id = i.feature_id
    group by i.family_id
)
select m.family_id, m.root_id, coalesce(l.label, 'feature ' || m.root_id) as label, m.size, m.depth, f.n_active,
    f.density, m.r_parent_child, m.r_children, m.in_block, m.off_block, m.block_ratio, m.shuffled_ratio,
    m.block_ratio / m.shuffled_ratio as over_shuffled, coalesce(n.names, '') as names
from maybe.family_metrics m
join maybe.features f on f.feature_id = m.root_id
left join maybe.labels l on l.feature_id = m.root_id
left join named n on n.family_id = m.family_id
order by m.family_id
"""
"""Every family with its measures, its root's label, and the labels of all members in lower case."""

NAMED_VECTORS_SQL = """
select v.feature_id, v.embedding
from label_vectors v
join labels l on l.feature_id = v.feature_id
where l.source <> 'none'
order by v.feature_id
"""
"""The embeddings of the labels that say something."""


def listed_texts_sql(store: Store, *, stored: bool = False) -> str:
    """The SQL of what is known of each text, and own_0, own_1, … for the columns that lists of texts have.

    With `stored` their values are as an index keeps them.
    """
    values = [column.stored if stored else column.expression("t") for column in listed_columns(store)]
    own = "".join(f", {value} as own_{number}" for number, value in enumerate(values))
    return f"""
        select t.text_id, t.source_row, t.source_id, t.text, s.n_active, s.fvu, s.cosine, s.n_tokens, s.truncated,
            s.cut, s.sae_split{own}
        from texts t
        left join maybe.text_summaries s on s.text_id = t.text_id"""


def listed_texts(store: Store) -> str:
    """The name of the table of texts with all that a list shows of them."""
    store.need(TEXTS)
    return store.once(LISTED_TEXTS, lambda: store.define(LISTED_TEXTS, listed_texts_sql(store)))


def cards(store: Store) -> str:
    """The name of the table of features with their numbers and labels; empty before the stage summarise."""
    return store.once(CARDS, lambda: store.define(CARDS, CARDS_SQL))


def card_words(store: Store) -> str:
    """The name of the table of what is searched of features."""
    return store.once(CARD_WORDS, lambda: store.define(CARD_WORDS, CARD_WORDS_SQL))


def family_cards(store: Store) -> str:
    """The name of the table of families with their labels."""
    return store.once(FAMILY_CARDS, lambda: store.define(FAMILY_CARDS, FAMILY_CARDS_SQL))


def cards_of(store: Store, feature_ids: np.ndarray) -> pa.Table:
    """Return label, max_activation, density and n_active of some features, in their order; they may repeat.

    A feature that the table of features does not have gives nulls, and its number as its label.
    """
    different, places = np.unique(feature_ids, return_inverse=True)
    rows = store.look_up(
        f"""
        select feature_id, label, max_activation, density, n_active
        from {cards(store)}
        where feature_id in (select unnest($ids::bigint[]))
        order by feature_id""",
        ids=different.tolist(),
    )
    if rows.num_rows < len(different):
        known = rows["feature_id"].to_numpy()
        at = np.searchsorted(known, different)
        there = np.isin(different, known)
        rows = rows.take(pa.array(at, mask=~there))
        named = [f"feature {feature_id}" for feature_id in different.tolist()]
        rows = rows.set_column(1, "label", pc.coalesce(rows["label"], pa.array(named)))
    return rows.take(pa.array(places))


def label_vectors(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Return the features whose label says something, and the embeddings of their labels, float32 [n, d].

    d is 0 where the run has none; RunNotReady before the stage labels is done.
    """
    found = store.from_index(lambda index: index.arrays.label_vectors)
    if found is not None:
        return found
    return vectors_of(store.ask(NAMED_VECTORS_SQL))


def vectors_of(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The ids and the embeddings, float32 [n, d], of rows of feature_id and embedding."""
    flat = rows["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    shape = (rows.num_rows, -1) if len(flat) else (0, 0)
    return rows["feature_id"].to_numpy(), flat.astype(np.float32).reshape(shape)
