"""Sets of experiments on disk: written one experiment at a time, so that a set that was stopped goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.schema import Refusal
from featurelib.schema.experiments import ABOUT, EXPERIMENT_TABLES, FOLDER
from featurelib.storage import files
from featurelib.storage.runs import Run, check_name

PARTS, DONE, MODEL = "parts", "done.json", "model.npz"


@dataclass(frozen=True)
class ExperimentSet:
    """One set of experiments of a run."""

    path: Path
    """Its folder, such as data/demo/experiments/label."""

    @property
    def name(self) -> str:
        """Its name: that of its folder."""
        return self.path.name

    def about(self) -> dict[str, Any]:
        """What it was made from, and what a reader of its scores must know; Refusal when that cannot be read."""
        about = files.read_json(self.path / ABOUT)
        if not isinstance(about, dict):
            raise files.damaged(self.path / ABOUT, "a JSON object is expected")
        return about

    def table(self, name: str) -> pa.Table:
        """Return one of the tables, empty before the first experiment is done; Refusal when it cannot be read."""
        path = self.path / f"{name}.parquet"
        if not path.is_file():
            return EXPERIMENT_TABLES[name].empty_table()
        try:
            return _read(path, name)
        except (OSError, pa.ArrowException) as broken:
            raise Refusal(
                f"{FOLDER}/{self.name}/{path.name} cannot be read ({str(broken).partition(chr(10))[0][:160]}); remove "
                f"the folder {self.name} and classify again."
            ) from broken

    def stamp(self, name: str) -> tuple[int, int]:
        """What changes when one of its tables does."""
        path = self.path / f"{name}.parquet"
        status = (path if path.is_file() else self.path).stat()
        return status.st_mtime_ns, status.st_size

    def is_done(self, experiment: str, fingerprint: str) -> bool:
        """Whether an experiment was finished from the same texts, labels and settings, and can be read."""
        part = self._part(experiment)
        return _marker(part).get("fingerprint") == fingerprint and _tables(part) is not None

    def keep(
        self,
        experiment: str,
        marker: Mapping[str, str],
        tables: Mapping[str, pa.Table],
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        """Write what an experiment has found; its marker, with the fingerprint and what was encoded, comes last."""
        part = self._part(experiment)
        part.mkdir(parents=True, exist_ok=True)
        (part / DONE).unlink(missing_ok=True)
        for name, schema in EXPERIMENT_TABLES.items():
            files.write_parquet(part / f"{name}.parquet", tables[name].cast(schema), schema)
        if arrays:
            files.write_arrays(part / MODEL, **arrays)
        files.write_json(part / DONE, {"experiment": experiment, **marker})

    def gather(self, wanted: Mapping[str, str], encoded: str) -> None:
        """Write the tables of all experiments that are done, those of `wanted` (by name: fingerprint) first.

        Of the others those stay whose activations were the same, as `encoded` tells.
        """
        markers = {path.parent: _marker(path.parent) for path in sorted((self.path / PARTS).glob(f"*/{DONE}"))}
        names = {str(marker.get("experiment")): part for part, marker in markers.items()}
        done = [
            names[name] for name, own in wanted.items() if name in names and markers[names[name]]["fingerprint"] == own
        ]
        done += [
            part
            for name, part in sorted(names.items())
            if name not in wanted and markers[part].get("encoded") == encoded
        ]
        found = [tables for part in done if (tables := _tables(part)) is not None]
        for name, schema in EXPERIMENT_TABLES.items():
            rows = [tables[name] for tables in found]
            files.write_parquet(
                self.path / f"{name}.parquet", pa.concat_tables(rows) if rows else schema.empty_table(), schema
            )

    def _part(self, experiment: str) -> Path:
        return self.path / PARTS / files.fingerprint([experiment])


def _marker(part: Path) -> dict[str, Any]:
    """What an experiment was made from; empty where it is not done, or its marker cannot be read."""
    path = part / DONE
    try:
        marker = files.read_json(path) if path.is_file() else {}
    except Refusal:
        return {}
    return marker if isinstance(marker, dict) else {}


def _tables(part: Path) -> dict[str, pa.Table] | None:
    """The tables of one experiment; None where one cannot be read, so that the experiment is made again."""
    try:
        return {name: _read(part / f"{name}.parquet", name) for name in EXPERIMENT_TABLES}
    except (OSError, pa.ArrowException):
        return None


def _read(path: Path, name: str) -> pa.Table:
    """Read one table; ArrowInvalid for the columns of another version, which Arrow would fill with nulls."""
    columns, schema = pq.read_schema(path).names, EXPERIMENT_TABLES[name]
    if columns != schema.names:
        raise pa.ArrowInvalid(f"it has other columns than this version writes: {', '.join(columns)[:80]}")
    return pq.read_table(path, schema=schema)


def experiment_sets(run: Run) -> Iterator[ExperimentSet]:
    """Go through the sets of experiments of a run, in the order of their names."""
    folder = run.path / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / ABOUT).is_file() and path.resolve().parent == folder.resolve():
            yield ExperimentSet(path)


def experiment_set(run: Run, name: str) -> ExperimentSet:
    """Return the set called `name`, which need not be there yet; Refusal for what cannot be a name."""
    return ExperimentSet(run.path / FOLDER / check_name(name))
