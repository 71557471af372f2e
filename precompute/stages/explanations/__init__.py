"""explanations: top texts → a sentence for each feature by a language model, scored on other texts; only if asked for.

Naming texts explain a feature, label test texts test the explanation (featurelib.labels.split). The answers about a
feature are kept in the run's cache under the fingerprint of everything that they depend on, so that nothing is paid for
twice: not after a kill, not with more features, not in the next generation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.labels.split import NAMING, TESTING
from featurelib.llm.explanations import Explanation, explain_feature
from featurelib.llm.language_model import LanguageModel
from featurelib.llm.prompts import FULL, SHORT, prompts_fingerprint
from featurelib.llm.sampling import ChosenTexts, Cost, choose_texts, estimate_cost
from featurelib.llm.scoring import FUZZING, SCORERS, Verdict, score_verdicts
from featurelib.schema import DENSE, EXPLANATIONS, FEATURES, LABEL_SPLIT, Refusal
from featurelib.storage import files
from featurelib.storage.runs import Run
from featurelib.storage.store import Store, open_store
from precompute.build.config import BuildConfig
from precompute.build.job import Bar, Job, Made
from precompute.build.stage import Stage
from precompute.stages.explanations.markers import Marker, open_marker
from precompute.stages.explanations.material import materials

VERSION = 2
CACHE_KEYS = ("explanation", "judged", "calls", "tokens_in", "tokens_out", "last")
"""What the fields of an Explanation are called in the cache's files."""
MOST_UNREADABLE = 5
"""So many features in a row whose answers cannot be read end the build: the model is not up to it."""
TOO_RARE = "of the label test texts it fires on too few, or on nearly all"
NO_WORDS = "too few of the label test texts hold a word that carries it"
UNREAD = "too few verdicts of the labeller could be read"


def identity(config: BuildConfig) -> dict[str, Any]:
    """The prompts, where a labeller is asked for; where its server stands is no part of it."""
    return {"prompts": prompts_fingerprint()} if config.labeller else {}


def make_explanations(job: Job) -> Made:
    """Write summaries/explanations.parquet, without rows where no labeller was asked for; raises Refusal."""
    if not job.config.labeller:
        job.generation.write_rows(EXPLANATIONS, [])
        return Made("no labeller was asked for", {})
    spill = job.generation.work("explanations")
    store = open_store(job.generation, memory_limit=job.config.memory, spill=spill)
    model = LanguageModel(job.config.labeller, job.config.labeller_model or "", context=job.config.labeller_context)
    try:
        marker = open_marker(job, store)
        cache = _open_cache(job, fuzzing=marker.reason is None)
        choices, n_rare = choose_all(job, store)
        _say_cost(job, store, choices, cache, model, marker)
        explanations = _explain_all(job, store, choices, cache, model, marker)
    finally:
        model.close()
        store.close()
    return _made(job, explanations, n_rare, model, marker)


STAGE = Stage(
    name="explanations",
    makes="explanations by a language model, where one was asked for",
    make=make_explanations,
    grounds="texts, SAE and model of the labeller",
    after=("ingest", "embed", "train", "summarise"),
    options=("labeller_model", "labeller_prompts", "labeller_context", "labelled_features", "seed"),
    version=VERSION,
    identity=identity,
)


@dataclass(frozen=True)
class _Cache:
    """The explanations that were made before, one file for each feature."""

    folder: Path
    """In the run's cache; its name is the fingerprint of everything the answers depend on."""

    def has(self, feature_id: int) -> bool:
        return self._path(feature_id).is_file()

    def read(self, feature_id: int) -> Explanation:
        values = dict(
            zip(Explanation._fields, map(files.read_json(self._path(feature_id)).get, CACHE_KEYS), strict=True)
        )
        values["verdicts"] = {
            scorer: [Verdict(*pair) for pair in pairs] for scorer, pairs in values["verdicts"].items()
        }
        return Explanation(**values)

    def write(self, feature_id: int, explanation: Explanation) -> None:
        files.write_json(self._path(feature_id), dict(zip(CACHE_KEYS, explanation, strict=True)))

    def _path(self, feature_id: int) -> Path:
        return self.folder / f"feature-{feature_id:06d}.json"


def _open_cache(job: Job, *, fuzzing: bool) -> _Cache:
    grounds = job.generation.done("summarise")
    depends_on = {
        "model": job.config.labeller_model,
        "prompts": prompts_fingerprint(),
        "form": job.config.labeller_prompts,
        "context": job.config.labeller_context,
        "version": VERSION,
        "seed": job.config.seed,
        "fuzzing": fuzzing,
        "activations": grounds.fingerprint if grounds else None,
    }
    folder = Run(job.generation.path.parent).cache_folder
    return _Cache(folder / "labeller" / files.fingerprint(depends_on))


def choose_all(job: Job, store: Store) -> tuple[list[ChosenTexts], int]:
    """Return the texts for each feature that is to be explained, and how many live ones fire on too few for that.

    Features that are not dense come first, the densest of them at the front; dense ones follow, the densest last.
    """
    part = pq.read_table(job.generation.need(LABEL_SPLIT))["part"].to_numpy()
    naming, testing = part == NAMING, part == TESTING
    features = pq.read_table(job.generation.need(FEATURES), columns=["feature_id", "n_active", "density"]).to_pandas()
    live = features[features["n_active"] > 0]
    dense = live["density"] > DENSE
    order = np.lexsort((live["feature_id"], np.where(dense, live["n_active"], -live["n_active"]), dense))
    n_features = min(job.config.labelled_features or len(live), len(live))
    choices: list[ChosenTexts] = []
    n_rare = 0
    with job.progress(n_features, "features chosen") as bar:
        for feature_id in live["feature_id"].to_numpy()[order].tolist():
            if len(choices) == n_features:
                break
            text_ids, activations = _fires_on(store, feature_id)
            choice = choose_texts(feature_id, text_ids, activations, naming, testing, job.config.seed)
            choices += [choice] if choice else []
            n_rare += choice is None
            bar.advance(choice is not None)
    return choices, n_rare


def _fires_on(store: Store, feature_id: int) -> tuple[np.ndarray, np.ndarray]:
    rows = store.ask(
        """
        select text_id, activation
        from activations_by_feature
        where feature_id = $feature_id
        order by activation desc, text_id""",
        feature_id=feature_id,
    )
    return rows["text_id"].to_numpy(), rows["activation"].to_numpy()


def _say_cost(
    job: Job, store: Store, choices: list[ChosenTexts], cache: _Cache, model: LanguageModel, marker: Marker
) -> None:
    """Say, before any question is sent, how much it will cost and how much is done already."""
    lengths = store.ask("select length(text) as n from texts order by text_id")["n"].to_numpy()
    left = [choice for choice in choices if not cache.has(choice.feature_id)]
    cost = sum((estimate_cost(choice, lengths, fuzzing=marker.reason is None) for choice in left), Cost())
    n_done = len(choices) - len(left)
    done = f"; {n_done:,} were described before and are not asked again" if n_done else ""
    job.say(
        f"{model.model} at {model.host} is to describe {len(left):,} features: about {cost.calls:,} questions, "
        f"{cost.tokens_in:,} tokens in and {cost.tokens_out:,} out (4 characters count as a token){done}."
    )
    if marker.reason:
        job.say(f"without fuzzing: {marker.reason}.")


def _explain_all(
    job: Job, store: Store, choices: list[ChosenTexts], cache: _Cache, model: LanguageModel, marker: Marker
) -> dict[int, Explanation]:
    """Each feature's explanation, made now or before; Refusal when no answer can be read."""
    explanations = {
        choice.feature_id: cache.read(choice.feature_id) for choice in choices if cache.has(choice.feature_id)
    }
    left = [choice for choice in choices if choice.feature_id not in explanations]
    with job.progress(len(choices), "features", len(explanations)) as bar:
        n_unreadable = 0
        for material in materials(store, left, marker, job.config.seed):
            explanation = explain_feature(model, material, job.config.seed, job.config.labeller_prompts or FULL)
            if not explanation.unreadable:
                cache.write(material.feature_id, explanation)
            explanations[material.feature_id] = explanation
            n_unreadable = n_unreadable + 1 if explanation.unreadable else 0
            if n_unreadable == MOST_UNREADABLE:
                raise _unreadable(job, model, explanation)
            _note(bar, explanation)
    return explanations


def _unreadable(job: Job, model: LanguageModel, explanation: Explanation) -> Refusal:
    answer = " ".join(explanation.unread.split())[:120]
    shorter = "" if job.config.labeller_prompts == SHORT else "try --labeller-prompts short, "
    return Refusal(
        f"{model.model} answered {MOST_UNREADABLE} features running with nothing that can be read, at last "
        f"'{answer}'; {shorter}name another --labeller-model, or mend its server, and give the same command again."
    )


def _note(bar: Bar, explanation: Explanation) -> None:
    bar.note((explanation.sentence or "no answer that can be read")[:60])
    bar.advance()


def _made(job: Job, explanations: dict[int, Explanation], n_rare: int, model: LanguageModel, marker: Marker) -> Made:
    explained = {
        feature_id: explanation
        for feature_id, explanation in sorted(explanations.items())
        if explanation.sentence is not None
    }
    rows = [
        row
        for feature_id, explanation in explained.items()
        for row in _rows(feature_id, explanation, model.model, marker)
    ]
    job.generation.write(EXPLANATIONS, pa.Table.from_pylist(rows, schema=EXPLANATIONS.schema).columns)
    n_unreadable = len(explanations) - len(explained)
    facts: dict[str, Any] = {"model": model.model, "host": model.host, "n_explained": len(explained)}
    facts |= {"n_unreadable": n_unreadable, "n_too_rare": n_rare, "why_no_fuzzing": marker.reason}
    means = []
    for scorer in SCORERS:
        scores = [row["score"] for row in rows if row["scorer"] == scorer and row["score"] is not None]
        mean = round(float(np.mean(scores)), 6) if scores else None
        facts |= {f"n_{scorer}": len(scores), f"mean_{scorer}": mean}
        means += [f"{scorer} {mean:.2f} (mean of {len(scores):,})"] if scores else []
    line = f"{model.model} described {len(explained):,} features; {', '.join(means) or 'none could be judged'}"
    line += f"; of {n_unreadable:,} no answer could be read" if n_unreadable else ""
    volatile = {"calls": sum(explanation.calls for explanation in explanations.values())}
    for name in ("tokens_in", "tokens_out"):
        volatile[name] = sum(getattr(explanation, name) for explanation in explanations.values())
    return Made(line, facts, volatile)


def _rows(feature_id: int, explanation: Explanation, model: str, marker: Marker) -> Iterator[dict[str, Any]]:
    """One row for each scorer, with the reason where there is no score."""
    for scorer in SCORERS:
        verdicts = explanation.verdicts.get(scorer, [])
        score = score_verdicts(scorer, verdicts)
        if score.score is None:
            no_verdict = marker.reason or NO_WORDS if scorer == FUZZING and explanation.verdicts else TOO_RARE
            score = score._replace(reason=UNREAD if verdicts else no_verdict)
        yield {"feature_id": feature_id, "explanation": explanation.sentence, "model": model} | score._asdict()
