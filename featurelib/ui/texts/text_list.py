"""Texts in lists, where each opens in place, and whole texts, with a mark where the embedder stopped reading.

A text of a list opens without the server: its row holds it (up to `WHOLE` characters) in a `details` element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featurelib import queries
from featurelib.storage.store import Store
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Html, count, html, tag
from featurelib.ui.kit.lists import Line, feature_line, inline
from featurelib.ui.kit.tables import activation_bar
from featurelib.ui.texts.metadata import notes, split_tag

OPENING = 260
"""Characters of a text that a list shows before a click."""
WHOLE = 6_000
"""Characters of a text that a list shows after a click."""
LONGEST = 20_000
"""Characters of a text that its own page shows."""
CUT = "Truncated here: the rest did not influence any feature."


@dataclass(frozen=True)
class ShownText:
    """One text as a list shows it."""

    text_id: int
    """The text's id."""
    text: str
    """The text as it was embedded."""
    title: str = ""
    """Set bold; where the text begins with it, it is not repeated."""
    cut: int | None = None
    """The character at which the embedder stopped reading; None or -1 when it read all."""
    value: float | None = None
    """The number in the margin, such as the activation; None leaves the margin out."""
    maximum: float = 1.0
    """The number of a full bar."""
    about: Sequence[str] = ()
    """Notes in grey below the text, such as metadata."""
    split: str = ""
    """train or held_out, named below the text; anything else is not."""
    opening: Html | None = None
    """Shown in place of the text's beginning, such as a snippet."""
    marked_title: Html | None = None
    """Shown in place of the title, with the searched words marked."""
    focus: int | None = None
    """The character of a token that the beginning is to show; None: the strongest one."""
    whole: Html | None = None
    """Shown after a click in place of the whole text; together with `opening`, which then has the title in it."""
    run: str = ""
    """The run whose text it is; empty for the one that is open."""


def count_texts(store: Store) -> int:
    """The number of texts of the run, as its stage ingest counted them."""
    done = store.generation.done("ingest")
    return int(done.facts["n_texts"]) if done else 0


def text_of(row: Mapping[str, Any], store: Store, maximum: float | None = None) -> ShownText:
    """A row of `queries` as a list shows it; with the feature's `maximum` its activation is shown with a bar."""
    title = queries.title_column(store)
    return ShownText(
        row["text_id"],
        row["text"],
        str(row.get(title) or "") if title else "",
        row.get("cut"),
        row["activation"] if maximum is not None else None,
        maximum or 1.0,
        notes(row, store),
        row.get("sae_split") or "",
    )


def cut_text(text: str, cut: int | None = None, *, start: int = 0, longest: int = LONGEST) -> Html:
    """A text from the character `start` on, line breaks kept, with a mark where the embedder stopped reading."""
    stop = min(len(text), start + longest)
    where = cut if cut is not None and 0 <= cut < len(text) else stop
    where = min(max(where, start), stop)
    pieces: list[object] = [tag("span", text[start:where])]
    if where < stop:
        pieces += [tag("span", CUT, cls="read-cut"), tag("span", text[where:stop].lstrip(" "), cls="unread")]
    if stop < len(text):
        pieces.append(tag("span", f"… {count(len(text) - stop)} more characters", cls="read-cut"))
    return tag("div", *pieces, cls="read-whole")


def after_title(text: str, title: str) -> int:
    """Where a text goes on after the title that it begins with."""
    if not title or not text.startswith(title):
        return 0
    rest = text[len(title) :]
    return len(text) - len(rest.lstrip(". \n"))


def _body(shown: ShownText) -> Html:
    if shown.whole is not None:
        brief = tag("span", shown.opening or Html(""), Html(" "), cls="read-opening")
        summary = tag("summary", brief, tag("span", Html(""), cls="read-more"))
        return tag("details", summary, shown.whole)
    start = after_title(shown.text, shown.title)
    title = [tag("b", shown.marked_title or shown.title), Html(" ")] if shown.title else []
    rest = len(shown.text) - start
    cut = shown.cut is not None and 0 <= shown.cut < len(shown.text)
    if shown.opening is None and rest <= OPENING and not cut:
        return tag("p", *title, shown.text[start:])
    beginning = shown.text[start : start + OPENING]
    opening = shown.opening or tag("span", (beginning.rsplit(" ", 1)[0] if rest > OPENING else beginning) + " …")
    summary = tag(
        "summary", *title, tag("span", opening, Html(" "), cls="read-opening"), tag("span", Html(""), cls="read-more")
    )
    return tag("details", summary, cut_text(shown.text, shown.cut, start=start, longest=WHOLE))


def dotted(pieces: Sequence[object]) -> Html:
    """Pieces on one line, dots between them."""
    return Html(" · ".join(piece if isinstance(piece, Html) else tag("span", piece) for piece in pieces if str(piece)))


def text_html(shown: ShownText) -> Html:
    """One text of a list: number and bar, title, beginning (all of it on click), what is known of it."""
    bar = activation_bar(shown.value, shown.maximum) if shown.value is not None else Html("")
    about: list[object] = list(shown.about)
    if shown.cut is not None and 0 <= shown.cut < len(shown.text):
        about.append("truncated")
    about.append(split_tag(shown.split))
    return tag(
        "div", bar, tag("div", _body(shown), tag("div", dotted(about), cls="about")), cls="card" if bar else "card bare"
    )


def text_list(
    key: str,
    rows: Sequence[tuple[ShownText, Sequence[Line]]],
    *,
    before: str = "active:",
    feature_id: int | None = None,
) -> None:
    """Texts one below the other, each with a link to its own page and to features active in it.

    With `feature_id` the page of a text opens with the attributions to that feature.
    """
    pieces = []
    for shown, lines in rows:
        opens = link("text.py", "open text", {"run": shown.run, "text": shown.text_id, "feature": feature_id})
        others = inline(lines, before=before, shorten=True) if lines else Html("")
        bare = "" if shown.value is not None else " bare"
        pieces.append(Html(text_html(shown) + tag("div", opens, others, cls=f"read-inline{bare}")))
    html(tag("div", *pieces, cls=f"read-texts read-texts-{key}"))


def with_features(
    texts: Sequence[ShownText], store: Store, *, without: int | None = None, per_text: int = 4
) -> list[tuple[ShownText, list[Line]]]:
    """Texts with links to the strongest features active in each, one feature left out."""
    also: dict[int, list[Line]] = {shown.text_id: [] for shown in texts}
    for row in queries.active_features(store, list(also), per_text=per_text, without=without).to_pylist():
        also[row["text_id"]].append(feature_line(row["feature_id"], row["label"]))
    return [(shown, also[shown.text_id]) for shown in texts]
