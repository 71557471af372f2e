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
            return pq.read_table(path, schema=EXPERIMENT_TABLES[name])
        except (OSError, pa.ArrowException) as broken:
            raise Refusal(
                f"{FOLDER}/{self.name}/{path.name} cannot be read ({str(broken).partition(chr(10))[0][:160]}); remove "
                f"the folder {self.name} and classify again."
            ) from broken

    def stamp(self) -> tuple[int, int]:
        """What changes when its tables do."""
        path = self.path / "scores.parquet"
        status = (path if path.is_file() else self.path).stat()
        return status.st_mtime_ns, status.st_size

    def is_done(self, experiment: str, fingerprint: str) -> bool:
        """Whether an experiment was finished from the same texts, labels and settings."""
        marker = self._part(experiment) / DONE
        return marker.is_file() and bool(files.read_json(marker).get("fingerprint") == fingerprint)

    def keep(
        self, experiment: str, fingerprint: str, tables: Mapping[str, pa.Table], arrays: Mapping[str, np.ndarray]
    ) -> None:
        """Write what an experiment has found; its marker comes last."""
        part = self._part(experiment)
        part.mkdir(parents=True, exist_ok=True)
        (part / DONE).unlink(missing_ok=True)
        for name, schema in EXPERIMENT_TABLES.items():
            files.write_parquet(part / f"{name}.parquet", tables[name].cast(schema), schema)
        if arrays:
            files.write_arrays(part / MODEL, **arrays)
        files.write_json(part / DONE, {"experiment": experiment, "fingerprint": fingerprint})

    def gather(self, wanted: Mapping[str, str]) -> None:
        """Write the tables of all experiments that are done, by name and fingerprint, in the order of `wanted`."""
        done = [self._part(name) for name, fingerprint in wanted.items() if self.is_done(name, fingerprint)]
        for name, schema in EXPERIMENT_TABLES.items():
            rows = [pq.read_table(part / f"{name}.parquet", schema=schema) for part in done]
            whole = pa.concat_tables(rows) if rows else schema.empty_table()
            files.write_parquet(self.path / f"{name}.parquet", whole, schema)

    def _part(self, experiment: str) -> Path:
        return self.path / PARTS / files.fingerprint([experiment])


def experiment_sets(run: Run) -> Iterator[ExperimentSet]:
    """Go through the sets of experiments of a run, in the order of their names."""
    folder = run.path / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / ABOUT).is_file() and path.resolve().parent == folder.resolve():
            yield ExperimentSet(path)


def experiment_set(run: Run, name: str) -> ExperimentSet:
    """Return the set called `name`, which need not be there yet; Refusal for what cannot be a name."""
    return ExperimentSet(run.path / FOLDER / check_name(name))
