"""Say how far every run is, and whether its files are still those that were built."""

from __future__ import annotations

from pathlib import Path

from featurelib import installation
from featurelib.schema import STAGES, Refusal
from featurelib.storage.runs import Generation, Run, find_runs
from precompute.build.job import Say
from precompute.build.stage_table import PIPELINE, stage_of

WIDTH = max(map(len, STAGES)) + 1


def status(data_folder: Path, name: str | None, say: Say) -> int:
    """Say one line per stage of each run (or of one run); return the exit code."""
    runs = find_runs(data_folder)
    if name is not None and name not in runs:
        raise Refusal(f"there is no run '{name[:64]}' in {data_folder}; runs there: {', '.join(runs) or 'none'}.")
    chosen = [runs[name]] if name else list(runs.values())
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
    state = "complete" if generation.complete else "being built"
    say(f"{run.name} · {generation.name} · {state}")
    seconds = generation.volatile()
    for stage in PIPELINE:
        done = generation.done(stage.name)
        took = f"  {seconds[stage.name]['seconds']:.1f} s" if stage.name in seconds else ""
        begun = "begun" if generation.work(stage.name).is_dir() else "to do"
        say(f"  {stage.name:<{WIDTH}} {done.line + took if done else f'{begun}: {stage.makes}'}")
    for sentence in generation.check_sizes().values() if generation.complete else []:
        say(f"  damaged: {sentence}")


def verify(path: Path, say: Say) -> int:
    """Hash every file of the run's current generation against its manifest; exit code 0, or 2 when one differs."""
    generation = Run(path).current()
    checked = dict(generation.verify())
    wrong = {file: sentence for file, sentence in checked.items() if sentence}
    for sentence in wrong.values():
        say(sentence)
    if wrong and generation.complete:
        first = min(map(stage_of, wrong), key=STAGES.index)
        raise Refusal(
            f"{len(wrong)} of {len(checked)} files of run '{path.name}' are not as they were built; "
            f"copy the run again, or give its build command with --from {first}."
        )
    if wrong:
        raise Refusal(f"run '{path.name}' has nothing to compare with yet; give its build command once more.")
    say(f"run '{path.name}' ({generation.name}): {len(checked)} files, all as they were built.")
    return 0
