"""What computes the embedder: torch, ONNX Runtime, OpenVINO, and two of them in bfloat16, beside bare products.

Usage: python -m benchmarks.backends CORPUS.parquet [--texts 2000] [--rounds 2] [--run data/demo] [--backends onnx]

The texts (columns title and text, or text alone) are spread evenly over the file. Each backend embeds all of them in
every round, one after the other in the same process; what is reported is CPU seconds, the median of the rounds, over
those of torch. The products are those of the model's Linear layers and of its attention, on random numbers with the
batches that the embedder makes: the least that float32 takes here. A backend whose packages are missing is said to be.

With --run, whose SAE must read the same embedder: of each feature that fires on ten of the texts or more, the share of
its ten strongest texts, by torch's embeddings, that are among the ten by the backend's; and L0 by both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from featurelib.embedder import DEFAULT_EMBEDDER, Embedder, load_embedder
from featurelib.embedder.backends import BACKENDS
from featurelib.embedder.batches import spread_over_threads
from featurelib.embedder.transformer import SentenceEmbedder
from featurelib.sae.checkpoints import load_sae
from featurelib.schema import Refusal
from featurelib.storage.runs import open_run

TOP = 10
HALF = {"bfloat16": {"dtype": "bfloat16"}, "openvino-bfloat16": {"dtype": "bfloat16", "backend": "openvino"}}
"""Those that compute in bfloat16, and how they are loaded."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--embedder", default=DEFAULT_EMBEDDER)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--backends", default=",".join((*BACKENDS, *HALF)))
    flags = parser.parse_args()
    texts = read_texts(flags.corpus, flags.texts)
    embedders = load_all(flags.embedder, flags.backends.split(","))
    first = next(iter(embedders.values()))
    lengths = first._lengths(texts)
    batches = list(first._batches(lengths, None))
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    print(f"{len(texts):,} texts, {lengths.mean():.0f} tokens each, {padded / lengths.sum() - 1:.1%} padding")
    seconds: dict[str, list[float]] = {name: [] for name in ("products", "tokenizing", *embedders)}
    embeddings: dict[str, np.ndarray] = {}
    products = products_of(first, lengths)
    for _ in range(flags.rounds):
        seconds["products"].append(clocked(lambda: spread(products, batches)))
        seconds["tokenizing"].append(clocked(lambda: first.tokens(texts)))
        for name, embedder in embedders.items():
            seconds[name].append(clocked(lambda own=embedder, key=name: embeddings.update({key: own.embed(texts)})))
    report(seconds, embeddings, len(texts))
    if flags.run:
        report_features(flags.run, embeddings)


def read_texts(corpus: Path, n: int) -> list[str]:
    """The title and text of `n` rows that are spread evenly over a Parquet file."""
    table = pq.read_table(corpus, columns=[name for name in ("title", "text") if name in pq.read_schema(corpus).names])
    rows = np.linspace(0, len(table) - 1, n).astype(np.int64)
    return [". ".join(row.values()) for row in table.take(rows).to_pylist()]


def load_all(name: str, backends: list[str]) -> dict[str, SentenceEmbedder]:
    """The embedder by each backend that is installed, warmed up."""
    embedders: dict[str, SentenceEmbedder] = {}
    for backend in backends:
        try:
            embedder: Embedder = load_embedder(name, device="cpu", **HALF.get(backend, {"backend": backend}))
        except Refusal as refusal:
            print(refusal)
            continue
        embedder.embed(["a text", "another one of other length"])
        embedders[backend] = embedder
    return embedders


def clocked(work: Callable[[], object]) -> float:
    """CPU seconds of all threads."""
    before = time.process_time()
    work()
    return time.process_time() - before


def products_of(embedder: SentenceEmbedder, lengths: np.ndarray) -> Callable[[np.ndarray], None]:
    """A function that makes the matrix products of one batch: every Linear layer, and the two of each attention."""
    import torch

    transformer = embedder._model[0].model
    config = transformer.config
    linears = [module.weight for name, module in transformer.named_modules() if _is_linear(name, module)]
    width = config.hidden_size // config.num_attention_heads

    def products(batch: np.ndarray) -> None:
        longest = int(lengths[batch].max())
        inputs = {size: torch.randn(len(batch) * longest, size) for size in {weight.shape[1] for weight in linears}}
        heads = torch.randn(len(batch) * config.num_attention_heads, longest, width)
        with torch.inference_mode():
            for weight in linears:
                torch.nn.functional.linear(inputs[weight.shape[1]], weight)
            for _ in range(config.num_hidden_layers):
                torch.bmm(torch.bmm(heads, heads.transpose(1, 2)), heads)

    return products


def _is_linear(name: str, module: object) -> bool:
    return type(module).__name__ == "Linear" and "pooler" not in name


def spread(work: Callable[[np.ndarray], object], batches: list[np.ndarray]) -> None:
    """Do the work of all batches as the embedder does it."""
    with spread_over_threads("cpu", len(batches)) as each:
        for _ in each(work, batches):
            pass


def report(seconds: dict[str, list[float]], embeddings: dict[str, np.ndarray], n_texts: int) -> None:
    """Print CPU seconds, their ratio to the products and to torch, and the cosines to torch's embeddings."""
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    first = next(iter(embeddings))
    print(f"{'':<12}{'CPU s':>8}{'texts / CPU s':>15}{'× products':>12}{'speed':>8}   cosine: least, mean; difference")
    for name, value in medians.items():
        line = f"{name:<12}{value:>8.2f}{n_texts / value:>15.1f}{value / medians['products']:>12.2f}"
        if name in embeddings:
            cosines = _cosines(embeddings[name], embeddings[first])
            difference = np.abs(embeddings[name] - embeddings[first]).max()
            line += f"{medians[first] / value:>8.2f}   {cosines.min():.7f}, {cosines.mean():.7f}; {difference:.1e}"
        print(line)


def _cosines(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    rows, others = rows.astype(np.float64), others.astype(np.float64)
    return np.sum(rows * others, axis=1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(others, axis=1)


def report_features(run: Path, embeddings: dict[str, np.ndarray]) -> None:
    """Print how many of each feature's top texts stay."""
    sae = load_sae(open_run(run).current().sae_folder)
    first, *others = embeddings
    expected = sae.encode(embeddings[first]).numpy()
    live = np.flatnonzero((expected > 0).sum(axis=0) >= TOP)
    for name in others:
        activations = sae.encode(embeddings[name]).numpy()
        stay = [len(_top(expected[:, own]) & _top(activations[:, own])) / TOP for own in live]
        l0 = (expected > 0).sum(axis=1).mean(), (activations > 0).sum(axis=1).mean()
        print(
            f"{name}: {np.mean(stay):.2%} of the {TOP} strongest texts of {len(live):,} features stay, all of them of "
            f"{np.mean(np.array(stay) == 1):.1%}; L0 {l0[0]:.2f} and {l0[1]:.2f}"
        )


def _top(activations: np.ndarray) -> set[int]:
    return set(np.argsort(-activations, kind="stable")[:TOP].tolist())


if __name__ == "__main__":
    main()
