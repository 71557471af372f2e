"""Questions about the model's losses: what a reconstruction costs, and on which tokens most."""

from __future__ import annotations

import pyarrow as pa

from featurelib.queries.texts import beside_texts
from featurelib.schema.records import LossMetric
from featurelib.storage.answers import once_per_generation
from featurelib.storage.store import Store

ORDER = ("ce_clean", "ce_sae", "ce_zero", "ce_mean", "ce_increase", "ce_recovered", "ce_recovered_mean", "kl")
"""The metrics in the order in which they are read."""


@once_per_generation
def loss_metrics(store: Store) -> list[LossMetric]:
    """Return the losses with each replacement and what is made of them; none where the model predicts nothing."""
    rows = [LossMetric(**row) for row in store.ask("select * from cross_entropy order by metric").to_pylist()]
    return sorted(rows, key=lambda row: ORDER.index(row.metric) if row.metric in ORDER else len(ORDER))


@once_per_generation
def hurt_tokens(store: Store, *, limit: int = 20) -> pa.Table:
    """Return the tokens whose loss the reconstruction raises most.

    Columns: place (from 1), text_id, position (among the tokens of its text), token, start and end (in characters),
    clean and reconstructed (the loss with each), text, source_id.
    """
    rows = store.ask(
        """
        select l.rank as place, l.text_id, l."position", v.token, l."start", l."end", l.clean, l.reconstructed
        from token_losses l
        left join vocabulary v on v.token_id = l.token_id
        where l.rank <= $limit
        order by l.rank""",
        limit=limit,
    )
    ids = list(dict.fromkeys(rows["text_id"].to_pylist()))
    texts = beside_texts(store, pa.table({"text_id": pa.array(ids, pa.int64())}))
    at = pa.array([ids.index(text_id) for text_id in rows["text_id"].to_pylist()], pa.int64())
    for name in ("text", "source_id"):
        rows = rows.append_column(name, texts[name].take(at))
    return rows
