"""Two SAEs side by side: their evaluation, how many features both have, and what each has alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from featurelib import matching, queries
from featurelib.matching import KINDS, Counterparts
from featurelib.queries import Metric
from featurelib.ui.kit.address import choice_param, kept_params
from featurelib.ui.kit.anchors import link, page_link
from featurelib.ui.kit.elements import count, heading, html, number, percent, sentence, tag
from featurelib.ui.kit.metrics import OF_TEXTS, OF_WEIGHTS
from featurelib.ui.kit.session import Opened, store_of
from featurelib.ui.kit.tables import Column, Order, number_column, table, text_column
from featurelib.ui.matching.partners import BothSides

PER_PAGE = 20
SPLITS = ("held_out", "unknown", "all", "train", "weights")
"""The splits of metrics, those first whose numbers may be trusted most."""
SHARES = ("dead_share", "dense_share_10", "dense_share_50")
HERE, THERE = "here", "there"
MEANINGS = {
    "both": f"some other fires on the same texts (jaccard ≥ {matching.SAME}) and some cosine is ≥ {matching.ALONG}",
    "overlap": f"some other fires on the same texts (jaccard ≥ {matching.SAME}); no direction is the same",
    "direction": f"some cosine is ≥ {matching.ALONG}; no other fires on the same texts",
    "near": "something is like it, but not enough to be the same",
    "alone": f"no jaccard reaches {matching.ALIKE} and no cosine {matching.APART}: the other SAE has nothing like it",
    "rare": "it fires on fewer than 5 of the texts compared",
}
NAMES = {
    "both": "matched by texts and direction",
    "overlap": "matched by texts alone",
    "direction": "matched by direction alone",
    "near": "something near",
    "alone": "alone",
    "rare": "too rare to say",
}
COLUMNS = {
    "label": text_column("feature", sort="label"),
    "n_active": number_column("texts", sort="n_active"),
    "overlapping": text_column("on the same texts", phone=False),
    "jaccard": number_column("overlap", 2, sort="jaccard", help="Jaccard of the texts on which both fire."),
    "pointing": text_column("in the same direction", phone=False),
    "cosine": number_column("cosine", 2, sort="cosine", help="Cosine of the two directions (decoder rows)."),
}
SORTS = ("n_active", "label", "jaccard", "cosine")
MATCHED = ("both", "overlap", "direction")


@dataclass(frozen=True)
class Side:
    """The features of one of the two SAEs."""

    run: str
    other: str
    counterparts: Counterparts
    labels: list[str]
    other_labels: list[str]
    n_active: np.ndarray


def side_of(opened: Opened, both: BothSides, side: str) -> Side:
    """The features of the run that is open, or of the other."""
    compared = both.compared
    if side == HERE:
        labels = compared.labels, compared.other_labels
        return Side(opened.name, compared.other, both.here, *labels, compared.n_active)
    labels = compared.other_labels, compared.labels
    return Side(compared.other, opened.name, both.there, *labels, compared.other_active)


def evaluation_table(opened: Opened, other: str) -> None:
    """Every metric that both runs have, side by side, each on its own most trustworthy split."""
    ours, theirs = (queries.metrics(store) for store in (opened.store, store_of(other)))
    names = {name: words for name, words in (OF_TEXTS | OF_WEIGHTS).items() if _best(ours, name) or _best(theirs, name)}
    heading("Evaluation", "each on its own most trustworthy split")
    rows = []
    for name, words in names.items():
        first, second = _best(ours, name), _best(theirs, name)
        rows.append(
            {
                "metric": words,
                "here": _metric(first, name),
                "there": _metric(second, name),
                "split": " / ".join(dict.fromkeys(own.split.replace("_", " ") for own in (first, second) if own)),
            }
        )
    if not rows:
        sentence("Neither run has been evaluated.")
        return
    columns = {
        "metric": text_column("metric"),
        "here": Column(opened.name),
        "there": Column(other),
        "split": text_column("texts", phone=False),
    }
    table(pa.Table.from_pylist(rows), columns, page="matching.py", key="evaluations")
    page_link("evaluation.py", "formulas, and more numbers ›")


def _best(metrics: Mapping[tuple[str, str], Metric], name: str) -> Metric | None:
    return next((metrics[name, split] for split in SPLITS if (name, split) in metrics), None)


def _metric(metric: Metric | None, name: str) -> str:
    if metric is None:
        return "–"
    show = percent if name in SHARES else number
    ends = f" ({show(metric.low)} to {show(metric.high)})" if metric.low is not None and metric.high is not None else ""
    return show(metric.value) + ends


def kind_table(opened: Opened, both: BothSides) -> None:
    """How many features of each SAE are matched, and how; a number lists its features."""
    other = both.compared.other
    n = both.compared.matches.n_texts
    matched = [percent(own.share(*MATCHED)) for own in (both.here, both.there)]
    heading("Features", f"compared on {count(n)} texts")
    html(
        tag(
            "p",
            f"{matched[0]} of the features of {opened.name} that are not rare are found in {other}, and {matched[1]} "
            f"of those of {other} in {opened.name}.",
            cls="read-verdict",
        )
    )
    if not both.compared.directed:
        sentence(
            "The directions cannot be compared: one of the SAEs keeps a format of its own, or their inputs differ. "
            "Features are matched by the texts on which they fire alone."
        )
    heads = [tag("th", name, cls="n", scope="col") for name in (opened.name, other)]
    lines = []
    for place, kind in enumerate(KINDS):
        cells = [
            tag("td", link("matching.py", _count(own, place), _where(side, kind)), cls="n")
            for side, own in ((HERE, both.here), (THERE, both.there))
        ]
        name = tag("span", NAMES[kind], cls="term", help=MEANINGS[kind])
        lines.append(tag("tr", tag("td", name, cls="words"), *cells))
    body = tag("table", tag("thead", tag("tr", tag("th", ""), *heads)), tag("tbody", *lines), cls="cells")
    html(tag("div", body, cls="rows"))


def _count(own: Counterparts, place: int) -> str:
    n = int((own.kind == place).sum())
    return f"{count(n)} · {percent(n / len(own.kind))}"


def _where(side: str, kind: str) -> dict[str, object]:
    return {**kept_params("page", "side", "kind"), "side": side, "kind": kind}


def asked_for() -> tuple[str, str]:
    """The side and the kind that the address asks for: what the open run has alone, unless it says otherwise."""
    return choice_param("side", (HERE, THERE)), choice_param("kind", ("alone", *KINDS))


def feature_rows(side: Side, kind: str) -> pa.Table:
    """The features of one side and kind, with what is most like them in the other SAE."""
    own = side.counterparts
    ids = np.flatnonzero(own.kind == KINDS.index(kind))
    return pa.table(
        {
            "feature_id": ids,
            "label": [side.labels[feature_id] for feature_id in ids.tolist()],
            "n_active": side.n_active[ids],
            "overlapping": _names(side.other_labels, own.by_overlap[ids]),
            "jaccard": own.jaccard[ids],
            "pointing": _names(side.other_labels, own.by_direction[ids]),
            "cosine": pa.array(own.cosine[ids].astype(np.float64), from_pandas=True),
        }
    )


def _names(labels: list[str], ids: np.ndarray) -> list[str]:
    return [labels[other] if other >= 0 else "" for other in ids.tolist()]


def feature_list(side: Side, rows: pa.Table, order: Order) -> None:
    """Draw some of them; a row opens its feature in its run."""

    def opens(row: Mapping[str, Any]) -> tuple[str, Mapping[str, object]]:
        return "feature.py", {"run": side.run, "feature": row["feature_id"]}

    table(rows, COLUMNS, page="matching.py", key="counterparts", opens=opens, order=order)


def list_heading(side: Side, kind: str, n: int) -> None:
    """What is listed."""
    heading(f"{side.run}: {NAMES[kind]}", f"{count(n)} features, beside the most similar of {side.other}")
