"""export --layout neuronpedia: the features of a token run as the JSON files that Neuronpedia takes.

The files are those of SAEDashboard's Neuronpedia runner (0.8): batch-0.json and on, 128 features each, with the tokens
that a direction raises and lowers, histograms, the strongest texts and texts of five equal intervals of activation;
skipped_indexes.json names the features that never fire; run_settings.json says what was written. Correlations with
neurons and with other features are not measured here, so their lists are empty.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featurelib.embedder.hidden_states.hooks import parse_hook
from featurelib.sae.checkpoints import load_sae
from featurelib.schema import FEATURE_TOKENS, LOGIT_LENS, TOKEN_BY_FEATURE, Refusal
from featurelib.storage import files
from featurelib.storage.runs import Generation
from featurelib.storage.store import Store
from precompute.build.job import Say
from precompute.commands.run_origin import model_name

NEURONPEDIA = "neuronpedia"
FEATURES_PER_FILE = 128
STRONGEST = 20
"""Texts with the largest activations."""
N_INTERVALS, PER_INTERVAL = 5, 5
MOST_TOKENS = 128
"""Tokens of a text that are written, around the one that it was chosen for."""
N_BINS = 50
N_ALIGNED = 3
TOP_GROUP = -1
"""What SAEDashboard writes for the lower end and the share of the group of strongest texts."""


@dataclass(frozen=True)
class Corpus:
    """The tokens of the run, one after another."""

    offsets: np.ndarray
    """Where each text begins, int64 [n_texts + 1]."""
    token_ids: np.ndarray
    """int32 [n_tokens]."""
    words: dict[int, str]
    """What each token of the vocabulary says."""

    def words_of(self, first: int, last: int) -> list[str]:
        """Return the tokens from place `first` to before `last`."""
        return [self.words.get(token_id, "") for token_id in self.token_ids[first:last].tolist()]


@dataclass(frozen=True)
class Fired:
    """The tokens on which a feature fires, the strongest first, then by their place in the corpus."""

    text_ids: np.ndarray
    """int64 [n]."""
    places: np.ndarray
    """Their places among all tokens, int64 [n]."""
    activations: np.ndarray
    """float32 [n]."""


def export_features(generation: Generation, name: str, folder: Path, say: Say) -> None:
    """Write the features of a token run to the new folder `folder`, whose files appear when all are written.

    Raises Refusal for a run without tokens, or whose stages summarise and
    language_model are not done, or when the folder holds something already.
    """
    settings = _settings(generation, name)
    for table in (FEATURE_TOKENS, LOGIT_LENS):
        generation.need(table)
    with files.new_folder(folder) as aside, contextlib.closing(Store(generation)) as store:
        corpus = _read_corpus(store)
        settings |= {
            "n_prompts_total": len(corpus.offsets) - 1,
            "n_tokens_in_prompt": round(len(corpus.token_ids) / max(1, len(corpus.offsets) - 1)),
        }
        skipped, batch, n_files = [], [], 0
        for feature in _features(store, corpus, settings):
            if feature["frac_nonzero"] == 0:
                skipped.append(feature["feature_index"])
                continue
            batch.append(feature)
            if len(batch) == FEATURES_PER_FILE:
                _write_batch(aside, n_files, settings, batch)
                batch, n_files = [], n_files + 1
        if batch:
            _write_batch(aside, n_files, settings, batch)
        head = {key: settings[key] for key in ("model_id", "layer", "sae_set")}
        files.write_json(aside / "skipped_indexes.json", head | {"skipped_indexes": skipped})
        files.write_json(aside / "run_settings.json", settings)
    n_written = n_files * FEATURES_PER_FILE + len(batch)
    say(
        f"'{folder}' holds {n_written:,} features as Neuronpedia takes them; {len(skipped):,} that never fire are "
        f"named in skipped_indexes.json."
    )


def _settings(generation: Generation, name: str) -> dict[str, Any]:
    described = generation.describe()
    embedder, corpus = described.get("embedder") or {}, described.get("corpus") or {}
    states = embedder.get("hidden_states") or {}
    if states.get("pooling") != "none":
        raise Refusal(
            f"the run '{name}' reads whole texts, and Neuronpedia's files hold tokens; export a run that was built "
            "with --layer and --pooling none."
        )
    hook = parse_hook(states["hook"])
    return {
        "model_id": model_name(embedder).rpartition("/")[2].lower(),
        "layer": hook.layer,
        "sae_set": name,
        "hook_name": hook.name,
        "huggingface_dataset_path": str(corpus.get("source", "")),
    }


def _read_corpus(store: Store) -> Corpus:
    tokens = store.ask("select text_id, token_id from tokens order by text_id, position")
    n_texts = store.count("select count(*) from texts")
    counts = np.bincount(tokens["text_id"].to_numpy(), minlength=n_texts)
    words = store.ask("select token_id, token from vocabulary")
    return Corpus(
        np.concatenate([[0], np.cumsum(counts)]),
        tokens["token_id"].to_numpy(),
        dict(zip(words["token_id"].to_pylist(), words["token"].to_pylist(), strict=True)),
    )


def _features(store: Store, corpus: Corpus, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One dict of SAEDashboard's keys for each feature, in order."""
    from tqdm import tqdm

    decoder = load_sae(store.generation.sae_folder).W_dec.numpy()
    for feature_id, direction in enumerate(tqdm(decoder, unit=" features", leave=False, dynamic_ncols=True)):
        fired = _fired(store, corpus, feature_id)
        strongest = float(fired.activations[0]) if len(fired.places) else 0.0
        heights, edges = np.histogram(fired.activations, bins=N_BINS, range=(0, strongest or 1))
        aligned = np.argsort(-direction, kind="stable")[:N_ALIGNED]
        yield {
            "feature_index": feature_id,
            "neuron_alignment_indices": aligned.tolist(),
            "neuron_alignment_values": _rounded(direction[aligned]),
            "neuron_alignment_l1": _rounded(np.abs(direction[aligned]) / np.abs(direction).sum()),
            **dict.fromkeys(_unmeasured(), []),
            **_logits(store, corpus, feature_id),
            "frac_nonzero": len(fired.places) / len(corpus.token_ids),
            "freq_hist_data_bar_values": _rounded((edges[:-1] + edges[1:]) / 2),
            "freq_hist_data_bar_heights": heights.tolist(),
            "n_prompts_total": settings["n_prompts_total"],
            "n_tokens_in_prompt": settings["n_tokens_in_prompt"],
            "dataset": settings["huggingface_dataset_path"],
            "activations": _texts(corpus, fired, np.random.default_rng(feature_id)),
        }


def _unmeasured() -> list[str]:
    kinds = {"correlated_neurons": ("indices", "l1", "pearson"), "correlated_features": ("indices", "l1", "pearson")}
    return [f"{kind}_{part}" for kind, parts in kinds.items() for part in parts] + ["decoder_weights_dist", "vector"]


def _fired(store: Store, corpus: Corpus, feature_id: int) -> Fired:
    rows = store.ask(
        f"""
        select text_id, position, activation
        from {TOKEN_BY_FEATURE.view}
        where feature_id = $feature_id
        order by activation desc, text_id, position""",
        feature_id=feature_id,
    )
    text_ids = rows["text_id"].to_numpy()
    return Fired(text_ids, corpus.offsets[text_ids] + rows["position"].to_numpy(), rows["activation"].to_numpy())


def _logits(store: Store, corpus: Corpus, feature_id: int) -> dict[str, Any]:
    """The tokens most lowered and most raised, and the histogram over the vocabulary; empty without a logit lens."""
    rows = store.ask(
        "select side, token_id, logit from logit_lens where feature_id = $feature_id order by side, rank",
        feature_id=feature_id,
    ).to_pylist()
    histogram = store.ask(
        "select lowest, highest, counts from logit_histograms where feature_id = $feature_id", feature_id=feature_id
    ).to_pylist()
    found: dict[str, Any] = {}
    for key, side in (("neg", "lowered"), ("pos", "raised")):
        own = [row for row in rows if row["side"] == side]
        found[f"{key}_str"] = [corpus.words.get(row["token_id"], "") for row in own]
        found[f"{key}_values"] = _rounded(np.array([row["logit"] for row in own]))
    counts = histogram[0]["counts"] if histogram else []
    edges = np.linspace(histogram[0]["lowest"], histogram[0]["highest"], len(counts) + 1) if histogram else np.zeros(1)
    found["logits_hist_data_bar_heights"] = list(counts)
    found["logits_hist_data_bar_values"] = _rounded((edges[:-1] + edges[1:]) / 2)
    return found


def _texts(corpus: Corpus, fired: Fired, draw: np.random.Generator) -> list[dict[str, Any]]:
    """The strongest texts, then texts of each interval of activation, the highest interval first."""
    if not len(fired.places):
        return []
    order = np.argsort(fired.places)
    by_place = fired.places[order], fired.activations[order]
    highest = float(fired.activations[0])
    chosen: list[tuple[float, float, float, int]] = [
        (TOP_GROUP, highest, TOP_GROUP, row) for row in _one_each_text(fired, np.arange(len(fired.places)))[:STRONGEST]
    ]
    edges = np.linspace(0, highest, N_INTERVALS + 1)
    for low, high in zip(edges[-2::-1].tolist(), edges[:0:-1].tolist(), strict=True):
        # the strongest activation itself, a float32, may lie a rounding above the last edge
        inside = np.flatnonzero((fired.activations > low) & ((fired.activations <= high) | (high == edges[-1])))
        rows = _one_each_text(fired, draw.permutation(inside))[:PER_INTERVAL]
        chosen += [(low, high, len(inside) / len(corpus.token_ids), row) for row in rows]
    return [_text(corpus, fired, by_place, *each) for each in chosen]


def _one_each_text(fired: Fired, rows: np.ndarray) -> list[int]:
    """The first of `rows` that each text has, in their order."""
    _, first = np.unique(fired.text_ids[rows], return_index=True)
    found: list[int] = rows[np.sort(first)].tolist()
    return found


def _text(
    corpus: Corpus, fired: Fired, by_place: tuple[np.ndarray, np.ndarray], low: float, high: float, share: float,
    row: int,
) -> dict[str, Any]:  # fmt: skip
    text_id, place = int(fired.text_ids[row]), int(fired.places[row])
    begin, end = int(corpus.offsets[text_id]), int(corpus.offsets[text_id + 1])
    first = max(begin, min(place - MOST_TOKENS // 2, end - MOST_TOKENS))
    last = min(end, first + MOST_TOKENS)
    values = np.zeros(last - first, np.float32)
    own = slice(*np.searchsorted(by_place[0], (first, last)))
    values[by_place[0][own] - first] = by_place[1][own]
    return {
        "bin_min": _round(low),
        "bin_max": _round(high),
        "bin_contains": share,
        "tokens": corpus.words_of(first, last),
        "values": _rounded(values),
        "qualifying_token_index": place - first,
    }


def _round(value: float) -> float:
    return float(f"{value:.5g}")


def _rounded(values: np.ndarray) -> list[float]:
    return [_round(value) for value in values.tolist()]


def _write_batch(folder: Path, number: int, settings: dict[str, Any], features: list[dict[str, Any]]) -> None:
    batch = {
        "model_id": settings["model_id"],
        "layer": settings["layer"],
        "sae_set": settings["sae_set"],
        "sae_id_suffix": None,
        "features": features,
    }
    files.write_text(folder / f"batch-{number}.json", json.dumps(batch, ensure_ascii=False))
