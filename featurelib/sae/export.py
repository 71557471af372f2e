"""Writing an SAE in another library's layout, and reading it back to check it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from featurelib.sae.checkpoints import read_checkpoint
from featurelib.sae.formats import saelens, sparsify
from featurelib.sae.formats.saelens_origin import NONE, Origin, write_origin
from featurelib.sae.sources.find import find_place
from featurelib.schema import Refusal
from featurelib.storage import files

if TYPE_CHECKING:
    import torch

    from featurelib.sae.model import SAE

SAELENS = "saelens"
WRITERS = {SAELENS: saelens.save_saelens, "sparsify": sparsify.save_sparsify}
"""The layouts, by the names of their libraries."""
ROWS = 256
"""Random rows on which what was written is compared."""


def export_sae(sae: SAE, folder: Path, layout: str, origin: Origin = NONE) -> None:
    """Write `sae` to the new folder `folder`; its files appear when the SAE was read back with equal activations.

    SAELens' layout also holds what is known of its `origin`; others have no place for it.

    Raises Refusal when the folder holds something already, or when the layout has no place for this SAE.
    """
    with files.new_folder(folder) as aside:
        WRITERS[layout](sae, aside)
        if layout == SAELENS:
            write_origin(aside, origin)
        _compare(sae, read_checkpoint(find_place(aside)).sae)


def _compare(sae: SAE, again: SAE) -> None:
    """Refuse an SAE that, read again, is another one."""
    import torch

    x = _rows(sae)
    for method in ("pre_activations", "encode", "reconstruct"):
        if not torch.equal(getattr(sae, method)(x), getattr(again, method)(x)):
            raise Refusal(f"what was written reads back with another {method}; this is a fault here: please report it.")


def _rows(sae: SAE) -> torch.Tensor:
    """Return rows about b_dec that turn features on: their lengths go from a tenth to ten times the mean threshold."""
    import torch

    draw = torch.Generator().manual_seed(0)
    lengths = torch.logspace(-1, 1, ROWS)[:, None] * (1 + sae.thresholds().mean())
    rows = torch.nn.functional.normalize(torch.randn(ROWS, sae.d_in, generator=draw), dim=1)
    return sae.b_dec + lengths * rows
