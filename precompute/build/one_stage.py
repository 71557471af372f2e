"""Bringing one stage of a generation to what is expected of it: skipped, linked from another run, or made."""

from __future__ import annotations

import contextlib
import platform
import time
from pathlib import Path

from featurelib.schema import Refusal
from featurelib.storage import files
from featurelib.storage.run_manifest import missing_or_resized
from featurelib.storage.runs import SHARES, WORK_FOLDER, Done, Generation, find_runs
from featurelib.storage.sql_text import TooLittleMemory
from precompute.build.estimate import say_estimate
from precompute.build.job import Job, Made
from precompute.build.provenance import describe
from precompute.build.stage import Stage
from precompute.build.stage_selection import Span
from precompute.build.stage_table import PIPELINE, Expected, difference, readers_of
from precompute.build.stored_parts import remove_stored, stored_parts

FIRST_LONG = "embed"
"""The stage before which it is checked whether later ones can work, and said how long the build will take."""


def advance(
    stage: Stage, job: Job, expected: dict[str, Expected], span: Span, data_folder: Path, before: Done | None
) -> None:
    """Bring one stage to its expected fingerprint: skip it, link it, or make it."""
    generation, name = job.generation, stage.name
    if not expected[name].applies:
        return
    if stands(generation, stage, expected):
        job.say(skipped(stage))
        return
    if not span.allows(name):
        return
    for reader in readers_of(name):
        generation.unmark(reader.name)
    twin = None if span.forces(name) else _twin(stage, expected, data_folder, generation)
    if job.append and stage.kept and not twin:
        job.say(f"{name}: {stage.kept}")
    elif before and not twin:
        job.say(f"{name}: made again, {difference(before.made_from, expected[name].slices)}")
    if twin:
        link_stage(stage, twin, generation)
        job.say(f"{name}: taken from {twin.path.parent.name}/{twin.name}, made from the same {stage.grounds}")
    else:
        _make(stage, job, expected[name])
    describe(generation)


def stands(generation: Generation, stage: Stage, expected: dict[str, Expected]) -> bool:
    """Whether a stage is done, as it is expected now, and what it wrote is there; or is none of such a run."""
    if not expected[stage.name].applies:
        return True
    done = generation.done(stage.name)
    return (
        done is not None
        and done.fingerprint == expected[stage.name].fingerprint
        and all((generation.path / output).exists() for output in stage.needed_outputs)
    )


def skipped(stage: Stage) -> str:
    """The sentence about a stage that stands."""
    return f"{stage.name}: skipped, done before with the same {stage.grounds}"


def _make(stage: Stage, job: Job, expected: Expected) -> None:
    generation, name = job.generation, stage.name
    begun = _begun(generation, stage)
    if not (begun.is_file() and files.read_json(begun) == expected.fingerprint):
        clear(generation, stage)
        files.write_json(begun, expected.fingerprint)
    if name == FIRST_LONG:
        for later in PIPELINE:
            later.check(job.config)
        say_estimate(job)
    job.reported.begin(name)
    started = time.monotonic()
    made = _within_memory(stage, job)
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


def _within_memory(stage: Stage, job: Job) -> Made:
    """Let a stage do its work; Refusal when that takes more memory than it may, or than the machine has."""
    again = "and the same command goes on where it was."
    try:
        return stage.make(job)
    except TooLittleMemory as refused:
        raise Refusal(
            f"the stage {stage.name} needs more than --memory {job.config.memory}; give a larger --memory, {again}"
        ) from refused
    except MemoryError as refused:
        raise Refusal(
            f"the stage {stage.name} finds no memory left on this machine; end other programs, or give a smaller "
            f"--memory than {job.config.memory}, {again}"
        ) from refused


def clear(generation: Generation, stage: Stage) -> None:
    """Remove a stage's marker first, then its files, complete or not."""
    generation.unmark(stage.name)
    files.remove(generation.work(stage.name))
    remove_stored(stored_parts(generation, stage.outputs), generation.path.parent.parent, generation)
    for output in stage.outputs:
        files.remove(generation.path / output)
    files.remove(_begun(generation, stage))


def _begun(generation: Generation, stage: Stage) -> Path:
    """The file that holds the fingerprint of a stage that is being made."""
    return generation.path / WORK_FOLDER / f"{stage.name}.json"


def link_stage(stage: Stage, source: Generation, target: Generation) -> None:
    """Give a generation what another one's stage wrote, and its marker last."""
    clear(target, stage)
    for output in stage.outputs:
        place = source.path / output
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file() and path.suffix != files.ASIDE:
                files.link_or_copy(path, target.path / path.relative_to(source.path))
    record = source.volatile().get(stage.name)
    if record:
        files.write_json(target.path / "volatile.json", target.volatile() | {stage.name: record})
    done = source.done(stage.name)
    if done:
        target.mark_done(stage.name, done)


def _twin(stage: Stage, expected: dict[str, Expected], data_folder: Path, not_this: Generation) -> Generation | None:
    """A generation of any run in the data folder in which this very stage is done and whole."""
    for run in find_runs(data_folder).values():
        for generation in reversed(run.generations()):
            with contextlib.suppress(Refusal):
                own = not (generation.path / SHARES).exists() and _keeps_parts(generation, stage)
                whole = own and generation.path != not_this.path and stands(generation, stage, expected)
                if whole and not (generation.complete and missing_or_resized(generation)):
                    return generation
    return None


def _keeps_parts(generation: Generation, stage: Stage) -> bool:
    """Whether no build writes over what this stage made: a link keeps a file, but not an object that it points to."""
    return generation.complete or not stored_parts(generation, stage.outputs)
