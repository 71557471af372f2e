"""saerch: the state_dict of its FastAutoencoder in a .pth file, whose name alone tells k.

Source: Christine8888/saerch, saerch/topk_sae.py. Its names are k, the number of features and auxk, as in
csLG_128_3072_256.pth (huggingface.co/charlieoneill/embedding-saes) and its trainer's 64_3072_128_auxk_epoch_50.pth.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions

if TYPE_CHECKING:
    from featurelib.sae.weights.contents import Contents

NAME = "saerch"
TENSORS = ("encoder.weight", "decoder.weight", "latent_bias", "pre_bias")
NUMBERS = re.compile(r"(?:^|_)([1-9]\d{0,8})_([1-9]\d{0,8})_\d+(?=[_.]|$)")


def matches(contents: Contents) -> bool:
    """Tell whether there is a decoder beside a bias of its own; OpenAI's files, which have more, are asked before."""
    return contents.has("decoder.weight") and (contents.has("latent_bias") or contents.has("pre_bias"))


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE, with the k in the file's name where that names the right number of features, else --k."""
    from featurelib.sae.gates import TopK
    from featurelib.sae.model import SAE

    contents.only(TENSORS)
    b_enc = contents.floats("latent_bias")
    named = _named_k(contents.path.name, len(b_enc) if b_enc.ndim else 0)
    k = options.agreed_k(named, contents.path.name)
    sae = SAE(
        W_enc=contents.floats("encoder.weight", transposed=True),
        b_enc=b_enc,
        W_dec=contents.floats("decoder.weight", transposed=True),
        b_dec=contents.floats("pre_bias"),
        gate=TopK(k),
    )
    return Checkpoint(sae, NAME, () if named is None else (f"its file holds no k; {k} is read from its name.",))


def _named_k(file: str, n_features: int) -> int | None:
    """Return the k that a file's name tells, or None where it tells another number of features, or none at all."""
    match = NUMBERS.search(file)
    return int(match[1]) if match and int(match[2]) == n_features else None
