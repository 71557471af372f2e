"""ingest: a source becomes texts.parquet, and what was left out becomes dropped.parquet.

In an append the texts of the source come after those that are there, as if they stood in one file: ids and numbers of
rows count on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.corpus import Earlier, Roles, Selection, Source, Texts, choose_roles, identify, open_source, select
from featurelib.schema import DROPPED, TEXTS, Refusal
from featurelib.storage import files
from featurelib.storage.runs import Generation
from precompute.build.config import BuildConfig
from precompute.build.job import Job, Made
from precompute.build.stage import Stage

TEXTS_PER_GROUP = 2_048
"""Texts may be long, a row group is held in memory, and a page reads a few texts at a time."""


def identity(config: BuildConfig) -> dict[str, Any]:
    """What the source is made of: its name and sha256, or the revision of a dataset on the hub."""
    return identify(config.source)


def ingest(job: Job) -> Made:
    """Write the texts of the source and the list of what was dropped.

    Raises Refusal when the source, a column or every row of it cannot be used.
    """
    config = job.config
    source_then = identity(config)
    source = open_source(config.source, config.encoding)
    before = _Before.of(job.append.kept()) if job.append else _Before()
    roles, guessed = before.roles(source) or choose_roles(
        source, config.text_column, config.title_column, config.id_column
    )
    tell(job, source)
    with job.progress(2 * source.size, source.unit) as bar:
        selection = select(
            source,
            roles,
            sample=None if job.append else config.sample,
            shuffle_seed=config.seed if config.shuffle and not job.append else None,
            earlier=before.earlier,
            advance=bar.advance,
        )
        texts = Texts(source, roles, selection, before.earlier)
        tell(job, source)
        dropped = pa.concat_tables([before.dropped(), selection.dropped])
        files.write_parquet(job.generation.file(DROPPED), dropped, DROPPED.schema)
        batches = chain(before.texts(), texts.batches(bar.advance))
        n_texts = files.write_parquet(job.generation.file(TEXTS), batches, texts.schema, row_group=TEXTS_PER_GROUP)
    facts = _facts(config, source, roles, selection, texts)
    if any(facts[name] != value for name, value in source_then.items()):
        raise Refusal(f"{source.name} was changed while it was read; give the same command again when it is whole.")
    tell_counts(job, facts)
    if before.generation is None:
        return Made(_line(n_texts, selection), facts | {"guessed": guessed})
    line = f"{_line(len(selection.row_numbers), selection)}, appended to {before.earlier.n_texts:,}"
    return Made(line, before.facts_with(facts))


STAGE = Stage(
    name="ingest",
    makes="texts",
    make=ingest,
    grounds="source and columns",
    options=("text_column", "title_column", "id_column", "sample", "shuffle", "encoding"),
    later_options=("encoding",),
    identity=identity,
    kept="the texts that are there stay as they are, with their ids",
    chapter="corpus",
)


@dataclass(frozen=True)
class _Before:
    """The texts that those of a source are appended to; none in a build of all texts."""

    generation: Generation | None = None
    """The generation that has them."""
    earlier: Earlier = field(default_factory=Earlier)
    """What of them concerns new texts."""

    @classmethod
    def of(cls, generation: Generation) -> _Before:
        """Those of a generation whose stage ingest is done."""
        path = generation.file(TEXTS)
        schema, before = pq.read_schema(path).remove_metadata(), cls(generation)
        n_texts, ids = pq.read_metadata(path).num_rows, frozenset[str]()
        if before.facts["columns"]["id"]:
            ids = frozenset(pq.read_table(path, columns=["source_id"])["source_id"].to_pylist())
        return cls(generation, Earlier(before.facts["n_rows"], n_texts, schema, ids))

    @property
    def facts(self) -> dict[str, Any]:
        """What the stage said of them."""
        done = self.generation.done("ingest") if self.generation else None
        return done.facts if done else {}

    def roles(self, source: Source) -> tuple[Roles, bool] | None:
        """Return the columns of `source` that have their roles; None where there are no texts."""
        if self.generation is None:
            return None
        columns = self.facts["columns"]
        roles, _ = choose_roles(source, columns["text"], columns["title"], columns["id"])
        return replace(roles, id=columns["id"] and roles.id), False

    def dropped(self) -> pa.Table:
        """The rows that were left out."""
        return DROPPED.schema.empty_table() if self.generation is None else pq.read_table(self.generation.file(DROPPED))

    def texts(self) -> Iterator[pa.RecordBatch]:
        """Yield the texts, a few at a time."""
        if self.generation is not None:
            with pq.ParquetFile(self.generation.file(TEXTS)) as opened:
                yield from opened.iter_batches(TEXTS_PER_GROUP)

    def facts_with(self, new: dict[str, Any]) -> dict[str, Any]:
        """Return the facts about all texts: counts added up, the new source in the list of those that were appended."""
        before = self.facts
        counts = {name: before[name] + new[name] for name in ("n_texts", "n_dropped")}
        sums = {
            name: dict(sorted((Counter(before[name]) + Counter(new[name])).items()))
            for name in ("dropped", "repaired", "met")
        }
        own: dict[str, Any] = {
            name: new[name] for name in ("source", "sha256", "revision", "n_texts", "n_dropped") if name in new
        }
        own["n_rows"] = new["n_rows"] - before["n_rows"]
        return before | counts | sums | {"n_rows": new["n_rows"], "appended": [*before.get("appended", []), own]}


def tell(job: Job, source: Source) -> None:
    """Say what the source has to say, once."""
    while source.notes:
        job.say(f"ingest: {source.notes.pop(0)}")


def tell_counts(job: Job, facts: dict[str, Any]) -> None:
    """Say what was repaired and what was met on the way, if anything."""
    met = {**facts["repaired"], **facts["met"]}
    if met:
        job.say(f"ingest: {', '.join(f'{name}: {n:,}' for name, n in met.items())}.")
    sample, n_texts = facts["sample"], facts["n_texts"]
    if sample and not job.append and n_texts < sample:
        job.say(f"ingest: a sample of {sample:,} was asked for, but there are only {n_texts:,} usable texts.")


def _facts(config: BuildConfig, source: Source, roles: Roles, selection: Selection, texts: Texts) -> dict[str, Any]:
    reasons = selection.reasons()
    repaired = {name: n for name, n in sorted((source.repaired + texts.counts).items()) if n}
    return {
        **identity(config),
        **source.facts,
        "columns": {"text": roles.text, "title": roles.title, "id": roles.id},
        "metadata": list(texts.renamed.values()),
        "metadata_renamed": {new: old for old, new in texts.renamed.items() if new != old},
        "n_rows": selection.n_rows,
        "n_texts": len(selection.row_numbers),
        "n_dropped": selection.dropped.num_rows,
        "dropped": reasons,
        "repaired": repaired,
        "met": source.counts(),
        "sample": config.sample,
        "shuffled": config.shuffle,
    }


def _line(n_texts: int, selection: Selection) -> str:
    line = f"{n_texts:,} texts kept, {selection.dropped.num_rows:,} dropped"
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in selection.reasons().items())
    return f"{line} ({reasons})" if reasons else line
