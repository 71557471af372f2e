"""What a run was made from, in sentences and short tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow.compute as pc

from featurelib import charts, queries
from featurelib.schema import RunNotReady
from featurelib.storage.store import Store
from featurelib.ui.kit.anchors import link, page_link
from featurelib.ui.kit.elements import (
    Html,
    Number,
    chart,
    count,
    heading,
    html,
    number,
    opening,
    percent,
    sentence,
    strip,
    tag,
)
from featurelib.ui.kit.lists import feature_line, inline
from featurelib.ui.kit.metrics import metric_number
from featurelib.ui.kit.session import Opened
from featurelib.ui.kit.theme import Colours, remembered

ARCHITECTURES = {
    "batchtopk": "BatchTopK",
    "topk": "TopK",
    "jumprelu": "JumpReLU",
    "relu": "ReLU",
    "matryoshka": "Matryoshka",
}
TRAINED_HERE = "trained here"
THEMES = (
    "A theme is a region of the map of what fires features; each text belongs to the theme whose features are "
    "strongest on it. Names are chosen as those of features are."
)
UNNAMED = 0.005
"""A share of texts that is said when it belongs to no theme with a name."""
TITLE = 90
"""Characters of a theme's example."""
SMALL_MAP = 330
"""Pixels."""


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
    corpus = _corpus_words(_of(made, "corpus"))
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


def _corpus_words(corpus: Mapping[str, Any]) -> str:
    """The source of the texts, and the one that was appended, or how many were."""
    appended = corpus.get("appended") or ()
    first = str(corpus.get("source", "texts"))
    if not appended:
        return first
    return f"{first} and {appended[0]['source'] if len(appended) == 1 else f'{len(appended)} files appended since'}"


def provenance(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The table 'made from'; `made` is run.json."""
    corpus, embedder, sae = _of(made, "corpus"), _of(made, "embedder"), _of(made, "sae")
    rows = [("corpus", _joined(corpus.get("source"), _sha(corpus.get("sha256"))))]
    for source in corpus.get("appended") or ():
        rows.append(
            ("appended", _joined(source["source"], f"{count(source['n_texts'])} texts", _sha(source.get("sha256"))))
        )
    if corpus.get("n_dropped"):
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in (corpus.get("dropped") or {}).items())
        rows.append(("dropped texts", _joined(count(corpus["n_dropped"]), reasons)))
    if _of(made, "keywords").get("languages"):
        rows.append(("languages", _languages(_of(made, "keywords"))))
    if embedder:
        rows.append(("embedder", _joined(short_name(embedder.get("name")), _sha(embedder.get("weights_sha256")))))
        rows.append(("reads at most", _reading(embedder)))
        if embedder.get("precision") not in (None, "float32"):
            rows.append(("computed in", str(embedder["precision"])))
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
        appended = sum((sae.get("appended") or {}).values())
        later = f", {count(appended)} appended since" if appended else ""
        return "trained on", f"{count(n_train)} of these texts, {n_held_out} held out{later}"
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


def themes(run: Opened) -> None:
    """What is in the corpus: its themes with their share of the texts, three features and one title each."""
    rows = queries.themes(run.store).to_pylist()
    if not rows:
        heading("What is in this corpus")
        sentence("No theme could be named: no phrase sets the texts of any region of the map apart.")
        return
    heading(
        "What is in this corpus",
        f"{len(rows)} themes, those of most texts first",
        help=THEMES,
    )
    texts = {row["text_id"]: row for row in _texts(run.store, rows)}
    largest = max(row["share"] for row in rows)
    html(tag("div", *(_theme(run.store, row, texts.get(row["text_id"]), largest) for row in rows), cls="themes"))
    others = 1 - sum(row["share"] for row in rows)
    if others > UNNAMED:
        sentence(f"{percent(others)} of the texts belong to no theme with a name, or have no active feature.")


def _texts(store: Store, themes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The strongest text of each theme."""
    ids = [row["text_id"] for row in themes if row["text_id"] is not None]
    rows: list[dict[str, Any]] = queries.texts(store, ids).to_pylist()
    return rows


def _theme(store: Store, theme: Mapping[str, Any], text: Mapping[str, Any] | None, largest: float) -> Html:
    """One theme as a block: its name and share, a bar, three features, a title."""
    name = link("map.py", theme["label"], {"colour": "theme", "cluster": theme["region_id"]})
    bar = tag("i", style=f"width:{100 * theme['share'] / largest:.1f}%")
    head = tag("div", tag("h4", name), tag("span", percent(theme["share"]), cls="value"), cls="theme-head")
    features = [feature_line(row["feature_id"], row["label"]) for row in theme["features"] or ()]
    pieces: list[object] = [head, tag("div", bar, cls="theme-bar")]
    pieces.append(tag("div", inline(features, shorten=True), cls="read-inline"))
    if text is not None:
        column = queries.title_column(store)
        title = str((text.get(column) if column else None) or text["text"])
        pieces.append(tag("p", link("text.py", opening(title, length=TITLE), {"text": text["text_id"]}), cls="muted"))
    return tag("div", *pieces, cls="theme")


def theme_map(run: Opened) -> None:
    """The map of what fires features in small, with the names of its themes; it leads to the map."""
    points = queries.layout(run.store, "firing", "theme")
    regions = queries.regions(run.store)
    regions = regions.filter(pc.equal(regions["level"], 0))

    def draw(seen: Colours) -> Any:
        return charts.feature_map(points, "cluster", seen, regions=regions, height=SMALL_MAP)

    chart(remembered(run.store, "themes", draw), key="themes")
    page_link("map.py", "the whole map ›")


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
