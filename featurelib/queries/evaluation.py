"""Questions about the evaluation of the SAE: every metric, and how texts and features differ in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyarrow as pa

from featurelib.queries.overview import equal_bins
from featurelib.schema import TEXT_SUMMARIES, Refusal
from featurelib.storage.answers import once_per_generation
from featurelib.storage.store import Store

TEXT_COLUMNS = ("cosine", "fvu", "n_active")
OUTER = 0.005
"""The share of texts at either end that the first and the last bin take in, so that an outlier widens no bin."""


@dataclass(frozen=True)
class Metric:
    """One metric with all that is needed to read it."""

    metric: str
    value: float
    low: float | None
    """The lower end of its 95 % interval."""
    high: float | None
    split: str
    """The texts it was measured on: held_out, train, unknown or all; weights where no text was needed."""
    space: str
    """raw (the embedder's own space), normalised, activations, pre-activations, decoder or weights."""
    n_texts: int
    formula: str


@dataclass(frozen=True)
class Thresholds:
    """The range of the features' thresholds."""

    n_values: int
    """How many different thresholds there are."""
    low: float
    high: float


@once_per_generation
def evaluation(store: Store) -> pa.Table:
    """Return every metric with its interval, split, space, number of texts and formula; held-out texts first."""
    return store.ask(
        """
        select *
        from evaluation
        order by list_position(['held_out', 'train', 'unknown', 'all', 'weights'], split), metric, space"""
    )


@once_per_generation
def metric(store: Store, metric: str, split: str) -> Metric | None:
    """Return one metric on one split, or None when it was not measured there."""
    rows = store.ask(
        """
        select metric, value, low, high, split, space, n_texts, formula
        from evaluation
        where metric = $metric and split = $split
        order by space desc
        limit 1""",
        metric=metric,
        split=split,
    ).to_pylist()
    return Metric(**rows[0]) if rows else None


@once_per_generation
def metrics(store: Store) -> dict[tuple[str, str], Metric]:
    """Return every metric by its name and split."""
    rows = store.ask(
        """
        select metric, value, low, high, split, space, n_texts, formula
        from evaluation
        order by metric, split, space"""
    ).to_pylist()
    return {(row["metric"], row["split"]): Metric(**row) for row in rows}


@once_per_generation
def text_bins(store: Store, column: str, n_bins: int = 40) -> pa.Table:
    """Return a histogram of cosine, fvu or n_active for each split, all in the same bins.

    Columns: split, left, right, n_texts, share. The share is of the split's texts that have a number. The first bin
    also counts all below it, the last one all above; bins of n_active are whole numbers, `right` excluded.
    """
    if column not in TEXT_COLUMNS:
        raise Refusal(f"there is no distribution of '{column}'; {', '.join(TEXT_COLUMNS)} are known.")
    ends = store.ask(
        f"""
        select quantile_cont({column}::double, {OUTER}) as low, quantile_cont({column}::double, {1 - OUTER}) as high
        from text_summaries
        where isfinite({column}::double)"""
    ).to_pylist()[0]
    low, width, n_bins = _bin_ends(ends["low"], ends["high"], n_bins, whole=column == "n_active")
    return store.ask(
        f"""
        with counted as (
            select sae_split as split, count(*) as n_texts,
                greatest(0, least($n_bins - 1, floor(({column} - $low) / $width)))::integer as bin
            from text_summaries
            where isfinite({column}::double)
            group by all
        ), splits as (
            select split, sum(n_texts)::bigint as total
            from counted
            group by split
        )
        select s.split, $low + b.bin * $width as left, $low + (b.bin + 1) * $width as right,
            coalesce(c.n_texts, 0) as n_texts, coalesce(c.n_texts, 0) / s.total as share
        from splits s
        cross join range($n_bins) b(bin)
        left join counted c on c.split = s.split and c.bin = b.bin
        order by s.split, b.bin""",
        low=low,
        width=width,
        n_bins=n_bins,
    )


def _bin_ends(low: float | None, high: float | None, n_bins: int, *, whole: bool) -> tuple[float, float, int]:
    """Return where the first bin begins, how wide a bin is, and how many there are."""
    if low is None or high is None:
        return 0, 1, 1
    if whole:
        first, last = math.floor(low), math.ceil(high)
        width = max(1, math.ceil((last - first + 1) / n_bins))
        return first, width, math.ceil((last - first + 1) / width)
    return (low, (high - low) / n_bins, n_bins) if high > low else (low - 0.5, 1.0, 1)


@once_per_generation
def thresholds(store: Store) -> Thresholds:
    """Return the number of different thresholds, the lowest and the highest."""
    rows = store.ask("select count(distinct gate) as n_values, min(gate) as low, max(gate) as high from gates")
    return Thresholds(**rows.to_pylist()[0])


@once_per_generation
def threshold_bins(store: Store, n_bins: int = 40) -> pa.Table:
    """Return the features' thresholds in equal bins: left, right, n_features."""
    return equal_bins(store, "gates", "gate", "n_features", n_bins)


@once_per_generation
def alignment_bins(store: Store, n_bins: int = 40) -> pa.Table:
    """Return the cosine of encoder and decoder direction of each feature in equal bins: left, right, n_features."""
    need_alignment(store)
    return equal_bins(store, "gates", "alignment", "n_features", n_bins)


def need_alignment(store: Store) -> None:
    """Refuse a run that was encoded before the alignment of each feature was kept."""
    columns = store.once("columns of gates", lambda: store.ask("select * from gates limit 0").schema.names)
    if "alignment" not in columns:
        raise Refusal(
            "this run was encoded before the alignment of each feature was kept; give its build command once more, "
            "with --from encode."
        )


def fvu_quantile(store: Store, share: float) -> float | None:
    """Return the FVU that so large a share of the texts stays below; None before the stage encode. Asked once."""
    if not store.has(TEXT_SUMMARIES):
        return None

    def ask() -> float | None:
        rows = store.ask(
            "select quantile_cont(fvu, $share::double) as fvu from text_summaries where isfinite(fvu)", share=share
        )
        value: float | None = rows["fvu"][0].as_py()
        return value

    return store.once(f"fvu_quantile {share}", ask)


@once_per_generation
def nearest_bins(store: Store, n_bins: int = 40) -> pa.Table:
    """Return the cosine of each feature's direction to its nearest neighbour in equal bins: left, right, n_features."""
    return equal_bins(store, "(from neighbours where rank = 1)", "cosine", "n_features", n_bins)
