"""SQL text that turns activations into features, top texts and histograms; and the ranking of coactivations.

The views are those of `schema`. A summary `in_ranges` is computed for one range of features at a time ($first to
$last, both included), so that its memory is bounded by the range. $n_texts is the number of texts of the corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurelib import schema
from featurelib.schema import Table

ROWS_PER_RANGE = 4_000_000
ROW_BYTES = 150
"""What a row of a range takes of memory at the most, in DuckDB and after it: measured at 120."""


@dataclass(frozen=True)
class Summary:
    """One table and the SQL that makes it."""

    table: Table
    sql: str
    in_ranges: bool = True
    """Whether it is computed for one range of features at a time; else at once."""


# The mean is a sum of floats: with one thread it is taken in the order of the file and so always the same.
FEATURES = """
with fired as (
    select feature_id, count(*) as n_active, max(activation) as max_activation,
        avg(activation::double) as mean_activation
    from activations_by_feature
    group by feature_id
)
select g.feature_id, coalesce(n_active, 0) as n_active, coalesce(n_active, 0) / $n_texts as density,
    log10(n_active / $n_texts) as log10_density, coalesce(max_activation, 0) as max_activation,
    coalesce(mean_activation, 0) as mean_activation, n_active is null as dead
from gates g
left join fired f on f.feature_id = g.feature_id
order by g.feature_id
"""

TOP_TEXTS = f"""
select feature_id, row_number() over strongest as rank, text_id, activation
from activations_by_feature
where feature_id between $first and $last
window strongest as (partition by feature_id order by activation desc, text_id)
qualify row_number() over strongest <= {schema.TOP_TEXTS}
order by feature_id, rank
"""

HISTOGRAMS = f"""
with here as (
    select feature_id, activation::double as activation
    from activations_by_feature
    where feature_id between $first and $last
), greatest_of as (
    select feature_id, max(activation) as greatest
    from here
    group by feature_id
), counted as (
    select feature_id, greatest(0, least({schema.HISTOGRAM_BINS - 1},
            ceil(activation * {schema.HISTOGRAM_BINS} / greatest) - 1))::integer as bin, count(*) as n_texts
    from here
    join greatest_of using (feature_id)
    group by feature_id, bin
)
select g.feature_id, b.bin, greatest * b.bin / {schema.HISTOGRAM_BINS} as left,
    greatest * (b.bin + 1) / {schema.HISTOGRAM_BINS} as right, coalesce(n_texts, 0) as n_texts
from greatest_of g
cross join range({schema.HISTOGRAM_BINS}) b(bin)
left join counted c on c.feature_id = g.feature_id and c.bin = b.bin
order by g.feature_id, b.bin
"""

TOKEN_FEATURES = """
with fired as (
    select feature_id, count(*) as n_tokens, avg(activation::double) as mean_activation
    from token_activations_by_feature
    group by feature_id
), total as (
    select count(*) as n from tokens
)
select g.feature_id, coalesce(n_tokens, 0) as n_tokens, coalesce(n_tokens, 0) / n as density,
    log10(n_tokens / n) as log10_density, coalesce(mean_activation, 0) as mean_activation
from gates g
cross join total
left join fired f on f.feature_id = g.feature_id
order by g.feature_id
"""

# a mean counts from two tokens on, unless the feature fires on no more
FEATURE_TOKENS = f"""
with counted as (
    select token_id, count(*) as n_corpus
    from tokens
    group by token_id
), fired as (
    select feature_id, token_id, count(*) as n_fired, avg(activation::double) as mean_activation,
        max(activation) as max_activation
    from token_activations_by_feature
    join tokens using (text_id, position)
    where feature_id between $first and $last
    group by feature_id, token_id
), ranked as (
    select *, row_number() over (partition by feature_id
            order by n_fired desc, mean_activation desc, token_id) as often,
        row_number() over (partition by feature_id
            order by least(n_fired, 2) desc, mean_activation desc, token_id) as strong
    from fired
)
select feature_id, token_id, often, strong, n_fired, n_corpus, mean_activation, max_activation
from ranked
join counted using (token_id)
where least(often, strong) <= {schema.MOST_FEATURE_TOKENS}
order by feature_id, often
"""

SUMMARIES: tuple[Summary, ...] = (
    Summary(schema.FEATURES, FEATURES, in_ranges=False),
    Summary(schema.TOP_TEXT_ROWS, TOP_TEXTS),
    Summary(schema.HISTOGRAMS, HISTOGRAMS),
)
"""The tables that SQL makes, in their order; coactivations are counted, see `summaries.coactivations`."""
TOKEN_SUMMARIES: tuple[Summary, ...] = (Summary(schema.FEATURE_TOKENS, FEATURE_TOKENS),)
"""What a token run has beside them."""


def feature_ranges(n_active: Sequence[int], *, max_rows: int = ROWS_PER_RANGE) -> list[tuple[int, int]]:
    """Cut features 0, 1, … into ranges (first, last) of at most `max_rows` activations.

    `n_active` holds the number of texts of every feature. A feature that alone passes the limit is a range of its own.
    """
    ranges, first, rows = [], 0, 0
    for feature_id, active in enumerate(n_active):
        if rows + active > max_rows and feature_id > first:
            ranges.append((first, feature_id - 1))
            first, rows = feature_id, 0
        rows += active
    return [*ranges, (first, len(n_active) - 1)] if len(n_active) else []
