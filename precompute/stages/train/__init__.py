"""train: embeddings → SAE, trained here or taken from elsewhere, and which texts it has seen."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from featurelib.embedder import open_embedder
from featurelib.sae.checkpoints import save_sae
from featurelib.sae.evaluation import measure_sae
from featurelib.sae.formats.own import FOREIGN
from featurelib.sae.formats.saelens import WEIGHTS_FILE, expressible
from featurelib.sae.sources.find import find_place, weights_sha256
from featurelib.sae.training.loggers import log_reading, open_logger
from featurelib.schema import EMBEDDINGS, SAE_SPLIT, SOURCE_DENSITIES, Refusal
from featurelib.storage import files
from featurelib.storage.embeddings import EmbeddingParts
from featurelib.storage.runs import SAE_FOLDER, Generation
from precompute.build.append import Append, count_texts
from precompute.build.job import Job, Made
from precompute.build.stage import Stage
from precompute.stages.train.held_out import (
    MAX_HELD_OUT,
    TRAINED_HERE,
    draw_held_out,
    draw_judged,
    draw_set_aside,
    first_rows,
    split_of_source,
)
from precompute.stages.train.pretrained_sae import refuse_misfit, take_sae
from precompute.stages.train.training_rows import TrainingRows
from precompute.stages.train.training_warnings import training_warnings

if TYPE_CHECKING:
    import torch

    from featurelib.sae.model import SAE
    from featurelib.sae.training.loggers import Logger
    from featurelib.sae.training.loop import Reading
    from featurelib.sae.training.recipe import Recipe
    from precompute.build.config import BuildConfig

LOGS = "logs"
"""The folder of a run, beside its generations, that --logger writes to: no part of what is built."""
SPLIT_WORDS = {"train": "with the words of training texts", "held_out": "held out", "unknown": "unknown to it"}
FEWEST_TEXTS = 20
"""Of fewer texts than this none could be held out, or nothing could be learned from the rest."""


def identity(config: BuildConfig) -> dict[str, Any]:
    """Return the sha256 of the files of an SAE that exists, and of the split of the run that trained it."""
    if config.sae is None:
        return {}
    place = find_place(config.sae)
    paths = [place.weights, place.weights.parent.parent / SAE_SPLIT.path, *([place.config] if place.config else [])]
    paths += (*place.shards, *place.densities)
    return {path.name: files.sha256_file(path) for path in paths if path.is_file()}


def train(job: Job) -> Made:
    """Train an SAE, or take the one that --sae names; write it to sae/ and the split of the texts to split.parquet.

    In an append both stay, and new texts get the split that a build with this run's SAE would give them.
    """
    if job.append:
        return _keep_sae(job, job.append)
    rows = TrainingRows.of(job)
    source = job.config.sae
    try:
        return _take(job, source, rows) if source else _train(job, rows)
    finally:
        open_embedder.cache_clear()


STAGE = Stage(
    name="train",
    makes="an SAE",
    make=train,
    grounds="embeddings and SAE options",
    after=("ingest", "embed"),
    options=("features", "k", "architecture", "epochs", "patience", "threshold", "seed"),
    identity=identity,
    check=refuse_misfit,
    folders=(SAE_FOLDER,),
    kept="the SAE stays, and the split of the texts that are there",
    chapter="sae",
)


def _keep_sae(job: Job, append: Append) -> Made:
    """Take the SAE and what was measured when it was trained from the run, and add the new texts to the split.

    To the SAE a new text is one that it has not seen, held out, unless it has the words of a training text; where it is
    not known what the SAE has seen, such a text is unknown (see `split_of_source`).
    """
    base, n_all = append.kept(), count_texts(job.generation)
    for name in (SAE_FOLDER, SOURCE_DENSITIES.path):
        append.link(job.generation, name)
    split = split_of_source(job.generation, base.path, n_all).astype(object)
    kept = pq.read_table(base.file(SAE_SPLIT))["sae_split"].to_numpy(zero_copy_only=False)
    split[: len(kept)] = kept
    _write_split(job.generation, split)
    done = base.done("train")
    facts = done.facts if done else {}
    of_new = {name: int((split[len(kept) :] == name).sum()) for name in ("train", "held_out", "unknown")}
    before = facts.get("appended", {})
    facts |= {"appended": {name: before.get(name, 0) + n for name, n in of_new.items()}}
    listed = ", ".join(f"{n:,} {SPLIT_WORDS[name]}" for name, n in of_new.items() if n)
    return Made(f"{facts['n_features']:,} features of the SAE that is there; of the new texts {listed}", facts)


def _train(job: Job, rows: TrainingRows) -> Made:
    from featurelib.sae.training.recipe import find_recipe
    from featurelib.sae.training.trainer import find_device

    config, n_texts = job.config, rows.n_texts
    if n_texts < FEWEST_TEXTS:
        raise Refusal(
            f"{n_texts} texts are too few to train an SAE on; give at least {FEWEST_TEXTS}, or an SAE with --sae."
        )
    first = first_rows(job.generation)
    held_out = draw_held_out(first, config.seed)
    aside = draw_set_aside(first, held_out, config.seed) if config.patience else np.zeros(n_texts, bool)
    embeddings = rows.of_texts(~held_out & ~aside)
    if not embeddings.n:
        reason = "all the same" if len(np.unique(first)) == 1 else "too few different ones for --patience"
        raise Refusal(f"the {n_texts} texts are {reason}; there is nothing to learn: check --text-column.")
    recipe = find_recipe(
        embeddings.n,
        embeddings.d,
        n_features=config.features,
        k=config.k,
        epochs=config.epochs,
        seed=config.seed,
        architecture=config.architecture or "batchtopk",
        patience=config.patience,
    )
    job.say(
        f"training {recipe.n_features:,} features ({recipe.architecture}) with L0 {recipe.k} on {embeddings.n:,} "
        f"{rows.unit}, {'at most ' if config.patience else ''}{recipe.n_samples / embeddings.n:.0f} times each"
    )
    device, place = find_device(config.device), job.generation.path
    with open_logger(config.logger, place.parent / LOGS / place.name, config.name, asdict(recipe)) as logger:
        with _Bar(job, recipe, logger) as bar:
            sae = _learn(job, embeddings, rows.of_texts(aside), recipe, device, bar)
        save_sae(sae, job.generation.sae_folder)
        _write_split(job.generation, np.where(held_out, "held_out", "train"))
        _write_densities(job.generation, None)
        facts = _facts(job.generation, sae, TRAINED_HERE) | {
            "mean_centred": True,
            "n_train": int((~held_out & ~aside).sum()),
            "n_set_aside": int(aside.sum()),
            "n_samples": bar.seen,
        }
        made = _measure(job, sae, rows, held_out, facts, device)
        measured = {name: value for name, value in made.facts["held_out"].items() if value is not None}
        logger.log(bar.seen // recipe.batch, **{f"held_out_{name}": value for name, value in measured.items()})
    return made


def _learn(
    job: Job, embeddings: EmbeddingParts, set_aside: EmbeddingParts, recipe: Recipe, device: str, bar: _Bar
) -> SAE:
    from featurelib.sae.threshold import with_threshold
    from featurelib.sae.training.trainer import train

    state_file = job.generation.work("train") / "state.safetensors"
    sae = train(embeddings, recipe, set_aside=set_aside, state_file=state_file, device=device, report=bar)
    return sae if job.config.threshold is None else with_threshold(sae, job.config.threshold)


def _take(job: Job, source: str, rows: TrainingRows) -> Made:
    n_texts = rows.n_texts
    pretrained = take_sae(job, source, rows.of_texts(np.ones(n_texts, bool)))
    sae = pretrained.checkpoint.sae
    split = split_of_source(job.generation, pretrained.place.weights.parent.parent, n_texts)
    _write_split(job.generation, split)
    save_sae(sae, job.generation.sae_folder)
    _write_densities(job.generation, pretrained.checkpoint.log_density)
    facts = _facts(job.generation, sae, pretrained.name) | {
        "fit": asdict(pretrained.fit) | {"sentence": pretrained.fit.sentence} if pretrained.fit else None,
        "format": pretrained.checkpoint.format,
        "remarks": list(pretrained.checkpoint.remarks),
        "source_sha256": weights_sha256(pretrained.place),
        "n_train": int((split == "train").sum()),
    }
    return _measure(job, sae, rows, split == "held_out", facts, "cpu")


def _write_split(generation: Generation, split: np.ndarray) -> None:
    generation.write(SAE_SPLIT, [np.arange(len(split)), split.tolist()])


def _write_densities(generation: Generation, log_density: torch.Tensor | None) -> None:
    """Write how often each feature fired where the SAE was trained, as the file beside it says; else no rows."""
    values = [] if log_density is None else log_density.tolist()
    generation.write(SOURCE_DENSITIES, [list(range(len(values))), values])


def _facts(generation: Generation, sae: SAE, source: str) -> dict[str, Any]:
    thresholds = sae.thresholds()
    equal = bool((thresholds == thresholds[0]).all())
    return {
        "architecture": sae.architecture,
        "saved_as": sae.gate.name if expressible(sae) else FOREIGN,
        "d_in": sae.d_in,
        "n_features": sae.n_features,
        "k": sae.k,
        "threshold": float(thresholds[0]) if equal and sae.gate.name == "jumprelu" else None,
        "source": source,
        "sha256": files.sha256_file(generation.sae_folder / WEIGHTS_FILE),
        **({"prefixes": list(sae.prefixes)} if sae.prefixes else {}),
    }


def _measure(job: Job, sae: SAE, rows: TrainingRows, held_out: np.ndarray, facts: dict[str, Any], device: str) -> Made:
    """Measure the SAE on (at most 50,000 of) the held-out texts, or on 10,000 texts where none are known to be.

    Warn of what looks wrong on the training texts (see `draw_judged`) of an SAE trained here; one that was taken has
    been checked before.
    """
    n_held_out = int(held_out.sum())
    step = -(-len(held_out) // MAX_HELD_OUT)
    measured_on = draw_judged(held_out) if n_held_out else np.arange(len(held_out)) % step == 0
    measured = measure_sae(sae, rows.of_texts(measured_on))
    trained_here = facts["source"] == TRAINED_HERE
    among = ~held_out if trained_here else np.ones_like(held_out)
    judged = draw_judged(among)
    seen = measure_sae(sae, rows.of_texts(judged))
    if trained_here:
        for warning in training_warnings(seen, sae.k if job.config.threshold is None else None):
            job.say(f"warning: {warning}")
    dead = seen["dead_share"]
    facts |= {"n_held_out": n_held_out, "dead_share": dead}
    facts |= {"held_out": measured if n_held_out else None, "measured": measured | {"n_texts": int(measured_on.sum())}}
    if judged.sum() < among.sum():
        facts["n_judged"] = int(judged.sum())
    if rows.unit == "tokens":
        facts["n_train_tokens"] = rows.of_texts(~held_out).n if trained_here else 0
    where = f"{facts['n_judged']:,} of " if "n_judged" in facts else ""
    where += "the training" if trained_here else "all"
    fvu = "no FVU (its texts are all the same)" if measured["fvu"] is None else f"FVU {measured['fvu']:.3f}"
    if measured_on.sum() < n_held_out:
        fvu += f" of {measured_on.sum():,} texts"
    line = (
        f"{sae.n_features:,} features, L0 {measured['l0']:.1f}, {'held-out ' if n_held_out else ''}{fvu}, "
        f"{'every one of them' if dead == 1 else f'{dead:.1%}'} dead on {where} texts "
        f"({facts['source']}, {facts['architecture']} saved as {facts['saved_as']})"
    )
    return Made(line, facts, {"device": device})


class _Bar:
    """A progress bar over the embeddings of all epochs, which also writes the readings to the log."""

    def __init__(self, job: Job, recipe: Recipe, logger: Logger) -> None:
        self._job, self._recipe, self._logger = job, recipe, logger
        self._context: Any = None
        self.seen = 0

    def __enter__(self) -> _Bar:
        self._context = self._job.progress(self._recipe.steps * self._recipe.batch, "embeddings")
        self._bar = self._context.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)

    def __call__(self, reading: Reading) -> None:
        done = reading.step * self._recipe.batch
        self._bar.advance(done - self.seen)
        self.seen = done
        log_reading(self._logger, reading)
        if reading.step % 20 == 0:
            self._bar.note(f"loss {reading.loss:.3f} FVU {reading.fvu:.3f} L0 {reading.l0:.0f} dead {reading.dead}")
