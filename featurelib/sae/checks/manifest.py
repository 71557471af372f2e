"""The SAE of a run against the manifest of its run, which names the sha256 of every file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurelib.schema import Refusal
from featurelib.storage import files

if TYPE_CHECKING:
    from pathlib import Path

    from featurelib.sae.sources.place import Place

FOLDER = "sae"
"""Where a generation keeps its SAE, beside its manifest."""


def check_manifest(place: Place[Path]) -> None:
    """Refuse the SAE of a complete run when a bit of its files is not as it was built; do nothing for other files."""
    manifest = place.weights.parent.parent / "manifest.json"
    if place.weights.parent.name != FOLDER or not manifest.is_file():
        return
    known = files.read_json(manifest)
    listed = known.get("files") if isinstance(known, dict) else None
    if not isinstance(listed, dict):
        return  # a manifest of another program
    for path in place.in_order:
        entry = listed.get(f"{FOLDER}/{path.name}")
        expected = entry.get("sha256") if isinstance(entry, dict) else None
        if expected is not None and files.sha256_file(path) != expected:
            raise Refusal(
                f"{FOLDER}/{path.name} is not as it was built: its sha256 is not the one in the run's manifest; "
                "copy the run again, or build it with --from train."
            )
