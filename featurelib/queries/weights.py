"""Questions about what the weights say of the features, and how often features fired where the SAE was trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurelib.queries.evaluation import need_alignment
from featurelib.schema import SOURCE_DENSITIES, TOKEN_FEATURES, TOKENS, WEIGHTS
from featurelib.stats import rank_correlation
from featurelib.storage.answers import once_per_generation
from featurelib.storage.feature_weights import read_feature_weights
from featurelib.storage.store import Store

LEAST = -10.0
"""log10 of what SAELens adds to a density before it takes the logarithm: a dead feature's."""


@dataclass(frozen=True)
class Densities:
    """How often features fire, here and where the SAE was trained."""

    rows: pa.Table
    """feature_id, label, then (log10 as the file has it), now (log10, null when dead), dead."""
    n: int
    """Texts of the run, or its tokens where the run is one of tokens."""
    of_tokens: bool
    """Whether a density here is a share of tokens."""
    correlation: float | None
    """Spearman's rank correlation of both over all features, the dead ones as those that fire least."""


def has_source_densities(store: Store) -> bool:
    """Return whether the SAE came with the densities of its training."""
    return store.has(SOURCE_DENSITIES) and bool(store.once("source densities", lambda: _count(store)))


def _count(store: Store) -> int:
    return store.count("select count(*) from source_densities")


@once_per_generation
def densities_then_and_now(store: Store) -> Densities:
    """Return the densities here beside those of the SAE's training; RunNotReady before the features are counted."""
    rows = store.ask(
        f"""
        select f.feature_id, coalesce(l.label, 'feature ' || f.feature_id) as label, s.log10_density as then,
            {_density(store)} as now, f.dead
        from features f
        join source_densities s on s.feature_id = f.feature_id
        {_joined(store)}
        left join maybe.labels l on l.feature_id = f.feature_id
        order by f.feature_id"""
    )
    now = rows["now"].to_numpy(zero_copy_only=False).astype(np.float64)
    correlation = rank_correlation(rows["then"].to_numpy(), np.where(np.isnan(now), LEAST, now))
    return Densities(rows, n_of_density(store), of_tokens(store), correlation)


@once_per_generation
def weight_rows(store: Store) -> pa.Table:
    """Return of every feature: feature_id, encoder_bias, alignment, b_dec_projection, log10_density, dead.

    A run without the table of weights has them from the file of its SAE. RunNotReady before the stage summarise.
    """
    need_alignment(store)
    rows = store.ask(
        f"""
        select f.feature_id, w.encoder_bias, g.alignment, w.b_dec_projection, {_density(store)} as log10_density, f.dead
        from features f
        join gates g on g.feature_id = f.feature_id
        left join maybe.weights w on w.feature_id = f.feature_id
        {_joined(store)}
        order by f.feature_id"""
    )
    if store.has(WEIGHTS):
        return rows
    ids = rows["feature_id"].to_numpy()
    for name, values in read_feature_weights(store.generation.sae_folder)._asdict().items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(values[ids]))
    return rows


def n_of_density(store: Store) -> int:
    """Return of how many texts (of a token run: tokens) a density is the share."""
    if not of_tokens(store):
        return store.n_texts
    return store.once("n of density", lambda: store.count("select count(*) from tokens"))


def of_tokens(store: Store) -> bool:
    """Return whether the densities are those on tokens, because the SAE reads tokens."""
    if not (store.has(TOKEN_FEATURES) and store.has(TOKENS)):
        return False
    return bool(store.once("features of tokens", lambda: store.count("select count(*) from token_features")))


def _density(store: Store) -> str:
    """The SQL of a feature's density where the SAE reads: on tokens, where the run has them, else on texts."""
    return "k.log10_density" if of_tokens(store) else "f.log10_density"


def _joined(store: Store) -> str:
    return "left join token_features k on k.feature_id = f.feature_id" if of_tokens(store) else ""
