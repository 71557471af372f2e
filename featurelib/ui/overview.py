"""What a run says of itself, in sentences and short tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from featurelib.charts import TextRange
from featurelib.queries import FeatureFilter, Metric
from featurelib.ui.kit.elements import Number, count, number, percent

SPLITS = {
    "held_out": "held-out texts",
    "train": "training texts",
    "all": "all texts",
    "unknown": "texts of unknown split",
}
SPACES = {
    "raw": "in the embedder's own space",
    "normalised": "in the space to which the SAE normalises embeddings",
    "activations": "on activations",
    "pre-activations": "on the gates of the features",
    "decoder": "on the directions of the features",
    "weights": "on the weights of the SAE",
}
ARCHITECTURES = {
    "batchtopk": "BatchTopK",
    "topk": "TopK",
    "jumprelu": "JumpReLU",
    "relu": "ReLU",
    "matryoshka": "Matryoshka",
}
HALF = 0.5
TRAINED_HERE = "trained here"


def _of(made: Mapping[str, Any], part: str) -> dict[str, Any]:
    return made.get(part) or {}


def short_name(embedder: object) -> str:
    """An embedder's name without its organisation."""
    return str(embedder or "unknown embedder").rsplit("/", 1)[-1]


def run_title(made: Mapping[str, Any], name: str) -> str:
    """The head of the overview: the run's name and the number of its texts; `made` is run.json."""
    texts = _of(made, "corpus").get("n_texts")
    return f"{name}, {count(texts)} texts" if texts else name


def run_sentence(made: Mapping[str, Any]) -> str:
    """One sentence of what the run is made of, as far as it is built."""
    embedder, sae = _of(made, "embedder"), _of(made, "sae")
    corpus = _of(made, "corpus").get("source", "texts")
    if not embedder:
        return f"Texts of {corpus}; they are not embedded yet."
    told = (
        f"Texts of {corpus}, embedded by {short_name(embedder.get('name'))} in {embedder.get('dimension')} dimensions"
    )
    if not sae:
        return f"{told}; no SAE has been trained yet."
    k = _of(made, "evaluation").get("l0") or sae.get("k")
    told += f", read by a sparse autoencoder with {count(sae.get('n_features'))} features."
    return f"{told} It describes each text by about {k:.0f} of them." if k else told


def metric_told(metric: Metric) -> str:
    """How a metric was measured, in words: its formula, the texts, the space."""
    where = SPACES.get(metric.space, f"in the space of {metric.space}")
    texts = f"{count(metric.n_texts)} {SPLITS.get(metric.split, metric.split)}"
    measured = f"Measured on {texts}, {where}." if metric.n_texts else f"Measured {where}."
    return f"{metric.formula}\n{measured}"


def metric_number(metric: Metric | None, name: str, show: Callable[[float], str] = number) -> Number:
    """A metric for the strip, with its interval, and with its formula, split, space and number of texts on hover."""
    if metric is None:
        return Number("–", name, "Not measured in this run yet.")
    name, told = f"{name}, {SPLITS.get(metric.split, metric.split)}", metric_told(metric)
    if metric.low is None or not math.isfinite(metric.low):
        return Number(show(metric.value), name, told)
    interval = f"{show(metric.low)} – {show(metric.high)}"
    return Number(show(metric.value), name, f"{told}\nIn small: its 95 % interval.", interval)


def provenance(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The table 'made from'; `made` is run.json."""
    corpus, embedder, sae = _of(made, "corpus"), _of(made, "embedder"), _of(made, "sae")
    rows = [("corpus", _joined(corpus.get("source"), _sha(corpus.get("sha256"))))]
    if corpus.get("n_dropped"):
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in (corpus.get("dropped") or {}).items())
        rows.append(("dropped texts", _joined(count(corpus["n_dropped"]), reasons)))
    if embedder:
        rows.append(("embedder", _joined(short_name(embedder.get("name")), _sha(embedder.get("weights_sha256")))))
        rows.append(("reads at most", _reading(embedder)))
    if sae:
        rows.append(("SAE", _joined(_architecture(sae), f"k {sae['k']}" if sae.get("k") else "", _threshold(sae))))
        rows.append(_trained(sae))
    packages = _of(made, "packages")
    if packages:
        rows.append(("made with", ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))))
    seed = made.get("seed", sae.get("seed"))
    return rows + ([("seed", str(seed))] if seed is not None else [])


def _joined(*pieces: object) -> str:
    return " · ".join(str(piece) for piece in pieces if piece) or "unknown"


def _sha(digest: object) -> str:
    return f"sha256 {str(digest)[:8]}…" if digest else ""


def _architecture(sae: Mapping[str, Any]) -> str:
    name = str(sae.get("architecture", "unknown"))
    return ARCHITECTURES.get(name, name)


def _threshold(sae: Mapping[str, Any]) -> str:
    return f"threshold {number(sae['threshold'])}" if isinstance(sae.get("threshold"), int | float) else ""


def _trained(sae: Mapping[str, Any]) -> tuple[str, str]:
    source, n_train, n_held_out = sae.get("source"), sae.get("n_train"), count(sae.get("n_held_out", 0))
    if source == TRAINED_HERE:
        return "trained on", f"{count(n_train)} of these texts, {n_held_out} held out"
    return "SAE made in", _joined(source, f"had seen {count(n_train)} of these texts" if n_train is not None else "")


def _reading(embedder: Mapping[str, Any]) -> str:
    length = embedder.get("max_seq_length")
    if not length:
        return "unknown"
    texts, cut = embedder.get("n_texts"), embedder.get("n_truncated")
    return _joined(f"{length} tokens", f"{percent(cut / texts)} of texts are cut" if texts and cut is not None else "")


def text_range(least: int | None, most: int | None, n_texts: int) -> TextRange | None:
    """The range that two numbers of an address mean, None when neither is given."""
    return None if least is None and most is None else TextRange(least or 0, n_texts if most is None else most)


def density_ranges(n_texts: int) -> list[tuple[str, TextRange]]:
    """The ranges of densities that can be clicked, by name; those that no number of texts falls into are left out."""
    rare, usual, dense = math.ceil(n_texts / 1000), math.ceil(n_texts / 100), n_texts // 10 + 1
    named = [
        ("dead", TextRange(0, 0)),
        ("below 0.1 %", TextRange(1, rare - 1)),
        ("0.1 to 1 %", TextRange(max(rare, 1), usual - 1)),
        ("1 to 10 %", TextRange(max(usual, 1), dense - 1)),
        ("above 10 %", TextRange(dense, n_texts)),
    ]
    return [(name, one) for name, one in named if one.least <= one.most]


def fires_on(chosen: TextRange | None, n_texts: int) -> FeatureFilter:
    """The filter for features that fire on a number of texts in the range."""
    if chosen is None:
        return FeatureFilter()
    if chosen.most == 0:
        return FeatureFilter(dead=True)
    if chosen.least == 0 and chosen.most >= n_texts:
        return FeatureFilter()
    # Densities are whole numbers over n_texts: half a text on either side keeps rounding out of it.
    return FeatureFilter(
        density_low=max(0.0, (chosen.least - HALF) / n_texts), density_high=(chosen.most + HALF) / n_texts
    )


def range_title(n_features: int, chosen: TextRange | None, n_texts: int) -> str:
    """The head of a list of features in a range."""
    features = f"{count(n_features)} feature{'s' if n_features != 1 else ''}"
    if chosen is None:
        return f"{features}, the strongest first"
    if chosen.most == 0:
        return f"{features} fire{'s' if n_features == 1 else ''} on no text"
    if chosen.least == chosen.most:
        texts = f"{count(chosen.least)} text{'s' if chosen.least != 1 else ''}"
        return f"{features} fire{'s' if n_features == 1 else ''} on {texts}, the strongest first"
    low, high = percent(chosen.least / n_texts), percent(min(chosen.most, n_texts) / n_texts)
    return f"{features} fire{'s' if n_features == 1 else ''} on {low} to {high} of texts, the strongest first"
