"""Does SAELens give the same features as this run? Every active (text, feature) pair of a run, compared.

Run it inside an environment that has sae-lens (`pip install sae-lens "pyarrow<22"`), which need not have anything else
of this project:

    python benchmarks/saelens_agrees.py data/demo

It loads the run's sae folder with SAELens' own SAE.load_from_disk, encodes the run's embeddings in float32, and prints
how many pairs are equal and the largest difference of an activation; pairs within 1e-6 of their threshold may fall on
either side in float32 and are counted apart. The exit code is 1 when they do not agree.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from sae_lens import SAE

LARGEST_DIFFERENCE = 1e-5
NEAR = 1e-6
"""The same as in benchmarks/recompute."""


def open_generation(folder: Path) -> Path:
    """Return the current generation of a run, or the generation itself."""
    pointer = folder / "current"
    return folder / pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else folder


def read_embeddings(part: Path) -> np.ndarray:
    """Return the embeddings of a part, float32 [n, d]."""
    column = pq.read_table(part, columns=["embedding"])["embedding"].combine_chunks()
    return np.asarray(column.flatten(), dtype=np.float32).reshape(len(column), -1)


@dataclass
class Comparison:
    """How the pairs of the run and of SAELens compare."""

    both: int = 0
    """Active in both."""
    only_run: int = 0
    only_saelens: int = 0
    at_threshold: int = 0
    """Active in one of them, and within `NEAR` of the threshold: float32 may fall on either side."""
    largest: float = 0.0
    """The largest difference of an activation, those at a threshold aside."""

    def add(self, ours: np.ndarray, theirs: np.ndarray, thresholds: np.ndarray) -> None:
        """Compare the activations of some texts, [n, features] each."""
        one_sided = (ours > 0) != (theirs > 0)
        at = one_sided & (np.abs(np.maximum(ours, theirs) - thresholds) <= NEAR)
        self.both += int(((ours > 0) & (theirs > 0)).sum())
        self.only_run += int((one_sided & ~at & (ours > 0)).sum())
        self.only_saelens += int((one_sided & ~at & (theirs > 0)).sum())
        self.at_threshold += int(at.sum())
        self.largest = max(self.largest, float(np.abs(ours - theirs)[~at].max()))

    @property
    def agrees(self) -> bool:
        """Whether they are the same."""
        return not self.only_run and not self.only_saelens and self.largest < LARGEST_DIFFERENCE


def compare(generation: Path) -> Comparison:
    """Encode the embeddings of a generation with SAELens and compare every pair."""
    sae = SAE.load_from_disk(str(generation / "sae"), device="cpu")
    thresholds = sae.threshold.detach().numpy() if hasattr(sae, "threshold") else np.zeros(sae.cfg.d_sae, np.float32)
    compared = Comparison()
    for part in sorted((generation / "embeddings").glob("part-*.parquet")):
        first = pq.read_table(part, columns=["text_id"])["text_id"][0].as_py()
        rows = pq.read_table(generation / "activations" / "by_text" / part.name)
        with torch.no_grad():
            theirs = sae.encode(torch.tensor(read_embeddings(part))).numpy()
        ours = np.zeros_like(theirs)
        ours[rows["text_id"].to_numpy() - first, rows["feature_id"].to_numpy()] = rows["activation"].to_numpy()
        compared.add(ours, theirs, thresholds)
    return compared


def main() -> int:
    """Compare the run named on the command line."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    compared = compare(open_generation(Path(sys.argv[1])))
    print(
        f"{compared.both:,} (text, feature) pairs equal, {compared.only_run:,} only in the run, "
        f"{compared.only_saelens:,} only in SAELens, {compared.at_threshold:,} within {NEAR:.0e} of their threshold"
    )
    print(f"largest difference of an activation {compared.largest:.2e} (limit {LARGEST_DIFFERENCE:.0e})")
    return 0 if compared.agrees else 1


if __name__ == "__main__":
    sys.exit(main())
