"""What the language model writes, without and with the changes, and what it expects next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from featurelib.live.client import LONGEST_PROMPT as LONGEST_PROMPT
from featurelib.live.client import MOST_NEW as MOST_NEW
from featurelib.live.results import FeatureChange, Intervened
from featurelib.schema import Refusal
from featurelib.ui.intervene.features_to_change import token_chip
from featurelib.ui.kit.elements import Html, Number, heading, html, number, percent, sentence, strip, tag
from featurelib.ui.kit.session import has_left, live

KEPT = "continuations that were written"
STOPPED = "continuation that was cancelled"
WRITING = "Writing …; the first time takes some ten seconds more, because the language model has to start."
ENDS = {
    "stop": "the model ended it",
    "tokens": "as many tokens as were asked for",
    "seconds": "the time was up",
    "context": "the model's context is full",
}
LOSS = "Mean −ln p of the prompt's tokens, each given those before it, in nats."
KL = "KL(before ‖ after) of the token that comes next, Σ p·ln(p/q) over the vocabulary, in nats."


@dataclass(frozen=True)
class Asked:
    """A prompt and what is to be done with it."""

    generation: Path
    prompt: str
    changes: tuple[FeatureChange, ...]
    where: str
    n_tokens: int
    temperature: float
    seed: int


def intervened(asked: Asked) -> Intervened | None:
    """Both continuations, kept as long as nothing else is asked; None with a sentence where they were cancelled."""
    kept = st.session_state.get(KEPT)
    if kept is not None and kept[0] == asked:
        before: Intervened = kept[1]
        return before
    if st.session_state.get(STOPPED) == asked:
        sentence("Cancelled; nothing is shown.")
        st.button("Write it after all", on_click=_forget)
        return None
    place = st.empty()
    try:
        with place.container():
            st.button("Cancel", key="cancel continuation", on_click=_stop, args=(asked,))
            with st.spinner(WRITING, show_time=True):
                outcome = live().intervene(
                    asked.generation,
                    asked.prompt,
                    asked.changes,
                    where=asked.where,
                    n_tokens=asked.n_tokens,
                    temperature=asked.temperature,
                    seed=asked.seed,
                    cancelled=has_left(),
                )
    finally:
        place.empty()
    st.session_state[KEPT] = (asked, outcome)
    return outcome


def _stop(asked: Asked) -> None:
    st.session_state[STOPPED] = asked


def _forget() -> None:
    st.session_state.pop(STOPPED, None)


def numbers(outcome: Intervened) -> None:
    """The loss of the prompt before and after, and how far the next token's probabilities moved."""
    losses = f"{number(outcome.before_loss)} → {number(outcome.after_loss)}"
    strip(
        [
            Number(losses, "loss of the prompt, before and after", LOSS),
            Number(number(outcome.kl), "nats between the next tokens", KL),
            Number(str(outcome.n_prompt), "tokens of the prompt"),
        ]
    )


def continuations(outcome: Intervened) -> None:
    """Both continuations side by side."""
    left, right = st.columns(2, gap="medium")
    for column, title, text, end in (
        (left, "As it is", outcome.before_text, outcome.before_end),
        (right, "With the changes", outcome.after_text, outcome.after_end),
    ):
        with column:
            heading(title, ENDS.get(end, ""))
            html(tag("p", text, cls="intervene-text") if text.strip() else tag("p", "It writes nothing.", cls="muted"))
    if outcome.before_text == outcome.after_text:
        sentence("Both are the same, to the letter.")


def next_tokens(outcome: Intervened) -> None:
    """The likeliest next tokens of both, with their probabilities as bars."""
    heading("What comes next", "the ten likeliest of each")
    head = tag("tr", *(tag("th", name, scope="col") for name in ("token", "as it is", "with the changes")))
    rows = zip(outcome.next_words, outcome.before_shares.tolist(), outcome.after_shares.tolist(), strict=True)
    lines = [tag("tr", tag("td", token_chip(word)), *_cells((before, after))) for word, before, after in rows]
    html(tag("table", tag("thead", head), tag("tbody", *lines), cls="intervene-next"))


def _cells(shares: Sequence[float]) -> list[Html]:
    return [
        tag("td", tag("span", percent(share)), tag("i", "", style=f"width:{100 * share:.1f}%"), cls="share")
        for share in shares
    ]


def written(asked: Asked) -> None:
    """All of the outcome, or the sentence why there is none."""
    try:
        outcome = intervened(asked)
    except Refusal as refusal:
        sentence(str(refusal))
        return
    if outcome is None:
        return
    numbers(outcome)
    continuations(outcome)
    next_tokens(outcome)
