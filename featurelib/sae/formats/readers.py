"""The formats that are known, in the order in which they are looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurelib.sae.formats import (
    batchtopk,
    dictionary_learning,
    gemma_scope,
    hypothesaes,
    latent_sae,
    llama_scope,
    mats,
    openai,
    opensae,
    own,
    saelens,
    saelens_old,
    saelens_training,
    saerch,
    sentence_transformers,
    sparsify,
)
from featurelib.sae.formats.checkpoint import Reader
from featurelib.sae.weights.contents import some_names
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.weights.contents import Contents

READERS: tuple[Reader, ...] = (
    own,
    saelens_training,
    saelens_old,
    saelens,
    gemma_scope,
    llama_scope,
    dictionary_learning,
    batchtopk,
    mats,
    opensae,
    latent_sae,
    sparsify,
    openai,
    hypothesaes,
    sentence_transformers,
    saerch,
)
"""The order matters where one format's tensors are a subset of another's names."""


def find_reader(contents: Contents) -> Reader:
    """Return the reader of the format that `contents` is in; Refusal when none knows it."""
    for reader in READERS:
        if reader.matches(contents):
            return reader
    names = some_names(sorted(contents.tensors))
    raise Refusal(
        f"{contents.path.name} is in no format that is known here (tensors: {names or 'none'}"
        f"{'' if contents.config else '; no config beside it'}); put its config beside it, or save it as SAELens does."
    )
