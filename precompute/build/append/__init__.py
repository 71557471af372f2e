"""New texts that are added to a complete run: to which generation, and what of it stays.

The base is never modified: an append writes the next generation, with links to what stays. Frozen are the SAE, the old
texts with their ids and split, their embeddings, their activations by text, and places on the maps. Everything else is
made again from all texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow.parquet as pq

from featurelib.corpus import identify
from featurelib.schema import TEXTS, Refusal, Table
from featurelib.storage import files
from featurelib.storage.parts.part_files import POINTER, StoredPart
from featurelib.storage.run_manifest import missing_or_resized
from featurelib.storage.runs import WORK_FOLDER, Generation, Run
from precompute.build.config import BuildConfig

RECORD = "append.json"
"""The file, among the work in progress, that says to which generation which sources are appended."""
APPENDED = "appended"
"""The entry in what ingest was made from that lists the appended sources, in their order."""
FROZEN = ("ingest", "embed", "train", "encode", "layout")
"""The stages that keep something of the base, and so must be made with its options."""
STAYS = "the SAE stays, and so do the old texts with their ids, split, embeddings, activations and places on the maps"
MADE_AGAIN = (
    "counts, top texts, histograms, coactivations, summaries, evaluation, keywords, labels, attributions, near misses, "
    "families and audit are made again from all texts"
)
REBUILD = "build a run of all texts under another --name"


@dataclass(frozen=True)
class Append:
    """New texts that are added to a complete generation."""

    run: str
    """The name of the run."""
    base: Generation | None
    """The generation they are added to; None where it has been removed since, and only what follows it can be made."""
    recorded: dict[str, dict[str, Any]]
    """What each frozen stage of it was made from, by the stage's name: options, version, identity."""
    sources: tuple[dict[str, Any], ...]
    """Every source that was appended to the first one, in their order, the new one last: its name, sha256 and more."""

    @property
    def sentence(self) -> str:
        """What is about to happen, for whoever waits for it."""
        base = self.kept()
        there = f"the {count_texts(base):,} texts of '{self.run}' ({base.name})"
        return f"{self.sources[-1]['source']} is appended to {there}: {STAYS}; {MADE_AGAIN}."

    @property
    def record(self) -> dict[str, Any]:
        """What a build that goes on after a kill must know."""
        return {"base": self.base.name if self.base else None, "sources": list(self.sources)}

    def kept(self) -> Generation:
        """Return the generation whose texts stay, with all its files; Refusal where it is gone or damaged."""
        return self._kept

    @cached_property
    def _kept(self) -> Generation:
        # looked at once: each look asks the system for every file
        if self.base is None:
            raise Refusal(
                f"the generation of '{self.run}' that {self.sources[-1]['source']} was appended to is no longer there, "
                f"so its texts cannot be taken from it again; {REBUILD}."
            )
        damaged = missing_or_resized(self.base)
        if damaged:
            raise Refusal(
                f"run '{self.run}' is damaged: {next(iter(damaged.values()))} Build it again before texts are appended."
            )
        return self.base

    def slices(self, stage: str) -> dict[str, Any] | None:
        """Return what a frozen stage is made from besides the stages before it; None for one that is not frozen."""
        if stage not in FROZEN:
            return None
        recorded = {name: self.recorded[stage][name] for name in ("stage", "version", "options", "identity")}
        if stage == "ingest":
            recorded[APPENDED] = [without(source, "embeddings") for source in self.sources]
        if stage == "embed" and "embeddings" in self.sources[-1]:
            recorded[APPENDED] = [source["embeddings"] for source in self.sources]
        return recorded

    def link_parts(self, generation: Generation, table: Table) -> int:
        """Link the part files of `table` in the base that `generation` lacks; return how many the base has."""
        base = self.kept()
        folder = generation.part_folder(table)
        parts = base.parts(table) if base.file(table).is_dir() else []
        for part in parts:
            file = folder.file(part.name)
            if not file.exists:
                # of a part in another place, what points to it
                path = file.path.with_suffix(POINTER) if isinstance(part, StoredPart) else file.path
                files.link_or_copy(base.file(table) / path.name, path)
        return len(parts)

    def link(self, generation: Generation, name: str) -> None:
        """Link a file of the base, or each file in a folder of it."""
        base = self.kept().path
        place = base / name
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file() and path.suffix != files.ASIDE:
                files.link_or_copy(path, generation.path / path.relative_to(base))


def without(entries: dict[str, Any], name: str) -> dict[str, Any]:
    """The entries but one."""
    return {key: value for key, value in entries.items() if key != name}


def count_texts(generation: Generation) -> int:
    """The number of texts of a generation."""
    return int(pq.read_metadata(generation.file(TEXTS)).num_rows)


def appended_sources(generation: Generation) -> list[dict[str, Any]]:
    """Return the sources that were appended to a generation's first one, with the embeddings that came with each."""
    made_from = [(done.made_from if (done := generation.done(stage)) else {}) for stage in ("ingest", "embed")]
    sources, embeddings = (made.get(APPENDED, []) for made in made_from)
    if len(embeddings) != len(sources):
        return [dict(source) for source in sources]
    return [source | {"embeddings": file} for source, file in zip(sources, embeddings, strict=True)]


def base_of(run: Run) -> Generation:
    """Return the newest complete generation of a run; Refusal where a build that is no append is not finished."""
    generations = run.generations()
    complete = [generation for generation in generations if generation.complete]
    if not complete or _is_another_build(generations[-1]):
        raise Refusal(
            f"run '{run.name}' is not complete, and texts are appended to a complete run only; finish its build first, "
            "with the command that it was begun with."
        )
    return complete[-1]


def _is_another_build(newest: Generation) -> bool:
    """Whether a generation is unfinished and appends nothing; one in which no stage is done yet is nobody's."""
    begun = any(newest.done(stage) for stage in FROZEN)
    return not newest.complete and begun and _record(newest) is None and not appended_sources(newest)


def find_append(run: Run, config: BuildConfig) -> Append:
    """Return what `config` appends to the run.

    The append that the newest generation holds, or was to hold, where its source is given again; else a new one.
    Raises Refusal where the run is not complete, holds the texts of that source already, or is being appended others.
    """
    base = base_of(run)
    newest = run.generations()[-1]
    source = _identity(config, base)
    # the record is removed just before the manifest is written
    record = (None if newest.complete else _record(newest)) or _last_append(run, newest)
    if record is not None and record["sources"][-1] == source:
        before = Generation(run.path / record["base"]) if record["base"] else None
        return Append(run.name, before, _recorded(before or base), tuple(record["sources"]))
    if record is not None and not newest.complete and newest.done("ingest"):
        other = record["sources"][-1]
        if not _same_texts(other, source):
            raise Refusal(
                f"{other['source']} is being appended to run '{run.name}', and its append is not finished; give "
                f"{other['source']} with --append to go on, or remove its folder {newest.name}, before "
                f"{source['source']} is appended."
            )
    recorded = _recorded(base)
    held = [recorded["ingest"]["identity"], *appended_sources(base)]
    for other in held:
        if _same_texts(other, source):
            raise Refusal(
                f"run '{run.name}' holds the texts of {source['source']} already (they came as {other['source']}); "
                "give a source of new texts."
            )
    return Append(run.name, base, recorded, (*appended_sources(base), source))


def _same_texts(source: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two sources are the same file, whatever embeddings or encoding came with it."""
    return all(source.get(name) == other.get(name) for name in ("sha256", "revision"))


def refuse_leaving_out(run: Run, identity: dict[str, Any]) -> None:
    """Refuse to build a run of its first source alone when others were, or are just being, appended to it."""
    generations = run.generations()
    complete = [generation for generation in generations if generation.complete]
    if not complete:
        return
    newest = generations[-1]
    record = None if newest.complete else _record(newest)
    if record and _recorded(complete[-1])["ingest"]["identity"] == identity:
        source = record["sources"][-1]["source"]
        raise Refusal(
            f"{source} is being appended to run '{run.name}', and a build of {identity['source']} alone would undo "
            f"what is done of that; give {source} with --append to go on, or remove its folder {newest.name}."
        )
    sources = appended_sources(newest) or appended_sources(complete[-1])
    if sources and _recorded(complete[-1])["ingest"]["identity"] == identity:
        listed = ", ".join(source["source"] for source in sources)
        raise Refusal(
            f"the texts of {listed} were appended to run '{run.name}', and a build of {identity['source']} alone would "
            f"leave them out; give {sources[-1]['source']} with --append to build on, or another --name."
        )


def note_append(generation: Generation, append: Append) -> None:
    """Write, among the work in progress, what is appended to which generation."""
    files.write_json(generation.path / WORK_FOLDER / RECORD, append.record)


def _identity(config: BuildConfig, base: Generation) -> dict[str, Any]:
    """What the new source is: its name, its sha256, its encoding where one is given, and its embeddings."""
    from featurelib.embedder.precomputed import precomputed_identity

    source: dict[str, Any] = identify(config.source)
    if config.encoding:
        source["encoding"] = config.encoding
    return source | ({"embeddings": precomputed_identity(config.embeddings)} if config.embeddings else {})


def _record(generation: Generation) -> dict[str, Any] | None:
    """What an unfinished generation was to append; None where it appends nothing."""
    path = generation.path / WORK_FOLDER / RECORD
    record: dict[str, Any] | None = files.read_json(path) if path.is_file() else None
    return record


def _last_append(run: Run, newest: Generation) -> dict[str, Any] | None:
    """The record of the append that a complete generation is the outcome of; None where it is none."""
    sources = appended_sources(newest)
    if not sources:
        return None
    first = _recorded(newest)["ingest"]["identity"]
    for older in reversed(run.generations()[:-1]):
        same = older.complete and _recorded(older)["ingest"]["identity"] == first
        if same and appended_sources(older) == sources[:-1]:
            return {"base": older.name, "sources": sources}
    return {"base": None, "sources": sources}


def _recorded(generation: Generation) -> dict[str, dict[str, Any]]:
    """What each frozen stage was made from; Refusal where an older version has not recorded it."""
    made_from = {stage: done.made_from for stage in FROZEN if (done := generation.done(stage))}
    for stage in FROZEN:
        if not {"stage", "version", "options", "identity"} <= made_from.get(stage, {}).keys():
            raise Refusal(
                f"run '{generation.path.parent.name}' does not say what its stage '{stage}' was made from (an older "
                "version has built it); build it again before texts are appended."
            )
    return made_from
