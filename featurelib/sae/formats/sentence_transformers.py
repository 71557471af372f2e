"""sentence-transformers' SparseAutoEncoder (CSR): config.json and model.safetensors or pytorch_model.bin.

Source: sentence_transformers/sparse_encoder/modules/sparse_auto_encoder.py of 6.2. One matrix serves as encoder and
decoder; safetensors keeps it under one of its two names, pytorch_model.bin under both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.weights.json_file import read_json
from featurelib.sae.weights.settings import LAST_SEEN, check_counters, flag
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.weights.contents import Contents

NAME = "sentence-transformers SparseAutoEncoder"
SHARED = ("decoder.linear.weight", "encoder.weight")
"""The names of the one matrix, [n_features, d_in]; the first is the one that safetensors keeps."""
BIASES = ("pre_bias", "latent_bias")
AROUND = "config_sentence_transformers.json"
"""Beside the module's folder, in the folder of the whole SparseEncoder."""


def matches(contents: Contents) -> bool:
    """Tell whether there is a shared matrix, or a saved SparseAutoEncoder's biases without a decoder."""
    return contents.has(SHARED[0]) or (contents.has(*BIASES) and not contents.has("decoder.weight"))


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE; normalised per text where the config says so."""
    from featurelib.sae.gates import TopK
    from featurelib.sae.model import SAE

    file = contents.config_file
    if not contents.config:
        raise Refusal(f"{file} does not say whether it normalises; put its config.json beside it.")
    shared, k = _shared(contents), options.agreed_k(contents.config.get("k"), file)
    sae = SAE(
        W_enc=shared.T.contiguous(),
        b_enc=contents.floats("latent_bias"),
        W_dec=shared,
        b_dec=contents.floats("pre_bias"),
        gate=TopK(k),
        norm="layer_norm" if flag(contents.config, "normalize", False, file) else "none",
    )
    check_counters(contents, (LAST_SEEN,), sae.n_features)
    contents.says(input_dim=sae.d_in, hidden_dim=sae.n_features)
    return Checkpoint(sae, NAME, _remarks(contents, k))


def _shared(contents: Contents) -> torch.Tensor:
    """Return the one matrix, [n_features, d_in]; Refusal when it is there twice and differs."""
    import torch

    names = [name for name in SHARED if contents.has(name)] or [SHARED[0]]
    contents.only((*names, *BIASES, LAST_SEEN))
    matrices = [contents.floats(name, transposed=True).T.contiguous() for name in names]
    if not all(torch.equal(matrices[0], other) for other in matrices):
        raise Refusal(
            f"{' and '.join(names)} differ in {contents.path.name}, and this format has one matrix for both; "
            "this SAE is damaged, fetch it again."
        )
    return matrices[0]


def _remarks(contents: Contents, k: int) -> tuple[str, ...]:
    """Say where the SparseEncoder around this module was told to keep another number of features."""
    around = contents.path.parent.parent / AROUND
    limit = read_json(around).get("max_active_dims") if around.is_file() else None
    if limit in (None, k):
        return ()
    return (f"its SparseEncoder keeps {limit} features of each text (max_active_dims); here it has its own k, {k}.",)
