"""Build a run: every stage that is missing or stale, in a generation that becomes current when it is complete."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurelib import files
from featurelib.runs import WORK_FOLDER, Done, Generation, Run, find_runs
from featurelib.schema import FORMAT_VERSION, Refusal
from precompute.config import BuildConfig, flag
from precompute.estimate import foretell
from precompute.job import Job, Say
from precompute.stages import PIPELINE, Expected, Stage, expect

PACKAGES = ("torch", "sentence-transformers", "keybert", "umap-learn", "duckdb", "pyarrow", "numpy", "scikit-learn")
KEPT_GENERATIONS = 2


@dataclass(frozen=True)
class Span:
    """Which stages a build may touch."""

    only: str | None = None
    """The one stage to build, or None for all."""
    start: str | None = None
    """The stage from which everything is made again, even if it stands."""
    end: str | None = None
    """The last stage to build, or None for all."""

    def allows(self, stage: str) -> bool:
        """Whether `stage` may be built."""
        names = [one.name for one in PIPELINE]
        return self.only in (None, stage) and (self.end is None or names.index(stage) <= names.index(self.end))

    def forces(self, stage: str) -> bool:
        """Whether `stage` is made again although it stands."""
        names = [one.name for one in PIPELINE]
        return self.start is not None and names.index(stage) >= names.index(self.start)


def build(config: BuildConfig, data_folder: Path, span: Span, say: Say) -> Generation:
    """Build the run `config.name` in `data_folder` and return its newest generation.

    Stages whose fingerprint stands are skipped, stages of another run or generation with the same fingerprint are
    linked, the rest is made. Raises Refusal when another process builds the same run or an input cannot be used.
    """
    run = Run(data_folder / config.name)
    with alone(run):
        expected = expect(config)
        generation = _generation_to_build(run, expected, span)
        if generation is None:
            newest = run.generations()[-1]
            run.point_to(newest)
            for stage in PIPELINE:
                say(f"{stage.name}: skipped, done before with the same {_grounds(stage)}")
            say(f"run '{run.name}' is complete ({newest.name}).")
            return newest
        for stage in PIPELINE:
            _advance(stage, Job(generation, config, say), expected[stage.name], span, data_folder)
        _finish(run, generation, expected, say)
        return generation


@contextmanager
def alone(run: Run) -> Iterator[None]:
    """Hold the run's lock; Refusal when another process holds it. The system frees the lock of a killed process."""
    from filelock import FileLock, Timeout

    run.path.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run.path / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise Refusal(
            f"run '{run.name}' is being built by another process; wait for it to end, or build under another --name."
        ) from error


def _generation_to_build(run: Run, expected: dict[str, Expected], span: Span) -> Generation | None:
    generations = run.generations()
    newest = generations[-1] if generations else None
    if newest is None:
        newest = run.next_generation()
    elif newest.complete:
        if not _stale(newest, expected, span):
            return None
        newest = _carry_over(newest, run.next_generation(), expected, span)
    newest.path.mkdir(parents=True, exist_ok=True)
    _forget(newest, expected, span)
    _describe(newest)
    if len(run.generations()) == 1:
        run.point_to(newest)
    return newest


def _forget(generation: Generation, expected: dict[str, Expected], span: Span) -> None:
    """Unmark, once, the stages that --from makes again; a killed build then goes on where it was."""
    forced = {stage.name: expected[stage.name].fingerprint for stage in PIPELINE if span.forces(stage.name)}
    begun = generation.path / WORK_FOLDER / "from.json"
    if forced and not (begun.is_file() and files.read_json(begun) == forced):
        for name in forced:
            (generation.path / "done" / f"{name}.json").unlink(missing_ok=True)
        files.write_json(begun, forced)


def _stale(generation: Generation, expected: dict[str, Expected], span: Span) -> list[str]:
    return [
        stage.name for stage in PIPELINE if span.allows(stage.name) and not _stands(generation, stage, expected, span)
    ]


def _stands(generation: Generation, stage: Stage, expected: dict[str, Expected], span: Span) -> bool:
    done = generation.done(stage.name)
    return done is not None and done.fingerprint == expected[stage.name].fingerprint and not span.forces(stage.name)


def _carry_over(old: Generation, new: Generation, expected: dict[str, Expected], span: Span) -> Generation:
    for stage in PIPELINE:
        done = old.done(stage.name)
        if done and (_stands(old, stage, expected, span) or not span.allows(stage.name)):
            _link_stage(stage, old, new, done)
    return new


def _link_stage(stage: Stage, source: Generation, target: Generation, done: Done) -> None:
    for output in stage.outputs:
        files.remove(target.path / output)
        place = source.path / output
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file() and path.suffix != files.ASIDE:
                files.link_or_copy(path, target.path / path.relative_to(source.path))
    record = source.volatile().get(stage.name)
    if record:
        files.write_json(target.path / "volatile.json", target.volatile() | {stage.name: record})
    target.mark_done(stage.name, done)


def _advance(stage: Stage, job: Job, expected: Expected, span: Span, data_folder: Path) -> None:
    """Bring one stage to its expected fingerprint: skip it, link it, or make it."""
    generation, name = job.generation, stage.name
    done = generation.done(name)
    if done and done.fingerprint == expected.fingerprint:
        job.say(f"{name}: skipped, done before with the same {_grounds(stage)}")
        return
    if not span.allows(name):
        return
    before = done or _done_before(generation, name)
    if before:
        job.say(f"{name}: made again, {_difference(before, expected)}")
    twin = None if span.forces(name) else _twin(name, expected, data_folder, generation)
    if twin:
        _link_stage(stage, twin, generation, twin.done(name))
        job.say(f"{name}: taken from {twin.path.parent.name}/{twin.name}, made from the same {_grounds(stage)}")
    else:
        _make(stage, job, expected)
    _describe(generation)


def _done_before(generation: Generation, name: str) -> Done | None:
    """The stage's marker in the generation before this one."""
    older = [one for one in Run(generation.path.parent).generations() if one.name < generation.name]
    return older[-1].done(name) if older else None


def _make(stage: Stage, job: Job, expected: Expected) -> None:
    generation, name = job.generation, stage.name
    begun = generation.path / WORK_FOLDER / f"{name}.json"
    if not (begun.is_file() and files.read_json(begun) == expected.fingerprint):
        (generation.path / "done" / f"{name}.json").unlink(missing_ok=True)
        files.remove(generation.work(name))
        for output in stage.outputs:
            files.remove(generation.path / output)
        files.write_json(begun, expected.fingerprint)
    if name == "embed":
        foretell(job)
    started = time.monotonic()
    made = stage.verb(job)
    seconds = round(time.monotonic() - started, 2)
    generation.mark_done(name, Done(expected.fingerprint, made.facts, made.line, expected.slices))
    files.remove(generation.work(name))
    files.remove(begun)
    record = {
        "seconds": seconds,
        "host": platform.node(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **made.volatile,
    }
    files.write_json(generation.path / "volatile.json", generation.volatile() | {name: record})
    job.say(f"{name}: {made.line} ({seconds:.1f} s)")


def _twin(name: str, expected: Expected, data_folder: Path, not_this: Generation) -> Generation | None:
    """A generation of any run in the data folder in which this very stage is done."""
    for run in find_runs(data_folder).values():
        for generation in reversed(run.generations()):
            done = generation.done(name) if generation.path != not_this.path else None
            if done and done.fingerprint == expected.fingerprint:
                return generation
    return None


def _describe(generation: Generation) -> None:
    """Write run.json from what the finished stages found."""
    markers = {stage.name: done for stage in PIPELINE if (done := generation.done(stage.name))}
    facts = {name: done.facts for name, done in markers.items()}
    seeds = {
        name: done.made_from["options"]["seed"] for name, done in markers.items() if "seed" in done.made_from["options"]
    }
    files.write_json(
        generation.path / "run.json",
        {
            "format_version": FORMAT_VERSION,
            "corpus": facts.get("ingest"),
            "embedder": facts.get("embed"),
            "sae": facts.get("train"),
            "evaluation": facts.get("encode"),
            "summaries": facts.get("summarise"),
            "keywords": facts.get("label"),
            "layout": facts.get("arrange"),
            "seeds": seeds,
            "packages": {package: importlib.metadata.version(package) for package in PACKAGES},
        },
    )


def _finish(run: Run, generation: Generation, expected: dict[str, Expected], say: Say) -> None:
    missing = _stale(generation, expected, Span())
    if missing:
        say(f"run '{run.name}' ({generation.name}) is not complete: {', '.join(missing)} to be built.")
        return
    files.remove(generation.path / WORK_FOLDER)
    _write_manifest(generation)
    run.point_to(generation)
    for old in run.generations()[:-KEPT_GENERATIONS]:
        files.remove(old.path)
    say(f"run '{run.name}' is complete ({generation.name}); look at it with: streamlit run app.py")


def _write_manifest(generation: Generation) -> None:
    import pyarrow.parquet as pq

    listed: dict[str, Any] = {}
    for path in generation.manifest_files():
        entry = {"bytes": path.stat().st_size, "sha256": files.sha256_file(path)}
        if path.suffix == ".parquet":
            entry["rows"] = pq.read_metadata(path).num_rows
        listed[path.relative_to(generation.path).as_posix()] = entry
    files.write_json(generation.path / "manifest.json", {"files": listed})


def _grounds(stage: Stage) -> str:
    return {
        "ingest": "source and columns",
        "embed": "texts and embedder",
        "train": "embeddings and SAE options",
        "encode": "embeddings and SAE",
        "summarise": "activations",
        "label": "top texts and keyword options",
        "arrange": "directions and seed",
    }[stage.name]


def _difference(done: Done, expected: Expected) -> str:
    """Say in words why a marker is stale."""
    before, now = done.made_from, expected.slices
    changed = [
        f"{flag(name)} was {before['options'].get(name)} and is {value}"
        for name, value in now["options"].items()
        if before.get("options", {}).get(name, value) != value
    ]
    changed += [
        f"{name} has changed" for name in now["after"] if before.get("after", {}).get(name) != now["after"][name]
    ]
    changed += ["its source has changed"] if before.get("identity") != now["identity"] else []
    changed += ["its code has changed"] if before.get("version") != now["version"] else []
    return "; ".join(changed) or "as asked for"
