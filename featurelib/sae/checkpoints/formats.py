"""The formats that are known, in the order in which they are looked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from featurelib.sae.checkpoints.contents import some_names
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.checkpoints.checkpoint import Reader
    from featurelib.sae.checkpoints.contents import Contents

MODULES = (
    "own",
    "saelens_training",
    "saelens_old",
    "saelens",
    "gemma_scope",
    "llama_scope",
    "dictionary_learning",
    "batchtopk",
    "mats",
    "opensae",
    "latent_sae",
    "sparsify",
    "openai",
    "hypothesaes",
    "csr",
    "saerch",
)
"""Modules of this package. The order matters where one format's tensors are a subset of another's names."""


def find_reader(contents: Contents) -> Reader:
    """Return the reader of the format that `contents` is in; Refusal when none knows it."""
    for name in MODULES:
        reader = importlib.import_module(f"featurelib.sae.checkpoints.{name}")
        if reader.matches(contents):
            return reader
    held = some_names(sorted(contents.tensors))
    raise Refusal(
        f"{contents.path.name} is in no format that is known here (tensors: {held or 'none'}"
        f"{'' if contents.config else '; no config beside it'}); put its config beside it, or save it as SAELens does."
    )
