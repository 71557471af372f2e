"""What a feature's direction writes into the next token: the tokens it raises and lowers, the histogram of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featurelib import queries
from featurelib.storage.store import Store
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Html, count, heading, html, number, sentence, tag
from featurelib.ui.kit.token_words import token_word

TITLE = "Tokens this direction raises and lowers"
HELP = (
    "The logit lens: the feature's direction, through the final norm's gain and the unembedding, W_U·(g ⊙ d), less its "
    "mean over the vocabulary; a LayerNorm takes the mean of d away first. The division by the norm depends on the "
    "text and is left out, so numbers compare tokens, and are no logits. It shows what the direction writes straight "
    "into the next token, not what the layers behind it make of it: of an early layer it often says little. A token "
    "leads to the features that raise it most."
)
KURTOSIS = "Fourth standardised moment: 3 for a normal distribution, more where the direction singles out some tokens."


def logits(store: Store, feature_id: int) -> None:
    """The section of the feature page of a token run."""
    rows = queries.feature_logits(store, feature_id).to_pylist()
    spread = queries.logit_spread(store, feature_id)
    heading(TITLE, help=HELP)
    if spread is None:
        sentence(f"this model has no logit lens: {queries.no_logits_reason(store) or 'nothing is stored of it'}.")
        return
    sides = [[row for row in rows if row["side"] == side] for side in ("raised", "lowered")]
    html(tag("div", *(_side(of_side) for of_side in sides), cls="logits"), *_histogram(spread))


def _side(rows: Sequence[Mapping[str, Any]]) -> Html:
    largest = max((abs(row["logit"]) for row in rows), default=0) or 1
    return tag("div", *(_line(row, abs(row["logit"]) / largest) for row in rows), cls=f"side {rows[0]['side']}")


def _line(row: Mapping[str, Any], share: float) -> Html:
    word = token_word(row["token"])
    shown = link("search.py", word, {"by": "token", "q": row["token"]}) if row["token"] else tag("span", word)
    return tag("div", shown, tag("span", _signed(row["logit"]), cls="value"), style=f"--share:{100 * share:.0f}%")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _histogram(spread: queries.LogitSpread) -> list[Html]:
    """Bars over the values of all tokens, and what their axis and shape are."""
    highest = max(spread.counts, default=0) or 1
    width = (spread.highest - spread.lowest) / max(len(spread.counts), 1)
    bars = [
        tag(
            "i",
            style=f"height:{100 * n / highest:.1f}%",
            title=f"{number(spread.lowest + place * width)} to {number(spread.lowest + (place + 1) * width)}: "
            f"{count(n)} tokens",
        )
        for place, n in enumerate(spread.counts)
    ]
    ends = [tag("span", _signed(value)) for value in (spread.lowest, spread.highest)]
    shape = tag("span", f"kurtosis {number(spread.kurtosis)}", cls="term", help=KURTOSIS)
    return [tag("div", *bars, cls="read-histogram"), tag("div", ends[0], shape, ends[1], cls="read-axis")]
