"""Questions about the tokens of a token run: where a feature fires, on which tokens of the vocabulary, how often."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from featurelib.queries.overview import equal_bins
from featurelib.queries.texts import beside_texts
from featurelib.schema import TOKEN_FEATURES
from featurelib.storage.answers import once_per_generation
from featurelib.storage.fired_tokens import at_ranks, in_texts
from featurelib.storage.store import Store

N_BANDS = 4
ORDERS = {"often": "often", "strong": "strong"}
"""How the tokens of a feature may be ranked: by how often it fires on them, or by its mean activation there."""


class TokenDensity(NamedTuple):
    """On how many tokens a feature fires."""

    n_fired: int
    """Tokens on which it fires."""
    n_tokens: int
    """All tokens of the run."""
    density: float
    """The share of them."""
    mean_activation: float
    """The mean activation over those on which it fires."""


class TokensOfText(NamedTuple):
    """The tokens of one text on which a feature fires."""

    starts: np.ndarray
    """int32, in characters."""
    ends: np.ndarray
    """int32."""
    activations: np.ndarray
    """float32."""


def has_tokens(store: Store) -> bool:
    """Return whether it is a token run, whose activations of tokens are there."""
    done = store.generation.done("embed")
    return done is not None and done.facts.get("pooling") == "none" and store.has(TOKEN_FEATURES)


def token_density(store: Store, feature_id: int) -> TokenDensity:
    """Return on how many tokens a feature fires, and how strongly."""
    row = store.look_up(
        """
        select n_tokens, density, mean_activation
        from token_features
        where feature_id = $feature_id""",
        feature_id=feature_id,
    ).to_pylist()[0]
    return TokenDensity(row["n_tokens"], n_tokens(store), row["density"], row["mean_activation"])


@once_per_generation
def token_density_bins(store: Store, n_bins: int = 40) -> pa.Table:
    """Return the log10 densities on tokens of features that fire on any, in equal bins: left, right, n_features."""
    return equal_bins(store, "token_features", "log10_density", "n_features", n_bins)


def token_maximum(store: Store, feature_id: int) -> float:
    """Return a feature's largest activation on a token, however texts pool them; 0 where it fires on none."""
    if not token_density(store, feature_id).n_fired:
        return 0.0
    return float(at_ranks(store, feature_id, np.zeros(1, np.int64)).activations[0])


def pooling(store: Store) -> str | None:
    """Return how a text's activation comes from those of its tokens; None where the run's SAE reads whole texts."""
    done = store.generation.done("encode")
    pool: str | None = done.facts.get("pool") if done else None
    return pool


def n_tokens(store: Store) -> int:
    """Return the number of tokens of the run, counted once."""
    return store.once("n_tokens", lambda: store.count("select count(*) from tokens"))


def token_activations(store: Store, feature_id: int, text_ids: list[int]) -> dict[int, TokensOfText]:
    """Return the tokens of each of some texts on which a feature fires, in their order; nothing for the others."""
    fired = in_texts(store, int(feature_id), [int(text_id) for text_id in text_ids])
    ids, first = np.unique(fired.text_ids, return_index=True)
    last = np.append(first[1:], len(fired.text_ids))[: len(ids)].tolist()
    columns = fired.starts, fired.ends, fired.activations
    return {
        text_id: TokensOfText(*(column[start:end] for column in columns))
        for text_id, start, end in zip(ids.tolist(), first.tolist(), last, strict=True)
    }


def feature_tokens(store: Store, feature_id: int, *, by: str = "often", limit: int = 10) -> pa.Table:
    """Return tokens of the vocabulary on which a feature fires, ranked by one of ORDERS.

    Columns: token_id, token, n_fired (places on which it fires), n_corpus (all its places), mean_activation,
    max_activation.
    """
    return store.look_up(
        f"""
        select f.token_id, token, n_fired, n_corpus, mean_activation, max_activation
        from feature_tokens f
        join vocabulary v on v.token_id = f.token_id
        where feature_id = $feature_id and {ORDERS[by]} <= $most
        order by {ORDERS[by]}""",
        feature_id=feature_id,
        most=limit,
    )


def token_bands(store: Store, feature_id: int, *, per_band: int = 3, seed: int = 0) -> pa.Table:
    """Return texts with tokens drawn at random by `seed` from each quarter of a feature's activations on tokens.

    The strongest quarter comes first, and no text twice. Columns: band (from 1), low, high (its lowest and highest
    activation), n_band (its tokens), activation, start, end (of the token drawn), then those of `beside_texts`.
    """
    n_fired = token_density(store, feature_id).n_fired
    edges = np.linspace(0, n_fired, N_BANDS + 1).round().astype(np.int64)
    draw = random.Random(f"{seed}:{feature_id}")
    ranks = [
        rank
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        for rank in sorted(draw.sample(range(first, last), min(per_band, last - first)))
    ]
    own, ends = at_ranks(store, feature_id, np.array(ranks, np.int64)), edges[1:] - 1
    lowest = at_ranks(store, feature_id, np.maximum(ends, 0)[ends >= edges[:-1]])
    highest = at_ranks(store, feature_id, edges[:-1][ends >= edges[:-1]])
    band = np.searchsorted(edges, ranks, side="right") - 1
    _, first_of_text = np.unique(own.text_ids, return_index=True)
    kept = np.sort(first_of_text)
    nonempty = np.cumsum(ends >= edges[:-1]) - 1
    rows = pa.table(
        {
            "band": pa.array(band[kept] + 1, pa.int32()),
            "low": pa.array(lowest.activations[nonempty[band[kept]]], pa.float32()),
            "high": pa.array(highest.activations[nonempty[band[kept]]], pa.float32()),
            "n_band": pa.array(np.diff(edges)[band[kept]], pa.int64()),
            "activation": pa.array(own.activations[kept], pa.float32()),
            "start": pa.array(own.starts[kept], pa.int32()),
            "end": pa.array(own.ends[kept], pa.int32()),
            "text_id": pa.array(own.text_ids[kept], pa.int64()),
        }
    )
    return beside_texts(store, rows)
