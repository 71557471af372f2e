"""Build a run: every stage that is missing or stale, in a generation that becomes current when it is complete."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from featurelib import installation
from featurelib.schema import STAGES, Refusal
from featurelib.search.word_index import make_indexes
from featurelib.storage import files, metadata
from featurelib.storage.progress import LOCK_FILE
from featurelib.storage.run_manifest import missing_or_resized
from featurelib.storage.runs import SHARES, WORK_FOLDER, Done, Generation, Run
from precompute.build.append import Append, find_append, note_append, refuse_leaving_out
from precompute.build.build_progress import report_progress
from precompute.build.config import BuildConfig
from precompute.build.job import Job, Say
from precompute.build.one_stage import advance, clear, link_stage, skipped, stands
from precompute.build.provenance import describe, write_manifest
from precompute.build.stage_selection import Span
from precompute.build.stage_table import PIPELINE, Expected, expect, stage_of
from precompute.build.stored_parts import check_places, claim, place_of, remove_stored, stored_parts
from precompute.engines import Engine, open_engine

KEPT_GENERATIONS = 2
LOCK_SECONDS = 1.0
"""Whoever looks whether a run is being built holds its lock for a moment."""
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
                advance(stage, job, expected, span, data_folder, before[stage.name])
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
    wrong = missing_or_resized(generations[-1]) if generations and generations[-1].complete else {}
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
        if any(reader.name == span.only and stage.name in reader.after for reader in PIPELINE) and not stands(
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
        if stands(newest, stage, expected):
            say(skipped(stage))
        else:
            say(f"{stage.name}: left as it is, made with other options, because it was not asked for")
    say(f"run '{run.name}' is complete ({newest.name}).")
    return newest


def _forget(generation: Generation, expected: dict[str, Expected], span: Span) -> None:
    """Remove, once, what --from makes again, so that a killed build goes on where it was."""
    forced = {stage.name: expected[stage.name].fingerprint for stage in PIPELINE if span.forces(stage.name)}
    begun = generation.path / WORK_FOLDER / FROM
    if forced and not (begun.is_file() and files.read_json(begun) == forced):
        for stage in reversed(PIPELINE):
            if stage.name in forced:
                clear(generation, stage)
        files.write_json(begun, forced)


def _stale(generation: Generation, expected: dict[str, Expected], span: Span) -> list[str]:
    return [
        stage.name
        for stage in PIPELINE
        if span.allows(stage.name) and (span.forces(stage.name) or not stands(generation, stage, expected))
    ]


def _carry_over(old: Generation, new: Generation, expected: dict[str, Expected], span: Span) -> Generation:
    for stage in PIPELINE:
        applies = expected[stage.name].applies
        if applies and stands(old, stage, expected) and not span.forces(stage.name):
            link_stage(stage, old, new)
    return new


def _prune(old: Generation, say: Say) -> None:
    """Remove a generation; its parts in another place first, so that a killed build finds them again."""
    try:
        remove_stored(stored_parts(old), old.path.parent.parent, old)
    except Refusal as refusal:
        say(f"{old.path.parent.name}/{old.name} stays until its parts can be removed: {refusal}")
        return
    files.remove(old.path)


def _done_before(generation: Generation, name: str) -> Done | None:
    """The stage's marker here, or in the generation before this one."""
    older = [other for other in Run(generation.path.parent).generations() if other.name < generation.name]
    return generation.done(name) or (older[-1].done(name) if older else None)


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
