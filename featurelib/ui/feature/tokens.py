"""The tokens of the vocabulary on which a feature of a token run fires."""

from __future__ import annotations

from typing import Any

from featurelib import queries
from featurelib.queries import Feature
from featurelib.storage.store import Store
from featurelib.ui.kit.address import segments
from featurelib.ui.kit.elements import count, heading, number, percent
from featurelib.ui.kit.lists import Line, line_list

SHOWN = 10
ORDERS = {"often": "most often", "strong": "most strongly"}
HELP = (
    "fires: the token's places in the corpus on which the feature fires, and the share of all its places; mean: the "
    "mean activation over those. By strength, tokens on which it fires only once come last."
)
SPACE, NEW_LINE = "␣", "⏎"
"""What a space and a line break look like in a token."""


def tokens(store: Store, feature: Feature) -> None:
    """On how many tokens it fires, and the tokens on which it does so most often or most strongly."""
    density = queries.token_density(store, feature.feature_id)
    note = f"fires on {count(density.n_fired)} of {count(density.n_tokens)} ({percent(density.density)})"
    heading("Tokens", note, help=HELP)
    by = segments("Tokens by", "tokens", list(ORDERS), show=ORDERS.get, resets=(), label_visibility="collapsed")
    rows = queries.feature_tokens(store, feature.feature_id, by=by, limit=SHOWN).to_pylist()
    line_list("tokens", [_line(row) for row in rows], names=("fires", "mean"))


def _line(row: dict[str, Any]) -> Line:
    share = row["n_fired"] / row["n_corpus"]
    values = (f"{count(row['n_fired'])} · {percent(share)}", number(row["mean_activation"]))
    return Line(visible(row["token"]), {"q": row["token"].strip()}, values, page="search.py")


def visible(token: str) -> str:
    """A token with its spaces and line breaks shown."""
    return token.replace(" ", SPACE).replace("\n", NEW_LINE)
