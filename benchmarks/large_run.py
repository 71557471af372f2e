"""Write a run of any size in the shape of a real one, so that pages and questions can be measured on it.

Usage: python -m benchmarks.large_run FOLDER/NAME --texts 1000000 [--features 16384] [--titles FILE.parquet]
       [--embeddings FILE.npy] [--like data/demo] [--seed 0]

What is real: the texts, with --titles (they are repeated, with a number, where there are too few); otherwise they are
drawn from the words of the run `--like`. With --embeddings, an embedding is a mean of two real ones, drawn with the
weights of a coin that is not fair, and a little noise; otherwise it is drawn at random. What is drawn: the activations
(each feature has a density like those of the run `--like`, its texts are drawn, its values are those of a skewed
distribution), and all that summarises them agrees with them: features, top texts, histograms, the numbers of a text.
Labels, keywords, themes, near misses, coactivations, families and the audit are drawn, of the sizes that real stages
give. The SAE is drawn too, so what a text fires by the worker is not what the table of activations says.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurelib import schema
from featurelib.layout import MOST_TEXTS, find_regions
from featurelib.schema import Table
from featurelib.storage import files
from featurelib.storage.runs import Done, Generation, Run, open_run

D_IN = 384
PER_PART = 1_000_000
TEXTS_PER_PART = 100_000
L0 = 26.0
GROUPS = ("Mathematics", "Physics", "Computer Science", "Statistics", "Biology")


@dataclass(frozen=True)
class Size:
    """How large the run is."""

    n_texts: int
    n_features: int


class Writer:
    """Writes the tables of one generation, quickly: the compression of a real build takes longer than all the rest."""

    def __init__(self, generation: Generation, size: Size, seed: int) -> None:
        self.generation, self.size = generation, size
        self.draw = np.random.default_rng(seed)
        self.words: np.ndarray = np.array([])

    def write(self, table: Table, columns: dict[str, object], part: int | None = None) -> None:
        """Write a table, or one part of it; columns that are not the table's own follow its own."""
        arrays = [_array(columns[field.name], field.type) for field in table.schema]
        own = {name: pa.array(values) for name, values in columns.items() if name not in table.schema.names}
        path = self.generation.file(table) / f"part-{part:05d}.parquet" if part is not None else None
        path = path or self.generation.file(table)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = pa.table([*arrays, *own.values()], names=[*table.schema.names, *own])
        group = 2_048 if table.view == "embeddings" else files.ROW_GROUP
        group = 2_048 if table.view == "texts" else group
        pq.write_table(rows, path, compression="zstd", compression_level=1, row_group_size=group)

    def names(self, n: int, most: int = 3) -> list[str]:
        """Words with dots between them, as labels have them."""
        drawn = self.words[self.draw.integers(0, len(self.words), (n, most))]
        return [" · ".join(words[: 1 + place % most]) for place, words in enumerate(drawn)]


def _array(values: object, kind: pa.DataType) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim == 2:
        fixed = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        return fixed
    return pa.array(values).cast(kind)


def texts(writer: Writer, titles: Path | None, like: Run) -> None:
    """The texts with some columns of their own."""
    n, draw = writer.size.n_texts, writer.draw
    if titles is not None:
        real = pq.read_table(titles, columns=["id", "text", "label", "group", "year"])
        place = np.arange(n) % real.num_rows
        own = real.take(pa.array(place))
        words = own["text"].combine_chunks()
        again = np.arange(n) >= real.num_rows
        if again.any():
            numbered = pc.binary_join_element_wise(words, pa.array(np.arange(n)).cast(pa.string()), " ")
            words = pc.if_else(pa.array(again), numbered, words)
        columns: dict[str, object] = {name: own[name].combine_chunks() for name in ("label", "group", "year")}
        source_ids: object = own["id"].combine_chunks()
    else:
        words = pa.array(_sentences(writer, n, like))
        kind = draw.integers(0, 40, n)
        columns = {
            "label": pa.array([f"kind-{value}" for value in range(40)]).take(pa.array(kind)),
            "group": pa.array(GROUPS).take(pa.array(kind % len(GROUPS))),
            "year": draw.integers(1995, 2025, n),
        }
        source_ids = pa.array(np.arange(n)).cast(pa.string())
    some = pc.split_pattern_regex(words.slice(0, 50_000), r"\W+").flatten().unique().to_pylist()
    writer.words = np.array([word.lower() for word in some if word and len(word) > 4])
    ids = np.arange(n)
    own_columns = {"text_id": ids, "source_row": ids, "source_id": source_ids, "text": words} | columns
    writer.write(schema.TEXTS, own_columns)


def _sentences(writer: Writer, n: int, like: Run) -> list[str]:
    real = pq.read_table(like.current().file(schema.TEXTS), columns=["text"])["text"].to_pylist()
    pool = np.array(" ".join(real[:2_000]).split())
    first = writer.draw.integers(0, len(pool) - 12, n)
    return [" ".join(pool[place : place + 11]) for place in first]


def embeddings(writer: Writer, real: np.ndarray | None) -> None:
    """The embeddings, in parts."""
    n, draw = writer.size.n_texts, writer.draw
    for number, first in enumerate(range(0, n, TEXTS_PER_PART)):
        rows = min(TEXTS_PER_PART, n - first)
        drawn = draw.standard_normal((rows, D_IN), dtype=np.float32)
        if real is not None:
            share = draw.beta(0.6, 0.6, (rows, 1)).astype(np.float32)
            pairs = real[draw.integers(0, len(real), (2, rows))].astype(np.float32)
            drawn = share * pairs[0] + (1 - share) * pairs[1] + 0.01 * drawn
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        columns = {
            "text_id": np.arange(first, first + rows),
            "embedding": drawn.astype(np.float16),
            "n_tokens": draw.integers(8, 30, rows),
            "truncated": np.zeros(rows, bool),
            "cut": np.full(rows, -1),
        }
        writer.write(schema.EMBEDDINGS, columns, number)


def densities(writer: Writer, like: Run) -> np.ndarray:
    """The number of texts of each feature: densities like those of a real run, of which the mean is that of the L0."""
    real = pq.read_table(like.current().file(schema.FEATURES), columns=["density"])["density"].to_numpy()
    drawn = np.quantile(real, writer.draw.random(writer.size.n_features))
    drawn *= L0 / drawn.sum()
    return np.minimum(np.round(drawn * writer.size.n_texts), 0.4 * writer.size.n_texts).astype(np.int64)


def activations(writer: Writer, like: Run) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each feature's texts and activations, the strongest first."""
    n = writer.size.n_texts
    for feature_id, n_active in enumerate(densities(writer, like)):
        ids = np.unique(writer.draw.integers(0, n, n_active, dtype=np.int32))
        values = (0.15 + 0.12 * writer.draw.gamma(1.5, 1.0, len(ids))).astype(np.float32)
        order = np.lexsort((ids, -values))
        yield feature_id, ids[order], values[order]


def encode(writer: Writer, like: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Activations in both orders; returns offsets [n_features + 1], text ids and activations by feature."""
    found = list(activations(writer, like))
    sizes = np.array([len(ids) for _, ids, _ in found])
    offsets = np.append(0, np.cumsum(sizes))
    text_ids, values = (np.concatenate([entry[place] for entry in found]) for place in (1, 2))
    del found
    feature_ids = np.repeat(np.arange(writer.size.n_features, dtype=np.int32), sizes)
    for number, first in enumerate(range(0, len(values), PER_PART)):
        part = slice(first, first + PER_PART)
        columns = {"text_id": text_ids[part], "feature_id": feature_ids[part], "activation": values[part]}
        writer.write(schema.BY_FEATURE, columns, number)
    order = np.argsort(text_ids, kind="stable")
    for number, first in enumerate(range(0, len(values), PER_PART)):
        part = order[first : first + PER_PART]
        columns = {"text_id": text_ids[part], "feature_id": feature_ids[part], "activation": values[part]}
        writer.write(schema.BY_TEXT, columns, number)
    n, draw = writer.size.n_texts, writer.draw
    split = np.array(["train", "held_out"])[(draw.random(n) < 0.1).astype(int)]
    columns = {
        "text_id": np.arange(n),
        "n_active": np.bincount(text_ids, minlength=n),
        "fvu": draw.beta(3, 9, n).astype(np.float32),
        "cosine": draw.beta(18, 3, n).astype(np.float32),
        "n_tokens": draw.integers(8, 30, n),
        "truncated": np.zeros(n, bool),
        "cut": np.full(n, -1),
        "sae_split": split,
    }
    writer.write(schema.TEXT_SUMMARIES, columns)
    writer.write(schema.SAE_SPLIT, {"text_id": np.arange(n), "sae_split": split})
    return offsets, text_ids, values


def summaries(writer: Writer, offsets: np.ndarray, text_ids: np.ndarray, values: np.ndarray) -> None:
    """What summarises the activations."""
    n_texts, n_features = writer.size.n_texts, writer.size.n_features
    n_active = np.diff(offsets)
    dead = n_active == 0
    ends = np.minimum(offsets[:-1], len(values) - 1)
    sums = np.add.reduceat(np.append(values, 0.0).astype(np.float64), offsets[:-1])
    density = n_active / n_texts
    columns = {
        "feature_id": np.arange(n_features),
        "n_active": n_active,
        "density": density,
        "log10_density": pa.array(np.log10(np.maximum(density, 1e-12)), mask=dead),
        "max_activation": np.where(dead, 0, values[ends]),
        "mean_activation": np.where(dead, 0, sums / np.maximum(n_active, 1)),
        "dead": dead,
    }
    writer.write(schema.FEATURES, columns)
    kept = np.minimum(n_active, schema.TOP_TEXTS)
    feature_ids = np.repeat(np.arange(n_features), kept)
    rank = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    place = offsets[feature_ids] + rank
    top = {"feature_id": feature_ids, "rank": rank + 1, "text_id": text_ids[place], "activation": values[place]}
    writer.write(schema.TOP_TEXT_ROWS, top)
    live = np.flatnonzero(~dead)
    n_bins = schema.HISTOGRAM_BINS
    counts = np.zeros((len(live), n_bins), np.int64)
    for row, feature_id in enumerate(live):
        own = values[offsets[feature_id] : offsets[feature_id + 1]].astype(np.float64)
        bins = np.ceil(own * n_bins / own[0]) - 1
        counts[row] = np.bincount(np.clip(bins, 0, n_bins - 1).astype(int), minlength=n_bins)
    bin_of, greatest = np.tile(np.arange(n_bins), len(live)), np.repeat(values[offsets[live]].astype(float), n_bins)
    columns = {
        "feature_id": np.repeat(live, n_bins),
        "bin": bin_of,
        "left": greatest * bin_of / n_bins,
        "right": greatest * (bin_of + 1) / n_bins,
        "n_texts": counts.ravel(),
    }
    writer.write(schema.HISTOGRAMS, columns)
    attributions(writer, top)


def attributions(writer: Writer, top: dict[str, np.ndarray]) -> None:
    """Attributions of the ten strongest texts of each feature; a word has six characters."""
    first = np.asarray(top["rank"]) <= 10
    ids, features = np.asarray(top["text_id"])[first], np.asarray(top["feature_id"])[first]
    n_words = 8
    starts = [list(range(0, 7 * n_words, 7))]
    known = np.unique(ids)
    writer.write(
        schema.TEXT_WORDS,
        {"text_id": known, "starts": starts * len(known), "ends": [[at + 6 for at in starts[0]]] * len(known)},
    )
    parts = writer.draw.normal(0.02, 0.03, (len(ids), n_words)).astype(np.float32)
    columns = {
        "feature_id": features,
        "text_id": ids,
        "parts": pa.array(list(parts)),
        "special": np.full(len(ids), 0.01),
        "constant": np.full(len(ids), 0.02),
        "pre_activation": parts.sum(1) + 0.03,
    }
    writer.write(schema.ATTRIBUTIONS, columns)


def relations(writer: Writer) -> None:
    """Neighbours, opposites, coactivations, near misses, families."""
    n, draw = writer.size.n_features, writer.draw
    per = schema.COACTIVATIONS
    owner, rank = np.repeat(np.arange(n), per), np.tile(np.arange(1, per + 1), n)
    cosine = -np.sort(-draw.uniform(0.2, 0.8, (n, per)), axis=1).ravel()
    near = {"feature_id": owner, "rank": rank, "neighbour_id": draw.integers(0, n, n * per), "cosine": cosine}
    writer.write(schema.NEIGHBOUR_ROWS, near)
    writer.write(schema.OPPOSITE_ROWS, near | {"cosine": -cosine})
    both = draw.integers(5, 500, n * per)
    lift = -np.sort(-draw.lognormal(1, 1, (n, per)), axis=1).ravel()
    share = draw.beta(1, 20, (2, n * per))
    columns = {"feature_id": owner, "rank": rank, "other_id": draw.integers(0, n, n * per), "n_both": both}
    writer.write(schema.COACTIVATION_ROWS, columns | {"jaccard": share[0], "conditional": share[1], "lift": lift})
    missed = 20
    owner, rank = np.repeat(np.arange(n), missed), np.tile(np.arange(1, missed + 1), n)
    columns = {"feature_id": owner, "rank": rank, "text_id": draw.integers(0, writer.size.n_texts, n * missed)}
    below = -np.sort(-draw.uniform(0.05, 0.15, (n, missed)), axis=1).ravel()
    writer.write(schema.NEAR_MISSES, columns | {"pre_activation": below, "needed": np.full(n * missed, 0.15)})
    members = draw.permutation(n)[: n // 2]
    size = 7
    n_families = len(members) // size
    members = members[: n_families * size]
    family_ids, place = np.repeat(np.arange(n_families), size), np.tile(np.arange(size), n_families)
    parents = np.repeat(members[::size], size)
    columns = {
        "feature_id": members,
        "family_id": family_ids,
        "parent_id": pa.array(parents, mask=place == 0),
        "depth": (place > 0).astype(int),
        **dict.fromkeys(("n_both", "conditional", "share_of_parent", "nesting"), draw.random(len(members))),
    }
    columns["n_both"] = draw.integers(5, 500, len(members))
    writer.write(schema.FAMILIES, columns)
    measures = ("r_parent_child", "r_children", "in_block", "off_block", "block_ratio", "shuffled_ratio")
    columns = {"family_id": np.arange(n_families), "root_id": members[::size], "size": np.full(n_families, size)}
    columns |= {"depth": np.ones(n_families, int)} | {name: draw.uniform(0.1, 9, n_families) for name in measures}
    writer.write(schema.FAMILY_METRICS, columns)


def names(writer: Writer) -> None:
    """Labels, keywords and how well they predict; layouts, thresholds, the audit."""
    n, draw = writer.size.n_features, writer.draw
    ids = np.arange(n)
    writer.write(schema.LABELS, {"feature_id": ids, "label": writer.names(n), "source": ["evidence"] * n})
    per = 20
    owner, rank = np.repeat(ids, per), np.tile(np.arange(1, per + 1), n)
    words = writer.names(n * per, most=1)
    score = -np.sort(-draw.random((n, per)), axis=1).ravel()
    columns = {"feature_id": owner, "rank": rank, "keyword": words, "score": score, "n_texts": np.full(n * per, 3)}
    writer.write(schema.KEYWORDS, columns)
    columns = {
        "feature_id": owner,
        "rank": rank,
        "keyword": words,
        "origin": ["top texts"] * (n * per),
        "pre_activation": score,
        "fires": score > 0.5,
        "auroc": score,
        "ap": score / 4,
        "chosen": rank <= 3,
    }
    writer.write(schema.KEYWORD_EVIDENCE, columns)
    fidelity(writer)
    vectors = draw.standard_normal((n, D_IN)).astype(np.float32)
    writer.write(schema.LABEL_VECTORS, {"feature_id": ids, "embedding": vectors})
    writer.write(schema.KEYWORD_CLUSTERS, {"feature_id": ids, "cluster": draw.integers(-1, 200, n)})
    place = draw.standard_normal((2, n)).astype(np.float32)
    writer.write(schema.LAYOUT, {"feature_id": ids, "x": place[0], "y": place[1], "cluster": draw.integers(-1, 200, n)})
    shown = np.sort(draw.permutation(writer.size.n_texts)[:MOST_TEXTS])
    place = draw.standard_normal((2, len(shown))).astype(np.float32)
    writer.write(schema.TEXT_LAYOUT, {"text_id": shown, "x": place[0], "y": place[1]})
    themes(writer)
    writer.write(
        schema.THRESHOLDS, {"feature_id": ids, "gate": np.full(n, 0.15), "alignment": draw.uniform(0.3, 0.9, n)}
    )
    checks = ("length", "truncation", "language", "script", "boilerplate", "copies")
    measured = ("value", "low", "high", "expected")
    columns = {
        "feature_id": np.repeat(ids, len(checks)),
        "check": list(checks) * n,
        **{name: draw.random(n * len(checks)) for name in measured},
        "n_texts": draw.integers(5, 500, n * len(checks)),
        "flagged": draw.random(n * len(checks)) < 0.02,
        "detail": ["drawn"] * (n * len(checks)),
    }
    writer.write(schema.AUDIT, columns)
    copied = np.sort(draw.permutation(writer.size.n_texts)[: writer.size.n_texts // 50]).reshape(-1, 2)
    columns = {"text_id": copied.ravel(), "copy_of": np.repeat(copied[:, 0], 2)}
    writer.write(schema.COPIES, columns | {"n_copies": np.full(copied.size, 1), "exact": np.ones(copied.size, bool)})


def fidelity(writer: Writer) -> None:
    """How well both methods' labels predict, drawn."""
    n, draw = writer.size.n_features, writer.draw
    ids = np.arange(n)
    measured = ("auroc", "auroc_low", "auroc_high", "ap", "ap_low", "ap_high")
    kinds = [(method, predictor) for method in ("ours", "baseline") for predictor in ("resembles", "contains")]
    columns = {
        "feature_id": np.repeat(ids, 4),
        "method": [method for method, _ in kinds] * n,
        "label": ["a label"] * (4 * n),
        "predictor": [predictor for _, predictor in kinds] * n,
        **{name: draw.uniform(0.4, 0.9, 4 * n) for name in measured},
        "n_fires": draw.integers(5, 500, 4 * n),
        "n_texts": np.full(4 * n, 2000),
    }
    writer.write(schema.FIDELITY, columns)


def themes(writer: Writer) -> None:
    """The map of what fires features, drawn, with its regions, and the region of every text at each level."""
    n, draw = writer.size.n_features, writer.draw
    ids, place = np.arange(n), draw.standard_normal((2, n)).astype(np.float32)
    writer.write(schema.FIRING_LAYOUT, {"feature_id": ids, "x": place[0], "y": place[1]})
    levels = find_regions(place.T).of_points
    columns = {
        "level": np.repeat(np.arange(len(levels)), n),
        "region_id": levels.ravel(),
        "feature_id": np.tile(ids, len(levels)),
    }
    writer.write(schema.REGION_FEATURES, columns)
    sizes = [int(of_level.max()) + 1 for of_level in levels]
    of_texts = [draw.integers(0, size, writer.size.n_texts) for size in sizes]
    columns = {
        "level": np.repeat(np.arange(len(sizes)), writer.size.n_texts),
        "region_id": np.concatenate(of_texts),
        "text_id": np.tile(np.arange(writer.size.n_texts), len(sizes)),
        "strength": draw.random(len(sizes) * writer.size.n_texts),
    }
    writer.write(schema.REGION_TEXTS, columns)
    rows = [(level, region) for level, size in enumerate(sizes) for region in range(size)]
    own = [levels[level] == region for level, region in rows]
    n_texts = [int((of_texts[level] == region).sum()) for level, region in rows]
    parents = [int(levels[level - 1][of][0]) if level else None for (level, _), of in zip(rows, own, strict=True)]
    columns = {
        "level": [level for level, _ in rows],
        "region_id": [region for _, region in rows],
        "parent_id": parents,
        "label": writer.names(len(rows)),
        "x": [float(np.median(place[0][of])) for of in own],
        "y": [float(np.median(place[1][of])) for of in own],
        "n_features": [int(of.sum()) for of in own],
        "n_texts": n_texts,
        "share": [n / writer.size.n_texts for n in n_texts],
        "n_strongest": [20] * len(rows),
        "n_holding": draw.integers(0, 21, len(rows)),
        "auroc": draw.uniform(0.6, 1, len(rows)),
        "ap": draw.uniform(0.2, 0.8, len(rows)),
    }
    writer.write(schema.REGIONS, columns)


def sae(writer: Writer, like: Generation) -> None:
    """A drawn SAE in the layout of the other run's."""
    from safetensors.numpy import save_file

    n, draw = writer.size.n_features, writer.draw
    folder = writer.generation.sae_folder
    folder.mkdir(parents=True, exist_ok=True)
    directions = draw.standard_normal((n, D_IN)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    weights = {"W_enc": directions.T.copy(), "b_enc": np.zeros(n, np.float32), "W_dec": directions}
    weights |= {"b_dec": np.zeros(D_IN, np.float32), "threshold": np.full(n, 0.15, np.float32)}
    save_file(weights, folder / "sae_weights.safetensors")
    config = json.loads((like.sae_folder / "cfg.json").read_text(encoding="utf-8")) | {"d_in": D_IN, "d_sae": n}
    files.write_json(folder / "cfg.json", config)


def finish(writer: Writer, like: Generation) -> None:
    """The tables that are the other run's or have no rows, run.json, the markers, the manifest."""
    generation, size = writer.generation, writer.size
    files.link_or_copy(like.file(schema.EVALUATION), generation.file(schema.EVALUATION))
    made = like.describe()
    made["corpus"] |= {"n_texts": size.n_texts, "n_rows": size.n_texts, "source": "drawn"}
    made["corpus"] |= {"columns": {"id": "id", "text": "text"}, "metadata": ["label", "group", "year"]}
    made["sae"] = made.get("sae", {}) | {"n_features": size.n_features, "d_in": D_IN}
    files.write_json(generation.path / "run.json", made)
    for table in schema.TABLES:
        if not generation.file(table).exists():
            files.write_parquet(generation.file(table), table.schema.empty_table(), table.schema)
    for stage in schema.STAGES:
        done = like.done(stage)
        facts = dict(done.facts) if done else {}
        known = {"n_texts": size.n_texts, "n_features": size.n_features, "columns": {"id": "id", "text": "text"}}
        facts |= {name: value for name, value in known.items() if name in facts}
        generation.mark_done(stage, Done(f"{stage} {size}", facts, "drawn", {}))
    listed = {
        path.relative_to(generation.path).as_posix(): {"bytes": path.stat().st_size, "sha256": files.sha256_file(path)}
        for path in generation.manifest_files()
    }
    files.write_json(generation.path / "manifest.json", {"files": listed})


def main(arguments: list[str] | None = None) -> int:
    """Write the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of the run; it is replaced")
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=16_384)
    parser.add_argument("--titles", type=Path, help="a Parquet file with id, text, label, group, year")
    parser.add_argument("--embeddings", type=Path, help="real embeddings, .npy [n, 384]")
    parser.add_argument("--like", type=Path, default=Path("data/demo"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    like = open_run(given.like)
    if given.run.exists():
        shutil.rmtree(given.run)
    run = Run(given.run)
    generation = run.next_generation()
    generation.path.mkdir(parents=True)
    writer = Writer(generation, Size(given.texts, given.features), given.seed)
    real = np.load(given.embeddings, mmap_mode="r") if given.embeddings else None
    began = time.perf_counter()

    def say(what: str) -> None:
        sys.stdout.write(f"{time.perf_counter() - began:7.0f} s  {what}\n")
        sys.stdout.flush()

    texts(writer, given.titles, like)
    say("texts")
    embeddings(writer, real)
    say("embeddings")
    offsets, text_ids, values = encode(writer, like)
    say(f"{len(values):,} activations")
    summaries(writer, offsets, text_ids, values)
    relations(writer)
    names(writer)
    sae(writer, like.current())
    say("summaries")
    finish(writer, like.current())
    run.point_to(generation)
    say("manifest")
    return 0


if __name__ == "__main__":
    sys.exit(main())
