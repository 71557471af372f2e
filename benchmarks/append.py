"""Append a tenth of a corpus to a run of the rest, and compare with a rebuild: python -m benchmarks.append SOURCE.

Usage: python -m benchmarks.append SOURCE.parquet [--share 0.1] [--texts N] [--folder F] [-- flags of the build…]

Three runs: `old` (the first texts), `appended` (a copy of it, then --append of the others) and `rebuilt` (all texts in
one file, with --sae old). Printed are, for every table, whether it is equal bit by bit, equal within 1e-6, or differs
because it is frozen; and the seconds of CPU of each stage of both. What depends on the frozen places of features is
compared with a copy of the rebuilt run that was given these places, in which the stages after layout were made again.
Exit code 1 when a table differs that is not frozen.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.compared_tables import compare
from featurelib.schema import FIRING_LAYOUT, LAYOUT, REGION_FEATURES, REGION_TEXTS, TEXT_LAYOUT
from featurelib.storage import files
from featurelib.storage.runs import Generation, Run
from precompute.__main__ import parser, read_keys
from precompute.build.append.options import append_config
from precompute.build.build import build
from precompute.build.config import BuildConfig
from precompute.build.stage_selection import Span
from precompute.build.stage_table import PIPELINE, readers_of

FROZEN = (LAYOUT, FIRING_LAYOUT, REGION_FEATURES, TEXT_LAYOUT)
"""The tables of places that an append leaves as they are."""
OF_TRAINING = ("features", "k", "architecture", "epochs", "patience")
"""Options that have no meaning with --sae."""


class CpuSeconds:
    """The CPU seconds of each stage, counted from sentence to sentence of a build."""

    def __init__(self) -> None:
        self.of_stage: dict[str, float] = {}
        self._last = time.process_time()

    def __call__(self, sentence: str) -> None:
        """Note the time when a stage ends; a build says so with its seconds."""
        stage = sentence.partition(":")[0]
        if stage in {each.name for each in PIPELINE} and sentence.endswith(" s)"):
            now = time.process_time()
            self.of_stage[stage] = self.of_stage.get(stage, 0.0) + now - self._last
            self._last = now


def split_corpus(source: Path, folder: Path, share: float, n_texts: int | None) -> tuple[Path, Path, Path]:
    """Write the first texts, the last `share` of them, and all as Parquet files; return their paths."""
    table = pq.read_table(source).slice(0, n_texts)
    n_old = len(table) - max(1, round(share * len(table)))
    paths = folder / "old.parquet", folder / "new.parquet", folder / "all.parquet"
    for path, rows in zip(paths, (table.slice(0, n_old), table.slice(n_old), table), strict=True):
        pq.write_table(rows, path)
    return paths


def build_all(source: Path, folder: Path, share: float, n_texts: int | None, keys: dict[str, Any]) -> dict[str, Any]:
    """Build the three runs in `folder`/data; return the CPU seconds of the stages of the last two by their names."""
    old, new, both = split_corpus(source, folder, share, n_texts)
    data, seconds = folder / "data", {"appended": CpuSeconds()}
    build(BuildConfig(**keys | {"source": str(old), "name": "old"}), data, Span(), print)
    shutil.copytree(data / "old", data / "appended")
    config = append_config({"source": str(new), "name": "appended", "append": True}, data)
    seconds["appended"] = CpuSeconds()
    build(config, data, Span(), seconds["appended"])
    kept = {name: value for name, value in keys.items() if name not in OF_TRAINING}
    again = BuildConfig(**kept | {"source": str(both), "name": "rebuilt", "sae": str(data / "old")})
    seconds["rebuilt"] = CpuSeconds()
    build(again, data, Span(), seconds["rebuilt"])
    return {name: counted.of_stage for name, counted in seconds.items()}


def rebuilt_in_frozen_places(data: Path, both: Path, keys: dict[str, Any]) -> Generation:
    """A copy of the rebuilt run with the places and regions of the appended one, and what follows from them."""
    shutil.copytree(data / "rebuilt", data / "placed")
    placed, appended = Run(data / "placed").current(), Run(data / "appended").current()
    files.remove(placed.path / "manifest.json")
    for table in (*FROZEN, REGION_TEXTS):
        files.link_or_copy(appended.file(table), placed.file(table))
    for stage in readers_of("layout"):
        placed.unmark(stage.name)
        for output in stage.outputs:
            files.remove(placed.path / output)
    kept = {name: value for name, value in keys.items() if name not in OF_TRAINING}
    config = BuildConfig(**kept | {"source": str(both), "name": "placed", "sae": str(data / "old")})
    # in a folder of its own, or the stages would be taken from the run that it is a copy of
    alone = data / "alone"
    alone.mkdir()
    shutil.move(data / "placed", alone / "placed")
    return build(config, alone, Span(), lambda _: None)


def report_tables(data: Path, placed: Generation) -> int:
    """Print a line for each table; return how many differ that are not frozen."""
    appended, rebuilt = Run(data / "appended").current(), Run(data / "rebuilt").current()
    frozen = {table.view for table in FROZEN}
    wrong = 0
    for name, found in compare(appended, placed).items():
        if name in frozen:
            own = compare(appended, rebuilt)[name]
            words = "equal to the rebuild's own" if own.equal else "differs because frozen: the places of the run stay"
        else:
            words = found.words
            wrong += not found.equal
        if name == REGION_TEXTS.view:
            words = "made from frozen regions (the tests compare it with its definition)"
        print(f"{name:24} {found.n_rows:>11,}  {words}", flush=True)
    return wrong


def report_seconds(seconds: dict[str, dict[str, float]]) -> None:
    """Print the CPU seconds of each stage of the append and the rebuild, and their ratio."""
    rows = [(stage.name, *(seconds[run].get(stage.name, 0.0) for run in ("appended", "rebuilt"))) for stage in PIPELINE]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    print(f"\n{'CPU seconds':16} {'append':>9} {'rebuild':>9} {'share':>7}")
    for name, ours, theirs in rows:
        print(f"{name:16} {ours:9.2f} {theirs:9.2f} {ours / theirs if theirs else 0:7.1%}")


def main() -> int:
    """Run the comparison; 0 when every table that is not frozen is equal."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("source", type=Path)
    arguments.add_argument("--share", type=float, default=0.1)
    arguments.add_argument("--texts", type=int, default=None)
    arguments.add_argument("--folder", type=Path, default=None, help="where the runs go and stay; must be new")
    given, flags = arguments.parse_known_args()
    flags = [flag for flag in flags if flag != "--"]
    keys = read_keys(parser().parse_args(["build", str(given.source), "--name", "old", *flags]))
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=given.folder is None)
        seconds = build_all(given.source, folder, given.share, given.texts, keys)
        placed = rebuilt_in_frozen_places(folder / "data", folder / "all.parquet", keys)
        wrong = report_tables(folder / "data", placed)
    report_seconds(seconds)
    print(f"\n{wrong} tables differ that are not frozen")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
