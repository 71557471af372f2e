"""Questions about what features may fire by instead of meaning."""

from __future__ import annotations

import pyarrow as pa

from featurelib.storage.store import Store

ORDER = "list_position(['length', 'truncation', 'language', 'script', 'boilerplate', 'copies'], a.\"check\")"

SURE = "if(a.\"check\" = 'length', greatest(a.low - a.expected, a.expected - a.high), a.low - a.expected)"
"""How far what was measured is from what is expected at least: that of the interval's nearer end."""

WANTED = """
where ($check::varchar is null or a."check" = $check::varchar) and (a.flagged or not $flagged) and a.value is not null
"""


def audit_counts(store: Store) -> pa.Table:
    """The checks of this run: check, n_features (those with a text to check), n_flagged."""
    return store.ask(
        f"""
        select a."check", count(a.value)::bigint as n_features, count_if(a.flagged)::bigint as n_flagged
        from audit a
        group by a."check"
        order by {ORDER}, a."check"
        """
    )


def audit_checks(store: Store) -> list[str]:
    """The names of the checks of this run in their order; none before the stage audit."""
    found = store.ask(
        f"""
        select a."check"
        from (select distinct "check" from maybe.audit) a
        order by {ORDER}, a."check"
        """
    )
    return found["check"].to_pylist()


def audit_rows(
    store: Store, check: str | None = None, *, flagged: bool = True, limit: int | None = 50, offset: int = 0
) -> pa.Table:
    """Features and what was measured of them; `check` None takes all checks, `flagged` only what is flagged.

    Flags come first, then those whose interval is furthest from what is expected (for shares: above it). Columns:
    feature_id, label, check, value, low, high, expected, n_texts, flagged, detail.
    """
    return store.ask(
        f"""
        select a.feature_id, coalesce(l.label, 'feature ' || a.feature_id) as label, a."check", a.value, a.low, a.high,
            a.expected, a.n_texts, a.flagged, a.detail
        from audit a
        left join maybe.labels l on l.feature_id = a.feature_id
        {WANTED}
        order by a.flagged desc, {SURE} desc, a.feature_id, a."check"
        limit $limit::bigint offset $offset::bigint""",
        check=check,
        flagged=flagged,
        limit=limit,
        offset=offset,
    )


def count_audit_rows(store: Store, check: str | None = None, *, flagged: bool = True) -> int:
    """The number of rows that `audit_rows` has in all."""
    return store.ask(
        f"""
        select count(*) as n
        from audit a
        {WANTED}""",
        check=check,
        flagged=flagged,
    )["n"][0].as_py()


def feature_audit(store: Store, feature_id: int) -> pa.Table:
    """All checks of one feature: check, value, low, high, expected, n_texts, flagged, detail."""
    return store.ask(
        f"""
        select a."check", a.value, a.low, a.high, a.expected, a.n_texts, a.flagged, a.detail
        from audit a
        where a.feature_id = $feature_id
        order by {ORDER}, a."check"
        """,
        feature_id=feature_id,
    )


def flagged_ids(store: Store, check: str | None = None) -> tuple[int, ...]:
    """The features that a check flags, or any check where `check` is None; for FeatureFilter(ids=…)."""
    found = store.ask(
        """
        select distinct feature_id
        from audit
        where flagged and ($check::varchar is null or "check" = $check::varchar)
        order by feature_id""",
        check=check,
    )
    return tuple(found["feature_id"].to_pylist())
