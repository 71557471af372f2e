"""A run's activations recomputed with numpy from its embeddings and its saved SAE; used by benchmarks/recompute.py.

Independent of the project on purpose: everything is read from the files and encoded in float64.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

NEAR = 1e-6
"""What lies so near to a threshold, an edge or a tie may fall on either side in float32."""
CLOSE = 1e-5
"""How far floats may be apart, relative to their size above 1."""
BLOCK = 1024
SHOWN = 5


@dataclass
class Comparison:
    """What was compared in one table."""

    table: str
    compared: int = 0
    equal: int = 0
    largest: float = 0.0
    """The largest difference between floats."""
    listed: list[str] = field(default_factory=list)
    """Cases too near to a threshold, an edge or a tie to be decided."""
    wrong: list[str] = field(default_factory=list)

    def check(self, same: bool, what: str) -> None:
        """Count one comparison."""
        self.compared += 1
        self.equal += same
        if not same:
            self.wrong.append(what)

    def floats(self, ours: np.ndarray, theirs: np.ndarray, what: str) -> None:
        """Compare floats of one shape; NaN equals NaN."""
        ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
        if ours.shape != theirs.shape or (np.isnan(ours) != np.isnan(theirs)).any():
            self.check(False, f"{what}: {ours.shape} against {theirs.shape}, or a null where a number is")
            return
        apart = np.abs(ours - theirs)[~np.isnan(ours)]
        self.largest = max(self.largest, float(apart.max(initial=0)))
        self.check(bool((apart <= CLOSE * np.maximum(1, np.abs(ours[~np.isnan(ours)]))).all()), what)

    def __str__(self) -> str:
        """One line, then the first cases of each kind."""
        line = (
            f"{self.table:14} compared {self.compared:>9,}   equal {self.equal:>9,}   listed {len(self.listed):>4}   "
            f"largest difference {self.largest:.1e}"
        )
        more = [f"    listed: {case}" for case in self.listed[:SHOWN]]
        more += [f"    DIFFERENT: {case}" for case in self.wrong[:SHOWN]]
        return "\n".join([line, *more])


@dataclass(frozen=True)
class Active:
    """All activations in two orders: by text (rows sorted by text_id) and by feature (activation desc, text_id)."""

    n_texts: int
    n_features: int
    text_ids: np.ndarray
    feature_ids: np.ndarray
    activations: np.ndarray
    """float64, as recomputed."""

    def by_feature(self) -> tuple[np.ndarray, np.ndarray]:
        """The order of the rows by feature, and where each feature begins in it, [n_features + 1]."""
        order = np.lexsort((self.text_ids, -self.activations, self.feature_ids))
        return order, np.searchsorted(self.feature_ids[order], np.arange(self.n_features + 1))


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read a safetensors file: eight bytes of length, a JSON header, the tensors' bytes."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    kinds = {"F32": np.float32, "F64": np.float64, "F16": np.float16}
    tensors = {}
    for name, entry in json.loads(raw[8 : 8 + length]).items():
        if name != "__metadata__":
            first, last = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(raw[first:last], kinds[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def normalised(x: np.ndarray, norm: str) -> np.ndarray:
    """Apply SAELens' normalize_activations to the rows of x [n, d_in]."""
    if norm == "layer_norm":
        centred = x - x.mean(1, keepdims=True)
        return centred / (centred.std(1, ddof=1, keepdims=True) + 1e-5)
    if norm == "constant_norm_rescale":
        return x * np.sqrt(x.shape[1]) / np.linalg.norm(x, axis=1, keepdims=True)
    return x


def gate(config: dict, w: dict[str, np.ndarray], z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the activation of each feature if it fires, and its margin above the threshold, both [n, n_features]."""
    if config["architecture"] == "gated":
        return z * np.exp(w["r_mag"]) + w["b_mag"], np.minimum(z + w["b_gate"], z * np.exp(w["r_mag"]) + w["b_mag"])
    if config["architecture"] == "jumprelu":
        return z, np.minimum(z - w["threshold"], z)
    if config["architecture"] == "topk":
        k = min(config["k"], z.shape[1])
        ranked = -np.partition(-z, [k - 1, min(k, z.shape[1] - 1)], axis=1)
        # The threshold lies midway between the k-th and the next, so a value near to it may fall on either side.
        inside = ranked[:, [k - 1]] if k == z.shape[1] else (ranked[:, [k - 1]] + ranked[:, [k]]) / 2
        return z, np.minimum(z - inside if k < z.shape[1] else z, z)
    return z, z


def encode(run: Path, doubts: Comparison) -> Active:
    """Encode every embedding in float64; pairs within 1e-6 of a threshold are listed and follow the run's table."""
    config = json.loads((run / "sae" / "cfg.json").read_text())
    w = {
        name: tensor.astype(np.float64)
        for name, tensor in read_safetensors(run / "sae/sae_weights.safetensors").items()
    }
    blocks: list[tuple[np.ndarray, ...]] = []
    n_texts = 0
    for part in sorted((run / "embeddings").glob("part-*.parquet")):
        table = pq.read_table(part, columns=["text_id", "embedding"])
        x = np.array(table["embedding"].to_pylist(), dtype=np.float64)
        for start in range(0, len(x), BLOCK):
            text_ids = table["text_id"].to_numpy()[start : start + BLOCK]
            inner = normalised(x[start : start + BLOCK], config.get("normalize_activations") or "none")
            inner = inner - (w["b_dec"] if config.get("apply_b_dec_to_input", True) else 0)
            a, margin = gate(config, w, inner @ w["W_enc"] + w.get("b_enc", 0))
            rows, feature_ids = np.nonzero(margin > -NEAR)
            blocks.append((text_ids[rows], feature_ids, a[rows, feature_ids], margin[rows, feature_ids]))
            n_texts += len(text_ids)
    text_ids, feature_ids, activations, margin = (np.concatenate(column) for column in zip(*blocks, strict=True))
    fires = decided(run, text_ids, feature_ids, margin, doubts, w["W_dec"].shape[0])
    return Active(n_texts, w["W_dec"].shape[0], text_ids[fires], feature_ids[fires], activations[fires])


def stored_pairs(run: Path, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """The run's own (text, feature) pairs as one sorted number each, and their activations."""
    tables = [pq.read_table(part) for part in sorted((run / "activations/by_text").glob("part-*.parquet"))]
    keys = np.concatenate([t["text_id"].to_numpy() * n_features + t["feature_id"].to_numpy() for t in tables])
    activations = np.concatenate([t["activation"].to_numpy() for t in tables])
    order = np.argsort(keys)
    return keys[order], activations[order]


def decided(
    run: Path,
    text_ids: np.ndarray,
    feature_ids: np.ndarray,
    margin: np.ndarray,
    doubts: Comparison,
    n_features: int,
) -> np.ndarray:
    """Which candidate pairs fire; also compare the pairs themselves with the run's table."""
    keys, _ = stored_pairs(run, n_features)
    ours = text_ids * n_features + feature_ids
    doubtful = np.abs(margin) <= NEAR
    fires = np.where(doubtful, np.isin(ours, keys), margin > 0)
    for text_id, feature_id, by in zip(text_ids[doubtful], feature_ids[doubtful], margin[doubtful], strict=True):
        doubts.listed.append(f"text {text_id}, feature {feature_id}: {by:+.1e} from its threshold")
    extra = np.setdiff1d(keys, ours[fires])
    lacking = np.setdiff1d(ours[fires], keys)
    doubts.compared = int(fires.sum()) + len(extra)
    doubts.equal = doubts.compared - len(extra) - len(lacking)
    doubts.wrong += [f"text {key // n_features}, feature {key % n_features} only in the table" for key in extra]
    doubts.wrong += [f"text {key // n_features}, feature {key % n_features} only recomputed" for key in lacking]
    return fires
