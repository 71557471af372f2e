"""Build a run: every stage that is missing or stale, in a generation that becomes current when it is complete."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from featurelib import installation
from featurelib.schema import STAGES, Refusal
from featurelib.search.word_index import make_indexes
from featurelib.storage import files, metadata
from featurelib.storage.progress import LOCK_FILE
from featurelib.storage.runs import SHARES, WORK_FOLDER, Done, Generation, Run, find_runs
from featurelib.storage.sql_text import TooLittleMemory
from precompute.build.append import Append, find_append, note_append, refuse_leaving_out
from precompute.build.build_progress import report_progress
from precompute.build.config import BuildConfig
from precompute.build.estimate import say_estimate
from precompute.build.job import Job, Made, Say
from precompute.build.provenance import describe, write_manifest
from precompute.build.stage import Stage
from precompute.build.stage_selection import Span
from precompute.build.stage_table import PIPELINE, Expected, difference, expect, readers_of, stage_of
from precompute.build.stored_parts import check_places, claim, place_of, remove_stored, stored_parts
from precompute.engines import Engine, open_engine

KEPT_GENERATIONS = 2
LOCK_SECONDS = 1.0
"""Whoever looks whether a run is being built holds its lock for a moment."""
FIRST_LONG = "embed"
"""The stage before which it is checked whether later ones can work, and said how long the build will take."""
FROM = "from.json"
"""The file, among the work in progress, that says which stages --from has already taken away."""


def build(config: BuildConfig, data_folder: Path, span: Span, say: Say) -> Generation:
    """Build the run `config.name` in `data_folder` and return its newest generation.

    Stages whose fingerprint stands are skipped, stages of another run or generation with the same fingerprint are
    linked, the rest is made. Raises Refusal when another process builds the same run or an input cannot be used.
    """
    with open_engine(config.engine, config.address, config.device, say) as engine:
        # the workers of a cluster have other current folders
        return _build(config, data_folder if config.engine == "local" else data_folder.resolve(), span, say, engine)


def _build(config: BuildConfig, data_folder: Path, span: Span, say: Say, engine: Engine) -> Generation:
    run = Run(data_folder / config.name)
    expected = {} if config.append else expect(config)
    with alone(run), report_progress(run.path, list(filter(span.allows, STAGES))) as reported:
        append = find_append(run, config) if config.append else None
        if append is None:
            refuse_leaving_out(run, expected["ingest"].slices["identity"])
        expected = expected or expect(config, append)
        check_places(run)
        span = _from_damage(run, span, say)
        generation = _generation_to_build(run, expected, span)
        if generation is None:
            return _leave(run, expected, say)
        if config.parts is not None:
            claim(config.parts, run)
            generation = replace(generation, parts_at=config.parts)
        elif (elsewhere := next(filter(None, map(place_of, run.generations())), None)) is not None:
            say(f"note: parts of this run lie in {elsewhere}; those made now go into its folder, without --parts.")
        before = {stage.name: _done_before(generation, stage.name) for stage in PIPELINE}
        _forget(generation, expected, span)
        with _as_it_was(generation, append):
            if append is not None:
                _begin_append(generation, append, say)
            for stage in PIPELINE:
                job = Job(generation, config, say, reported, engine, append)
                _advance(stage, job, expected, span, data_folder, before[stage.name])
        files.remove(generation.path / WORK_FOLDER / FROM)
        _finish(run, generation, expected, config.memory, say)
        return generation


@contextlib.contextmanager
def alone(run: Run) -> Iterator[None]:
    """Hold the run's lock; Refusal when another process holds it. The system frees the lock of a killed process."""
    from filelock import FileLock, Timeout

    run.path.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run.path / LOCK_FILE, timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise Refusal(
            f"run '{run.name}' is being built by another process; wait for it to end, or build under another --name."
        ) from error


def _begin_append(generation: Generation, append: Append, say: Say) -> None:
    """Say what is appended to what, once, and write it down for a build that goes on after a kill."""
    note_append(generation, append)
    if generation.done("ingest") is None:
        say(append.sentence)


@contextlib.contextmanager
def _as_it_was(generation: Generation, append: Append | None) -> Iterator[None]:
    """Remove the generation of an append whose source is refused, so that the run stays as it was."""
    try:
        yield
    except Refusal:
        if append is not None and generation.done("ingest") is None:
            files.remove(generation.path)
        raise


def _from_damage(run: Run, span: Span, say: Say) -> Span:
    """Begin no later than the first stage of which the complete newest generation lacks a file, or a part of one."""
    generations = run.generations()
    wrong = generations[-1].missing_or_resized() if generations and generations[-1].complete else {}
    if not wrong:
        return span
    first = min(wrong, key=lambda file: STAGES.index(stage_of(file)))
    say(f"run '{run.name}' is damaged: {wrong[first]}")
    return replace(span, start=min(filter(None, (span.start, stage_of(first))), key=STAGES.index))


def _generation_to_build(run: Run, expected: dict[str, Expected], span: Span) -> Generation | None:
    """The newest generation where it is unfinished, a new one where that is complete; None when nothing is to do."""
    generations = run.generations()
    newest = generations[-1] if generations else run.next_generation()
    if (newest.path / SHARES).exists():
        raise Refusal(
            f"run '{run.name}' has no texts of its own (they are another run's) and cannot be built on; give the new "
            "run another --name."
        )
    _check_grounds(newest, expected, span)
    if newest.complete:
        if not _stale(newest, expected, span):
            return None
        newest = _carry_over(newest, run.next_generation(), expected, span)
    newest.path.mkdir(parents=True, exist_ok=True)
    describe(newest)
    if len(run.generations()) == 1:
        run.point_to(newest)
    return newest


def _check_grounds(generation: Generation, expected: dict[str, Expected], span: Span) -> None:
    """Refuse --only if what that stage reads is missing or was made with other options, which must not be mixed."""
    for stage in PIPELINE:
        if any(reader.name == span.only and stage.name in reader.after for reader in PIPELINE) and not _stands(
            generation, stage, expected
        ):
            raise Refusal(
                f"--only {span.only} needs the stage '{stage.name}', which is not done with these options; leave "
                f"--only out, or give the options with which '{stage.name}' was built."
            )


def _leave(run: Run, expected: dict[str, Expected], say: Say) -> Generation:
    """Say why each stage of the complete newest generation is left as it is."""
    newest = run.generations()[-1]
    run.point_to(newest)
    for stage in PIPELINE:
        if not expected[stage.name].applies:
            continue
        if _stands(newest, stage, expected):
            say(_skipped(stage))
        else:
            say(f"{stage.name}: left as it is, made with other options, because it was not asked for")
    say(f"run '{run.name}' is complete ({newest.name}).")
    return newest


def _skipped(stage: Stage) -> str:
    return f"{stage.name}: skipped, done before with the same {stage.grounds}"


def _forget(generation: Generation, expected: dict[str, Expected], span: Span) -> None:
    """Remove, once, what --from makes again, so that a killed build goes on where it was."""
    forced = {stage.name: expected[stage.name].fingerprint for stage in PIPELINE if span.forces(stage.name)}
    begun = generation.path / WORK_FOLDER / FROM
    if forced and not (begun.is_file() and files.read_json(begun) == forced):
        for stage in reversed(PIPELINE):
            if stage.name in forced:
                _clear(generation, stage)
        files.write_json(begun, forced)


def _stale(generation: Generation, expected: dict[str, Expected], span: Span) -> list[str]:
    return [
        stage.name
        for stage in PIPELINE
        if span.allows(stage.name) and (span.forces(stage.name) or not _stands(generation, stage, expected))
    ]


def _stands(generation: Generation, stage: Stage, expected: dict[str, Expected]) -> bool:
    """Whether a stage is done, as it is expected now, and what it wrote is there; or is none of such a run."""
    if not expected[stage.name].applies:
        return True
    done = generation.done(stage.name)
    return (
        done is not None
        and done.fingerprint == expected[stage.name].fingerprint
        and all((generation.path / output).exists() for output in stage.needed_outputs)
    )


def _carry_over(old: Generation, new: Generation, expected: dict[str, Expected], span: Span) -> Generation:
    for stage in PIPELINE:
        applies = expected[stage.name].applies
        if applies and _stands(old, stage, expected) and not span.forces(stage.name):
            _link_stage(stage, old, new)
    return new


def _prune(old: Generation, say: Say) -> None:
    """Remove a generation; its parts in another place first, so that a killed build finds them again."""
    try:
        remove_stored(stored_parts(old), old.path.parent.parent, old)
    except Refusal as refusal:
        say(f"{old.path.parent.name}/{old.name} stays until its parts can be removed: {refusal}")
        return
    files.remove(old.path)


def _clear(generation: Generation, stage: Stage) -> None:
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


def _link_stage(stage: Stage, source: Generation, target: Generation) -> None:
    _clear(target, stage)
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


def _advance(
    stage: Stage, job: Job, expected: dict[str, Expected], span: Span, data_folder: Path, before: Done | None
) -> None:
    """Bring one stage to its expected fingerprint: skip it, link it, or make it."""
    generation, name = job.generation, stage.name
    if not expected[name].applies:
        return
    if _stands(generation, stage, expected):
        job.say(_skipped(stage))
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
        _link_stage(stage, twin, generation)
        job.say(f"{name}: taken from {twin.path.parent.name}/{twin.name}, made from the same {stage.grounds}")
    else:
        _make(stage, job, expected[name])
    describe(generation)


def _done_before(generation: Generation, name: str) -> Done | None:
    """The stage's marker here, or in the generation before this one."""
    older = [other for other in Run(generation.path.parent).generations() if other.name < generation.name]
    return generation.done(name) or (older[-1].done(name) if older else None)


def _make(stage: Stage, job: Job, expected: Expected) -> None:
    generation, name = job.generation, stage.name
    begun = _begun(generation, stage)
    if not (begun.is_file() and files.read_json(begun) == expected.fingerprint):
        _clear(generation, stage)
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


def _twin(stage: Stage, expected: dict[str, Expected], data_folder: Path, not_this: Generation) -> Generation | None:
    """A generation of any run in the data folder in which this very stage is done and whole."""
    for run in find_runs(data_folder).values():
        for generation in reversed(run.generations()):
            with contextlib.suppress(Refusal):
                own = not (generation.path / SHARES).exists() and _keeps_parts(generation, stage)
                stands = own and generation.path != not_this.path and _stands(generation, stage, expected)
                if stands and not (generation.complete and generation.missing_or_resized()):
                    return generation
    return None


def _keeps_parts(generation: Generation, stage: Stage) -> bool:
    """Whether no build writes over what this stage made: a link keeps a file, but not an object that it points to."""
    return generation.complete or not stored_parts(generation, stage.outputs)


def _finish(run: Run, generation: Generation, expected: dict[str, Expected], memory: str, say: Say) -> None:
    missing = _stale(generation, expected, Span())
    if missing:
        say(f"run '{run.name}' ({generation.name}) is not complete: {', '.join(missing)} to be built.")
        return
    files.remove(generation.path / WORK_FOLDER)
    for left in generation.path.rglob(f"*{files.ASIDE}"):
        files.remove(left)
    write_manifest(generation)
    run.point_to(generation)
    try:
        make_indexes(generation, lambda what: say(f"index: {what}"), memory_limit=memory)
    except Refusal as refusal:  # the run is complete without it
        say(str(refusal))
    with contextlib.suppress(Refusal):  # kept in the run's cache, so that the first reader need not wait for it
        metadata.column_summaries(generation)
    for old in run.generations()[:-KEPT_GENERATIONS]:
        _prune(old, say)
    say(f"run '{run.name}' is complete ({generation.name}); look at it with: {installation.command('serve')}")
