"""What a run was made from, in sentences and short tables."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from featurelib import queries
from featurelib.schema import RunNotReady
from featurelib.ui.kit.anchors import page_link
from featurelib.ui.kit.elements import Number, count, number, percent, strip
from featurelib.ui.kit.metrics import metric_number
from featurelib.ui.kit.session import Opened

ARCHITECTURES = {
    "batchtopk": "BatchTopK",
    "topk": "TopK",
    "jumprelu": "JumpReLU",
    "relu": "ReLU",
    "matryoshka": "Matryoshka",
}
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
    words = (
        f"Texts of {corpus}, embedded by {short_name(embedder.get('name'))} in {embedder.get('dimension')} dimensions"
    )
    if not sae:
        return f"{words}; no SAE has been trained yet."
    k = _of(made, "evaluation").get("l0") or sae.get("k")
    words += f", read by a sparse autoencoder with {count(sae.get('n_features'))} features."
    return f"{words} It describes each text by about {k:.0f} of them." if k else words


def provenance(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The table 'made from'; `made` is run.json."""
    corpus, embedder, sae = _of(made, "corpus"), _of(made, "embedder"), _of(made, "sae")
    rows = [("corpus", _joined(corpus.get("source"), _sha(corpus.get("sha256"))))]
    if corpus.get("n_dropped"):
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in (corpus.get("dropped") or {}).items())
        rows.append(("dropped texts", _joined(count(corpus["n_dropped"]), reasons)))
    if _of(made, "keywords").get("languages"):
        rows.append(("languages", _languages(_of(made, "keywords"))))
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


def _languages(keywords: Mapping[str, Any]) -> str:
    """The languages of the texts, with the share of each where there are several, and whether they were guessed."""
    shares: dict[str, float] = keywords["languages"]
    several = len(shares) > 1
    named = ", ".join(f"{code} {percent(share)}" if several else code for code, share in list(shares.items())[:6])
    more = f" and {len(shares) - 6} more" if len(shares) > 6 else ""
    return named + more + (" (guessed)" if keywords.get("language_option") == "auto" else "")


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
    context = (embedder.get("hidden_states") or {}).get("context_size")
    if not length:
        return f"windows of {context:,} tokens, side by side" if context else "unknown"
    texts, cut = embedder.get("n_texts"), embedder.get("n_truncated")
    return _joined(
        f"{length} tokens", f"{percent(cut / texts)} of texts are truncated" if texts and cut is not None else ""
    )


def numbers(run: Opened) -> None:
    """The strip of numbers, as far as they are measured."""
    held_out = queries.metric(run.store, "fvu", "held_out") or queries.metric(run.store, "fvu", "all")
    l0 = queries.metric(run.store, "l0", "all") or queries.metric(run.store, "l0", "held_out")
    shown = [
        metric_number(held_out, "FVU, fraction of variance unexplained"),
        metric_number(l0, f"L0, active features per {'token' if queries.has_tokens(run.store) else 'text'}"),
    ]
    with suppress(RunNotReady):
        counted = queries.counts(run.store)
        dead = f"dead on this corpus ({percent(counted.n_dead / counted.n_features)})"
        shown += [
            Number(count(counted.n_dead), dead, "Features that fire on no text of this corpus; they may on others."),
            Number(count(counted.n_dense), "dense, fire on > 10 % of texts", "Dense features seldom have one meaning."),
            Number(count(counted.n_features), "features", "The units of the SAE; papers also call them latents."),
        ]
    strip(shown)
    page_link("evaluation.py", "how good the SAE is, number by number ›")
