"""Do we read other libraries' SAEs as they do? Activations and reconstructions of every case in a folder, compared.

    python -m benchmarks.formats.agree FOLDER

FOLDER holds cases (see case.py) that `write_*.py` wrote, each in its own library's environment. Prints for each the
largest difference of an activation and of an entry of the reconstruction, and how many (text, feature) pairs only one
of the two has; the exit code is 1 when a difference is above 1e-5. The scale is the largest value of the library's own.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from featurelib.sae.checkpoints import load_sae
from featurelib.schema import Refusal

LARGEST_DIFFERENCE = 1e-5


class Agreement(NamedTuple):
    """How far ours and the library's own are apart on one case."""

    activations: float
    """The largest difference of an activation."""
    output: float
    """The largest difference of an entry of the reconstruction."""
    fires_once: int
    """Pairs of text and feature that only one of the two has."""
    scale: float
    """The largest activation or entry of the library's; float32 has 7 digits."""

    @property
    def holds(self) -> bool:
        """Whether both differences are small enough."""
        return max(self.activations, self.output) <= LARGEST_DIFFERENCE


def compare(case: Path) -> Agreement:
    """Return how far the SAE of a case, read by ours, is from what the library made of the same embeddings."""
    x, theirs, output = (np.load(case / f"{name}.npy") for name in ("x", "activations", "output"))
    asked = json.loads((case / "asked.json").read_text()) if (case / "asked.json").is_file() else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sae = load_sae(case / "sae", **asked)
    ours = sae.encode(x).numpy()
    return Agreement(
        activations=float(np.abs(ours - theirs).max()),
        output=float(np.abs(sae.reconstruct(x).numpy() - output).max()),
        fires_once=int(((ours > 0) != (theirs > 0)).sum()),
        scale=max(float(np.abs(theirs).max()), float(np.abs(output).max())),
    )


def main() -> int:
    """Compare all cases in the folder named on the command line."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print(__doc__)
        return 2
    cases = sorted(path.parent for path in Path(sys.argv[1]).rglob("note.txt"))
    wrong = 0
    print(f"{'case':48} {'activations':>11} {'output':>9} {'fire once':>9} {'scale':>6}  written by")
    for case in cases:
        note = (case / "note.txt").read_text(encoding="utf-8").strip()
        try:
            difference = compare(case)
        except Refusal as refusal:
            wrong += 1
            print(f"{case.name:48} REFUSED: {refusal}  {note}")
            continue
        wrong += not difference.holds
        sign = "" if difference.holds else "  DIFFERS"
        print(
            f"{case.name:48} {difference.activations:11.1e} {difference.output:9.1e} {difference.fires_once:9} "
            f"{difference.scale:6.1f}  {note}{sign}"
        )
    print(f"{len(cases)} cases, {wrong} of them differ by more than {LARGEST_DIFFERENCE:.0e}, or were refused")
    return int(wrong > 0 or not cases)


if __name__ == "__main__":
    sys.exit(main())
