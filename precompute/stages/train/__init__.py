"""train: embeddings → SAE, trained here or taken from elsewhere, and which texts it has seen."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.sae.checkpoints import save_sae
from featurelib.sae.evaluation import measure_sae
from featurelib.sae.formats.own import FOREIGN
from featurelib.sae.formats.saelens import WEIGHTS_FILE, expressible
from featurelib.sae.sources.find import find_place
from featurelib.sae.training.loggers import log_reading, open_logger
from featurelib.schema import EMBEDDINGS, SPLIT, TEXTS, Refusal
from featurelib.storage import files
from featurelib.storage.embeddings import EmbeddingParts
from featurelib.storage.runs import SAE_FOLDER, Generation
from precompute.build.job import Job, Made
from precompute.build.stage import Stage
from precompute.stages.train.pretrained_sae import refuse_misfit, take
from precompute.stages.train.training_warnings import doubts

if TYPE_CHECKING:
    from featurelib.sae.model import SAE
    from featurelib.sae.training.loggers import Logger
    from featurelib.sae.training.recipe import Recipe
    from featurelib.sae.training.trainer import Reading
    from precompute.build.config import BuildConfig

HELD_OUT_SHARE = 0.1
MAX_HELD_OUT = 10_000
SET_ASIDE_SHARE = 0.05
MAX_SET_ASIDE = 5_000
LOGS = "logs"
"""The folder of a run, beside its generations, that --logger writes to: no part of what is built."""
FEWEST_TEXTS = 20
"""Fewer texts than this teach nothing that could be held out and judged."""
TRAINED_HERE = "trained here"


def identity(config: BuildConfig) -> dict[str, Any]:
    """Return what an SAE that exists is known by: the sha256 of its files, and of the texts its run trained on."""
    if config.sae is None:
        return {}
    place = find_place(config.sae)
    known = [place.weights, place.weights.parent.parent / SPLIT.path, *([place.config] if place.config else [])]
    return {path.name: files.sha256_file(path) for path in known if path.is_file()}


def train(job: Job) -> Made:
    """Train a SAE, or take `config.sae`; write it to sae/ and the split of the texts to split.parquet."""
    parts = tuple(job.generation.parts(EMBEDDINGS))
    n_texts = sum(pq.read_metadata(part).num_rows for part in parts)
    return _take(job, parts, n_texts) if job.config.sae else _train(job, parts, n_texts)


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
    chapter="sae",
)


def _train(job: Job, parts: tuple[Path, ...], n_texts: int) -> Made:
    from featurelib.sae.training.recipe import find_recipe
    from featurelib.sae.training.trainer import find_device

    config = job.config
    if n_texts < FEWEST_TEXTS:
        raise Refusal(
            f"{n_texts} texts are too few to train a SAE on; give at least {FEWEST_TEXTS}, or an SAE with --sae."
        )
    first = first_rows(job.generation)
    held_out = draw_held_out(first, config.seed)
    aside = draw_set_aside(first, held_out, config.seed) if config.patience else np.zeros(n_texts, bool)
    embeddings = EmbeddingParts(parts, ~held_out & ~aside)
    if not embeddings.n:
        few = "all the same" if len(np.unique(first)) == 1 else "too few different ones for --patience"
        raise Refusal(f"the {n_texts} texts are {few}; there is nothing to learn: check --text-column.")
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
        f"texts, {'at most ' if config.patience else ''}{recipe.n_samples / embeddings.n:.0f} times each"
    )
    device, place = find_device(config.device), job.generation.path
    with open_logger(config.logger, place.parent / LOGS / place.name, config.name, asdict(recipe)) as logger:
        with _Bar(job, recipe, logger) as bar:
            sae = _learn(job, embeddings, EmbeddingParts(parts, aside), recipe, device, bar)
        save_sae(sae, job.generation.sae_folder)
        _write_split(job.generation, np.where(held_out, "held_out", "train"))
        facts = _facts(job.generation, sae, TRAINED_HERE) | {
            "mean_centred": True,
            "n_train": embeddings.n,
            "n_set_aside": int(aside.sum()),
            "n_samples": bar.seen,
        }
        made = _judge(job, sae, parts, held_out, facts, device)
        measured = {name: value for name, value in made.facts["held_out"].items() if value is not None}
        logger.log(bar.seen // recipe.batch, **{f"held_out_{name}": value for name, value in measured.items()})
    return made


def _learn(
    job: Job, embeddings: EmbeddingParts, judged_on: EmbeddingParts, recipe: Recipe, device: str, bar: _Bar
) -> SAE:
    from featurelib.sae.threshold import with_threshold
    from featurelib.sae.training.trainer import train

    state_file = job.generation.work("train") / "state.safetensors"
    sae = train(embeddings, recipe, judged_on=judged_on, state_file=state_file, device=device, report=bar)
    return sae if job.config.threshold is None else with_threshold(sae, job.config.threshold)


def _take(job: Job, parts: tuple[Path, ...], n_texts: int) -> Made:
    taken = take(job, EmbeddingParts(parts, np.ones(n_texts, bool)))
    sae = taken.checkpoint.sae
    split = _split_of_source(job.generation, taken.place.weights.parent.parent, n_texts)
    _write_split(job.generation, split)
    save_sae(sae, job.generation.sae_folder)
    facts = _facts(job.generation, sae, taken.name) | {
        "format": taken.checkpoint.format,
        "remarks": list(taken.checkpoint.remarks),
        "source_sha256": files.sha256_file(taken.place.weights),
        "n_train": int((split == "train").sum()),
    }
    return _judge(job, sae, parts, split == "held_out", facts, "cpu")


def first_rows(generation: Generation) -> np.ndarray:
    """Return for each text the text_id of the first text with the same words, int64 [n_texts]: its own where new."""
    with pq.ParquetFile(generation.file(TEXTS)) as opened:
        hashes = [_hash(text) for batch in opened.iter_batches(columns=["text"]) for text in batch["text"].to_pylist()]
    _, first, inverse = np.unique(np.array(hashes), return_index=True, return_inverse=True)
    return first[inverse]


def draw_held_out(first_rows: np.ndarray, seed: int) -> np.ndarray:
    """Return which texts are held out, bool [n_texts]: a tenth, at least 1 and at most 10,000, drawn by seed.

    Texts that are there several times (`first_rows` tells) are drawn together, so that no held-out text was seen in
    training.
    """
    distinct = np.unique(first_rows)
    count = min(MAX_HELD_OUT, max(1, round(HELD_OUT_SHARE * len(distinct))))
    drawn = np.random.default_rng([seed, 0]).choice(len(distinct), count, replace=False)
    return np.isin(first_rows, distinct[drawn])


def draw_set_aside(first_rows: np.ndarray, held_out: np.ndarray, seed: int) -> np.ndarray:
    """Return which training texts tell when to stop, bool [n_texts]: a twentieth, at least 1 and at most 5,000.

    They are training texts that no step learns from. The held-out ones take no part in it: a FVU that has chosen the
    weights is no longer honest. Texts that are there several times are drawn together.
    """
    distinct = np.unique(first_rows[~held_out])
    count = min(MAX_SET_ASIDE, max(1, round(SET_ASIDE_SHARE * len(distinct))))
    drawn = np.random.default_rng([seed, 3]).choice(len(distinct), min(count, len(distinct)), replace=False)
    return np.isin(first_rows, distinct[drawn])


def _write_split(generation: Generation, split: np.ndarray) -> None:
    generation.write(SPLIT, [np.arange(len(split)), split.tolist()])


def _split_of_source(generation: Generation, source: Path, n_texts: int) -> np.ndarray:
    """Return train for the texts that the SAE of the run in `source` was trained on, held_out for the others.

    Texts are the same when their source_id is (where both runs have an id column) or the text itself is. Where the SAE
    does not come from a run that trained it, all that is not known to be seen is unknown.
    """
    origin = Generation(source)
    done = origin.done("train") if origin.path.is_dir() else None
    if done is None or not origin.file(SPLIT).is_file() or not origin.file(TEXTS).is_file():
        return np.full(n_texts, "unknown", dtype="<U8")
    trained = pq.read_table(origin.file(SPLIT))["sae_split"].to_numpy(zero_copy_only=False) == "train"
    by_id = all(_has_ids(one) for one in (generation, origin))
    rest = "held_out" if done.facts.get("source") == TRAINED_HERE else "unknown"
    seen = np.zeros(n_texts, bool)
    for own, known in zip(_keys(generation, by_id), _keys(origin, by_id, trained), strict=True):
        known = set(known)
        seen |= np.array([key in known for key in own])
    return np.where(seen, "train", rest)


def _has_ids(generation: Generation) -> bool:
    done = generation.done("ingest")
    return bool(done and (done.facts.get("columns") or {}).get("id"))


def _keys(generation: Generation, by_id: bool, chosen: np.ndarray | None = None) -> list[list[bytes]]:
    """Return what each text is recognised by: a hash of it, and its source_id where that means something."""
    names = ["text", "source_id"] if by_id else ["text"]
    table = pq.read_table(generation.file(TEXTS), columns=names)
    if chosen is not None:
        table = table.filter(pa.array(chosen))
    return [[_hash(value or "") for value in table[name].to_pylist()] for name in names]


def _hash(value: str) -> bytes:
    return hashlib.blake2b(value.encode(), digest_size=8).digest()


def _facts(generation: Generation, sae: SAE, source: str) -> dict[str, Any]:
    gates = sae.gate_values()
    one = bool((gates == gates[0]).all())
    return {
        "architecture": sae.architecture,
        "saved_as": sae.gate.name if expressible(sae) else FOREIGN,
        "d_in": sae.d_in,
        "n_features": sae.n_features,
        "k": sae.k,
        "threshold": float(gates[0]) if one and sae.gate.name == "jumprelu" else None,
        "source": source,
        "sha256": files.sha256_file(generation.sae_folder / WEIGHTS_FILE),
    }


def _judge(
    job: Job, sae: SAE, parts: tuple[Path, ...], held_out: np.ndarray, facts: dict[str, Any], device: str
) -> Made:
    """Measure the SAE on the held-out texts, or on at most 10,000 texts where none are known to be held out.

    Of one trained here, what looks wrong on its training texts is said; one that was taken was looked at before.
    """
    n_held_out = int(held_out.sum())
    every = -(-len(held_out) // MAX_HELD_OUT)
    judged = held_out if n_held_out else np.arange(len(held_out)) % every == 0
    measured = measure_sae(sae, EmbeddingParts(parts, judged))
    trained_here = facts["source"] == TRAINED_HERE
    counted = ~held_out if trained_here else np.ones_like(held_out)
    seen = measure_sae(sae, EmbeddingParts(parts, counted))
    for sentence in doubts(seen, sae.k if job.config.threshold is None else None) if trained_here else ():
        job.say(f"warning: {sentence}")
    dead = seen["dead_share"]
    facts |= {"n_held_out": n_held_out, "dead_share": dead}
    facts |= {"held_out": measured if n_held_out else None, "measured": measured | {"n_texts": int(judged.sum())}}
    where = "the training" if trained_here else "all"
    fvu = "no FVU (its texts are all the same)" if measured["fvu"] is None else f"FVU {measured['fvu']:.3f}"
    line = (
        f"{sae.n_features:,} features, L0 {measured['l0']:.1f}, {'held-out ' if n_held_out else ''}{fvu}, "
        f"{'every one of them' if dead == 1 else f'{dead:.1%}'} dead on {where} texts "
        f"({facts['source']}, {facts['architecture']} saved as {facts['saved_as']})"
    )
    return Made(line, facts, {"device": device})


class _Bar:
    """A bar of embeddings seen, with a note and a line in the log now and then."""

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
