"""SAEs on disk: one small file per format; `load_sae` finds which it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from featurelib.sae.checkpoints.saelens import CONFIG_FILE, WEIGHTS_FILE, load_saelens
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.model import SAE


def find_sae(source: str | Path) -> Path:
    """Return the folder that holds the SAE meant by `source`.

    `source` is a folder in SAELens' inference layout, a file in it, a run (its current generation is taken) or one
    generation of a run. Anything else raises Refusal.
    """
    path = Path(source)
    if not path.exists():
        raise Refusal(f"there is no SAE at '{source}'; give a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, or a run.")
    folder = path.parent if path.is_file() else path
    if (folder / "current").is_file():
        folder = folder / (folder / "current").read_text(encoding="utf-8").strip()
    if not (folder / CONFIG_FILE).is_file() and (folder / "sae").is_dir():
        folder = folder / "sae"
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]
    if missing:
        raise Refusal(
            f"'{source}' holds no {' and no '.join(missing)}; expected a run or a folder in SAELens' inference layout "
            f"({CONFIG_FILE} and {WEIGHTS_FILE})."
        )
    return folder


def load_sae(source: str | Path) -> SAE:
    """Return the SAE that `source` names (see `find_sae`), on the CPU in float32; Refusal when it cannot be trusted."""
    return load_saelens(find_sae(source))
