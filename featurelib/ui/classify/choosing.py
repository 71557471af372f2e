"""Which set of experiments and which experiment a page shows: both live in the address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from featurelib import installation, queries
from featurelib.queries import Experiment
from featurelib.ui.kit.address import choice_box
from featurelib.ui.kit.elements import sentence
from featurelib.ui.kit.session import Opened, known_runs

RESETS = ("page", "class", "node", "root", "true", "predicted", "train", "test")
CLASSIFIERS = {"logistic": "linear model", "tree": "decision tree"}


@dataclass(frozen=True)
class Chosen:
    """One experiment of a set."""

    set_name: str
    experiment: Experiment

    @property
    def reads_features(self) -> bool:
        """Whether what it reads are features of the run, which have pages."""
        return self.experiment.reads_features

    @property
    def is_tree(self) -> bool:
        """Whether its classifier is a decision tree."""
        return self.experiment.classifier == "tree"


def classifier_name(name: str) -> str:
    """The name of a classifier in words."""
    return CLASSIFIERS.get(name, name)


def how_to(name: str) -> str:
    """The sentence shown when a run has no experiments."""
    command = installation.command(f"classify --run {name} --label COLUMN")
    return f"This run has no experiments yet. Predict a column of labels with: {command}"


def choose(opened: Opened) -> Chosen | None:
    """Draw the boxes; the experiment that they show, None where the run has none."""
    sets = queries.sets_of(opened.store)
    if not sets:
        return None
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        name = choice_box("Experiments", "set", sets, resets=("label", "sees", "by", *RESETS), width=180)
        known = queries.experiments(opened.store, name)
        if not known:
            return None
        label = _box("Predicts", "label", [each.label_column for each in known], resets=("sees", "by", *RESETS))
        known = [each for each in known if each.label_column == label]
        sees = _box("Sees", "sees", [each.representation for each in known], resets=("by", *RESETS))
        known = [each for each in known if each.representation == sees]
        used = list(dict.fromkeys(each.classifier for each in known))
        by = choice_box("With a", "by", used, show=classifier_name, resets=RESETS, width=190)
        of_pair = of_one_pair([each for each in known if each.classifier == by], RESETS[:-2])
    return Chosen(name, of_pair[0])


def of_one_pair(known: Sequence[Experiment], resets: Sequence[str]) -> list[Experiment]:
    """Draw a box for what was trained on, and one for what tests, where there is a choice; the experiments of both."""
    for title, name in (("Trained on", "train"), ("Tested on", "test")):
        values = list(dict.fromkeys(getattr(each, name) for each in known))
        if len(values) > 1:
            value = choice_box(title, name, values, resets=(*resets, *(["test"] if name == "train" else [])), width=190)
            known = [each for each in known if getattr(each, name) == value]
    return list(known)


def _box(title: str, name: str, values: Sequence[str], resets: Sequence[str]) -> str:
    return choice_box(title, name, list(dict.fromkeys(values)), resets=resets, width=190)


def said_of(opened: Opened, chosen: Chosen) -> None:
    """What a reader of the scores must know: what was left out, leaks, and whether the run was built anew since."""
    said_of_label(opened, chosen.set_name, chosen.experiment.label_column)


def said_of_label(opened: Opened, set_name: str, label: str) -> None:
    """The same of all experiments of a label."""
    about = queries.about_experiments(opened.store, set_name)
    labels = about.get("labels")
    own = labels.get(label) if isinstance(labels, dict) else None
    said = [str(words) for words in own.get("said", [])] if isinstance(own, dict) else []
    done = opened.generation.done("encode")
    if done is not None and about.get("encoded") not in ("", done.fingerprint):
        said.append("The run was built anew since: its features are others now. Classify again.")
    said += _of_test_run(own.get("test_run")) if isinstance(own, dict) else []
    if said:
        sentence(" ".join(said))


def _of_test_run(kept: object) -> list[str]:
    """A sentence where the run whose texts test was built anew since, or is gone."""
    if not isinstance(kept, list) or len(kept) != 2:
        return []
    name, encoded = map(str, kept)
    run = known_runs().get(name)
    if run is None:
        return [f"The run '{name}', whose texts test too, is not in the data folder any more."]
    done = run.current().done("encode")
    same = done is not None and done.fingerprint == encoded
    return [] if same else [f"The run '{name}', whose texts test too, was built anew since: its texts may be others."]
