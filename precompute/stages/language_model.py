"""language_model: what each feature writes into the next token, and what a reconstruction costs the model.

Losses are measured on at most 100 texts and 25,000 tokens, held-out ones where there are any, drawn by seed; in parts
of 8 texts under work/language_model, so that a killed run loses one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from featurelib.embedder import HiddenStateOptions, find_embedder, open_embedder
from featurelib.embedder.batches import choose_device
from featurelib.embedder.hidden_states.hooks import parse_hook
from featurelib.embedder.hidden_states.loading import LoadedModel, load_model
from featurelib.embedder.hidden_states.windows import Reading, make_reading
from featurelib.language_model.cross_entropy import Losses, Spliced, measure_losses, sum_states
from featurelib.language_model.head import Head, find_head, why_no_head
from featurelib.language_model.logit_lens import LogitLens, read_logits
from featurelib.language_model.loss_metrics import evaluate_losses, hurt_most
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.model import SAE
from featurelib.schema import (
    CROSS_ENTROPY,
    LOGIT_HISTOGRAMS,
    LOGIT_LENS,
    RAISING_FEATURES,
    SAE_SPLIT,
    TOKEN_LOSSES,
    Refusal,
)
from featurelib.schema.records import LossMetric
from featurelib.storage import files
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts
from precompute.build.job import Job, Made
from precompute.build.stage import Stage

MOST_TEXTS = 100
"""Texts on which losses are measured."""
MOST_TOKENS = 25_000
"""Tokens of these texts, together."""
TEXTS_PER_PART = 8
SPLITS = ("held_out", "unknown", "train")
"""The splits, those first whose losses may be trusted most."""
TABLES = (LOGIT_LENS, LOGIT_HISTOGRAMS, RAISING_FEATURES, CROSS_ENTROPY, TOKEN_LOSSES)
TOKENS_PER_GROUP = 2_000
"""Tokens in a row group of their features: few, because a page reads one token's."""


def measure_language_model(job: Job) -> Made:
    """Write the logit lens and the losses; all empty where the model predicts no next token, or in a way not known."""
    model_files = find_embedder(job.config.embedder, revision=job.config.revision)
    reason = why_no_head(model_files)
    if reason is not None:
        return _none(job.generation, reason)
    # the embedder is the same model without its head
    open_embedder.cache_clear()
    options = _options(job.generation)
    device = choose_device(job.config.device)
    loaded = load_model(model_files, device=device, dtype=options.dtype, with_head=True)
    try:
        head = find_head(loaded)
    except Refusal as refusal:
        return _none(job.generation, str(refusal).removesuffix("."))
    sae = load_sae(job.generation.sae_folder)
    with job.progress(sae.n_features, "features") as bar:
        lens = read_logits(head, sae.W_dec.numpy(), on_features=bar.advance)
    _write_lens(job.generation, lens)
    model = _spliced(job.generation, loaded, head, options)
    metrics, n_hurt = _write_losses(job, model, sae)
    values = {metric.metric: metric.value for metric in metrics}
    facts = {
        "reason": None,
        "n_features": sae.n_features,
        "n_vocabulary": head.n_tokens,
        "n_texts": metrics[0].n_texts if metrics else 0,
        "n_tokens": metrics[0].n_tokens if metrics else 0,
        "split": metrics[0].split if metrics else None,
        "n_hurt": n_hurt,
        "values": values,
    }
    return Made(_line(sae, head, metrics, values), facts, {"device": device})


STAGE = Stage(
    name="language_model",
    makes="logit lens and next-token losses",
    make=measure_language_model,
    grounds="texts, model and SAE",
    after=("ingest", "embed", "train"),
    options=("seed",),
    only_tokens=True,
)


def _none(generation: Generation, reason: str) -> Made:
    for table in TABLES:
        generation.write_rows(table, [])
    return Made(f"nothing, because {reason}", {"reason": reason, "n_features": 0, "n_texts": 0, "n_tokens": 0})


def _line(sae: SAE, head: Head, metrics: list[LossMetric], values: dict[str, float]) -> str:
    lens = f"{sae.n_features:,} features read through {head.n_tokens:,} tokens of the vocabulary"
    if not metrics:
        return f"{lens}; no losses, because no token of the texts follows another"
    recovered = f", {values['ce_recovered']:.1%} recovered" if "ce_recovered" in values else ""
    split = metrics[0].split.replace("_", "-")
    return (
        f"{lens}; cross-entropy {values['ce_clean']:.3f}, {values['ce_sae']:.3f} with the SAE, {values['ce_zero']:.3f} "
        f"with zeros{recovered}, on {metrics[0].n_tokens:,} tokens of {metrics[0].n_texts:,} {split} texts"
    )


# --- the logit lens --------------------------------------------------------------------------------------------------


def _write_lens(generation: Generation, lens: LogitLens) -> None:
    n = len(lens.raised.ids)
    sides = [np.repeat(np.arange(n), lens.raised.ids.shape[1])] * 2
    ranks = np.tile(np.arange(1, lens.raised.ids.shape[1] + 1), 2 * n)
    columns = [
        np.concatenate(sides),
        np.repeat(["raised", "lowered"], len(sides[0])).tolist(),
        ranks,
        np.concatenate([lens.raised.ids.ravel(), lens.lowered.ids.ravel()]),
        np.concatenate([lens.raised.values.ravel(), lens.lowered.values.ravel()]),
    ]
    generation.write(LOGIT_LENS, columns)
    generation.write(LOGIT_HISTOGRAMS, [np.arange(n), *lens.spread[:-1], lens.spread.counts.tolist()])
    ids, values = lens.features_of
    there = ids >= 0
    token_ids, places = np.nonzero(there)
    rows = RAISING_FEATURES.from_columns([token_ids, places + 1, ids[there], values[there]])
    files.write_parquet(
        generation.file(RAISING_FEATURES), rows, RAISING_FEATURES.schema, TOKENS_PER_GROUP * ids.shape[1]
    )


# --- losses ----------------------------------------------------------------------------------------------------------


class _Drawn(NamedTuple):
    """The texts on which losses are measured."""

    text_ids: np.ndarray
    """int64, ascending."""
    texts: list[str]
    split: str
    """Which split they are of."""

    def parts(self) -> Iterator[tuple[np.ndarray, list[str]]]:
        """A few texts at a time, with their ids."""
        for start in range(0, len(self.texts), TEXTS_PER_PART):
            yield self.text_ids[start : start + TEXTS_PER_PART], self.texts[start : start + TEXTS_PER_PART]


def _options(generation: Generation) -> HiddenStateOptions:
    """How the stage embed read hidden states, with nothing left open."""
    done = generation.done("embed")
    options = done.facts.get("hidden_states") if done else None
    if not options:
        raise Refusal("the stage embed does not say how hidden states were read; build again with --from embed.")
    return HiddenStateOptions(**options)


def _spliced(generation: Generation, loaded: LoadedModel, head: Head, options: HiddenStateOptions) -> Spliced:
    done = generation.done("embed")
    facts = done.facts if done else {}
    reading = make_reading(
        loaded.tokenizer,
        loaded.name,
        context_size=options.context_size or 0,
        bos=options.bos,
        is_causal=loaded.is_causal,
        chat_template=options.chat_template,
    )
    prefix = reading.prefix + (facts.get("prompt") or "")
    reading = Reading(reading.tokenizer, reading.before, reading.after, reading.context_size, prefix, reading.suffix)
    most = min(facts.get("max_seq_length") or MOST_TOKENS, MOST_TOKENS)
    return Spliced(loaded, head, parse_hook(options.hook), reading, options.special_tokens, most)


def _draw(generation: Generation, model: Spliced, seed: int) -> _Drawn:
    """Draw texts of the best split there is, until there are 100, or no more fits into 25,000 tokens."""
    names = np.array(pq.read_table(generation.need(SAE_SPLIT))["sae_split"].to_pylist())
    split = next(split for split in SPLITS if (names == split).any())
    of_split = np.flatnonzero(names == split)
    drawn = np.random.default_rng([seed, 5]).permutation(of_split)[:MOST_TEXTS]
    order = np.sort(drawn)
    texts = dict(zip(order.tolist(), read_texts(generation, order), strict=True))
    n_tokens = {text_id: len(own.ids) for text_id, own in zip(texts, model.tokens(list(texts.values())), strict=True)}
    chosen, total = [], 0
    for text_id in drawn.tolist():
        if total + n_tokens[text_id] <= MOST_TOKENS:
            chosen.append(text_id)
            total += n_tokens[text_id]
    chosen.sort()
    return _Drawn(np.array(chosen, np.int64), [texts[text_id] for text_id in chosen], split)


def _write_losses(job: Job, model: Spliced, sae: SAE) -> tuple[list[LossMetric], int]:
    """Measure what is not measured yet; write the metrics and the tokens that lose most, and return both."""
    drawn = _draw(job.generation, model, job.config.seed)
    mean = _mean_state(job, model, drawn)
    parts = []
    with job.progress(len(drawn.texts), "texts") as bar:
        for number, (text_ids, texts) in enumerate(drawn.parts()):
            path = _work(job.generation) / f"losses-{number:05d}.npz"
            if not path.is_file():
                losses = measure_losses(model, texts, lambda states: sae.reconstruct(states).numpy(), mean)
                losses = losses._replace(texts=text_ids[losses.texts])
                files.write_arrays(path, **losses._asdict())
            with np.load(path) as arrays:
                parts.append(Losses(*(arrays[name] for name in Losses._fields)))
            bar.advance(len(texts))
    losses = Losses(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    metrics = evaluate_losses(losses, drawn.split) if len(losses.texts) else []
    hurt = hurt_most(losses)
    job.generation.write_rows(CROSS_ENTROPY, metrics)
    job.generation.write_rows(TOKEN_LOSSES, hurt)
    return metrics, len(hurt)


def _mean_state(job: Job, model: Spliced, drawn: _Drawn) -> np.ndarray:
    """The mean of the states that are replaced, float32 [d]."""
    path = _work(job.generation) / "mean.npz"
    if not path.is_file():
        total, n = np.zeros(model.loaded.dimension), 0
        with job.progress(len(drawn.texts), "texts") as bar:
            for _, texts in drawn.parts():
                of_part, n_part = sum_states(model, texts)
                total, n = total + of_part, n + n_part
                bar.advance(len(texts))
        files.write_arrays(path, mean=(total / max(n, 1)).astype(np.float32))
    with np.load(path) as arrays:
        mean: np.ndarray = arrays["mean"]
    return mean


def _work(generation: Generation) -> Path:
    return generation.work("language_model")
