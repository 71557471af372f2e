"""Questions about the audit: whether features fire by length, language and the like instead of meaning."""

from __future__ import annotations

import pyarrow as pa

from featurelib.queries.features import ALL
from featurelib.schema import Refusal
from featurelib.storage.answers import once_per_generation, remembered
from featurelib.storage.sql_text import quoted
from featurelib.storage.store import Store

CHECKS = ("length", "truncation", "language", "script", "boilerplate", "copies")
"""The checks in the order in which they are shown."""
ORDER = f'list_position({list(CHECKS)}, a."check")'

DEVIATION = """case
    when a."check" = 'length' and a.expected - a.high > a.low - a.expected then a.expected - a.high
    else a.low - a.expected end"""
"""How far the nearer end of the interval is from the expected value."""

AUDIT_SORTS = (
    "deviation", "feature_id", "label", "check", "value", "low", "high", "expected", "n_texts", "flagged", "detail",
)  # fmt: skip
"""What `audit_rows` sorts by."""

CHOSEN = '($check is null or a."check" = $check)'
"""The condition of one check, or of all."""


@once_per_generation
def audit_counts(store: Store) -> pa.Table:
    """Return the checks of this run: check, n_features (those with a text to check), n_flagged."""
    return store.ask(
        f"""
        select a."check", count(a.value)::bigint as n_features, count_if(a.flagged)::bigint as n_flagged
        from audit a
        group by a."check"
        order by {ORDER}, a."check"
        """
    )


@once_per_generation
def audit_checks(store: Store) -> list[str]:
    """Return the names of the checks of this run in their order; none before the stage audit."""
    rows = store.ask(
        f"""
        select a."check"
        from (select distinct "check" from maybe.audit) a
        order by {ORDER}, a."check"
        """
    )
    return [str(check) for check in rows["check"].to_pylist()]


@remembered
def audit_rows(
    store: Store,
    check: str | None = None,
    *,
    flagged: bool = True,
    sort: str = "deviation",
    descending: bool = True,
    limit: int | None = 50,
    offset: int = 0,
) -> pa.Table:
    """Return features and their measurements by a check (all where `check` is None), only flagged ones if `flagged`.

    By "deviation" flags come first, then the largest deviation from the expected value (for shares: above it).
    Columns: feature_id, label, check, value, low, high, expected, n_texts, flagged, detail. Refusal for a `sort` that
    is none of AUDIT_SORTS.
    """
    if sort not in AUDIT_SORTS:
        raise Refusal(f"the audit cannot be sorted by '{str(sort)[:40]}'; use one of {', '.join(AUDIT_SORTS)}.")
    direction = "desc" if descending else "asc"
    first = f"{'' if sort == 'label' else 'a.'}{quoted(sort)} {direction} nulls last," if sort != "deviation" else ""
    # the ends of the two orders of deviations are each other's, flags first or last
    deviation = direction if sort == "deviation" else "desc"
    return _answered(
        store,
        flagged,
        f"""
        select a.feature_id, coalesce(l.label, 'feature ' || a.feature_id) as label, a."check", a.value, a.low, a.high,
            a.expected, a.n_texts, a.flagged, a.detail
        from audit a
        left join maybe.labels l on l.feature_id = a.feature_id
        where {_conditions(flagged)}
        order by {first} a.flagged {deviation}, {DEVIATION} {deviation}, a.feature_id, a."check"
        limit $limit offset $offset""",
        check=check,
        limit=ALL if limit is None else limit,
        offset=offset,
    )


def _conditions(flagged: bool) -> str:
    return f"{CHOSEN} and a.value is not null" + (" and a.flagged = true" if flagged else "")


def _answered(store: Store, flagged: bool, sql: str, **values: object) -> pa.Table:
    """The few that are flagged are found by the index; all of them DuckDB sorts faster."""
    return store.look_up(sql, **values) if flagged else store.ask(sql, **values)


@remembered
def count_audit_rows(store: Store, check: str | None = None, *, flagged: bool = True) -> int:
    """Return the number of rows that `audit_rows` has in all."""
    rows = _answered(store, flagged, f"select count(*) as n from audit a where {_conditions(flagged)}", check=check)
    return int(rows["n"][0].as_py())


def feature_audit(store: Store, feature_id: int) -> pa.Table:
    """Return all checks of one feature: check, value, low, high, expected, n_texts, flagged, detail."""
    rows = store.look_up(
        """
        select a."check", a.value, a.low, a.high, a.expected, a.n_texts, a.flagged, a.detail
        from audit a
        where a.feature_id = $feature_id
        order by a."check\"""",
        feature_id=feature_id,
    )
    places = {check: place for place, check in enumerate(CHECKS)}
    checks = rows["check"].to_pylist()
    order = sorted(range(len(checks)), key=lambda row: places.get(checks[row], len(places)))
    return rows.take(pa.array(order, pa.int64()))


@once_per_generation
def flagged_ids(store: Store, check: str | None = None) -> tuple[int, ...]:
    """Return the ids of the features that a check flags (any check where it is None), for FeatureFilter(ids=…)."""
    rows = store.ask(
        """
        select distinct feature_id
        from audit
        where flagged and ($check::varchar is null or "check" = $check::varchar)
        order by feature_id""",
        check=check,
    )
    return tuple(rows["feature_id"].to_pylist())
