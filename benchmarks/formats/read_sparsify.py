"""Does sparsify read what we write in its layout? Case folders, written by featurelib, loaded with sparsify's own code.

    python -m benchmarks.formats.read_sparsify --write CASES OUT     (in this project's environment)
    python benchmarks/formats/read_sparsify.py OUT                   (where `pip install eai-sparsify` was done)

The first line reads every case that write_sparsify.py wrote and save_sparsify can hold, writes it again and keeps our
activations and reconstructions beside it. The second loads those files with SparseCoder.load_from_disk and prints the
largest differences; the exit code is 1 when one is above the limit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

LIMIT = 1e-5


def write(cases: Path, out: Path) -> None:
    """Write the cases again, with our reader and our writer."""
    from featurelib.sae.checkpoints import load_sae
    from featurelib.sae.formats.sparsify import expressible, save_sparsify

    for case in sorted(cases.glob("sparsify_*")):
        sae, x = load_sae(case / "sae"), np.load(case / "x.npy")
        if not expressible(sae):
            print(f"{case.name}: has no place in the layout as we write it, left out")
            continue
        save_sparsify(sae, out / case.name / "sae")
        np.save(out / case.name / "x.npy", x)
        np.save(out / case.name / "activations.npy", sae.encode(x).numpy())
        np.save(out / case.name / "output.npy", sae.reconstruct(x).numpy())


def read(out: Path) -> int:
    """Load what we wrote with sparsify; return 1 when it does not agree."""
    import torch
    from sparsify import SparseCoder

    worst = 0.0
    for case in sorted(out.iterdir()):
        coder, rows = SparseCoder.load_from_disk(case / "sae"), torch.from_numpy(np.load(case / "x.npy"))
        with torch.no_grad():
            encoded = coder.encode(rows)
            dense = torch.zeros_like(encoded.pre_acts).scatter_(1, encoded.top_indices, encoded.top_acts)
            output = coder(rows).sae_out
        theirs = {"activations": dense.numpy(), "output": output.numpy()}
        apart = [float(np.abs(array - np.load(case / f"{name}.npy")).max()) for name, array in theirs.items()]
        print(f"{case.name}: activations {apart[0]:.1e}, reconstructions {apart[1]:.1e}")
        worst = max(worst, *apart)
    print(f"largest difference {worst:.1e} (limit {LIMIT:.0e})")
    return int(worst > LIMIT)


def main() -> int:
    """Write, or read."""
    if sys.argv[1:2] == ["--write"] and len(sys.argv) == 4:
        write(Path(sys.argv[2]), Path(sys.argv[3]))
        return 0
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    return read(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
