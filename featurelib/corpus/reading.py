"""From a source to texts: which rows are kept and why the others are not, and the kept rows as the table texts."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurelib.corpus import cells
from featurelib.corpus.source import Roles, Rows, Source
from featurelib.schema import DROPPED, TEXTS, Refusal

NULL = "null text"
EMPTY = "empty text"
WHITESPACE = "only whitespace"
INVISIBLE = "only invisible characters"
FOREIGN = "text is not a string"
DUPLICATE = "duplicate id"
LONGEST_TEXT = 100_000
"""Characters of a text that are kept; the number of texts that were cut is recorded."""
NAMED = 5
"""Ids or columns that an error names."""
_INVISIBLE = r"^[\s\pZ\p{Cc}\p{Cf}\x{FFFD}]*$"
Advance = Callable[[int], object]


@dataclass(frozen=True)
class Earlier:
    """What the texts of a source come after, where they are appended to others; by default nothing."""

    n_rows: int = 0
    """The number of rows that were read before: a row's number counts from there."""
    n_texts: int = 0
    """The number of texts: a text's id counts from there."""
    schema: pa.Schema | None = None
    """The columns of these texts, in their types: those of the new texts must be the same."""
    ids: frozenset[str] = frozenset()
    """Their source_ids, where a column identifies a text: no new text may have one of them."""


NOTHING = Earlier()


@dataclass
class Selection:
    """Which rows of a source become texts."""

    row_numbers: np.ndarray
    """int64: the row numbers of the texts, ascending."""
    dropped: pa.Table
    """The table dropped: source_row, source_id, reason, in the order of the source."""
    n_rows: int
    """Rows looked at: all, or those up to the last text of a sample."""

    def reasons(self) -> dict[str, int]:
        """How many rows were dropped for each reason, the most frequent first, then by name."""
        counted = Counter(self.dropped["reason"].to_pylist())
        return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


@dataclass
class _Survey:
    row_numbers: list[np.ndarray] = field(default_factory=list)
    dropped: list[tuple[int, str | None, str]] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    known: list[str] = field(default_factory=list)
    n_kept: int = 0
    last: int = -1


def select(
    source: Source,
    roles: Roles,
    *,
    sample: int | None = None,
    shuffle_seed: int | None = None,
    earlier: Earlier = NOTHING,
    advance: Advance,
) -> Selection:
    """Read the role columns of `source` once and decide about every row.

    `sample` keeps the first so many usable texts, or, with `shuffle_seed`, as many drawn from all of them; drawn texts
    stay in the order of the source. Raises Refusal when no row is usable, or when one has the id of an earlier text.
    """
    survey = _Survey()
    first = sample if shuffle_seed is None else None
    for rows in source.survey(roles):
        _survey_rows(_after(rows, earlier.n_rows), roles, survey, earlier.ids)
        advance(rows.weight)
        if first is not None and survey.n_kept >= first:
            break
    if survey.known:
        named = ", ".join(survey.known[:NAMED]) + (", …" if len(survey.known) > NAMED else "")
        raise Refusal(
            f"{len(survey.known):,} ids in column '{roles.id}' of {source.name} are those of texts that are there "
            f"already ({named}); take these rows out of it, or give them other ids."
        )
    row_numbers = np.concatenate([*survey.row_numbers, np.empty(0, np.int64)]).astype(np.int64)
    n_rows = survey.last + 1
    if first is not None and len(row_numbers) >= first:
        row_numbers = row_numbers[:first]
        n_rows = int(row_numbers[-1]) + 1
    elif sample is not None and sample < len(row_numbers):
        row_numbers = np.sort(np.random.default_rng(shuffle_seed).choice(row_numbers, sample, replace=False))
    dropped = sorted((row for row in survey.dropped if row[0] < n_rows), key=lambda row: row[0])
    table = pa.table([list(column) for column in zip(*dropped, strict=True)] or [[], [], []], schema=DROPPED.schema)
    selection = Selection(row_numbers, table, n_rows)
    if not len(row_numbers):
        reasons = ", ".join(f"{n} {reason}" for reason, n in selection.reasons().items()) or "it has no rows"
        raise Refusal(
            f"{source.name} holds no usable text in column '{roles.text}' ({reasons}); one at least is expected."
        )
    return selection


def _after(rows: Rows, n_rows: int) -> Rows:
    """The rows, their numbers counted from `n_rows` on."""
    if not n_rows:
        return rows
    broken = [(number + n_rows, reason) for number, reason in rows.broken]
    return replace(rows, numbers=rows.numbers + n_rows, broken=broken)


def _survey_rows(rows: Rows, roles: Roles, survey: _Survey, known: frozenset[str]) -> None:
    """Take one batch into the survey: kept row numbers, dropped rows with their reason, ids seen."""
    reasons = _unusable(rows)
    ids, generated = _ids(rows)
    listed = ids.to_pylist()
    if roles.id:
        for place in np.flatnonzero((reasons == "") & ~generated):
            if listed[place] in survey.ids:
                reasons[place] = DUPLICATE
            elif listed[place] in known:
                survey.known.append(listed[place])
            survey.ids.add(listed[place])
    row_numbers = rows.numbers[reasons == ""]
    survey.row_numbers.append(row_numbers)
    survey.n_kept += len(row_numbers)
    survey.dropped += [(int(rows.numbers[i]), listed[i], str(reasons[i])) for i in np.flatnonzero(reasons != "")]
    survey.dropped += [(number, None if roles.id else str(number), reason) for number, reason in rows.broken]
    survey.last = max(survey.last, *rows.numbers[-1:].tolist(), *(number for number, _ in rows.broken))


def _unusable(rows: Rows) -> np.ndarray:
    """Why each row cannot be a text; "" where it can. Returns object [n]."""
    reasons = np.full(len(rows.text), "", object)
    hidden = _mask(pc.match_substring_regex(rows.text, _INVISIBLE))
    if hidden.any():
        reasons[hidden] = INVISIBLE
        reasons[_mask(pc.match_substring_regex(rows.text, r"^[\s\pZ]*$"))] = WHITESPACE
        reasons[_mask(pc.equal(rows.text, ""))] = EMPTY
    reasons[rows.text.is_null().to_numpy(zero_copy_only=False)] = NULL
    if rows.foreign is not None:
        reasons[rows.foreign] = FOREIGN
    return reasons


def _mask(column: pa.Array) -> np.ndarray:
    mask: np.ndarray = pc.fill_null(column, False).to_numpy(zero_copy_only=False)
    return mask


def _ids(rows: Rows) -> tuple[pa.Array, np.ndarray]:
    """Return the ids (string [n]) and which of them were made from the row number because the source has none."""
    numbers = pa.array(rows.numbers).cast(pa.string())
    if rows.id is None:
        return numbers, np.zeros(len(rows.numbers), bool)
    missing = pc.fill_null(pc.equal(rows.id, ""), True)
    generated = pc.binary_join_element_wise("row-", numbers, "")
    return pc.if_else(missing, generated, rows.id), missing.to_numpy(zero_copy_only=False)


class Texts:
    """The kept rows of a source as batches of the table texts; `counts` is complete when they are exhausted."""

    def __init__(self, source: Source, roles: Roles, selection: Selection, earlier: Earlier = NOTHING) -> None:
        """A survey of the source must be over: it settles the types of the metadata, unless earlier texts have them.

        Raises Refusal when earlier texts have other columns.
        """
        self._source = source
        self._roles = roles
        self._selection = selection
        self._earlier = earlier
        if earlier.schema is not None:
            source.take_types(_source_types(source, roles, earlier.schema))
        fields = source.fields(roles)
        self.renamed = dict(zip(fields.names, _free_names(fields.names), strict=True))
        """The metadata columns of the source and their names in the table."""
        metadata = [pa.field(self.renamed[column.name], column.type) for column in fields]
        self.schema = earlier.schema or pa.schema([*TEXTS.schema, *metadata])
        self._check_columns([column.name for column in metadata])
        self.counts: Counter[str] = Counter()
        """Texts cut to 100,000 characters, ids made from row numbers, texts without title."""

    def batches(self, advance: Advance) -> Iterator[pa.RecordBatch]:
        """Yield the texts with their metadata, in the order of the source."""
        row_numbers, done = self._selection.row_numbers, 0
        for own in self._source.rows(self._roles):
            rows = _after(own, self._earlier.n_rows)
            end = int(np.searchsorted(row_numbers, rows.numbers[-1], side="right")) if len(rows.numbers) else done
            if end > done:
                places = np.searchsorted(rows.numbers, row_numbers[done:end])
                yield self._batch(rows, places, self._earlier.n_texts + np.arange(done, end, dtype=np.int64))
            done = end
            advance(rows.weight)
            if done == len(row_numbers):
                return

    def _batch(self, rows: Rows, places: np.ndarray, text_ids: np.ndarray) -> pa.RecordBatch:
        ids, generated = _ids(rows)
        self.counts["ids made from row numbers"] += int(generated[places].sum())
        text = self._composed(rows.text.take(places), rows.title.take(places) if rows.title is not None else None)
        own = {self.renamed[name]: column.take(places) for name, column in (rows.metadata or {}).items()}
        metadata = [self._in_type(own[column.name], column) for column in list(self.schema)[len(TEXTS.schema) :]]
        columns = [pa.array(text_ids), pa.array(rows.numbers[places]), ids.take(places), text, *metadata]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _check_columns(self, names: list[str]) -> None:
        """Refuse columns that are not those of the earlier texts."""
        expected = self.schema.names[len(TEXTS.schema) :]
        missing = [f"lacks '{name}'" for name in expected if name not in names]
        other = [f"has '{name}' besides" for name in names if name not in expected]
        if missing or other:
            differing = " and ".join((missing + other)[:NAMED]) + (", …" if len(missing + other) > NAMED else "")
            raise Refusal(
                f"{self._source.name} has other columns than the texts that are there: it {differing}; give the "
                f"columns {', '.join([*filter(None, (self._roles.id, self._roles.text)), *expected])}."
            )

    def _in_type(self, values: pa.Array, column: pa.Field) -> pa.Array:
        """Bring values to the type of the earlier texts' column; Refusal where that would change one."""
        if values.type == column.type:
            return values
        if values.null_count == len(values):
            return pa.nulls(len(values), column.type)
        whole = pa.types.is_integer(values.type)
        if (whole or pa.types.is_floating(values.type)) and pa.types.is_floating(column.type):
            with contextlib.suppress(pa.ArrowInvalid):
                return values.cast(column.type)
        if whole and pa.types.is_integer(column.type):
            with contextlib.suppress(pa.ArrowInvalid):
                return values.cast(column.type)
        raise Refusal(
            f"column '{column.name}' of {self._source.name} holds {values.type}, and {column.type} in the texts that "
            "are there; write it in that type, or build all texts again."
        )

    def _composed(self, text: pa.Array, title: pa.Array | None) -> pa.Array:
        """Put the title in front where there is one and cut what is too long."""
        if title is not None:
            blank = pc.fill_null(pc.match_substring_regex(title, _INVISIBLE), True)
            self.counts["texts without title"] += pc.sum(blank).as_py() or 0
            text = pc.if_else(blank, text, pc.binary_join_element_wise(title, text, ". "))
        long = pc.sum(pc.greater(pc.utf8_length(text), LONGEST_TEXT)).as_py() or 0
        self.counts[f"texts cut to {LONGEST_TEXT:,} characters"] += long
        return pc.utf8_slice_codeunits(text, 0, LONGEST_TEXT) if long else text


def _source_types(source: Source, roles: Roles, schema: pa.Schema) -> dict[str, pa.DataType]:
    """The types of the earlier texts' columns, by the names that the source has for them."""
    names = source.fields(roles).names
    renamed = zip(names, _free_names(names), strict=True)
    return {name: schema.field(ours).type for name, ours in renamed if ours in schema.names}


def _free_names(names: list[str]) -> list[str]:
    """Call a metadata column source_<name> where a column of ours has its name, whatever the case."""
    ours = {name.casefold() for name in TEXTS.schema.names}
    wanted = [f"source_{name}" if name.casefold() in ours else name for name in names]
    return cells.unique_names([*chain(TEXTS.schema.names, wanted)])[len(TEXTS.schema.names) :]
