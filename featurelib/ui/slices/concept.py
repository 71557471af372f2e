"""Whether a concept, given by examples, is in the features: what carries it, and how well, beside the embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from featurelib import queries
from featurelib.live.client import MOST_LINES
from featurelib.schema import Refusal
from featurelib.slices.concept import CARRIED, Carrier, Concept, Labelled, find_concept
from featurelib.ui.kit.elements import Number, count, heading, html, sentence, strip, tag
from featurelib.ui.kit.lists import feature_line, line_list
from featurelib.ui.kit.navigation import STARTING
from featurelib.ui.kit.session import GenerationPlace, Opened, live, place_of
from featurelib.ui.slices.side import Side, texts_of_side

KEPT = 8
F1 = (
    "2·hits / (examples + texts that are called examples), on the half of the texts that chose nothing; 95 % interval "
    "by bootstrap over these texts. The score from which on a text is called an example was chosen on the other half."
)
AUROC = "P(an example scores higher than another text), on the half that chose nothing, with Newcombe's interval."
CEILING = (
    "A linear discriminant on the raw embeddings, learned on the same half: about the most that could be expected."
)
SEVERAL = (
    "Up to five features, added one by one as long as F1 rises by .01 on the half that chooses; their activations, "
    "each over its mean on the examples, are added up."
)


@dataclass(frozen=True)
class Asked:
    """What a reader asks for."""

    lines: tuple[str, ...]
    """Example texts of the reader's own."""
    examples: Side
    """Example texts of the corpus."""
    others: Side
    """Counter-examples; the rest of the corpus where nothing is asked for."""


def lines_of(text: str) -> tuple[str, ...]:
    """The lines that are not blank, each once."""
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


@dataclass(frozen=True)
class Found:
    """What carries a concept."""

    concept: Concept
    n_of_corpus: int
    """Lines of the reader's own that are texts of the corpus, which were taken from there."""


def find(opened: Opened, asked: Asked) -> Found:
    """Find what carries a concept, once; Refusal for too few texts."""
    return _found(place_of(opened.generation), asked, opened)


@st.cache_resource(max_entries=KEPT, show_spinner="Comparing every feature with the examples")
def _found(_place: GenerationPlace, asked: Asked, _opened: Opened) -> Found:
    store = _opened.store
    examples = texts_of_side(_opened, asked.examples)
    others = texts_of_side(_opened, asked.others)
    known = queries.texts_equal_to(store, asked.lines) if asked.lines else {}
    lines = tuple(line for line in asked.lines if line not in known)
    further = _tried(_opened, lines) if lines else None
    own = np.array([text_id for ids in known.values() for text_id in ids], np.int64)
    own = own if examples is None else np.union1d(own, examples)
    return Found(find_concept(queries.labelled_texts(store, own, others, further=further)), len(known))


def _tried(opened: Opened, lines: tuple[str, ...]) -> Labelled:
    """The reader's own lines, embedded and encoded by the worker."""
    if len(lines) > MOST_LINES:
        raise Refusal(f"{len(lines):,} lines are given; {MOST_LINES} are possible at most.")
    with st.spinner(STARTING, show_time=True):
        tried = [live().try_closely(opened.generation.path, line) for line in lines]
    return queries.labelled_lines(opened.store, tried)


def verdict(concept: Concept) -> str:
    """In a sentence, whether features carry the concept."""
    n = len(concept.several.feature_ids)
    if concept.single.carries and n == 1:
        return "One feature carries it."
    if concept.several.carries:
        return f"{n} features carry it together" + (", and the first does alone." if concept.single.carries else ".")
    if concept.single.carries:
        return "One feature carries it; more of them do not do better."
    if not (concept.single.fails and concept.several.fails):
        return f"Not sure: {count(concept.n_examples)} examples to test with leave F1 too uncertain. Give more."
    if concept.ceiling.carries:
        return "No feature carries it, though the embedding does."
    return "No feature carries it, and the embedding has it not clearly either."


def shown(opened: Opened, found: Found) -> None:
    """The verdict, the scores of the three beside each other, and their features."""
    concept = found.concept
    html(tag("p", tag("b", verdict(concept)), cls="read-verdict"))
    labels = queries.labels(opened.store, concept.several.feature_ids + concept.single.feature_ids)
    n = len(concept.several.feature_ids)
    carriers = (
        ("Best feature", concept.single, ""),
        (f"Best {n} features together" if n > 1 else "Best features together", concept.several, SEVERAL),
        ("Raw embedding", concept.ceiling, CEILING),
    )
    for place, (name, carrier, help) in zip(st.columns(3, gap="large"), carriers, strict=True):
        with place:
            heading(name, help=help)
            _scores(carrier)
            lines = [feature_line(feature_id, labels[feature_id]) for feature_id in carrier.feature_ids]
            if lines:
                line_list("carrier", lines)
    sentence(
        f"Chosen on {count(concept.n_chosen_on)} texts, measured once on {count(concept.n_examples)} other examples "
        f"and {count(concept.n_others)} other texts. Carried means: F1 is above {CARRIED} beyond doubt."
    )
    if found.n_of_corpus:
        sentence(f"{count(found.n_of_corpus)} of your lines are texts of the corpus; they were taken from there.")


def _scores(carrier: Carrier) -> None:
    pairs = (("F1", carrier.f1, F1), ("AUROC", carrier.auroc, AUROC))
    strip(
        [Number(f"{own.value:.3f}", name, help, aside=f"{own.low:.3f} to {own.high:.3f}") for name, own, help in pairs]
    )
