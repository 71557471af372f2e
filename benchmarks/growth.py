"""How every stage of a build grows with the corpus: CPU seconds and peak memory at several numbers of texts.

Usage: python -m benchmarks.growth FOLDER --texts FILE.parquet:COLUMN [--texts …] [--sizes 10000,100000,1000000]
       [--features 16384] [--trained-on 100000] [--epochs 8] [--stages NAME,NAME] [--root CHECKOUT] [--label now]
       python -m benchmarks.growth FOLDER --table LABEL[,LABEL]

What is real: the texts (the first N of all that are given, in an order drawn by seed), the SAE (trained on the first
--trained-on of them, every size takes it), and everything that is made of them. The embedder is real but no
transformer: the mean of the default embedder's word vectors, so that a million texts are embedded in minutes; what a
transformer takes grows with the number of texts alone. Each stage is a process of its own, of which about two seconds
and 300 MB are Python and the libraries. Before the stages of a size stands what the bare product of its embeddings with
the SAE's encoder takes in the same minutes. What is measured already under a label is not measured again.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.kill_sweep import ROOT
from benchmarks.stages import Cost, run_stage
from featurelib.embedder.lookup import find_embedder
from featurelib.schema import STAGES

SEED = 0
D_IN = 384
PRODUCT = "bare product"
PRODUCT_ROWS = 16_384
"""Rows of which the bare product is measured; that of a corpus is as many times as long."""
BLOCK = 256
TRAINED = "trained"
"""The run whose SAE every size takes."""
NOT_MEASURED = ("train", "explanations", "language_model")
"""Training has a benchmark of its own (the SAE is given here); the others need a language model."""


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    folder: Path
    """Where corpora, runs and figures lie."""
    label: str
    """The name of the figures, such as before or now."""
    root: Path
    """The checkout whose stages are run."""
    features: int
    """Features of the SAE."""

    @property
    def figures(self) -> Path:
        """One line of JSON for each stage that was measured."""
        return self.folder / f"costs-{self.label}.jsonl"

    @property
    def data(self) -> Path:
        """The data folder of the runs of this label."""
        return self.folder / f"data-{self.label}"

    def corpus(self, n_texts: int) -> Path:
        """The file of the first `n_texts` texts."""
        return self.folder / f"texts-{n_texts}.parquet"


def write_corpora(plan: Plan, sources: list[str], sizes: list[int]) -> None:
    """Write each corpus: the first texts of all sources, in one drawn order."""
    if all(plan.corpus(size).is_file() for size in sizes):
        return
    chunks: list[pa.Array] = []
    for source in sources:
        path, _, name = source.rpartition(":")
        chunks += pq.read_table(path, columns=[name])[name].chunks
    texts = pa.chunked_array(chunks).combine_chunks()
    if len(texts) < max(sizes):
        raise SystemExit(f"{len(texts):,} texts are fewer than {max(sizes):,}; give more with --texts.")
    order = np.random.default_rng(SEED).permutation(len(texts))
    for size in sizes:
        pq.write_table(pa.table({"text": texts.take(pa.array(order[:size]))}), plan.corpus(size), compression="zstd")


def write_embedder(folder: Path) -> None:
    """Write a sentence-transformers model that gives the mean of the default embedder's word vectors, at length 1."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer

    if (folder / "modules.json").is_file():
        return
    source = find_embedder().folder
    model = SentenceTransformer(str(source), device="cpu", local_files_only=True)
    vectors = model[0].auto_model.embeddings.word_embeddings.weight.detach()
    tokenizer = Tokenizer.from_str(model.tokenizer.backend_tokenizer.to_str())
    static = StaticEmbedding(tokenizer, embedding_weights=vectors.numpy())
    SentenceTransformer(modules=[static, Normalize()], device="cpu").save_pretrained(str(folder))


def build(plan: Plan, size: int, name: str, stage: str, flags: list[str]) -> Cost:
    """Run one stage of the run `name` on the corpus of `size` texts; exit when it fails."""
    command = [sys.executable, "-m", "precompute", "build", str(plan.corpus(size)), "--name", name]
    command += ["--data", str(plan.data), "--embedder", str(plan.folder / "word-vectors"), "--only", stage]
    plan.data.mkdir(parents=True, exist_ok=True)
    log = plan.folder / f"{plan.label}-{name}.log"
    cost = run_stage([*command, "--embedding-dtype", "float16", *flags], log, plan.root)
    if cost.code:
        sys.exit(f"{stage} of {name} ended with exit code {cost.code}: {log}")
    return cost


def trained_sae(plan: Plan, size: int, epochs: int) -> Path:
    """Return the run whose SAE every size takes, trained by this checkout once for all labels."""
    shared = Plan(plan.folder, TRAINED, ROOT, plan.features)
    flags = ["--features", str(plan.features), "--epochs", str(epochs)]
    run = shared.data / TRAINED
    for stage in ("ingest", "embed", "train"):
        if not list(run.glob(f"g*/done/{stage}.json")):
            cost = build(shared, size, TRAINED, stage, flags)
            sys.stdout.write(f"{stage} of the SAE on {size:,} texts: {cost.cpu_seconds:.0f} CPU s\n")
    return run


def bare_product(size: int, d_in: int, features: int) -> float:
    """CPU seconds of x @ W in blocks of 256 rows, for `size` rows."""
    import torch

    draw = torch.Generator().manual_seed(SEED)
    rows = torch.randn(PRODUCT_ROWS, d_in, generator=draw)
    weights, out = torch.randn(d_in, features, generator=draw), torch.empty(BLOCK, features)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for start in range(0, PRODUCT_ROWS, BLOCK):
        torch.mm(rows[start : start + BLOCK], weights, out=out)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent * size / PRODUCT_ROWS


def read_figures(path: Path) -> dict[tuple[int, str], Cost]:
    """Return what was measured, by the number of texts and the stage."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    read = [json.loads(line) for line in lines]
    return {(entry.pop("n_texts"), entry.pop("stage")): Cost(**entry) for entry in read}


def note(plan: Plan, n_texts: int, stage: str, cost: Cost) -> None:
    """Add a line to the figures, and print it."""
    with plan.figures.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps({"n_texts": n_texts, "stage": stage, **asdict(cost)}) + "\n")
    figures = f"{cost.seconds:>9.1f} s{cost.cpu_seconds:>9.1f} CPU s{cost.peak_bytes / 1e6:>8.0f} MB"
    sys.stdout.write(f"{n_texts:>10,} {stage:<14}{figures}\n")
    sys.stdout.flush()


def measure(plan: Plan, sizes: list[int], stages: list[str], sae: Path) -> None:
    """Measure every stage of every size that is not measured under this label yet."""
    for size in sizes:
        known = read_figures(plan.figures)
        if (size, PRODUCT) not in known:
            spent = bare_product(size, D_IN, plan.features)
            note(plan, size, PRODUCT, Cost(spent, spent, 0, 0))
        for stage in STAGES:
            flags = ["--sae", str(sae)]
            if stage in NOT_MEASURED[1:] or (stage not in stages and stage != "train") or (size, stage) in known:
                continue
            cost = build(plan, size, f"n{size}", stage, flags)
            note(plan, size, stage, cost)


def print_table(folder: Path, labels: list[str]) -> None:
    """Print CPU seconds and peak memory of each stage: a column for each label and size, and the growth."""
    figures = {label: read_figures(folder / f"costs-{label}.jsonl") for label in labels}
    sizes = sorted({size for known in figures.values() for size, _ in known})
    heads = [f"{label} {size:,}" for label in labels for size in sizes]
    sys.stdout.write(f"| CPU s / peak MB | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}\n")
    for stage in (PRODUCT, *STAGES):
        cells = [_cell(figures[label].get((size, stage))) for label in labels for size in sizes]
        if any(cell != "–" for cell in cells):
            sys.stdout.write(f"| {stage} | {' | '.join(cells)} |\n")


def _cell(cost: Cost | None) -> str:
    if cost is None:
        return "–"
    return f"{cost.cpu_seconds:,.0f}" + (f" / {cost.peak_bytes / 1e6:,.0f}" if cost.peak_bytes else "")


def main() -> int:
    """Write what is missing, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", action="append", default=[], help="FILE.parquet:COLUMN")
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--features", type=int, default=16_384)
    parser.add_argument("--trained-on", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--stages", default=",".join(name for name in STAGES if name not in NOT_MEASURED))
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--label", default="now")
    parser.add_argument("--table", default="", help="labels with commas: print their figures, measure nothing")
    options = parser.parse_args()
    folder = options.folder.resolve()
    if not options.table:
        folder.mkdir(parents=True, exist_ok=True)
        plan = Plan(folder, options.label, options.root.resolve(), options.features)
        sizes = [int(size) for size in options.sizes.split(",")]
        write_corpora(plan, options.texts, sorted({*sizes, options.trained_on}))
        write_embedder(folder / "word-vectors")
        measure(plan, sizes, options.stages.split(","), trained_sae(plan, options.trained_on, options.epochs))
    print_table(folder, options.table.split(",") if options.table else [options.label])
    return 0


if __name__ == "__main__":
    sys.exit(main())
