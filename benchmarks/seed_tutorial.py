"""The baseline tutorial's method against this project's, on the same texts, in one run.

    python -m benchmarks.seed_tutorial [RUN] [--texts 500] [--rounds 2] [--features 20] [--seed 0]

RUN (default data/demo) gives texts, embedder and SAE. The peer is benchmarks/tutorial_loop.py, which says step by step
where the tutorial does what. Ours is `python -m precompute build` itself, into a folder of its own each round: stages
embed, encode and summarise for densities and top texts, and keywords, with files written and synced. They alternate.
The tutorial's keywords would take an hour or more, so its loop is timed on features drawn by seed (--features 0: on
all) and its time for all is that many times longer; ours is always the whole stage. What both made is compared.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.tutorial_loop import (
    TOP,
    Difference,
    Keywords,
    Metered,
    compare_keywords,
    open_model,
    tutorial_densities,
    tutorial_labels,
    tutorial_top_texts,
)
from featurelib.schema import FEATURES, KEYWORDS, STAGES, TEXTS, TOP_TEXT_ROWS
from featurelib.storage.runs import Generation, open_run

STEPS = STAGES[: STAGES.index("keywords") + 1]
"""The stages of ours that are compared; the tutorial makes no map."""
NEAR = 1e-5


@dataclass
class Timings:
    """Seconds of each round by step."""

    tutorial: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ours: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def clock(self, step: str, work: Callable[[], Any]) -> Any:
        """Do `work` as the tutorial's `step` and keep its seconds."""
        started = time.perf_counter()
        made = work()
        self.tutorial[step].append(time.perf_counter() - started)
        print(f"tutorial, {step}: {self.tutorial[step][-1]:.1f} s", file=sys.stderr, flush=True)
        return made


def our_build(run: Generation, source: Path, folder: Path) -> Generation:
    """Build a run of the texts in `source` with the embedder and the SAE of `run`, in an empty data folder."""
    from precompute.build.build import Span, build
    from precompute.build.config import BuildConfig

    facts = run.describe()["embedder"]
    config = BuildConfig(
        source=str(source),
        name="ours",
        text_column="text",
        embedder=facts["name"],
        sae=str(run.sae_folder),
        device="cpu",
    )
    for stage in STEPS:
        built = build(config, folder, Span(only=stage), lambda sentence: None)
    return built


def read_ours(
    generation: Generation, texts: Sequence[str]
) -> tuple[np.ndarray, list[list[tuple[float, str]]], list[Keywords]]:
    """Densities, top ten texts and keywords of every feature, from the tables."""
    density = pq.read_table(generation.file(FEATURES), columns=["density"])["density"].to_numpy()
    top: list[list[tuple[float, str]]] = [[] for _ in density]
    rows = pq.read_table(generation.file(TOP_TEXT_ROWS), filters=pc.field("rank") <= TOP)
    for row in rows.sort_by([("feature_id", "ascending"), ("rank", "ascending")]).to_pylist():
        top[row["feature_id"]].append((row["activation"], texts[row["text_id"]]))
    return density, top, read_keywords(generation, len(density))


def read_keywords(generation: Generation, n_features: int) -> list[Keywords]:
    """The keywords of every feature, in their order, from summaries/keywords."""
    keywords: list[Keywords] = [[] for _ in range(n_features)]
    rows = pq.read_table(generation.file(KEYWORDS)).sort_by([("feature_id", "ascending"), ("rank", "ascending")])
    for row in rows.to_pylist():
        keywords[row["feature_id"]].append((row["keyword"], row["score"]))
    return keywords


def top_texts_agree(tutorial: list[tuple[float, str]], ours: list[tuple[float, str]]) -> bool:
    """Whether two top tens are equal: activations within 1e-5 rank by rank, and the same texts where none tie.

    The tutorial's list is without its zero activations, with which its heaps fill up.
    """
    fired = [pair for pair in tutorial if pair[0] > 0]
    if len(fired) != len(ours) or any(abs(a[0] - b[0]) > NEAR for a, b in zip(fired, ours, strict=True)):
        return False
    last = fired[-1][0] if len(fired) == TOP else -1.0
    return {text for a, text in fired if a > last + NEAR} <= {text for _, text in ours}


def run_benchmark(generation: Generation, asked: argparse.Namespace) -> None:
    """Time both, alternately, compare what they made and print the ratios."""
    from keybert import KeyBERT

    from featurelib.sae.checkpoints import load_sae

    table = pq.read_table(generation.file(TEXTS), columns=["text"]).slice(0, asked.texts)
    texts = table["text"].to_pylist()
    model, sae = open_model(generation.describe()["embedder"]), load_sae(generation.sae_folder)
    keybert = KeyBERT(model=model)
    timings = Timings()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "texts.parquet"
        pq.write_table(table, source)
        for number in range(asked.rounds):
            metered = Metered(model)
            density = timings.clock("densities", partial(tutorial_densities, texts, metered, sae))
            top = timings.clock("top texts", partial(tutorial_top_texts, texts, metered, sae))
            timings.tutorial["embedding"].append(metered.seconds)
            built = our_build(generation, source, Path(scratch) / f"round{number}")
            for stage, record in built.volatile().items():
                timings.ours[stage].append(record["seconds"])
                print(f"ours, {stage}: {record['seconds']:.1f} s", file=sys.stderr, flush=True)
            our_density, our_top, our_keywords = read_ours(built, texts)
            drawn = draw(our_top, asked.features, asked.seed)
            chosen = {feature_id: [text for _, text in top[feature_id]] for feature_id in drawn}
            loop = timings.clock("keywords", partial(tutorial_labels, chosen, keybert, model))
    print_agreement(
        density,
        our_density,
        top,
        our_top,
        [compare_keywords(loop[feature_id], our_keywords[feature_id]) for feature_id in drawn],
    )
    print_ratios(timings, len(texts), len(drawn), len(our_top))


def draw(top: list[list[tuple[float, str]]], n_features: int, seed: int) -> list[int]:
    """Draw features with ten firing texts (fewer would be filled up with silent texts by the tutorial); 0 means all."""
    full = [feature_id for feature_id, own in enumerate(top) if len(own) == TOP]
    if not n_features or n_features >= len(full):
        return full
    return sorted(np.random.default_rng(seed).choice(full, n_features, replace=False).tolist())


def print_agreement(
    density: np.ndarray, our_density: np.ndarray, top: list, our_top: list, differences: list[Difference]
) -> None:
    """Print whether both made the same."""
    other = int((np.abs(density - our_density) > 1e-9).sum())
    agree = sum(top_texts_agree(a, b) for a, b in zip(top, our_top, strict=True))
    print(f"densities  equal for {len(density) - other} of {len(density)} features (else: a text at a gate)")
    print(f"top texts  the same, save ties, for {agree} of {len(top)} features")
    print_keywords(differences)


def print_keywords(differences: list[Difference]) -> None:
    """Print one line on keyword lists compared feature by feature."""
    n_keywords = sum(difference.n_keywords for difference in differences)
    only = [keyword for difference in differences for keyword in difference.only]
    decimals = [keyword for difference in differences for keyword in difference.decimals]
    largest = max((difference.largest for difference in differences), default=0.0)
    print(
        f"keywords   {len(differences)} features, {n_keywords} keywords: {len(only)} in one list only {only[:6]}, "
        f"{len(decimals)} differ in the 4th decimal {decimals[:6]}, largest difference {largest:.2e}"
    )


def print_ratios(timings: Timings, n_texts: int, n_drawn: int, n_features: int) -> None:
    """Print median seconds and ratios; a step of ours counts every stage that it needs."""
    scale = n_features / max(1, n_drawn)
    tutorial = {step: statistics.median(seconds) for step, seconds in timings.tutorial.items()}
    ours = {stage: statistics.median(seconds) for stage, seconds in timings.ours.items()}
    shared = ours["embed"] + ours["encode"] + ours["summarise"]
    both, aside = tutorial["densities"] + tutorial["top texts"], ours["encode"] + ours["summarise"]
    rows = [
        ("densities", tutorial["densities"], shared, "embed + encode + summarise, which make top texts too"),
        ("top texts", tutorial["top texts"], shared, "embed + encode + summarise, which make densities too"),
        ("both", both, shared, "embed + encode + summarise"),
        ("both, embedding aside", both - tutorial["embedding"], aside, "encode + summarise"),
        (
            "keywords",
            tutorial["keywords"] * scale,
            ours["keywords"],
            f"keywords; the loop's {n_drawn} features × {scale:.1f}",
        ),
    ]
    print(f"{n_texts} texts, {n_features} features; medians of {len(timings.tutorial['keywords'])} alternating rounds")
    for step, peer, own, of in rows:
        print(f"{step:<24} tutorial {peer:8.1f} s   ours {own:7.1f} s   ratio {peer / own:6.1f}   (ours: {of})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the flags, run, return the exit code."""
    parser = argparse.ArgumentParser(description="The baseline tutorial's method against ours on the same texts.")
    parser.add_argument("run", nargs="?", type=Path, default=Path(__file__).parents[1] / "data" / "demo")
    parser.add_argument("--texts", type=int, default=500, help="how many texts, from the top")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--features", type=int, default=20, help="features the tutorial's keyword loop is timed on; 0 = all"
    )
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    run_benchmark(open_run(asked.run).current(), asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
