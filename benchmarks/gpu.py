"""Everything that only a GPU can show, in one command and one table; on a machine without one, the same on the CPU.

Usage: python -m benchmarks.gpu [RUN] [--device auto|cuda|cpu] [--texts 2000] [--features 16384] [--rows 10000000]
       [--write FILE.md]

RUN (default data/demo) gives the texts, the embedder and a trained SAE. Without a GPU the sizes are small, the table
says that the device is the CPU, and it shows no more than that the code runs. What is in it:

- equality: embeddings, of keywords too, activations and near misses of the device beside those of the CPU, on the
  run's own texts; exit code 1 where a cosine is under 0.9999, a keyword's embedding differs by more than 1e-4, an
  activation by more than 1e-4 of its size, or a pair that fires on one side alone is further than that from its
  threshold;
- texts a second of MiniLM, and of an mpnet-base whose weights are drawn (its speed does not depend on them);
- rows a second of encoding and of near misses beside the bare product of the same shapes on the same device;
- a build from drawn embeddings, stage by stage, each a process: seconds, CPU seconds and peak memory.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.products import widen
from benchmarks.stages import run_stage
from featurelib.embedder import load_embedder
from featurelib.embedder.lookup import find_embedder
from featurelib.sae.checkpoints import load_sae, save_sae
from featurelib.sae.model import SAE
from featurelib.sae.near_misses import NearMisses
from featurelib.sae.training.trainer import find_device
from featurelib.schema import EMBEDDINGS, TEXTS
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.runs import Run

LEAST_COSINE = 0.9999
MOST_DIFFERENCE = 1e-4
"""Of an activation, relative to its size, or to 1 where it is smaller; of a number of a keyword's embedding."""
COMPARED = 2_048
"""Embeddings on which activations and near misses are compared."""
SMALL = {"texts": 64, "features": 2_048, "rows": 20_000}
"""The sizes on a CPU."""
STAGES = ("ingest", "embed", "train", "encode", "summarise", "near_misses")
"""What is built from drawn embeddings."""
ROWS_A_WRITE = 100_000


@dataclass
class Table:
    """The lines of the table, and what was not as it should be."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    """What was measured and its figure."""
    faults: list[str] = field(default_factory=list)
    """Sentences."""

    def add(self, what: str, figure: str) -> None:
        """Add a line, and print it at once: whoever lends a GPU for ten minutes may take it back."""
        self.rows.append((what, figure))
        sys.stdout.write(f"| {what} | {figure} |\n")
        sys.stdout.flush()

    def check(self, holds: bool, fault: str) -> None:
        """Note a fault where something does not hold."""
        if not holds:
            self.faults.append(fault)


def wall_seconds(work: Callable[[], object], device: str) -> float:
    """Return the seconds of a call, all that it started on the device included."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compare_embeddings(table: Table, texts: list[str], device: str) -> None:
    """Compare the default embedder's embeddings on both devices, and time it."""
    few = texts[:64]
    here, there = load_embedder(None, device="cpu"), load_embedder(None, device=device)
    own, other = here.embed(few), there.embed(few)
    cosine = float((own * other).sum(1).min())
    table.add("MiniLM: lowest cosine to the CPU's embeddings, 64 texts", f"{cosine:.6f}")
    table.check(cosine > LEAST_COSINE, f"an embedding's cosine to the CPU's is {cosine:.6f}")
    table.add(f"MiniLM: texts a second ({there.precision})", _rate(there.embed, texts, device))
    exact = load_embedder(None, device=device, dtype="float32")
    words = sorted({word for text in few for word in text.split()})
    apart = float(np.abs(here.embed(words) - exact.embed(words)).max())
    table.add(f"keywords ({exact.precision}): largest difference to the CPU, {len(words):,} words", f"{apart:.1e}")
    table.check(apart < MOST_DIFFERENCE, f"a keyword's embedding differs by {apart:.1e} from the CPU's")


def time_mpnet(table: Table, texts: list[str], device: str) -> None:
    """Time an mpnet-base with drawn weights, which reads MiniLM's tokens."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import MPNetConfig, MPNetModel

    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        model = MPNetModel(MPNetConfig(vocab_size=30_527))
        model.save_pretrained(folder)
        source = SentenceTransformer(str(find_embedder().folder), device="cpu", local_files_only=True)
        source.tokenizer.save_pretrained(folder)
        modules = [Transformer(folder, max_seq_length=256), Pooling(model.config.hidden_size)]
        SentenceTransformer(modules=modules, device="cpu").save_pretrained(f"{folder}/model")
        embedder = load_embedder(f"{folder}/model", device=device)
        table.add("mpnet-base, drawn weights: texts a second", _rate(embedder.embed, texts, device))


def _rate(embed: Callable[[list[str]], Any], texts: list[str], device: str) -> str:
    embed(texts[:8])
    return f"{len(texts) / wall_seconds(lambda: embed(texts), device):,.0f}"


def compare_activations(table: Table, sae: SAE, x: np.ndarray, device: str) -> None:
    """Compare activations and near misses of both devices."""
    own, other = sae.encode_sparse(x), sae.to(device).encode_sparse(x)
    values = [_dense(sparse, len(x), sae.n_features) for sparse in (own, other)]
    on_both = (values[0] > 0) & (values[1] > 0)
    apart = np.abs(values[0] - values[1]) / np.maximum(1, values[0])
    worst = float(apart[on_both].max(initial=0))
    alone = (values[0] > 0) ^ (values[1] > 0)
    z = sae.pre_activations(x).numpy()
    gap = float(np.abs(z - sae.thresholds().numpy())[alone].max(initial=0))
    table.add(f"activations of {len(x):,} embeddings: largest difference to the CPU", f"{worst:.1e}")
    table.add("pairs that fire on one device alone, and how far from their threshold", f"{alone.sum():,}, {gap:.1e}")
    table.check(worst <= MOST_DIFFERENCE, f"an activation differs by {worst:.1e}")
    table.check(gap <= MOST_DIFFERENCE, f"a pair that fires on one device alone is {gap:.1e} from its threshold")
    here, there = (_near_misses(each, x) for each in (sae, sae.to(device)))
    shared = len(here & there) / max(1, len(here))
    table.add("near misses that both find", f"{shared:.2%} of {len(here):,}")
    table.check(shared > 0.999, f"only {shared:.2%} of the near misses are the same")


def _dense(sparse: Any, n: int, n_features: int) -> np.ndarray:
    dense = np.zeros((n, n_features), np.float32)
    dense[sparse.rows.numpy(), sparse.feature_ids.numpy()] = sparse.activations.numpy()
    return dense


def _near_misses(sae: SAE, x: np.ndarray) -> set[tuple[int, int]]:
    nearest = NearMisses(sae.n_features)
    nearest.add(sae, x, 0)
    return set(zip(nearest.misses.feature_ids.tolist(), nearest.misses.text_ids.tolist(), strict=True))


def time_encoding(table: Table, sae: SAE, x: np.ndarray, device: str) -> None:
    """Time encoding and near misses beside the bare product of the same blocks."""
    there = sae.to(device)
    rows = torch.from_numpy(x).to(device)
    torch.set_float32_matmul_precision("highest")

    def multiply() -> None:
        for start in range(0, len(rows), there.block):
            _ = rows[start : start + there.block] @ there.W_enc

    works = {
        "the bare product": multiply,
        "encoding": lambda: there.encode_sparse(x),
        "near misses": lambda: NearMisses(sae.n_features).add(there, x, 0),
    }
    spent: dict[str, float] = {}
    for name, work in works.items():
        work()
        spent[name] = wall_seconds(work, device)
        share = f", {spent['the bare product'] / spent[name]:.0%} of the product's rate" * (name != "the bare product")
        table.add(f"{name}, {sae.n_features:,} features: rows a second", f"{len(x) / spent[name]:,.0f}{share}")


def build_drawn(table: Table, sae: SAE, n_rows: int, device: str) -> None:
    """Build a run from drawn embeddings, stage by stage."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_sae(sae, folder / "given")
        _write_drawn(folder, sae, n_rows)
        command = [sys.executable, "-m", "precompute", "build", str(folder / "texts.parquet"), "--name", "drawn"]
        command += ["--data", str(folder / "data"), "--embeddings", str(folder / "drawn.npy"), "--device", device]
        command += ["--sae", str(folder / "given"), "--embedding-dtype", "float16"]
        for stage in STAGES:
            cost = run_stage([*command, "--only", stage], folder / "log")
            if cost.code:
                table.check(False, f"{stage} ended with {cost.code}: {(folder / 'log').read_text()[-400:]}")
                return
            figure = f"{cost.seconds:,.0f} s, {cost.cpu_seconds:,.0f} CPU s, {cost.peak_bytes / 1e6:,.0f} MB"
            table.add(f"{stage} of {n_rows:,} drawn embeddings", figure)


def _write_drawn(folder: Path, sae: SAE, n_rows: int) -> None:
    """Write texts that are numbers, and embeddings that are a few directions of the SAE and noise."""
    draw = np.random.default_rng(0)
    directions, centre = sae.W_dec.numpy(), sae.b_dec.numpy()
    matrix = np.lib.format.open_memmap(folder / "drawn.npy", "w+", np.float16, (n_rows, sae.d_in))
    schema = pa.schema({"text": pa.string()})
    with pq.ParquetWriter(folder / "texts.parquet", schema) as writer:
        for start in range(0, n_rows, ROWS_A_WRITE):
            n = min(ROWS_A_WRITE, n_rows - start)
            mixed = directions[draw.integers(0, len(directions), (4, n))].sum(axis=0) / 2
            noise = draw.standard_normal((n, sae.d_in), dtype=np.float32) / sae.d_in**0.5
            matrix[start : start + n] = (centre + mixed + 0.5 * noise).astype(np.float16)
            numbers = pa.array(np.arange(start, start + n)).cast(pa.string())
            words = pa.compute.binary_join_element_wise(pa.scalar("number"), numbers, " ")
            writer.write_table(pa.table({"text": words}, schema=schema))
    matrix.flush()


def main() -> int:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("data/demo"))
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--texts", type=int)
    parser.add_argument("--features", type=int)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    device = find_device(options.device)
    sizes = {"texts": 2_000, "features": 16_384, "rows": 10_000_000} if device == "cuda" else SMALL
    sizes = {name: getattr(options, name) or size for name, size in sizes.items()}
    run = Run(options.run).current()
    texts = pq.read_table(run.file(TEXTS), columns=["text"])["text"].slice(0, sizes["texts"]).to_pylist()
    x, table = np.concatenate([read_embeddings(part) for part in run.parts(EMBEDDINGS)]), Table()
    name = (
        torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, no GPU: nothing is shown of one"
    )
    table.add("device", name)
    compare_embeddings(table, texts, device)
    time_mpnet(table, texts, device)
    trained = load_sae(options.run)
    compare_activations(table, trained, x[:COMPARED], device)
    wide, wide_x = widen(trained, x, sizes["features"], trained.d_in, np.random.default_rng(0))
    time_encoding(table, wide, wide_x, device)
    build_drawn(table, wide, sizes["rows"], device)
    for fault in table.faults:
        sys.stderr.write(f"{fault}\n")
    if options.write:
        lines = ["| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in table.rows)]
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 1 if table.faults else 0


if __name__ == "__main__":
    sys.exit(main())
