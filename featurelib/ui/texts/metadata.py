"""The source's own columns of texts: notes in lists, the facts of one text, and those that one may filter by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from featurelib import queries
from featurelib.queries import TextRow
from featurelib.storage.store import Store
from featurelib.ui.kit.address import text_box
from featurelib.ui.kit.elements import Html, count, facts, heading, html, section, sentence, tag
from featurelib.ui.kit.session import fragment

MOST_VALUES = 300
"""Values of a column that are offered to choose from."""
LONGEST_NOTE = 60
MOST_NOTES = 4
MOST_FACTS = 30
"""Columns of a text that its page shows at once."""
READ_FIRST = 120
"""Columns that are read first: of most texts, they hold all that is shown."""
SPLITS = {
    "train": ("training text", "The SAE was trained on this text, so firing here proves little."),
    "held_out": ("held-out text", "The SAE was not trained on this text."),
}
OFFERED = (
    "Offered are those of which few values cover most texts: the share of texts that have one of a column's values "
    "from the second to the eighth commonest. Any other column of 2 to 300 values can be named in the address: "
    "column=NAME."
)


def offered_columns(store: Store, named: str = "") -> list[str]:
    """The columns to filter by: the 30 most telling, and the one that the address names."""
    telling = {column.name for column in queries.telling_columns(store)}
    return [column.name for column in queries.filter_columns(store) if column.name in telling | {named}]


def how_many_offered(store: Store, *, address: str = "column") -> None:
    """Say that not all columns are offered, and which are; nothing where all are."""
    n_offered, n_columns = len(queries.telling_columns(store)), len(queries.metadata_columns(store))
    if n_offered < len(queries.filter_columns(store)):
        words = f"{n_offered} of {count(n_columns)} columns"
        html(tag("span", words, cls="term muted", help=OFFERED.replace("column=", f"{address}=")), width="content")


def notes(row: Mapping[str, Any], store: Store) -> list[str]:
    """The notes of a text in a list: its short metadata, without what all texts share and without repetitions."""
    title = queries.title_column(store)
    shown: list[str] = []
    for column in queries.listed_columns(store):
        words = _words(row.get(column.shown_name))
        if not words or len(words) > LONGEST_NOTE or column.n_distinct <= 1 or column.name == title:
            continue
        if not any(words in note for note in shown):
            shown = [note for note in shown if note not in words] + [words]
    return shown[:MOST_NOTES]


def split_tag(split: str | None) -> Html:
    """Whether the SAE was trained on a text, with what that means on hover; nothing when it is not known."""
    if split not in SPLITS:
        return Html("")
    word, meaning = SPLITS[split]
    return tag("span", word, cls="term", help=meaning)


@fragment
@section()
def about_text(text: TextRow, store: Store) -> None:
    """Draw what is known of a text: its place in the source, its metadata, whether the SAE was trained on it.

    Of many columns the first 30 are shown that have a value here, and a field finds others by their names.
    """
    heading("About this text")
    title = queries.title_column(store)
    names = [column.name for column in queries.metadata_columns(store) if column.name != title]
    words = ""
    if len(names) > MOST_FACTS:
        hint = f"{count(len(names))} columns: search by name"
        words = text_box("Find a column", "about", resets=(), placeholder=hint, label_visibility="collapsed")
    own = _filled(store, text.text_id, [name for name in names if words.casefold() in name.casefold()])
    shown = own[:MOST_FACTS]
    facts(shown if words else [*_place(text), *shown, *_split(text)])
    if words and not own:
        sentence(f"No column with “{words}” in its name has a value here.")
    if len(own) > MOST_FACTS:
        sentence(f"{MOST_FACTS} of {count(len(names))} columns, the first that have a value here; search for others.")


def _filled(store: Store, text_id: int, names: Sequence[str]) -> list[tuple[str, object]]:
    """The first columns in which a text has a value, up to one more than are shown; the further ones are not read."""
    rows: list[tuple[str, object]] = []
    for some in (names[:READ_FIRST], names[READ_FIRST:]):
        if some and len(rows) <= MOST_FACTS:
            values = queries.text_metadata(store, text_id, some)
            rows += [(name, _words(value)) for name, value in values.items() if _words(value)]
    return rows[: MOST_FACTS + 1]


def _place(text: TextRow) -> Iterator[tuple[str, object]]:
    """Where a text stands in its source."""
    if text.source_id:
        yield "id in the source", text.source_id
    yield "row of the source", str(text.source_row)


def _split(text: TextRow) -> Iterator[tuple[str, object]]:
    """Whether the SAE was trained on a text, where that is known."""
    if text.sae_split in SPLITS:
        yield "in the SAE's training", split_tag(text.sae_split)


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
