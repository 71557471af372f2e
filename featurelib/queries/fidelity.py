"""Questions about labels: how well they predict firing, and what is known of candidate keywords."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.schema.records import Fidelity
from featurelib.storage.answers import once_per_generation
from featurelib.storage.store import Store

MEASURES = ("auroc", "ap")


def fidelity(store: Store, feature_id: int) -> list[Fidelity]:
    """How well a feature's labels predict firing, ours before the baseline's, resembles before contains.

    Empty for a feature without a label.
    """
    rows = store.look_up(
        """
        select feature_id, method, label, predictor, auroc, auroc_low, auroc_high, ap, ap_low, ap_high, n_fires, n_texts
        from fidelity
        where feature_id = $feature_id
        order by method, predictor desc""",
        feature_id=feature_id,
    )
    return [Fidelity(**row) for row in rows.to_pylist()]


def keyword_evidence(store: Store, feature_id: int) -> pa.Table:
    """A feature's candidate keywords, the best first, with their measures on the texts that chose the label.

    Columns: rank, keyword, origin (top texts, active texts, encoder), pre_activation and fires of the keyword by
    itself, auroc, ap, chosen, score (the baseline's, null for a keyword that it does not give).
    """
    return store.look_up(
        """
        select e.rank, e.keyword, e.origin, e.pre_activation, e.fires, e.auroc, e.ap, e.chosen, k.score
        from keyword_evidence e
        left join maybe.keywords k on k.feature_id = e.feature_id and k.keyword = e.keyword
        where e.feature_id = $feature_id
        order by e.rank""",
        feature_id=feature_id,
    )


@once_per_generation
def fidelity_summary(store: Store) -> pa.Table:
    """Means and medians over the features of which both methods' labels were measured.

    Columns: predictor, method, n_features, auroc_mean, auroc_median, ap_mean, ap_median.
    """
    return store.ask(
        """
        with measured as (
            select *, count(*) over (partition by feature_id, predictor) as n_methods
            from fidelity
            where auroc is not null and ap is not null
        )
        select predictor, method, count(*) as n_features, avg(auroc) as auroc_mean, median(auroc) as auroc_median,
            avg(ap) as ap_mean, median(ap) as ap_median
        from measured
        where n_methods = 2
        group by predictor, method
        order by predictor desc, method"""
    )


@once_per_generation
def fidelity_bins(store: Store, measure: str, *, predictor: str = "resembles", n_bins: int = 25) -> pa.Table:
    """How the measured labels of both methods spread over 0 to 1: split (the method), left, right, n_features, share.

    `measure` is auroc or ap; the last bin is closed, the share is of the method's measured labels.
    """
    if measure not in MEASURES:
        raise Refusal(f"there is no distribution of '{str(measure)[:40]}'; {' and '.join(MEASURES)} are known.")
    return store.ask(
        f"""
        with counted as (
            select method, least(floor({measure} * $n_bins), $n_bins - 1)::integer as bin, count(*) as n
            from fidelity
            where predictor = $predictor and {measure} is not null
            group by all
        ), methods as (
            select method, sum(n)::bigint as total
            from counted
            group by method
        )
        select m.method as split, b.bin / $n_bins as left, (b.bin + 1) / $n_bins as right,
            coalesce(c.n, 0) as n_features, coalesce(c.n, 0) / m.total as share
        from methods m
        cross join range($n_bins) b(bin)
        left join counted c on c.method = m.method and c.bin = b.bin
        order by m.method, b.bin""",
        predictor=predictor,
        n_bins=n_bins,
    )
