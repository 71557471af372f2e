"""Two runs on the same texts, their features matched; kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from featurelib import matching, queries
from featurelib.matching import Counterparts, Matches
from featurelib.schema import Refusal
from featurelib.storage.activation_rows import incidence
from featurelib.storage.runs import Generation
from featurelib.storage.store import Store
from featurelib.ui.kit.session import GenerationPlace, Opened, known_runs, place_of, store_at

KEPT = 4


@dataclass(frozen=True)
class Compared:
    """Two runs, matched."""

    matches: Matches
    other: str
    """The other run's name."""
    labels: list[str]
    """Of the features of the run that is open."""
    other_labels: list[str]
    n_active: np.ndarray
    """int64 [n_features]: texts of the corpus on which each fires."""
    other_active: np.ndarray
    n_all: int
    """Texts of the corpus; more than were compared where there are more than 100,000."""
    directed: bool
    """Whether the directions of both SAEs are known."""


def partners(opened: Opened) -> tuple[list[str], str]:
    """The runs that this one can be compared with, those with most features first, and why the others cannot."""
    fitting, reasons = [], []
    for name, run in known_runs().items():
        if name == opened.name:
            continue
        try:
            other = run.current()
            why = queries.why_not_comparable(opened.generation, other)
        except Refusal as refusal:
            why = str(refusal)
        if why is None:
            fitting.append((-_n_features(other), name))
        else:
            reasons.append(f"{name}: {why.rstrip('.')}")
    return [name for _, name in sorted(fitting)], "; ".join(reasons)


def _n_features(generation: Generation) -> int:
    done = generation.done("train")
    return int(done.facts.get("n_features") or 0) if done else 0


def compare(opened: Opened, other: str) -> Compared:
    """Match the run that is open with another; Refusal where they have not the same texts and embeddings."""
    generation = known_runs()[other].current()
    why = queries.why_not_comparable(opened.generation, generation)
    if why is not None:
        raise Refusal(f"'{opened.name}' and '{other}' cannot be compared: {why}.")
    return _compared(other, place_of(opened.generation), place_of(generation))


@st.cache_resource(max_entries=KEPT, show_spinner="Matching the features of the two runs")
def _compared(other: str, opened_place: GenerationPlace, other_place: GenerationPlace) -> Compared:
    stores = [store_at(*opened_place), store_at(*other_place)]
    pairs = [queries.firing_pairs(store, most=matching.MOST_TEXTS) for store in stores]
    own, others = (incidence([(rows.text_ids, rows.feature_ids)], rows.n_texts, rows.n_features) for rows in pairs)
    both = _directions(opened_place, other_place)
    named = [queries.texts_per_feature(store) for store in stores]
    return Compared(
        matching.match(own, others, both),
        other,
        named[0]["label"].to_pylist(),
        named[1]["label"].to_pylist(),
        named[0]["n_active"].to_numpy(),
        named[1]["n_active"].to_numpy(),
        _count_texts(stores[0]),
        both is not None,
    )


def _count_texts(store: Store) -> int:
    return queries.counts(store).n_texts


@dataclass(frozen=True)
class BothSides:
    """Two runs, each feature of either with its counterparts in the other."""

    here: Counterparts
    """Of the run that is open."""
    there: Counterparts
    """Of the other run."""
    compared: Compared


def both_sides(opened: Opened, other: str) -> BothSides:
    """Find the counterparts of the features of both runs; Refusal where they have not the same texts and embeddings."""
    compared = compare(opened, other)
    places = place_of(opened.generation), place_of(known_runs()[other].current())
    return BothSides(_counterparts(other, *places), _counterparts(opened.name, *places[::-1]), compared)


@st.cache_resource(max_entries=2 * KEPT, show_spinner="Matching the features of the two runs")
def _counterparts(other: str, opened_place: GenerationPlace, other_place: GenerationPlace) -> Counterparts:
    matches = _compared(other, opened_place, other_place).matches
    return matching.counterparts(matches, _directions(opened_place, other_place))


def _directions(*places: GenerationPlace) -> tuple[np.ndarray, np.ndarray] | None:
    first, second = (matching.read_directions(Generation(Path(place[0])).sae_folder) for place in places)
    return matching.comparable(first, second)


def no_partner(reasons: str, known: Mapping[str, object]) -> str:
    """The sentence shown when no run can be compared: why, and which one to build."""
    lead = "There is no other run here" if len(known) < 2 else f"No other run fits this one ({reasons})"
    return (
        f"{lead}: build one more on the same source, with the same columns, embedder and prompt, but another number of "
        "features (--features), and the two can be compared here."
    )
