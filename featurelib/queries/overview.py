"""Questions about the run as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyarrow as pa

from featurelib.schema import DENSE
from featurelib.store import Store


@dataclass(frozen=True)
class Counts:
    """How much there is of everything."""

    n_texts: int
    n_features: int
    n_dead: int
    """Features that fire on no text of this corpus."""
    n_dense: int
    """Features that fire on more than a tenth of the texts."""
    n_activations: int
    """(text, feature) pairs with an activation."""


@dataclass(frozen=True)
class Metric:
    """One measured number with all that is needed to read it."""

    metric: str
    value: float
    low: float | None
    """The lower end of its 95 % interval."""
    high: float | None
    split: str
    """The texts it was measured on: held_out, train or all."""
    space: str
    """raw (the embedder's own space) or normalised."""
    n_texts: int
    formula: str


def counts(store: Store) -> Counts:
    """Count texts, features and activations."""
    found = store.ask(
        """
        select (select count(*) from texts) as n_texts, count(*) as n_features,
            count_if(dead)::bigint as n_dead,
            count_if(density > $dense)::bigint as n_dense, coalesce(sum(n_active), 0)::bigint as n_activations
        from features""",
        dense=DENSE,
    ).to_pylist()[0]
    return Counts(**found)


def evaluation(store: Store) -> pa.Table:
    """Every metric with its interval, split, space, number of texts and formula."""
    return store.ask("select * from evaluation order by metric, split, space")


def metric(store: Store, metric: str, split: str) -> Metric | None:
    """One metric on one split, or None when it was not measured there."""
    found = store.ask(
        """
        select metric, value, low, high, split, space, n_texts, formula
        from evaluation
        where metric = $metric and split = $split
        order by space desc
        limit 1""",
        metric=metric,
        split=split,
    ).to_pylist()
    return Metric(**found[0]) if found else None


def density_bins(store: Store, n_bins: int = 40) -> pa.Table:
    """The log10 densities of live features in equal bins: left, right, n_features; left-closed, the last one closed."""
    return _bins(store, "features", "log10_density", "n_features", n_bins)


def cosine_bins(store: Store, n_bins: int = 40) -> pa.Table:
    """The cosines of texts to their reconstructions in equal bins: left, right, n_texts."""
    return _bins(store, "text_summaries", "cosine", "n_texts", n_bins)


def _bins(store: Store, view: str, column: str, count: str, n_bins: int) -> pa.Table:
    """Equal bins from the least to the greatest finite value, empty ones too; width 1 in all around a lone value."""
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


def l0_bins(store: Store, n_bins: int = 40) -> pa.Table:
    """The numbers of active features per text in at most `n_bins` bins: left, right (excluded), n_texts."""
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


def worst_texts(store: Store, limit: int = 5) -> pa.Table:
    """The texts that the SAE reconstructs worst: text_id, opening (160 characters), fvu, cosine, n_active."""
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
