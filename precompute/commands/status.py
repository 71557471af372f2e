"""status: say how far every run is, stage by stage."""

from __future__ import annotations

from pathlib import Path

from featurelib import installation
from featurelib.schema import STAGES, Refusal
from featurelib.storage.progress import find_progress
from featurelib.storage.run_manifest import missing_or_resized
from featurelib.storage.runs import Generation, Run, find_run, find_runs
from precompute.build.job import Say
from precompute.build.stage_table import PIPELINE

WIDTH = max(map(len, STAGES)) + 1


def status(data_folder: Path, name: str | None, say: Say) -> int:
    """Say one line per stage of each run (or of one run); return the exit code."""
    chosen = [find_run(data_folder, name)] if name else list(find_runs(data_folder).values())
    if not chosen:
        say(f"{data_folder} holds no run; make one with: {installation.command('build SOURCE --name NAME')}")
    for run in chosen:
        try:
            for generation in _shown(run):
                _say_generation(run, generation, say)
        except Refusal as damage:
            if name:
                raise
            say(f"{run.name} · {damage}")
    return 0


def _shown(run: Run) -> list[Generation]:
    """The current generation, and a newer one that is being built."""
    current = run.current()
    return [current] + [newest for newest in run.generations()[-1:] if newest.path != current.path]


def _say_generation(run: Run, generation: Generation, say: Say) -> None:
    progress = None if generation.complete else find_progress(run.path)
    state = progress.sentence if progress else "unfinished, and nobody is building it"
    say(f"{run.name} · {generation.name} · {'complete' if generation.complete else state}")
    seconds = generation.volatile()
    embedded = generation.done("embed")
    has_tokens = embedded is not None and embedded.facts.get("pooling") == "none"
    for stage in PIPELINE:
        if stage.only_tokens and not has_tokens:
            continue
        done = generation.done(stage.name)
        took = f"  {seconds[stage.name]['seconds']:.1f} s" if stage.name in seconds else ""
        state = "begun" if generation.work(stage.name).is_dir() else "to do"
        if progress and progress.stage == stage.name:
            state = f"now{', ' if progress.percent else ''}{progress.percent}"
        say(f"  {stage.name:<{WIDTH}} {done.line + took if done else f'{state}: {stage.makes}'}")
    for sentence in missing_or_resized(generation).values() if generation.complete else []:
        say(f"  damaged: {sentence}")
