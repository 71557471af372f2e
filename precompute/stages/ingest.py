"""ingest: a source becomes texts.parquet, and what was left out becomes dropped.parquet."""

from __future__ import annotations

from typing import Any

from featurelib.corpus import Roles, Selection, Source, Texts, choose_roles, identify, open_source, select
from featurelib.schema import DROPPED, TEXTS, Refusal
from featurelib.storage import files
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
    roles, guessed = choose_roles(source, config.text_column, config.title_column, config.id_column)
    tell(job, source)
    with job.progress(2 * source.size, source.unit) as bar:
        selection = select(
            source,
            roles,
            sample=config.sample,
            shuffle_seed=config.seed if config.shuffle else None,
            advance=bar.advance,
        )
        texts = Texts(source, roles, selection)
        tell(job, source)
        files.write_parquet(job.generation.file(DROPPED), selection.dropped, DROPPED.schema)
        batches = texts.batches(bar.advance)
        n_texts = files.write_parquet(job.generation.file(TEXTS), batches, texts.schema, row_group=TEXTS_PER_GROUP)
    facts = _facts(config, source, roles, selection, texts)
    if any(facts[name] != value for name, value in source_then.items()):
        raise Refusal(f"{source.name} was changed while it was read; give the same command again when it is whole.")
    tell_counts(job, facts)
    return Made(_line(n_texts, selection), facts | {"guessed": guessed})


STAGE = Stage(
    name="ingest",
    makes="texts",
    make=ingest,
    grounds="source and columns",
    options=("text_column", "title_column", "id_column", "sample", "shuffle", "encoding"),
    later_options=("encoding",),
    identity=identity,
    chapter="corpus",
)


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
    if sample and n_texts < sample:
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
