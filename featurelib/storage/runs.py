"""Run = corpus × embedder × SAE: one folder in `data/`, its generations, their fingerprints and their manifest.

A run on disk is described in `schema` (tables) and in docs/run-on-disk.md. A complete generation is never
modified; `current` names the one that is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featurelib.schema import FORMAT_VERSION, FORMERLY, RENAMED, STAGES, Refusal, RunNotReady, Table
from featurelib.storage import files
from featurelib.storage.parts.known_places import check_place
from featurelib.storage.parts.part_files import Part, PartFolder, StoredPart, parts_in
from featurelib.storage.progress import say_how_to_build

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
GENERATION = re.compile(r"g[0-9]{4,}")
SAE_FOLDER = "sae"
WORK_FOLDER = "work"
CACHE_FOLDER = ".cache"
SHARES = "shares"
"""In a generation that has no texts and embeddings of its own: whose it has, RUN/GENERATION in the same data folder."""
SHARED_STAGES = ("ingest", "embed")


@dataclass(frozen=True)
class Done:
    """The marker of a finished stage."""

    fingerprint: str
    """The hash of what the stage was made from."""
    facts: dict[str, Any]
    """What the stage found or made: counts and provenance, the same for two equal builds."""
    line: str
    """The sentence that the stage ended with."""
    made_from: dict[str, Any]
    """What the fingerprint is the hash of, so that a difference can be told in words."""


@dataclass(frozen=True)
class Generation:
    """One build of a run: a folder of tables, markers and, when complete, a manifest."""

    path: Path
    """The folder, such as data/demo/g0001."""
    parts_at: str | None = None
    """The place that new parts are written to; None for the folder. Parts are read from wherever they lie."""

    @property
    def name(self) -> str:
        """The generation's own name, such as g0001."""
        return self.path.name

    @property
    def complete(self) -> bool:
        """Whether every stage is done and the manifest, which is written last, is there."""
        return (self.path / "manifest.json").is_file()

    def file(self, table: Table) -> Path:
        """Where `table` lies: a file, or a folder of parts; texts and embeddings that are shared, in the other run."""
        other = self.shared() if table.stage in SHARED_STAGES else None
        return (self if other is None else other).path / table.path

    def shared(self) -> Generation | None:
        """The generation whose texts and embeddings this one has; None for one that has its own.

        Refusal where that generation is not beside it, or was built from others.
        """
        path = self.path / SHARES
        if not path.is_file():
            return None
        name, _, generation = path.read_text(encoding="utf-8", errors="replace").strip().partition("/")
        run, data_folder = self.path.parent, self.path.parent.parent
        if not NAME.fullmatch(name) or ".." in name or not GENERATION.fullmatch(generation):
            raise files.damaged(path, "RUN/GENERATION is expected")
        other = Run(data_folder / name)
        if other.path.resolve().parent == data_folder.resolve():
            for each in (Generation(other.path / generation), *reversed(other.generations())):
                if self._has_texts_of(each):
                    return each
        raise Refusal(
            f"run '{run.name}' has the texts and embeddings of {name}/{generation}, which is not beside it or was "
            f"built from others; copy the run '{name}' too, or '{run.name}' anew."
        )

    def _has_texts_of(self, other: Generation) -> bool:
        pairs = [(self.done(stage), other.done(stage)) for stage in SHARED_STAGES]
        same = all(ours and theirs and ours.fingerprint == theirs.fingerprint for ours, theirs in pairs)
        return same and not (other.path / SHARES).exists()

    def has(self, table: Table) -> bool:
        """Whether `table` has been made: its stage is done, or the manifest of a complete generation lists it.

        A run that an older version has built lists neither the tables that came later nor, perhaps, their stages.
        """
        if not self.complete:
            done = self.done(table.stage) is not None
            return done and (not (table.came_later or table.only_tokens) or self.file(table).exists())
        if any(f"{name}/".startswith(f"{table.path}/") for name in self.manifest()):
            return True
        other = self.shared() if table.stage in SHARED_STAGES else None
        return other is not None and other.has(table)

    def need(self, table: Table) -> Path:
        """Return where `table` lies, or raise RunNotReady: it is being made now, or by which command it can be."""
        if not self.has(table):
            older = "" if self.done(table.stage) is None else " as it is now, only by an older version"
            raise RunNotReady(
                f"run '{self.path.parent.name}' has no {table.view} yet: its stage '{table.stage}' is not done{older}; "
                f"{say_how_to_build(self.path.parent, table.stage)}"
            )
        return self.file(table)

    def parts(self, table: Table) -> list[Part]:
        """The part files of `table`, in order; a table of one file is its own only part.

        Refusal where one lies in a place that the data folder does not know.
        """
        if not table.parts:
            return [self.file(table)]
        parts = parts_in(self.file(table))
        for place in {part.place for part in parts if isinstance(part, StoredPart)} - {self.parts_at}:
            check_place(place, self.path.parent)
        return parts

    def part_folder(self, table: Table) -> PartFolder:
        """Where new parts of `table` are written."""
        key = f"{self.path.parent.name}/{self.name}/{table.path}"
        return PartFolder(self.path / table.path, self.parts_at, key)

    @property
    def sae_folder(self) -> Path:
        """The SAE, in SAELens inference layout."""
        return self.path / SAE_FOLDER

    def write(self, table: Table, columns: Sequence[Any]) -> None:
        """Write a table of one file from its columns, in the order of its schema: arrays, or lists of values."""
        files.write_parquet(self.file(table), table.from_columns(columns), table.schema)

    def write_rows(self, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        """Write a table of one file from its rows, which may be none."""
        files.write_parquet(self.file(table), table.from_rows(rows), table.schema)

    def marker(self, stage: str) -> Path:
        """The file that says a stage is done: done/<stage>.json, or under the stage's first name in an older run."""
        marker = self.path / "done" / f"{stage}.json"
        first = self.path / "done" / f"{FORMERLY.get(stage, stage)}.json"
        return first if first.is_file() and not marker.is_file() else marker

    def mark_done(self, stage: str, done: Done) -> None:
        """Write the marker of a finished stage: the last thing that the stage does."""
        files.write_json(self.path / "done" / f"{stage}.json", asdict(done))

    def unmark(self, stage: str) -> None:
        """Take away the marker of a stage, under each of its names."""
        for name in {stage, FORMERLY.get(stage, stage)}:
            files.remove(self.path / "done" / f"{name}.json")

    def work(self, stage: str) -> Path:
        """A folder for what a stage needs to go on after a kill; removed when the stage is done."""
        return self.path / WORK_FOLDER / stage

    def done(self, stage: str) -> Done | None:
        """The marker of a finished stage, or None."""
        marker = self.marker(stage)
        if not marker.is_file():
            return None
        content = files.read_json(marker)
        try:
            return Done(content["fingerprint"], content["facts"], content["line"], content.get("made_from", {}))
        except (TypeError, KeyError, AttributeError) as error:
            raise files.damaged(marker, "fingerprint, facts and line are expected") from error

    def describe(self) -> dict[str, Any]:
        """The content of run.json: config and provenance; Refusal when it is damaged."""
        return _read_object(self.path / "run.json")

    def volatile(self) -> dict[str, Any]:
        """What may differ between two equal builds: seconds, host, speeds, by stage; empty when nothing is recorded."""
        path = self.path / "volatile.json"
        records = _read_object(path) if path.is_file() else {}
        return {RENAMED.get(stage, stage): record for stage, record in records.items()}

    def manifest_files(self) -> Iterator[Path]:
        """Every file that a manifest lists: all but the manifest itself, volatile.json and work in progress."""
        for path in sorted(self.path.rglob("*")):
            inside = path.relative_to(self.path)
            if path.is_dir() or inside.parts[0] == WORK_FOLDER or inside.suffix == files.ASIDE:
                continue
            if inside.as_posix() not in ("manifest.json", "volatile.json"):
                yield path

    def manifest(self) -> dict[str, dict[str, Any]]:
        """Bytes and sha256 of every file, by its name inside the generation; Refusal when the manifest is damaged."""
        path = self.path / "manifest.json"
        listed = _read_object(path).get("files")
        if not isinstance(listed, dict) or not all(
            isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys() for entry in listed.values()
        ):
            raise files.damaged(path, "bytes and sha256 of every file are expected")
        return listed


@dataclass(frozen=True)
class Run:
    """One folder in `data/`: what is built from one corpus, one embedder and one SAE."""

    path: Path
    """The folder, such as data/demo."""

    @property
    def name(self) -> str:
        """The run's name: that of its folder."""
        return self.path.name

    @property
    def cache_folder(self) -> Path:
        """Where what can be made again, such as the word index, may be kept."""
        return self.path / CACHE_FOLDER

    def generations(self) -> list[Generation]:
        """All generations on disk, oldest first."""
        if not self.path.is_dir():
            return []
        folders = [path for path in self.path.iterdir() if path.is_dir() and GENERATION.fullmatch(path.name)]
        return [Generation(path) for path in sorted(folders, key=lambda path: int(path.name[1:]))]

    def current(self) -> Generation:
        """The generation that `current` names; RunNotReady when there is none."""
        pointer = self.path / "current"
        if not pointer.is_file():
            raise RunNotReady(
                f"'{self.name}' is not a run: {self.path.name}/current is missing; build it or copy it whole."
            )
        name = pointer.read_text(encoding="utf-8", errors="replace").strip()
        generation = Generation(self.path / name)
        if not GENERATION.fullmatch(name) or not (generation.path / "run.json").is_file():
            raise RunNotReady(
                f"run '{self.name}' points to the generation '{name[:64]}', which is missing; build it again."
            )
        format_version = generation.describe().get("format_version")
        if format_version != FORMAT_VERSION:
            raise Refusal(
                f"run '{self.name}' has format version {format_version}; {FORMAT_VERSION} is expected: build it again."
            )
        return generation

    def point_to(self, generation: Generation) -> None:
        """Make `generation` the current one, in one step."""
        files.write_text(self.path / "current", generation.name + "\n")

    def next_generation(self) -> Generation:
        """A generation that is not on disk yet, with the next number."""
        existing = self.generations()
        number = int(existing[-1].name[1:]) + 1 if existing else 1
        return Generation(self.path / f"g{number:04d}")


def _read_object(path: Path) -> dict[str, Any]:
    content = files.read_json(path)
    if not isinstance(content, dict):
        raise files.damaged(path, "a JSON object is expected")
    return content


def check_name(name: str) -> str:
    """Return `name` if it may be a run's name, else raise Refusal: nothing else ever becomes part of a path."""
    if not NAME.fullmatch(name) or ".." in name:
        raise Refusal(
            f"'{name[:80]}' cannot be a run's name: use 1 to 64 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit."
        )
    return name


def find_runs(data_folder: Path) -> dict[str, Run]:
    """The runs in a data folder by name, in alphabetical order; links that lead out of the folder are left out."""
    if not data_folder.is_dir():
        return {}
    root = data_folder.resolve()
    runs = {}
    for path in sorted(data_folder.iterdir()):
        if NAME.fullmatch(path.name) and (path / "current").is_file() and path.resolve().parent == root:
            runs[path.name] = Run(path)
    return runs


def find_run(data_folder: Path, name: str) -> Run:
    """Return the run called `name` in a data folder; Refusal names those that are there."""
    runs = find_runs(data_folder)
    if name not in runs:
        raise Refusal(f"there is no run '{name[:64]}' in {data_folder}; runs there: {', '.join(runs) or 'none'}.")
    return runs[name]


def open_run(path: str | Path) -> Run:
    """Return the run in the folder `path`; Refusal when it is none."""
    folder = Path(path)
    if not (folder / "current").is_file():
        known = ", ".join(find_runs(folder)) or ", ".join(find_runs(folder.parent)) or "none"
        raise Refusal(f"{folder} is not a run (it holds no file 'current'); runs found there: {known}.")
    return Run(folder)


def stages_done(generation: Generation) -> dict[str, Done | None]:
    """Every stage's marker, in the order of the pipeline."""
    return {stage: generation.done(stage) for stage in STAGES}
