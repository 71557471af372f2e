"""Which column is the text: asked for, or guessed when there is only one obvious answer."""

from __future__ import annotations

import difflib

import pyarrow as pa
import pyarrow.compute as pc

from featurelib.corpus import cells
from featurelib.corpus.source import Roles, Source
from featurelib.schema import Refusal

COMMON = frozenset(
    ("text", "texts", "document", "content", "body", "sentence", "abstract", "utterance", "message", "comment")
    + ("review", "tweet", "post", "question", "description", "passage", "paragraph", "query")
)
"""Names under which texts are usually kept; "text" itself wins over the others."""
PROSE_CHARACTERS = 20
PROSE_WORDS = 3
PROSE_DISTINCT = 0.5
LISTED = 30


def choose_roles(source: Source, text: str | None, title: str | None, own_id: str | None) -> tuple[Roles, bool]:
    """Return the roles of the columns and whether the text column was guessed.

    Raises Refusal when a column is missing, plays two parts, or no single column is obviously the text.
    """
    peeked = source.peek()
    names = peeked.column_names
    title_name = _find(source, names, title, "--title-column") if title else None
    id_name = _find(source, names, own_id, "--id-column") if own_id else source.own_id
    text_name = _find(source, names, text, "--text-column") if text else _guess(source, peeked, {title_name, id_name})
    if text_name in (title_name, id_name):
        other = "--title-column" if text_name == title_name else "--id-column"
        raise Refusal(f"column '{text_name}' is both --text-column and {other}; give two different columns.")
    if not text:
        hint = ""
        if title_name is None and "title" in names and text_name != "title":
            hint = "; --title-column title would put the title in front"
        source.notes.append(f"the text is taken from column '{text_name}', guessed among {_listed(names)}{hint}.")
    return Roles(text_name, title_name, id_name), not text


def _find(source: Source, names: list[str], wanted: str, flag: str) -> str:
    if wanted in names:
        return wanted
    names = source.column_names()
    if wanted in names:
        return wanted
    alike = [name for name in names if name.strip().casefold() == wanted.strip().casefold()]
    if len(alike) == 1:
        source.notes.append(f"{flag} '{wanted}' is taken for the column {alike[0]!r}.")
        return alike[0]
    near = difflib.get_close_matches(wanted, names, n=1)
    mend = f"did you mean '{near[0]}'? " if near else ""
    raise Refusal(f"{source.name} has no column '{wanted}' for {flag}; {mend}its columns are {_listed(names)}.")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(name.replace("\n", "\\n") for name in names[:LISTED]) or "none") + more


def _guess(source: Source, peeked: pa.Table, excluded: set[str | None]) -> str:
    texts: list[str] = [
        column.name
        for column in peeked.schema
        if pa.types.is_string(_decoded(column.type)) and column.name not in excluded
    ]
    if len(texts) == 1:
        return texts[0]
    for group in (
        [name for name in texts if name.strip().casefold() == "text"],
        [name for name in texts if name.strip().casefold() in COMMON],
        [name for name in texts if _is_prose(peeked[name])],
    ):
        if len(group) == 1:
            return group[0]
        if len(group) > 1:
            raise Refusal(
                f"{len(group)} columns of {source.name} could hold the text: {_listed(group)}; "
                "choose one with --text-column."
            )
    if not texts:
        raise Refusal(
            f"no column of {source.name} holds text (its columns are {_listed(peeked.column_names)}); "
            "a column of strings is expected."
        )
    raise Refusal(
        f"no column of {source.name} is obviously the text; choose one with --text-column out of {_listed(texts)}."
    )


def _decoded(kind: pa.DataType) -> pa.DataType:
    return pa.string() if cells.is_text(kind) and cells.kept_type(kind) == pa.string() else kind


def _is_prose(column: pa.ChunkedArray) -> bool:
    """Whether a column reads like texts rather than like labels or ids: long, of several words, mostly distinct."""
    known = column.cast(pa.string()).drop_null()
    if not len(known):
        return False
    words = pc.mean(pc.count_substring_regex(known, r"\S+")).as_py()
    distinct = pc.count_distinct(known).as_py() / len(known)
    return bool(
        pc.mean(pc.utf8_length(known)).as_py() >= PROSE_CHARACTERS
        and words >= PROSE_WORDS
        and distinct >= PROSE_DISTINCT
    )
