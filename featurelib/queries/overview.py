"""Questions about the run as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyarrow as pa

from featurelib.schema import DENSE
from featurelib.storage.answers import once_per_generation
from featurelib.storage.store import Store


@dataclass(frozen=True)
class Counts:
    """How many texts, features and activations a run has."""

    n_texts: int
    n_features: int
    n_dead: int
    """Features that fire on no text of this corpus."""
    n_dense: int
    """Features that fire on more than a tenth of the texts."""
    n_activations: int
    """(text, feature) pairs with an activation."""


@once_per_generation
def counts(store: Store) -> Counts:
    """Count texts, features and activations."""
    row = store.ask(
        """
        select count(*) as n_features,
            count_if(dead)::bigint as n_dead,
            count_if(density > $dense)::bigint as n_dense, coalesce(sum(n_active), 0)::bigint as n_activations
        from features""",
        dense=DENSE,
    ).to_pylist()[0]
    return Counts(n_texts=store.n_texts, **row)


@once_per_generation
def density_bins(store: Store, n_bins: int = 40) -> pa.Table:
    """Return the log10 densities of live features in equal bins [left, right): left, right, n_features."""
    return equal_bins(store, "features", "log10_density", "n_features", n_bins)


@once_per_generation
def cosine_bins(store: Store, n_bins: int = 40) -> pa.Table:
    """Return the cosines of texts to their reconstructions in equal bins: left, right, n_texts."""
    return equal_bins(store, "text_summaries", "cosine", "n_texts", n_bins)


def equal_bins(store: Store, view: str, column: str, count: str, n_bins: int) -> pa.Table:
    """Return a column's values in equal bins from the lowest to the highest finite one.

    Columns: left, right and the name `count`. Empty bins are included; if all values are equal, the bins are 1 wide in
    all. `view` is put into the SQL as it is, so it must never come from an address.
    """
    return store.ask(
        f"""
        with finite as (
            select {column}::double as x
            from {view}
            where isfinite({column})
        ), ends as (
            select if(min(x) = max(x), min(x) - 0.5, min(x)) as low, if(min(x) = max(x), max(x) + 0.5, max(x)) as high
            from finite
        ), counted as (
            select least(floor((x - low) / (high - low) * $n_bins), $n_bins - 1)::integer as bin, count(*) as n
            from finite, ends
            group by bin
        )
        select low + (high - low) * b.bin / $n_bins as left, low + (high - low) * (b.bin + 1) / $n_bins as right,
            coalesce(n, 0) as {count}
        from range($n_bins) b(bin), ends
        left join counted c on c.bin = b.bin
        where low is not null
        order by b.bin""",
        n_bins=n_bins,
    )


@once_per_generation
def l0_bins(store: Store, n_bins: int = 40) -> pa.Table:
    """Return the numbers of active features per text in at most `n_bins` bins: left, right (excluded), n_texts."""
    ends = store.ask("select min(n_active) as low, max(n_active) as high from text_summaries").to_pylist()[0]
    if ends["low"] is None:
        ends = {"low": 0, "high": 0}
    width = max(1, math.ceil((ends["high"] - ends["low"] + 1) / n_bins))
    return store.ask(
        """
        with counted as (
            select (n_active - $low) // $width as bin, count(*) as n
            from text_summaries
            group by bin
        )
        select ($low + b.bin * $width)::integer as left, ($low + (b.bin + 1) * $width)::integer as right,
            coalesce(n, 0) as n_texts
        from range(($high - $low) // $width + 1) b(bin)
        left join counted c on c.bin = b.bin
        order by b.bin""",
        low=ends["low"],
        high=ends["high"],
        width=width,
    )


@once_per_generation
def worst_texts(store: Store, limit: int = 5) -> pa.Table:
    """Return the texts that the SAE reconstructs worst: text_id, opening (160 characters), fvu, cosine, n_active."""
    return store.ask(
        """
        with worst as (
            select text_id, fvu, cosine, n_active
            from text_summaries
            where isfinite(fvu)
            order by fvu desc, text_id
            limit $limit
        )
        select w.text_id, left(t.text, 160) as opening, w.fvu, w.cosine, w.n_active
        from worst w
        join texts t on t.text_id = w.text_id
        order by w.fvu desc, w.text_id""",
        limit=limit,
    )
