"""A small complete run written with numpy alone, so that what the library says of it can be checked from outside.

Only the tables of the stage summarise are made by the project; everything else is written here.
"""

from __future__ import annotations

import json
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from featurelib import schema
from featurelib.storage import files
from featurelib.storage.runs import Done, Generation, Run
from precompute.build.config import BuildConfig
from precompute.build.job import Made
from precompute.engines.local import LocalEngine
from precompute.stages.summarise import summarise

N_TEXTS, N_FEATURES, D_IN, PART = 300, 40, 16, 64
DEAD = (3, 17)
HOSTILE = "x\"; drop view texts; -- ' 100% _ \\ <script>alert(1)</script> naïve"
ODD_COLUMN = "o'dd \"na;me"
CLASHING = ("rank", "low", "band", "cosine", "activation", "feature_id", "value", "Cut", "strength")
"""Metadata columns with the names of columns that questions have themselves."""


@dataclass(frozen=True)
class NumpyRun:
    """The run and the truth about it."""

    run: Run
    texts: pd.DataFrame
    """text_id, text and the metadata columns."""
    activations: np.ndarray
    """float32 [N_TEXTS, N_FEATURES]."""
    embeddings: np.ndarray
    """float32 [N_TEXTS, D_IN]."""
    layout: pd.DataFrame
    labels: dict[int, str]
    keywords: pd.DataFrame

    @property
    def generation(self) -> Generation:
        return self.run.current()

    @property
    def rows(self) -> pd.DataFrame:
        """text_id, feature_id, activation."""
        text_ids, feature_ids = np.nonzero(self.activations)
        values = self.activations[text_ids, feature_ids]
        return pd.DataFrame({"text_id": text_ids, "feature_id": feature_ids, "activation": values})


class QuietJob:
    """A job as the verb sees it, without a command line."""

    config = BuildConfig(source="texts.csv", name="numpy", device="cpu")
    engine = LocalEngine()
    append = None

    def __init__(self, generation: Generation) -> None:
        self.generation = generation

    @contextmanager
    def progress(self, *_: object, **__: object):
        yield self

    def advance(self, n: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def say(self, text: str) -> None:
        pass


def run_summarise(generation: Generation) -> Made:
    """Run the verb itself."""
    return summarise(QuietJob(generation))


def make_run(folder: Path, *, upto: str = schema.STAGES[-1], half: bool = False, seed: int = 0) -> NumpyRun:
    """Write a run into `folder` as far as the stage `upto`."""
    run = Run(folder)
    generation = run.next_generation()
    generation.path.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    truth = _truth(run, draw, half)
    files.write_json(generation.path / "run.json", {"format_version": schema.FORMAT_VERSION})
    run.point_to(generation)
    writers = {
        "ingest": lambda: _ingest(generation, truth),
        "embed": lambda: _embed(generation, truth, half),
        "train": lambda: _train(generation),
        "encode": lambda: _encode(generation, truth, draw),
        "summarise": lambda: run_summarise(generation),
        "keywords": lambda: _keywords(generation, truth),
        "layout": lambda: _write(generation, schema.LAYOUT, truth.layout),
        "labels": lambda: _labels(generation, truth),
    }
    for stage in schema.STAGES:
        writers.get(stage, lambda: None)()
        _write_empty(generation, stage)
        facts = {"n_texts": N_TEXTS, "columns": {"title": "title"}} if stage == "ingest" else {"n_features": N_FEATURES}
        generation.mark_done(stage, Done(f"{stage} {seed}", facts, f"{stage} done", {}))
        if stage == upto:
            break
    if upto == schema.STAGES[-1]:
        finish(generation)
    return truth


def _write_empty(generation: Generation, stage: str) -> None:
    """Write the tables of a stage for which this run has no rows, empty."""
    for table in schema.TABLES:
        if table.stage == stage and not table.parts and not generation.file(table).is_file():
            files.write_parquet(generation.file(table), table.schema.empty_table(), table.schema)


def finish(generation: Generation) -> None:
    """Write the manifest."""
    listed = {
        path.relative_to(generation.path).as_posix(): {"bytes": path.stat().st_size, "sha256": files.sha256_file(path)}
        for path in generation.manifest_files()
    }
    files.write_json(generation.path / "manifest.json", {"files": listed})


def weights() -> dict[str, np.ndarray]:
    """The SAE: jumprelu, with two features whose threshold nothing exceeds."""
    draw = np.random.default_rng(1)
    w_dec = draw.standard_normal((N_FEATURES, D_IN)).astype(np.float32)
    w_dec /= np.linalg.norm(w_dec, axis=1, keepdims=True)
    threshold = np.linspace(0.15, 0.5, N_FEATURES, dtype=np.float32)
    threshold[list(DEAD)] = 9
    b_dec = (0.1 * draw.standard_normal(D_IN)).astype(np.float32)
    return {"W_enc": w_dec.T.copy(), "b_enc": np.zeros(N_FEATURES, np.float32), "W_dec": w_dec, "b_dec": b_dec,
            "threshold": threshold}  # fmt: skip


def _truth(run: Run, draw: np.random.Generator, half: bool) -> NumpyRun:
    x = draw.standard_normal((N_TEXTS, D_IN)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[200:220] = x[100:120]  # equal texts: ties in every ranking
    x[-1] = 0  # a row of zeros: its cosine to anything is NaN
    if half:
        x = x.astype(np.float16).astype(np.float32)
    w = weights()
    # einsum adds in one order for every row, so equal embeddings have equal activations to the last bit.
    z = np.einsum("nd,df->nf", x - w["b_dec"], w["W_enc"]) + w["b_enc"]
    activations = np.where(z > w["threshold"], z, 0).astype(np.float32)
    words = np.array(["galaxy", "star", "wave", "quantum", "café", "network", "gene", "Straße"])
    texts = pd.DataFrame({"text_id": np.arange(N_TEXTS)})
    texts["text"] = [f"{' '.join(draw.choice(words, 6))} number{i}" for i in range(N_TEXTS)]
    texts.loc[5, "text"] = HOSTILE
    texts.loc[6, "text"] = "marks \ue000inside\ue001 and a nul\x00here"
    texts["title"] = [f"title {i}" for i in range(N_TEXTS)]
    texts["group"] = [None if i % 11 == 0 else f"g{i % 4}" for i in range(N_TEXTS)]
    texts["year"] = 2000 + texts["text_id"] % 7
    texts["labels"] = [[f"l{i % 3}", f"m{i % 5}"] + ["m0"] * (i % 10 == 0) for i in range(N_TEXTS)]
    for name in CLASHING:
        texts[name] = [f"r{i % 2}" for i in range(N_TEXTS)]
    texts[ODD_COLUMN] = [f"o{i % 2}" for i in range(N_TEXTS)]
    labels = {f: ("feature 5" if f == 5 else f"{words[f % 8]} · label{f}") for f in range(N_FEATURES)}
    keywords = pd.DataFrame(
        [(f, r, f"{words[(f + r) % 8]} key{f}", 2.0 / r, r) for f in range(N_FEATURES) if f != 5 for r in (1, 2, 3)],
        columns=schema.KEYWORDS.schema.names,
    )
    spread = np.arange(N_FEATURES)
    layout = pd.DataFrame({"feature_id": spread, "x": np.cos(spread), "y": np.sin(spread), "cluster": spread % 5 - 1})
    return NumpyRun(run, texts, activations, x, layout, labels, keywords)


def _write(generation: Generation, table: schema.Table, frame: pd.DataFrame, extra: dict | None = None) -> None:
    fields = [pa.field(name, kind) for name, kind in (extra or {}).items()]
    whole = pa.schema([*table.schema, *fields])
    files.write_parquet(generation.file(table), pa.Table.from_pandas(frame, schema=whole, preserve_index=False), whole)


def _parts(generation: Generation, table: schema.Table, rows: pa.Table) -> None:
    text_ids = rows["text_id"].to_numpy()
    for number, start in enumerate(range(0, N_TEXTS, PART)):
        part = rows.filter(pa.array((text_ids >= start) & (text_ids < start + PART)))
        files.write_parquet(generation.file(table) / f"part-{number:05d}.parquet", part, rows.schema)


def _ingest(generation: Generation, truth: NumpyRun) -> None:
    frame = truth.texts.assign(
        source_row=truth.texts["text_id"] + 1, source_id=truth.texts["text_id"].map("s{}".format)
    )
    own = {"title": pa.string(), "group": pa.string(), "year": pa.int64(), "labels": pa.list_(pa.string()),
           **dict.fromkeys(CLASHING, pa.string()), ODD_COLUMN: pa.string()}  # fmt: skip
    _write(generation, schema.TEXTS, frame, own)
    _write(generation, schema.DROPPED, pd.DataFrame({"source_row": [0], "source_id": ["s"], "reason": ["empty"]}))


def _embed(generation: Generation, truth: NumpyRun, half: bool) -> None:
    flat = pa.array(truth.embeddings.astype(np.float16 if half else np.float32).ravel())
    rows = pa.table({"text_id": np.arange(N_TEXTS), "embedding": pa.FixedSizeListArray.from_arrays(flat, D_IN)})
    _parts(generation, schema.EMBEDDINGS, rows)


def _train(generation: Generation) -> None:
    tensors = weights()
    header, offset = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    generation.sae_folder.mkdir()
    stored = struct.pack("<Q", len(text)) + text + b"".join(tensor.tobytes() for tensor in tensors.values())
    (generation.sae_folder / "sae_weights.safetensors").write_bytes(stored)
    config = {"architecture": "jumprelu", "d_in": D_IN, "d_sae": N_FEATURES, "dtype": "float32"}
    files.write_json(generation.sae_folder / "cfg.json", config)
    _write(generation, schema.SAE_SPLIT, pd.DataFrame({"text_id": np.arange(N_TEXTS), "sae_split": "train"}))


def _encode(generation: Generation, truth: NumpyRun, draw: np.random.Generator) -> None:
    rows = pa.Table.from_pandas(truth.rows, schema=schema.BY_TEXT.schema, preserve_index=False)
    _parts(generation, schema.BY_TEXT, rows)
    ordered = truth.rows.sort_values(["feature_id", "activation", "text_id"], ascending=[True, False, True])
    halves = np.array_split(np.arange(len(ordered)), 2)
    for number, half in enumerate(halves):
        part = pa.Table.from_pandas(ordered.iloc[half], schema=schema.BY_FEATURE.schema, preserve_index=False)
        files.write_parquet(generation.file(schema.BY_FEATURE) / f"part-{number:05d}.parquet", part, part.schema)
    summary = pd.DataFrame({"text_id": np.arange(N_TEXTS), "n_active": (truth.activations > 0).sum(1)})
    summary["fvu"] = draw.random(N_TEXTS).round(2)
    summary["cosine"] = draw.random(N_TEXTS)
    summary = summary.assign(n_tokens=9, truncated=False, cut=-1, sae_split="train")
    _write(generation, schema.TEXT_SUMMARIES, summary)
    gates = {"feature_id": range(N_FEATURES), "gate": weights()["threshold"], "alignment": 1.0}
    _write(generation, schema.THRESHOLDS, pd.DataFrame(gates))
    cosines = weights()["W_dec"] @ weights()["W_dec"].T
    for table, limit, sign in ((schema.NEIGHBOUR_ROWS, N_FEATURES - 1, 1), (schema.OPPOSITE_ROWS, 10, -1)):
        listed = []
        for f in range(N_FEATURES):
            others = np.delete(np.arange(N_FEATURES), f)
            best = others[np.lexsort((others, -sign * cosines[f, others]))][:limit]
            listed += [(f, rank + 1, other, cosines[f, other]) for rank, other in enumerate(best)]
        _write(generation, table, pd.DataFrame(listed, columns=table.schema.names))
    metrics = [("fvu", 0.5, 0.4, 0.6, split, "raw", 30, "formula") for split in ("held_out", "train")]
    _write(generation, schema.EVALUATION, pd.DataFrame(metrics, columns=schema.EVALUATION.schema.names))


def _keywords(generation: Generation, truth: NumpyRun) -> None:
    _write(generation, schema.KEYWORDS, truth.keywords)


def _labels(generation: Generation, truth: NumpyRun) -> None:
    named = [(f, label, "none" if f == 5 else "keywords") for f, label in truth.labels.items()]
    _write(generation, schema.LABELS, pd.DataFrame(named, columns=schema.LABELS.schema.names))
    _write(generation, schema.FIDELITY, fidelity_rows(truth.labels))


def fidelity_rows(labels: dict[int, str]) -> pd.DataFrame:
    """Invented measures of every named feature by both methods and predictors; every seventh is not measured."""
    rows = []
    for method, less in (("ours", 0.0), ("seed", 0.1)):
        for predictor, lesser in (("resembles", 0.0), ("contains", 0.2)):
            for f in range(N_FEATURES):
                auroc, ap = 0.95 - less - lesser - f % 9 / 100, 0.6 - less - lesser - f % 11 / 50
                measures = (auroc, auroc - 0.05, auroc + 0.02, ap, ap / 2, (1 + ap) / 2) if f % 7 != 3 else (None,) * 6
                rows += [(f, method, labels[f], predictor, *measures, 3 if f % 7 == 3 else 9, 75)] if f != 5 else []
    return pd.DataFrame(rows, columns=schema.FIDELITY.schema.names)
