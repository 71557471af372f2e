"""Questions about features: one by its id, some by conditions, all on the map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.storage.store import Store

SORTS = (
    "feature_id",
    "label",
    "density",
    "n_active",
    "max_activation",
    "mean_activation",
    "gate",
    "cluster",
    "auroc",
    "ap",
    "dead",
)
"""The columns that `features` sorts by."""

# The tables of the schema `maybe` are empty as long as they have not been made.
WORDS = """
    select feature_id, string_agg(keyword, ', ' order by rank) as keywords
    from maybe.keywords
    where {which}
    group by feature_id
"""

CARDS = """
with words as ({words}), explained as (
    select feature_id, min(explanation) as explanation
    from maybe.explanations
    group by feature_id
), cards as (
    select f.*, coalesce(l.label, 'feature ' || f.feature_id) as label, coalesce(l.source, 'none') as label_source,
        coalesce(w.keywords, '') as keywords, coalesce(x.explanation, '') as explanation, g.gate, p.cluster, q.auroc,
        q.ap
    from features f
    left join maybe.labels l on l.feature_id = f.feature_id
    left join words w on w.feature_id = f.feature_id
    left join maybe.gates g on g.feature_id = f.feature_id
    left join maybe.layout p on p.feature_id = f.feature_id
    left join maybe.fidelity q on q.feature_id = f.feature_id and q.method = 'ours' and q.predictor = 'resembles'
    left join explained x on x.feature_id = f.feature_id
)
"""

MATCHES = """
where ($density_low::double is null or density >= $density_low::double)
    and ($density_high::double is null or density <= $density_high::double)
    and ($activation_low::double is null or max_activation >= $activation_low::double)
    and ($activation_high::double is null or max_activation <= $activation_high::double)
    and ($dead::boolean is null or dead = $dead::boolean)
    and ($cluster::integer is null or cluster = $cluster::integer)
    and ($fidelity_low::double is null or auroc >= $fidelity_low::double)
    and ($ap_low::double is null or ap >= $ap_low::double)
    and ($ids::bigint[] is null or feature_id in (select unnest($ids::bigint[])))
    and (feature_id::varchar = $words::varchar
        or len(list_filter(string_split_regex(lower($words::varchar), '\\s+'),
            lambda word: not contains(lower(label || ' ' || keywords || ' ' || explanation), word))) = 0)
"""


@dataclass(frozen=True)
class FeatureFilter:
    """Conditions that features must meet; a field left at its default is no condition."""

    words: str = ""
    """Words that must all occur in the label, a keyword or the explanation (any case), or a feature's id."""
    density_low: float | None = None
    """The least density, 0 to 1."""
    density_high: float | None = None
    """The greatest density, 0 to 1."""
    activation_low: float | None = None
    """The least maximum activation."""
    activation_high: float | None = None
    """The greatest maximum activation."""
    dead: bool | None = None
    """Only dead features (True) or only live ones (False)."""
    cluster: int | None = None
    """The cluster of the layout; -1 holds the features of none."""
    ids: tuple[int, ...] | None = None
    """Only these features."""
    fidelity_low: float | None = None
    """The lowest AUROC of the label by similarity (see `Feature.auroc`)."""
    ap_low: float | None = None
    """The least average precision of the same."""

    def values(self) -> dict[str, object]:
        """What is bound in the SQL."""
        ids = None if self.ids is None else [int(feature_id) for feature_id in self.ids]
        return asdict(self) | {"words": self.words.strip(), "ids": ids}


@dataclass(frozen=True)
class Feature:
    """One unit of the SAE and what is known of it on this corpus."""

    feature_id: int
    label: str
    label_source: str
    """evidence; keywords or single texts where nothing told candidates apart; none when it is only its number.

    "not yet" before the stage that names features is done.
    """
    n_active: int
    """The number of texts on which it fires."""
    n_texts: int
    """The number of texts of the corpus."""
    density: float
    """n_active / n_texts."""
    log10_density: float | None
    """None when dead."""
    max_activation: float
    mean_activation: float
    """The mean over the texts on which it fires; 0 when dead."""
    dead: bool
    """Whether it fires on no text of this corpus."""
    threshold: float | None
    """What the pre-activation must exceed; 0 where that depends on the text (TopK), None when the run does not say."""
    cluster: int | None
    """Its cluster in the layout, -1 for none; None when there is no layout yet."""
    auroc: float | None = None
    """How well similarity to the label predicts firing on the label test texts; None where it was not measured."""
    ap: float | None = None
    """The average precision of the same."""


def features(
    store: Store,
    which: FeatureFilter = FeatureFilter(),
    *,
    sort: str = "density",
    descending: bool = True,
    limit: int | None = 50,
    offset: int = 0,
) -> pa.Table:
    """Return a page of the features that meet the conditions, ties in the order of feature_id; `limit=None` gives all.

    Columns: feature_id, label, keywords, density, n_active, max_activation, mean_activation, gate (the threshold),
    cluster, auroc, ap (of our label, by similarity, on the label test texts), dead. Refusal for a `sort` that is none
    of SORTS.
    """
    if sort not in SORTS:
        raise Refusal(f"features cannot be sorted by '{str(sort)[:40]}'; use one of {', '.join(SORTS)}.")
    order = f"cards.{sort} {'desc' if descending else 'asc'} nulls last, cards.feature_id"
    return store.ask(
        f"""{_cards(which)}, page as (
            select *
            from cards
            {MATCHES}
            order by {order}
            limit $limit::bigint offset $offset::bigint
        ), own as ({WORDS.format(which="feature_id in (select feature_id from page)")})
        select cards.feature_id, label, coalesce(own.keywords, '') as keywords, density, n_active, max_activation,
            mean_activation, gate, cluster, auroc, ap, dead
        from page as cards
        left join own on own.feature_id = cards.feature_id
        order by {order}""",
        **which.values(),
        limit=limit,
        offset=offset,
    )


def silent_columns(store: Store) -> frozenset[str]:
    """Return which of auroc, ap and gate tell nothing: no label was measured, or all thresholds are the same."""

    def ask() -> frozenset[str]:
        row = store.ask(
            """
            select count(auroc) = 0 as auroc, count(ap) = 0 as ap,
                (select count(distinct gate) < 2 from maybe.gates) as gate
            from maybe.fidelity
            where method = 'ours' and predictor = 'resembles'"""
        ).to_pylist()[0]
        return frozenset(name for name, is_silent in row.items() if is_silent)

    return store.once("silent_columns", ask)


def count_features(store: Store, which: FeatureFilter = FeatureFilter()) -> int:
    """Return the number of features that meet the conditions."""
    return store.count(f"{_cards(which)} select count(*) from cards {MATCHES}", **which.values())


def _cards(which: FeatureFilter) -> str:
    """Return the SQL of features with what is known of them; keywords, a tenth of a second, only when searched."""
    return CARDS.format(words=WORDS.format(which="true" if which.words.strip() else "false"))


def feature(store: Store, feature_id: int) -> Feature:
    """Return one feature; Refusal naming the range when there is none with this id."""
    rows = store.ask(
        """
        select f.feature_id, coalesce(l.label, 'feature ' || f.feature_id) as label,
            coalesce(l.source, if(exists(from maybe.labels), 'none', 'not yet')) as label_source, f.n_active,
            $n_texts as n_texts, f.density, f.log10_density, f.max_activation, f.mean_activation,
            f.dead, g.gate as threshold, p.cluster, q.auroc, q.ap
        from features f
        left join maybe.labels l on l.feature_id = f.feature_id
        left join maybe.gates g on g.feature_id = f.feature_id
        left join maybe.layout p on p.feature_id = f.feature_id
        left join maybe.fidelity q on q.feature_id = f.feature_id and q.method = 'ours' and q.predictor = 'resembles'
        where f.feature_id = $feature_id::hugeint""",
        feature_id=int(feature_id),
        n_texts=store.n_texts,
    ).to_pylist()
    if not rows:
        last = store.ask("select max(feature_id) as last from features")["last"][0].as_py()
        raise Refusal(f"there is no feature {feature_id}; this run's features are 0 to {last}.")
    return Feature(**rows[0])


def keywords(store: Store, feature_id: int) -> pa.Table:
    """Return a feature's keywords: rank, keyword, score, n_texts; empty when it has none."""
    return store.ask(
        """
        select rank, keyword, score, n_texts
        from keywords
        where feature_id = $feature_id
        order by rank""",
        feature_id=feature_id,
    )


def labels(store: Store, ids: Iterable[int]) -> dict[int, str]:
    """Return the labels of some features, by id; unknown ids are left out."""
    rows = store.ask(
        """
        select f.feature_id, coalesce(l.label, 'feature ' || f.feature_id) as label
        from features f
        left join maybe.labels l on l.feature_id = f.feature_id
        where f.feature_id in (select unnest($ids::bigint[]))
        order by f.feature_id""",
        ids=[int(feature_id) for feature_id in ids],
    )
    return dict(zip(rows["feature_id"].to_pylist(), rows["label"].to_pylist(), strict=True))


def find_features(store: Store, words: str, *, limit: int = 20) -> pa.Table:
    """Return features by id, or by words that all occur in label or keywords: feature_id, label, density.

    The feature with this id comes first, then labels that begin with the words, then the densest. Empty without words.
    """
    return store.ask(
        f"""{_cards(FeatureFilter(words=words))}
        select feature_id, label, density
        from cards
        {MATCHES}
            and $words::varchar <> ''
        order by feature_id::varchar = $words::varchar desc, starts_with(lower(label), lower($words::varchar)) desc,
            density desc, feature_id
        limit $limit""",
        **FeatureFilter(words=words).values(),
        limit=limit,
    )


def layout(store: Store) -> pa.Table:
    """Return the feature map, by id: feature_id, x, y, density, log10_density, max_activation, cluster, dead."""
    return store.ask(
        """
        select p.feature_id, p.x, p.y, f.density::float as density, f.log10_density::float as log10_density,
            f.max_activation, p.cluster, f.dead
        from layout p
        join features f on f.feature_id = p.feature_id
        order by p.feature_id"""
    )


def random_feature(store: Store, draw: float) -> int:
    """Return the live feature at the share `draw` (from 0, below 1) of all live ones; Refusal when all are dead."""
    rows = store.ask(
        """
        select feature_id
        from features
        where not dead
        order by feature_id
        limit 1 offset (select floor($draw::double * count(*))::bigint from features where not dead)""",
        draw=min(max(float(draw), 0.0), 1 - 1e-9),
    )
    if not rows.num_rows:
        raise Refusal("every feature of this run is dead on its corpus, so there is none to draw.")
    return int(rows["feature_id"][0].as_py())
