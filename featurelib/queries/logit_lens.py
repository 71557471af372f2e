"""Questions about the logit lens: which tokens a feature raises and lowers, which features raise a token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurelib.schema import LOGIT_LENS, RAISING_FEATURES
from featurelib.storage.derived import cards_of
from featurelib.storage.store import Store

MOST_SPELLINGS = 4
"""Tokens of the vocabulary that count as the one that was typed: with a space before it, in capitals."""
MOST_BEGINNING = 8
"""Tokens that are named where none is what was typed."""


@dataclass(frozen=True)
class LogitSpread:
    """How the values that a feature writes are spread over the vocabulary."""

    mean_logit: float
    """What was taken away from all values, which changes no probability."""
    deviation: float
    """Their standard deviation."""
    skewness: float
    """Above 0 where few tokens are raised much."""
    kurtosis: float
    """3 for a normal distribution; above it where few tokens are raised or lowered much."""
    lowest: float
    """The lowest value, where the first bin begins."""
    highest: float
    """The highest one, where the last bin ends."""
    counts: tuple[int, ...]
    """How many tokens are in each of 40 equal bins."""


@dataclass(frozen=True)
class Token:
    """One token of the vocabulary."""

    token_id: int
    token: str
    """Its words; a space before it is part of it."""


def no_logits_reason(store: Store) -> str | None:
    """Return why this run's model has no logit lens, without a full stop; None where it has, or nothing is known."""
    done = store.generation.done(LOGIT_LENS.stage)
    return done.facts.get("reason") if done else None


def feature_logits(store: Store, feature_id: int) -> pa.Table:
    """Return the tokens that a feature raises and lowers most.

    Columns: side (raised, then lowered), rank, token_id, token, logit; `token` is null for a place of the vocabulary
    that the tokenizer has no token for.
    """
    return store.look_up(
        """
        select x.side, x.rank, x.token_id, v.token, x.logit
        from logit_lens x
        left join vocabulary v on v.token_id = x.token_id
        where x.feature_id = $feature_id
        order by x.side desc, x.rank""",
        feature_id=feature_id,
    )


def logit_spread(store: Store, feature_id: int) -> LogitSpread | None:
    """Return how what a feature writes is spread over the vocabulary; None where the model has no logit lens."""
    rows = store.look_up("select * from logit_histograms where feature_id = $feature_id", feature_id=feature_id)
    if not rows.num_rows:
        return None
    row = rows.drop_columns(["feature_id"]).to_pylist()[0]
    return LogitSpread(**(row | {"counts": tuple(row["counts"])}))


def spellings(store: Store, typed: str) -> list[Token]:
    """Return the tokens of the vocabulary that are what was typed, whatever its case and the spaces around it.

    As it was typed comes first, then with a space before it.
    """
    bare = typed.strip()
    rows = _tokens(
        store,
        "lower(trim(token)) = lower($bare)",
        "token <> $typed, token <> ' ' || $bare, trim(token) <> $bare, token_id",
        MOST_SPELLINGS,
        bare=bare,
        typed=typed,
    )
    return rows if bare else []


def tokens_beginning(store: Store, typed: str) -> list[Token]:
    """Return tokens that begin with what was typed, shortest first; of the longest beginning that any token has."""
    bare = typed.strip()
    if not bare:
        return []
    begins = "starts_with(lower($bare), lower(trim(token))) and trim(token) <> ''"
    longer = "starts_with(lower(trim(token)), lower($bare))"
    order = "length(trim(token)), token_id"
    return _tokens(store, longer, order, MOST_BEGINNING, bare=bare) or _tokens(
        store, begins, "length(trim(token)) desc, token_id", MOST_BEGINNING, bare=bare
    )


def _tokens(store: Store, condition: str, order: str, limit: int, **values: str) -> list[Token]:
    rows = store.ask(
        f"select token_id, token from vocabulary where {condition} order by {order} limit $limit", limit=limit, **values
    )
    return [Token(**row) for row in rows.to_pylist()]


def raising_features(store: Store, token_id: int) -> pa.Table:
    """Return the ten features that raise a token most, of all: rank, feature_id, label, logit, density."""
    store.need(RAISING_FEATURES)
    rows = store.ask(
        'select "rank", feature_id, logit from raising_features where token_id = $token_id order by "rank"',
        token_id=token_id,
    )
    known = cards_of(store, rows["feature_id"].to_numpy().astype(np.int64))
    return pa.table(
        {
            "rank": rows["rank"],
            "feature_id": rows["feature_id"],
            "label": known["label"],
            "logit": rows["logit"],
            "density": known["density"],
        }
    )
