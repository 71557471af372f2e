"""run.json, which says what a generation was made from, and the manifest of its files."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from featurelib.schema import FORMAT_VERSION
from featurelib.storage import files
from featurelib.storage.runs import Generation
from precompute.build.stage_table import PIPELINE

PACKAGES = ("torch", "sentence-transformers", "keybert", "umap-learn", "duckdb", "pyarrow", "numpy", "scikit-learn")


def describe(generation: Generation) -> None:
    """Write run.json from what the finished stages found."""
    markers = {stage.name: done for stage in PIPELINE if (done := generation.done(stage.name))}
    chapters = {
        stage.chapter or stage.name: markers[stage.name].facts if stage.name in markers else None for stage in PIPELINE
    }
    seeds = {
        name: done.made_from["options"]["seed"] for name, done in markers.items() if "seed" in done.made_from["options"]
    }
    packages = {package: importlib.metadata.version(package) for package in PACKAGES}
    files.write_json(
        generation.path / "run.json",
        {"format_version": FORMAT_VERSION, **chapters, "seeds": seeds, "packages": packages},
    )


def write_manifest(generation: Generation) -> None:
    """Write manifest.json: every file with its size, its sha256 and, of a table, its rows."""
    import pyarrow.parquet as pq

    listed: dict[str, Any] = {}
    for path in generation.manifest_files():
        entry = {"bytes": path.stat().st_size, "sha256": files.sha256_file(path)}
        if path.suffix == ".parquet":
            entry["rows"] = pq.read_metadata(path).num_rows
        listed[path.relative_to(generation.path).as_posix()] = entry
    files.write_json(generation.path / "manifest.json", {"files": listed})
