"""SAEs and embeddings that belong together and that do not: what the fit check is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from benchmarks.fit.sources import SOURCES, Source
from featurelib.sae.checkpoints import load_sae, save_sae
from featurelib.sae.model import SAE
from featurelib.sae.training.recipe import find_recipe
from featurelib.sae.training.trainer import train
from featurelib.storage import files
from featurelib.storage.embeddings import EmbeddingParts

ARCHITECTURES = ("batchtopk", "topk", "vanilla")
N_FEATURES, K = 512, 16
EPOCHS = {False: 30, True: 3}
"""By whether the rows are tokens, of which there are more."""
TUNED_ON = ("MiniLM", "MiniLM layer 2")
"""The sources whose pairs the margins were found on; those of doubt also on the layers 5 and 15 of SmolLM2."""


class Pair(NamedTuple):
    """An SAE on some embeddings."""

    kind: str
    """right, other corpus, other layer, other model, permuted or scaled."""
    name: str
    """Which of that kind, in words."""
    sae: SAE
    embeddings: np.ndarray


@dataclass(frozen=True)
class Trained:
    """An SAE of a source."""

    source: Source
    architecture: str
    sae: SAE


def train_all(rows: dict[tuple[str, str], np.ndarray], cache: Path) -> Iterator[Trained]:
    """Yield an SAE of each source and architecture; those that `cache` holds are not trained again."""
    for source in SOURCES:
        for architecture in ARCHITECTURES:
            place = cache / f"{source.name}-{architecture}".replace(" ", "_")
            if not (place / "cfg.json").is_file():
                save_sae(_train(rows[source.name, "training"], architecture, source.tokens, cache), place)
                print(f"trained {place.name}", flush=True)
            yield Trained(source, architecture, load_sae(place))


def _train(x: np.ndarray, architecture: str, tokens: bool, cache: Path) -> SAE:
    part = cache / "training.parquet"
    flat = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
    table = pa.table({"text_id": np.arange(len(x)), "embedding": flat})
    files.write_parquet(part, table, table.schema)
    recipe = find_recipe(
        len(x), x.shape[1], n_features=N_FEATURES, k=K, architecture=architecture, epochs=EPOCHS[tokens]
    )
    return train(EmbeddingParts((part,), np.ones(len(x), bool)), recipe)


def pairs_of(trained: Trained, rows: dict[tuple[str, str], np.ndarray]) -> Iterator[Pair]:
    """Yield every pair of one SAE: its own embeddings, those of other corpora, sources and changes of its weights."""
    sae, own = trained.sae, trained.source
    for (name, part), x in rows.items():
        if part == "training" or x.shape[1] != sae.d_in:
            continue
        if name == own.name:
            kind = "right" if part == "held out" else "other corpus"
        else:
            kind = "other layer" if name.split(" layer")[0] == own.name.split(" layer")[0] else "other model"
        yield Pair(kind, f"{name}, {part}", sae, x)
    held_out = rows[own.name, "held out"]
    for kind, name, changed in _changed(sae):
        yield Pair(kind, name, changed, held_out)
    for factor, name in ((3.0, "× 3"), (1 / 3, "÷ 3")):
        yield Pair("scaled", f"embeddings {name}", sae, held_out * np.float32(factor))


def _changed(sae: SAE) -> Iterator[tuple[str, str, SAE]]:
    order = torch.randperm(sae.n_features, generator=torch.Generator().manual_seed(0))
    yield "permuted", "decoder rows permuted", replace(sae, W_dec=sae.W_dec[order])
    for factor, name in ((3.0, "× 3"), (1 / 3, "÷ 3")):
        W_enc, W_dec, b_dec = sae.W_enc * factor, sae.W_dec * factor, sae.b_dec * factor
        yield "scaled", f"W_dec {name}", replace(sae, W_dec=W_dec)
        yield "scaled", f"W_enc {name}", replace(sae, W_enc=W_enc)
        yield "scaled", f"all weights {name}", replace(sae, W_enc=W_enc, W_dec=W_dec, b_dec=b_dec)
