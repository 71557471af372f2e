"""verify: compare every file of a run with its manifest."""

from __future__ import annotations

from pathlib import Path

from featurelib.schema import STAGES, Refusal
from featurelib.storage import run_manifest
from featurelib.storage.index.checking import check_index
from featurelib.storage.progress import say_how_to_build
from featurelib.storage.runs import find_run
from precompute.build.job import Say
from precompute.build.stage_table import stage_of


def verify(data_folder: Path, name: str, say: Say) -> int:
    """Hash every file of a run's current generation; return 0. Refusal when one is not as the manifest says."""
    generation = find_run(data_folder, name).current()
    checked = dict(run_manifest.verify(generation))
    wrong = {file: sentence for file, sentence in checked.items() if sentence}
    for sentence in wrong.values():
        say(sentence)
    if wrong and generation.complete:
        first = min(map(stage_of, wrong), key=STAGES.index)
        raise Refusal(
            f"{len(wrong)} of {len(checked)} files of run '{name}' are not as they were built; "
            f"copy the run again, or give its build command with --from {first}."
        )
    if wrong:
        mend = say_how_to_build(generation.path.parent, STAGES[-1])
        raise Refusal(f"run '{name}' has nothing to compare with yet; {mend}")
    say(f"run '{name}' ({generation.name}): {len(checked)} files, all as they were built.")
    index = check_index(generation)
    say("It has no index; a server makes one." if index is None else "Its index holds what these files hold.")
    return 0
