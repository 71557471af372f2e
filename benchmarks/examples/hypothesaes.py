"""HypotheSAEs' side (`pip install hypothesaes`): get_activations of its SparseAutoencoder, then its sample_top_zero.

Both as its interpret_sae calls them: all activations dense in memory, in batches of 16,384 texts; get_activations runs
the whole forward pass, which also decodes and ranks dead features. sample_top_zero ranks one feature's column and
draws as many texts on which it is zero; the rank alone, the line with which interpret_sae finds the examples that it
prints, is measured beside it. Only features that fire are asked for: of one that does not, it returns every text.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import numpy as np
import torch
from hypothesaes.interpret_neurons import sample_top_zero
from hypothesaes.sae import SparseAutoencoder

from benchmarks.examples.side import TOP, Found, Given, Meter


def make_sae(given: Given) -> SparseAutoencoder:
    """Return the SAE in its class: z = (x - input_bias) W + neuron_bias, max(z, 0) where it is above the threshold."""
    d, n_features = given.W_enc.shape
    sae = SparseAutoencoder(d, n_features, int(given.k), use_batch_topk=True, device="cpu")
    with torch.no_grad():
        sae.encoder.weight.copy_(torch.from_numpy(given.W_enc.T))
        sae.decoder.weight.copy_(torch.from_numpy(given.W_dec.T))
        sae.input_bias.copy_(torch.from_numpy(given.b_dec))
        sae.neuron_bias.copy_(torch.from_numpy(given.b_enc))
        sae.threshold.fill_(float(given.threshold[0]))
    return sae


def sample_top(activations: np.ndarray, live: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the top texts of each feature and their activations, of `live` features; see side.Found."""
    texts = np.full((activations.shape[1], TOP), -1)
    strengths = np.zeros((activations.shape[1], TOP), np.float32)
    for feature_id in live:
        # Ids stand for the texts; half of the examples are top ones, in ascending order.
        found = sample_top_zero(range(len(activations)), activations, feature_id, 2 * TOP)
        n = len(found["positive_texts"])
        texts[feature_id, :n] = found["positive_texts"][::-1]
        strengths[feature_id, :n] = found["positive_activations"][::-1]
    return texts, strengths


def rank(activations: np.ndarray, live: np.ndarray) -> None:
    """Rank the texts of each live feature as interpret_sae does, and forget them."""
    for feature_id in live:
        _ = np.argsort(activations[:, feature_id])[-TOP:][::-1]


def main() -> None:
    """Do the steps on what lies in the folder named first, write what was found to the path named second."""
    given = Given.read(Path(sys.argv[1]))
    sae = make_sae(given)
    meter = Meter()
    activations = meter.measure("activations", lambda: sae.get_activations(given.x, show_progress=False))
    live = np.flatnonzero(activations.any(axis=0))
    # It warns of each feature that fires on fewer texts than are asked for.
    with contextlib.redirect_stdout(io.StringIO()):
        texts, strengths = meter.measure("top texts", lambda: sample_top(activations, live))
    meter.read_peak()
    meter.measure("top texts, ranked only", lambda: rank(activations, live))
    meter.say()
    rows, feature_ids = np.nonzero(activations)
    Found(rows, feature_ids, activations[rows, feature_ids], texts, strengths).write(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
