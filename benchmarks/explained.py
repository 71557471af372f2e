"""What can a language model name? Its explanations judged beside a run's own names and beside those of other features.

    python -m benchmarks.explained RUN SERVER MODEL [--features 20] [--tests 20] [--prompts short] [--context N]
                                   [--answers FILE] [--seed 0]

RUN is the folder of a run, SERVER the address of an OpenAI-compatible server (http://127.0.0.1:8000/v1). The features
are those that the stage explanations takes first. For each the model is asked for a sentence; then the same model
judges, on the same texts, that sentence, the run's name of the feature, and (chance) the sentence of another feature:
by detection (does the text make the feature fire?) and by fuzzing (are the marked words those that do?). --tests is how
many texts of each scorer are asked about. Printed are the sentences beside the names; for each source and scorer the
mean over features of the balanced accuracy (0.5: a coin) with its 95 % bootstrap interval, the paired difference to
chance, how often the judge says yes, and how many verdicts could not be read. --answers keeps every answer in a file of
JSON lines, so that a run that is cut short goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from featurelib.llm.explanations import Material, Sample, ask_sentence, collect_verdicts
from featurelib.llm.language_model import LanguageModel
from featurelib.llm.prompts import FORMS, SHORT
from featurelib.llm.scoring import SCORERS, Verdict
from featurelib.schema import LABELS
from featurelib.storage.runs import Generation, open_run
from featurelib.storage.store import Store, open_store
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.stages.explanations import choose_all
from precompute.stages.explanations.markers import AttributionMarker, Marker, TokenMarker
from precompute.stages.explanations.material import materials

DRAWS = 2000
OWN, NAME, CHANCE = SOURCES = ("the model's sentence", "our name", "chance: another's sentence")


class Answers:
    """What was asked before, by key; kept in a file where one is given."""

    def __init__(self, path: Path | None) -> None:
        """Read what the file holds."""
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
        self._known = dict(map(json.loads, lines))

    def get(self, key: str) -> object:
        """Return what is kept under the key, None where nothing is."""
        return self._known.get(key)

    def keep(self, key: str, value: object) -> None:
        """Keep a value."""
        self._known[key] = value
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, value], ensure_ascii=False) + "\n")


class Asked(NamedTuple):
    """Who is asked, and how."""

    model: LanguageModel
    form: str
    seed: int
    answers: Answers


def find_materials(generation: Generation, store: Store, n_features: int, seed: int) -> Iterator[Material]:
    """The texts of the features that the stage explanations takes first."""
    facts = generation.describe()["embedder"]
    config = BuildConfig(
        "x", "x", embedder=facts["name"], prompt=facts.get("prompt"), max_seq_length=facts.get("max_seq_length"),
        labeller="http://localhost/v1", labeller_model="m", labelled_features=n_features, seed=seed,
    )  # fmt: skip
    job = Job(generation, config, print)
    has_tokens = (generation.path / "tokens").is_dir()
    marker: Marker = TokenMarker(store) if has_tokens else AttributionMarker(job)
    choices, _ = choose_all(job, store)
    return materials(store, choices, marker, seed)


def some(material: Material, n: int) -> Material:
    """The material with `n` texts of each scorer: half of them firing or rightly marked, from all strengths."""
    return material._replace(detection=_some(material.detection, n), fuzzing=_some(material.fuzzing, n))


def _some(samples: Sequence[Sample], n: int) -> list[Sample]:
    chosen = []
    for truth in (True, False):
        own = [sample for sample in samples if sample[1] == truth]
        places = np.linspace(0, len(own) - 1, min(n // 2, len(own))).round().astype(int)
        chosen += [own[place] for place in places]
    return chosen


def sentence_of(asked: Asked, material: Material) -> str | None:
    """The model's sentence about a feature."""
    key = f"sentence:{material.feature_id}"
    if asked.answers.get(key) is None:
        sentence, answers = ask_sentence(asked.model, material, asked.form)
        asked.answers.keep(key, [sentence, [answer.text for answer in answers]])
    return asked.answers.get(key)[0]  # type: ignore[index]


def verdicts_of(asked: Asked, material: Material, source: str, sentence: str) -> dict[str, list[Verdict]]:
    """The model's verdicts on a sentence, by scorer."""
    key = f"verdicts:{material.feature_id}:{source}"
    if asked.answers.get(key) is None:
        tested = collect_verdicts(asked.model, material, sentence, asked.seed, asked.form)
        kept = {scorer: [batch.verdicts, [answer.text for answer in batch.answers]] for scorer, batch in tested.items()}
        asked.answers.keep(key, kept)
    found: dict = asked.answers.get(key)  # type: ignore[assignment]
    return {scorer: [Verdict(*pair) for pair in pairs] for scorer, (pairs, _) in found.items()}


def balanced_accuracy(verdicts: Sequence[Verdict]) -> float:
    """The mean of the shares of right verdicts among those whose truth is yes, and no; NaN where none could be read."""
    read = [verdict for verdict in verdicts if verdict.answer is not None]
    yes = [verdict.answer for verdict in read if verdict.truth]
    no = [not verdict.answer for verdict in read if not verdict.truth]
    return (float(np.mean(yes)) + float(np.mean(no))) / 2 if yes and no else float("nan")


def interval(values: np.ndarray, seed: int) -> str:
    """A mean over features with its bootstrap interval."""
    values = values[~np.isnan(values)]
    if not len(values):
        return "not measured"
    draw = np.random.default_rng(seed)
    low, high = np.quantile(values[draw.integers(len(values), size=(DRAWS, len(values)))].mean(axis=1), [0.025, 0.975])
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


def report(collected: dict[str, dict[str, list[list[Verdict]]]], seed: int) -> None:
    """Print the table: sources by scorer; `collected[source][scorer]` holds a list of verdicts for each feature."""
    for scorer in SCORERS:
        chance = np.array(list(map(balanced_accuracy, collected[CHANCE][scorer])))
        print(f"\n{scorer}: balanced accuracy, mean over {len(chance)} features")
        for source in SOURCES:
            lists = collected[source][scorer]
            scores = np.array(list(map(balanced_accuracy, lists)))
            read = [verdict for verdicts in lists for verdict in verdicts if verdict.answer is not None]
            n_unread = sum(map(len, lists)) - len(read)
            said_yes = np.mean([verdict.answer for verdict in read]) if read else float("nan")
            print(
                f"  {source:27s} {interval(scores, seed):24s} above chance {interval(scores - chance, seed):26s} "
                f"says yes to {said_yes:.1%} of {len(read):,}; {n_unread} not read"
            )


def main(arguments: list[str] | None = None) -> int:
    """Ask, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run")
    parser.add_argument("server")
    parser.add_argument("model")
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--tests", type=int, default=20)
    parser.add_argument("--prompts", choices=FORMS, default=SHORT)
    parser.add_argument("--context", type=int)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    generation = open_run(options.run).current()
    store = open_store(generation)
    rows = pq.read_table(generation.need(LABELS), columns=["feature_id", "label"]).to_pylist()
    names = {row["feature_id"]: row["label"] for row in rows}
    model = LanguageModel(options.server, options.model, context=options.context)
    asked = Asked(model, options.prompts, options.seed, Answers(options.answers))
    found = [
        some(material, options.tests) for material in find_materials(generation, store, options.features, options.seed)
    ]
    told = [(material, sentence_of(asked, material)) for material in found]
    for material, sentence in told:
        print(f"{material.feature_id:6d}  {names[material.feature_id]}\n        {sentence}", flush=True)
    readable = [(material, sentence) for material, sentence in told if sentence is not None]
    collected: dict[str, dict[str, list[list[Verdict]]]] = {
        source: {scorer: [] for scorer in SCORERS} for source in SOURCES
    }
    for place, (material, sentence) in enumerate(readable):
        sentences = (sentence, names[material.feature_id], readable[place - 1][1])
        for source, judged in zip(SOURCES, sentences, strict=True):
            for scorer, verdicts in verdicts_of(asked, material, source, judged).items():
                collected[source][scorer].append(verdicts)
    report(collected, options.seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
