"""Libraries for the nearest of many embeddings beside the exact scan: recall at 20, build, memory, time of a search.

Usage: python -m benchmarks.nearest EMBEDDINGS.npy [--queries 200] [--only exact,faiss-ivf,…] [--threads 2]

EMBEDDINGS.npy is [n, d]. Queries are embeddings of the file with noise, which are what a reader asks for: near to some
text, and no text itself. Recall at 20 is the share of the exact twenty (cosine in float64) that is found; each library
returns `--candidates` of which the best twenty are taken by exact cosine, as the search does. Every library runs in a
process of its own, so that memory is its own: the peak above what the process had before, while it builds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WANTED = 20
BATCH = 50_000
Search = Callable[[np.ndarray, int], np.ndarray]
"""From a unit vector and a number of candidates to their places."""


def units(embeddings: np.ndarray, first: int, last: int) -> np.ndarray:
    """Some of the embeddings, float32, of length 1."""
    rows = np.asarray(embeddings[first:last], np.float32)
    lengths: np.ndarray = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


def exact(embeddings: np.ndarray, folder: Path, threads: int) -> Search:
    """The scan of the project."""
    from featurelib.search.nearest import nearest_of

    return lambda query, n: nearest_of(embeddings, query, n)[0]


def _usearch(kind: str) -> Callable[[np.ndarray, Path, int], Search]:
    def build(embeddings: np.ndarray, folder: Path, threads: int) -> Search:
        from usearch.index import Index

        index = Index(ndim=embeddings.shape[1], metric="cos", dtype=kind, connectivity=16, expansion_add=64)
        for first in range(0, len(embeddings), BATCH):
            rows = units(embeddings, first, first + BATCH)
            index.add(np.arange(first, first + len(rows)), rows, threads=threads)
        index.save(str(folder / "index"))
        viewed = Index.restore(str(folder / "index"), view=True)
        viewed.expansion_search = 256
        return lambda query, n: viewed.search(query, n, threads=1).keys.astype(np.int64)

    return build


def hnswlib(embeddings: np.ndarray, folder: Path, threads: int) -> Search:
    """HNSW in float32, all of it in memory."""
    import hnswlib as library

    index = library.Index(space="cosine", dim=embeddings.shape[1])
    index.init_index(max_elements=len(embeddings), ef_construction=64, M=16)
    for first in range(0, len(embeddings), BATCH):
        rows = units(embeddings, first, first + BATCH)
        index.add_items(rows, np.arange(first, first + len(rows)), num_threads=threads)
    index.save_index(str(folder / "index"))
    index.set_ef(256)
    return lambda query, n: index.knn_query(query, k=n, num_threads=1)[0][0].astype(np.int64)


def _faiss(description: str, probes: int) -> Callable[[np.ndarray, Path, int], Search]:
    def build(embeddings: np.ndarray, folder: Path, threads: int) -> Search:
        import faiss

        faiss.omp_set_num_threads(threads)
        n, d = embeddings.shape
        lists = int(4 * np.sqrt(n))
        index = faiss.index_factory(d, description.format(lists=lists), faiss.METRIC_INNER_PRODUCT)
        sample = np.sort(np.random.default_rng(0).permutation(n)[: 40 * lists])
        index.train(np.concatenate([units(embeddings[sample], at, at + BATCH) for at in range(0, len(sample), BATCH)]))
        for first in range(0, n, BATCH):
            index.add(units(embeddings, first, first + BATCH))
        faiss.write_index(index, str(folder / "index"))
        read = faiss.read_index(str(folder / "index"), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        faiss.extract_index_ivf(read).nprobe = probes
        faiss.omp_set_num_threads(1)
        return lambda query, n: read.search(query[None], n)[1][0]

    return build


def ours(embeddings: np.ndarray, folder: Path, threads: int) -> Search:
    """What the project uses: Faiss with fewer lists, its codes learned from fewer vectors."""
    from featurelib.storage.index.nearest_places import NearestPlaces, write_nearest

    write_nearest(embeddings, folder / "index")
    places = NearestPlaces(folder / "index")
    return lambda query, n: places.near(query, n)


LIBRARIES: dict[str, Callable[[np.ndarray, Path, int], Search]] = {
    "exact": exact,
    "ours": ours,
    "faiss-ivf-sq8": _faiss("IVF{lists},SQ8", 64),
    "faiss-ivf-pq": _faiss("OPQ64_256,IVF{lists},PQ64x4fs", 64),
    "usearch-i8": _usearch("i8"),
    "usearch-f16": _usearch("f16"),
    "hnswlib": hnswlib,
}


def queries_of(embeddings: np.ndarray, n: int) -> np.ndarray:
    """Unit vectors near to some of the embeddings, float32 [n, d]."""
    draw = np.random.default_rng(7)
    near = np.stack([embeddings[place] for place in draw.integers(0, len(embeddings), n)]).astype(np.float32)
    near += 0.02 * draw.standard_normal(near.shape).astype(np.float32)
    lengths: np.ndarray = np.linalg.norm(near, axis=1, keepdims=True)
    return near / lengths


def truths(embeddings: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The exact nearest twenty of each query, int64 [n, 20]: candidates by float32, their order by float64."""
    best = np.full((len(queries), 4 * WANTED), -2.0, np.float32)
    places = np.zeros(best.shape, np.int64)
    for first in range(0, len(embeddings), BATCH):
        rows = units(embeddings, first, first + BATCH)
        scores = np.concatenate([best, queries @ rows.T], axis=1)
        here = np.broadcast_to(np.arange(first, first + len(rows)), (len(queries), len(rows)))
        known = np.concatenate([places, here], axis=1)
        top = np.argpartition(-scores, best.shape[1], axis=1)[:, : best.shape[1]]
        best, places = np.take_along_axis(scores, top, 1), np.take_along_axis(known, top, 1)
    return np.stack([reranked(embeddings, query, row) for query, row in zip(queries, places, strict=True)])


def reranked(embeddings: np.ndarray, query: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The nearest twenty of some places by exact cosine."""
    from featurelib.search.nearest import cosines_of

    places = np.sort(places[places >= 0])
    order = np.argsort(-cosines_of(np.asarray(embeddings[places]), query), kind="stable")
    best: np.ndarray = places[order][:WANTED]
    return best


def peak() -> float:
    """The largest memory of this process so far, in MB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """The figures of one library, in this process."""
    embeddings = np.load(given.embeddings, mmap_mode="r")
    queries, true = queries_of(embeddings, given.queries), np.load(given.truths)
    with tempfile.TemporaryDirectory() as folder:
        before, began = peak(), time.perf_counter()
        search = LIBRARIES[name](embeddings, Path(folder), given.threads)
        built, memory = time.perf_counter() - began, peak() - before
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        walls, cpus, hits = [], [], []
        for number, query in enumerate(queries):
            wall, cpu = time.perf_counter(), time.process_time()
            found = reranked(embeddings, query, np.asarray(search(query, given.candidates)))
            if number >= 5:
                walls.append(time.perf_counter() - wall)
                cpus.append(time.process_time() - cpu)
            hits.append(len(np.intersect1d(found, true[number])) / WANTED)
    return {
        "library": name,
        "recall": float(np.mean(hits)),
        "worst tenth": float(np.quantile(hits, 0.1)),
        "build s": built,
        "build MB": memory,
        "file MB": size,
        "wall ms": 1000 * float(np.median(walls)),
        "95 % ms": 1000 * float(np.percentile(walls, 95)),
        "cpu ms": 1000 * float(np.median(cpus)),
    }


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each library."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=160)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", type=lambda names: names.split(","), default=list(LIBRARIES))
    parser.add_argument("--truths", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        sys.stdout.write(json.dumps(one(given.one, given)))
        return 0
    embeddings = np.load(given.embeddings, mmap_mode="r")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truths.npy"
        np.save(path, truths(embeddings, queries_of(embeddings, given.queries)))
        for name in given.only:
            command = [sys.executable, "-m", "benchmarks.nearest", str(given.embeddings), "--one", name]
            command += ["--truths", str(path), "--queries", str(given.queries)]
            command += ["--candidates", str(given.candidates), "--threads", str(given.threads)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if ended.returncode:
                sys.stdout.write(f"{name:<16}{(ended.stderr.strip().splitlines() or ['ended'])[-1]}\n")
                continue
            figures = json.loads(ended.stdout)
            del figures["library"]
            line = "".join(f"{key} {value:>9.3g}   " for key, value in figures.items())
            sys.stdout.write(f"{name:<16}{line}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
