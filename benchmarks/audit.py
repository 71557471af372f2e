"""Plant artefacts in a corpus, train a small SAE on it, and see which of its features the audit flags.

    python benchmarks/audit.py CORPUS.parquet [--column text] [--texts 3000] [--words 45] [--embedder stand-in:128]

Planted are: one text copied again and again (1 % of the texts) and texts copied once, half of them with a word added
(1 %), a footer (5 %), texts far longer than the embedder reads, which begin with the words of a front matter in random
order (5 %), texts in another script (5 %). Printed is, for each, how many features are about it (60 % or more of their
texts have it) and how many of those its check flags; and the flags on features that have nothing to do with any of
them (20 % of their texts or fewer): false alarms. `--words` cuts the clean texts to their first words, so that the
embedder reads them whole. The last lines are CPU seconds and peak memory: of all stages that ran here, so that a large
run is measured with benchmarks/stages.py.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from featurelib.schema import AUDIT, BY_TEXT, COPIES, FORMAT_VERSION, TEXTS
from featurelib.storage import files
from featurelib.storage.runs import Done, Generation, Run
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.build.stage_table import PIPELINE

STAGES = ("ingest", "embed", "train", "encode", "summarise", "near_misses", "audit")
FOOTER = (
    "Copyright of this abstract remains with its authors; reuse requires written permission from the publishing "
    "office, to which all correspondence should be addressed."
)
FRONT = [
    *("received", "accepted", "revised", "manuscript", "keywords", "affiliation", "corresponding", "author", "page"),
    *("introduction", "contents", "volume", "issue", "appendix", "acknowledgements", "funding", "supplementary"),
    *("table", "figure", "section", "chapter"),
]
FOUND_BY = {
    "copied often": ("copies",),
    "footer": ("boilerplate",),
    "long": ("truncation", "length"),
    "other script": ("script",),
}
MOSTLY, HARDLY, LEAST = 0.6, 0.2, 5
KILOBYTE = 1024
"""ru_maxrss is in kilobytes on Linux."""


@dataclass(frozen=True)
class Planted:
    """A corpus and what was planted in it."""

    texts: list[str]
    kinds: list[str]
    """What each text is: clean, or what was planted."""


class Quiet(Job):
    """A job without a bar."""

    @contextmanager
    def progress(self, total: int, unit: str, start: int = 0) -> Iterator[Quiet]:
        """Draw nothing."""
        yield self

    def advance(self, n: int = 1) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


def plant(texts: list[str], words: int, seed: int) -> Planted:
    """Return the corpus with artefacts, in random order."""
    draw = random.Random(seed)
    texts = [" ".join(text.split()[:words]) for text in texts]
    n = len(texts)
    rows = [("clean", text) for text in texts]
    rows += [("copied often", texts[0])] * (n // 100)
    once = draw.sample(texts[1:], n // 100)
    rows += [("copied once", text) for text in once[::2]] + [("word added", f"{text} indeed") for text in once[1::2]]
    few, foreign = n // 20, _foreign_words(draw)
    for place, text in enumerate(draw.sample(texts[1:], 3 * few)):
        kind = ("footer", "long", "other script")[place // few]
        rows.append((kind, _changed(kind, text, texts, foreign, words, draw)))
    draw.shuffle(rows)
    return Planted([text for _, text in rows], [kind for kind, _ in rows])


def _changed(kind: str, text: str, texts: list[str], foreign: list[str], words: int, draw: random.Random) -> str:
    if kind == "footer":
        return f"{' '.join(text.split()[: words // 2])}. {FOOTER}"
    if kind == "long":
        return " ".join([*draw.choices(FRONT, k=words // 2), text, *draw.sample(texts, max(8, 1500 // words))])
    return " ".join(draw.choices(foreign, k=min(words, 60)))


def _foreign_words(draw: random.Random) -> list[str]:
    """Words of invented Cyrillic syllables."""
    syllables = [first + second for first in "бвгдклмнпрст" for second in "аеиоуя"]
    return ["".join(draw.choices(syllables, k=draw.randint(2, 4))) for _ in range(400)]


def build(planted: Planted, folder: Path, embedder: str, features: int, k: int) -> tuple[Generation, dict[str, float]]:
    """Run the stages that the audit needs; return the generation and the CPU seconds of each stage."""
    source = folder / "planted.parquet"
    pq.write_table(pa.table({"text": planted.texts}), source)
    config = BuildConfig(source=str(source), name="planted", embedder=embedder, features=features, k=k)
    run = Run(folder / "planted")
    generation = run.next_generation()
    generation.path.mkdir(parents=True)
    files.write_json(generation.path / "run.json", {"format_version": FORMAT_VERSION})
    run.point_to(generation)
    seconds = {}
    for stage in PIPELINE:
        if stage.name in STAGES:
            started = time.process_time()
            made = stage.make(Quiet(generation, config, print))
            seconds[stage.name] = time.process_time() - started
            generation.mark_done(stage.name, Done("", made.facts, made.line, {}))
            print(f"{stage.name}: {made.line} ({seconds[stage.name]:.1f} CPU s)", flush=True)
    return generation, seconds


def report(generation: Generation, kinds: np.ndarray, seconds: dict[str, float], features: int) -> None:
    """Print what was found, what was not, and what was flagged for nothing."""
    kinds = kinds[pq.read_table(generation.file(TEXTS), columns=["source_row"])["source_row"].to_numpy()]
    rows = pa.concat_tables(pq.read_table(part) for part in generation.parts(BY_TEXT)).to_pandas()
    fires = np.zeros((features, len(kinds)), bool)
    fires[rows["feature_id"], rows["text_id"]] = True
    n_active = fires.sum(1)
    table = pq.read_table(generation.file(AUDIT)).to_pandas()
    flags = {name: set(own["feature_id"][own["flagged"]]) for name, own in table.groupby("check")}
    shares = {kind: fires[:, kinds == kind].sum(1) / np.maximum(n_active, 1) for kind in {*kinds} - {"clean"}}
    print(f"\n{'planted':14} {'texts':>6} {'largest share':>14} {'features about it':>18} {'flagged':>8}  by")
    for kind, names in FOUND_BY.items():
        about = set(np.flatnonzero((shares[kind] >= MOSTLY) & (n_active >= LEAST)).tolist())
        largest = float(shares[kind][n_active >= LEAST].max())
        for name in names:
            n_found = len(about & flags[name])
            print(f"{kind:14} {int((kinds == kind).sum()):6} {largest:14.2f} {len(about):18} {n_found:8}  {name}")
    unrelated = set(np.flatnonzero((sum(shares.values()) <= HARDLY) & (n_active >= LEAST)).tolist())
    alarms = {name: len(unrelated & flagged) for name, flagged in flags.items()}
    print(f"\n{len(unrelated)} features unrelated to all of them; false alarms: {alarms}")
    for row in table[table["flagged"] & table["feature_id"].isin(unrelated)].itertuples():
        measured = (
            f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f}), expected {row.expected:.3f}, {row.n_texts} texts"
        )
        print(f"  feature {row.feature_id} {row.check}: {measured}; {row.detail}")
    _report_copies(generation, kinds)
    cost = ", ".join(f"{name} {1000 * seconds[name] / features:.2f}" for name in ("near_misses", "audit"))
    print(f"CPU seconds per 1,000 features on {len(kinds):,} texts: {cost}")
    print(f"peak memory of all stages: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE / 1e6:,.0f} MB")


def _report_copies(generation: Generation, kinds: np.ndarray) -> None:
    texts = pq.read_table(generation.file(TEXTS), columns=["text"])["text"].to_pandas()
    truly = set(np.flatnonzero(texts.str.casefold().str.split().str.join(" ").duplicated(keep=False)).tolist())
    table = pq.read_table(generation.file(COPIES)).to_pandas()
    exact = set(table["text_id"][table["exact"]])
    near, planted = table[~table["exact"]], kinds == "word added"
    others = near[~near["text_id"].isin(np.flatnonzero(planted))]
    n_found = near["text_id"].isin(np.flatnonzero(planted)).sum()
    print(f"exact copies: {len(exact & truly)} of {len(truly)} found, {len(exact - truly)} wrong")
    print(f"copies with a word added: {n_found} of {planted.sum()} found, with {len(others)} texts that they belong to")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--column", default="text")
    parser.add_argument("--texts", type=int, default=3000)
    parser.add_argument("--words", type=int, default=45)
    parser.add_argument("--embedder", default="stand-in:128")
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--k", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    texts = pq.read_table(asked.corpus, columns=[asked.column])[asked.column].to_pylist()
    texts = random.Random(asked.seed).sample(texts, min(asked.texts, len(texts)))
    planted = plant(texts, asked.words, asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        generation, seconds = build(planted, Path(folder), asked.embedder, asked.features, asked.k)
        report(generation, np.array(planted.kinds), seconds, asked.features)


if __name__ == "__main__":
    main()
