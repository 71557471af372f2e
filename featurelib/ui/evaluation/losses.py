"""What the SAE costs its language model: losses with each replacement, and the tokens where it hurts most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featurelib import queries
from featurelib.schema.records import LossMetric
from featurelib.storage.store import Store
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Html, count, heading, html, number, percent, sentence, tag
from featurelib.ui.kit.metrics import SPLITS
from featurelib.ui.kit.token_words import token_word

NAMES = {
    "ce_clean": "cross-entropy, the model left alone",
    "ce_sae": "with the SAE's reconstruction",
    "ce_zero": "with zeros",
    "ce_mean": "with the mean hidden state",
    "ce_increase": "what the reconstruction adds",
    "ce_recovered": "recovered of what zeros cost",
    "ce_recovered_mean": "recovered of what the mean costs",
    "kl": "KL(clean ‖ SAE)",
}
SHARES = ("ce_recovered", "ce_recovered_mean")
TITLE = "Next-token loss"
HELP = (
    "How well the language model predicts the next token when something else stands in place of the hidden states that "
    "the SAE reads. The states of BOS and of a chat template stay the model's own unless the SAE was trained on them."
)
HURTS = "The predicted tokens whose loss (−log p, in nats) rises most when the reconstruction stands in place."
BEFORE, BEHIND = 70, 40
"""Characters of a text that are shown around a token."""


def losses(store: Store) -> None:
    """The section of the evaluation page of a token run."""
    metrics = queries.loss_metrics(store)
    if not metrics:
        heading(TITLE, help=HELP)
        sentence(
            f"no losses are known: {queries.no_logits_reason(store) or 'no token of these texts follows another'}."
        )
        return
    first = metrics[0]
    note = f"{count(first.n_tokens)} tokens of {count(first.n_texts)} {SPLITS.get(first.split, first.split)}"
    heading(TITLE, note, help=HELP)
    html(tag("table", tag("tbody", *(_row(metric) for metric in metrics)), cls="measures"))
    rows = queries.hurt_tokens(store).to_pylist()
    if rows:
        heading("Where it hurts most", "loss with the model left alone → with the SAE", help=HURTS)
        html(tag("div", *(_hurt(row) for row in rows), cls="hurt"))


def _row(metric: LossMetric) -> Html:
    show = percent if metric.metric in SHARES else number
    measured = f"Measured on {count(metric.n_tokens)} tokens of {count(metric.n_texts)} texts."
    named = tag("span", NAMES.get(metric.metric, metric.metric), cls="term", help=f"{metric.formula}\n{measured}")
    interval = tag("small", f"{show(metric.low)} – {show(metric.high)}")
    tokens = tag("td", f"{count(metric.n_tokens)} tokens", cls="muted")
    return tag("tr", tag("th", named), tag("td", show(metric.value), interval), tokens)


def _hurt(row: Mapping[str, Any]) -> Html:
    """A token in its text, and its loss before and after."""
    text, start, end = row["text"], row["start"], row["end"]
    before, behind = text[max(0, start - BEFORE) : start], text[end : end + BEHIND]
    token = tag("mark", text[start:end] or token_word(row["token"]))
    words = tag("span", "…" if start > BEFORE else "", before, token, behind, "…" if end + BEHIND < len(text) else "")
    rise = f"{number(row['clean'])} → {number(row['reconstructed'])}"
    inner = Html(words + tag("span", rise, cls="value"))
    return tag("div", link("text.py", inner, {"text": row["text_id"]}))
