"""Several texts tried at once, one per line, in a table; a row opens its line alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import streamlit as st

from featurelib import queries
from featurelib.live.client import LONGEST_TEXT, MOST_LINES
from featurelib.live.results import TriedText
from featurelib.storage.store import Store
from featurelib.ui.kit.downloads import download
from featurelib.ui.kit.elements import count, html, sentence, tag
from featurelib.ui.kit.navigation import EXPLAINED, RECONSTRUCTED
from featurelib.ui.kit.session import OPENED, Opened, live
from featurelib.ui.kit.tables import (
    id_column,
    number_column,
    order_of_address,
    share_column,
    sorted_rows,
    table,
    text_column,
)
from featurelib.ui.texts.text_input import in_address

STRONGEST = 3
REMEMBERED = "tried lines"
COLUMNS = {
    "line": id_column("line", sort="line", phone=False),
    "text": text_column("text", sort="text", longest=160),
    "strongest": text_column(
        "strongest features",
        sort="strongest",
        help="The three most strongly active features, with their activations.",
    ),
    "n_active": number_column("active", sort="n_active", phone=False, help="The number of features that fire."),
    "explained": share_column("explained", sort="explained", phone=False, help=EXPLAINED),
    "cosine": number_column("cosine", 3, sort="cosine", phone=False, help=RECONSTRUCTED),
    "n_tokens": number_column("tokens", sort="n_tokens", phone=False, help="Prompt and special tokens included."),
    "truncated": text_column(
        "truncated",
        show=lambda truncated: "yes" if truncated else "no",
        sort="truncated",
        phone=False,
        help="Whether the embedder stopped before the end of the text.",
    ),
}


def lines_of(text: str) -> list[tuple[int, str]]:
    """The lines of a text that are not blank, each with its number from 1."""
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def tried_lines(opened: Opened, text: str) -> None:
    """Try each line of a text and draw the table, with its download; says which lines are left out."""
    every = lines_of(text)
    short = [(number, line) for number, line in every if len(line) <= LONGEST_TEXT]
    if len(short) < len(every):
        left_out = [str(number) for number, line in every if len(line) > LONGEST_TEXT]
        sentence(
            f"Lines longer than {LONGEST_TEXT:,} characters are left out: {', '.join(left_out[:10])}"
            f"{' …' if len(left_out) > 10 else ''}."
        )
    if len(short) > MOST_LINES:
        sentence(f"The first {MOST_LINES} of {count(len(short))} lines are tried; paste the others after them.")
    lines = short[:MOST_LINES]
    if not lines:
        sentence("All lines are empty.")
        return
    _draw(opened, rows_of(opened.store, lines, _tried(opened, [line for _, line in lines])))


def _tried(opened: Opened, texts: Sequence[str]) -> Sequence[TriedText]:
    """The answer for each text; the last one stays in the session, because a click draws the page again."""
    question = (st.session_state[OPENED], tuple(texts))
    remembered: tuple[object, Sequence[TriedText]] | None = st.session_state.get(REMEMBERED)
    if remembered is None or remembered[0] != question:
        with st.spinner(f"Trying {count(len(texts))} texts …", show_time=True):
            remembered = st.session_state[REMEMBERED] = (question, live().try_lines(opened.generation.path, texts))
    return remembered[1]


def rows_of(store: Store, lines: Sequence[tuple[int, str]], tried: Sequence[TriedText]) -> pa.Table:
    """One row a line: line, text, strongest, n_active, explained, cosine, n_tokens, truncated, features, activations.

    explained = 1 − FVU of this text; features and activations are lists, the most strongly active first.
    """
    strongest = {int(feature_id) for answer in tried for feature_id in answer.feature_ids[:STRONGEST]}
    labels = queries.labels(store, strongest)
    return pa.table(
        {
            "line": pa.array([number for number, _ in lines], pa.int32()),
            "text": [line for _, line in lines],
            "strongest": [_strongest(answer, labels) for answer in tried],
            "n_active": pa.array([len(answer.feature_ids) for answer in tried], pa.int32()),
            "explained": pa.array([1 - answer.fvu for answer in tried], pa.float32()),
            "cosine": pa.array([answer.cosine for answer in tried], pa.float32()),
            "n_tokens": pa.array([answer.n_tokens for answer in tried], pa.int32()),
            "truncated": [answer.truncated for answer in tried],
            "features": pa.array([answer.feature_ids.tolist() for answer in tried], pa.list_(pa.int32())),
            "activations": pa.array([answer.activations.tolist() for answer in tried], pa.list_(pa.float32())),
        }
    )


def _strongest(answer: TriedText, labels: Mapping[int, str]) -> str:
    pairs = zip(answer.feature_ids[:STRONGEST].tolist(), answer.activations[:STRONGEST].tolist(), strict=True)
    return ";  ".join(f"{labels.get(feature_id, f'feature {feature_id}')} {value:.2f}" for feature_id, value in pairs)


def _draw(opened: Opened, rows: pa.Table) -> None:
    order = order_of_address(list(COLUMNS), rising=("line", "text", "strongest", "truncated"))
    table(
        sorted_rows(rows, order.sort, order),
        COLUMNS,
        page="try.py",
        opens=lambda row: ("try.py", in_address(row["text"])),
        key="lines",
        order=order,
    )
    html(tag("p", "A row opens its line alone.", cls="muted"))
    download(f"{opened.name}-tried", lambda: rows, key="tried", what="Download")
