"""Does SAELens give the same features as this run? Every active (text, feature) pair of a run, compared.

Run it inside an environment that has sae-lens (`pip install sae-lens "pyarrow<22"`), which need not have anything else
of this project:

    python benchmarks/saelens_agrees.py data/demo

It loads the run's sae folder with SAELens' own SAE.load_from_disk, encodes the run's embeddings in float32, and prints
how many pairs are equal and the largest difference of an activation. The exit code is 1 when they do not agree.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from sae_lens import SAE

LARGEST_DIFFERENCE = 1e-5


def open_generation(folder: Path) -> Path:
    """Return the current generation of a run, or the generation itself."""
    pointer = folder / "current"
    return folder / pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else folder


def read_embeddings(part: Path) -> np.ndarray:
    """Return the embeddings of a part, float32 [n, d]."""
    column = pq.read_table(part, columns=["embedding"])["embedding"].combine_chunks()
    return np.asarray(column.flatten(), dtype=np.float32).reshape(len(column), -1)


def compare(generation: Path) -> tuple[int, int, int, float]:
    """Return the pairs that both have, that only the run has, that only SAELens has, and the largest difference."""
    sae = SAE.load_from_disk(str(generation / "sae"), device="cpu")
    both = only_run = only_saelens = 0
    largest = 0.0
    for part in sorted((generation / "embeddings").glob("part-*.parquet")):
        first = pq.read_table(part, columns=["text_id"])["text_id"][0].as_py()
        rows = pq.read_table(generation / "activations" / "by_text" / part.name)
        with torch.no_grad():
            theirs = sae.encode(torch.from_numpy(read_embeddings(part))).numpy()
        ours = np.zeros_like(theirs)
        ours[rows["text_id"].to_numpy() - first, rows["feature_id"].to_numpy()] = rows["activation"].to_numpy()
        both += int(((ours > 0) & (theirs > 0)).sum())
        only_run += int(((ours > 0) & (theirs == 0)).sum())
        only_saelens += int(((ours == 0) & (theirs > 0)).sum())
        largest = max(largest, float(np.abs(ours - theirs).max()))
    return both, only_run, only_saelens, largest


def main() -> int:
    """Compare the run named on the command line."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    both, only_run, only_saelens, largest = compare(open_generation(Path(sys.argv[1])))
    print(f"{both:,} (text, feature) pairs equal, {only_run:,} only in the run, {only_saelens:,} only in SAELens")
    print(f"largest difference of an activation {largest:.2e} (limit {LARGEST_DIFFERENCE:.0e})")
    return int(only_run + only_saelens > 0 or largest >= LARGEST_DIFFERENCE)


if __name__ == "__main__":
    sys.exit(main())
