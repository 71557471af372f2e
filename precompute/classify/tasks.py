"""What is predicted: a column of labels, which of its texts train and which test, and what a reader must know of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featurelib.classification.division import by_column, check_division, groups_of, joined, stratified
from featurelib.classification.probes import Division
from featurelib.classification.target import Target, is_there, read_target
from featurelib.classification.transfer import Plan, slice_plans
from featurelib.schema import Refusal
from precompute.classify.classify_config import ClassifyConfig
from precompute.classify.inputs import RunInputs

SAME = {"sae": ("sha256", "d_in", "n_features"), "embedder": ("name", "weights_sha256", "normalize", "prompt")}
"""What run.json must say alike of two runs for a model of the one to read the texts of the other."""


@dataclass(frozen=True)
class OtherTexts:
    """Labelled texts of another run, which test too."""

    inputs: RunInputs
    name: str
    """The run."""
    rows: np.ndarray
    """Its texts, int64 [n]."""
    codes: np.ndarray
    """Their labels, as places in the names of the target, int64 [n]."""


@dataclass(frozen=True)
class Task:
    """A label column that is to be predicted."""

    target: Target
    groups: np.ndarray
    """Which of its texts are on one side, int64 [n]: copies, and those that `together` joins."""
    plans: list[Plan]
    """What models are fitted on, and what tests them."""
    said: list[str]
    """What a reader of the scores must know."""
    slice_column: str = ""
    other: OtherTexts | None = None

    def texts(self, places: np.ndarray) -> np.ndarray:
        """The texts at some places of the target, int64."""
        rows: np.ndarray = self.target.rows[places]
        return rows


def read_task(inputs: RunInputs, other: RunInputs | None, label: str, config: ClassifyConfig) -> Task:
    """Read a label column and divide its texts; Refusal when nothing can be learned from it."""
    target = read_target(label, inputs.column(label), inputs.texts)
    groups = groups_of([inputs.texts[row] for row in target.rows.tolist()])
    if config.together:
        groups = joined(groups, _values(inputs, config.together, target))
    division, (train, test), notes = _divided(inputs, target, groups, config)
    said = [*target.warnings, *notes, *inputs.seen_in_training(target.rows[division.test])]
    missing = np.setdiff1d(target.codes[division.test], target.codes[division.train])
    if len(missing):
        said.append(
            f"{len(missing):,} classes of the test texts have no training text, first '{target.names[missing[0]]}'."
        )
    check_division(target.codes, target.names, groups, division, config.folds)
    plans = [Plan(train, division.train, {test: division.test})]
    if config.transfer:
        values = _values(inputs, config.transfer, target)
        plans, notes = slice_plans(config.transfer, values, target, groups, division, config.folds)
        said += notes
    if other is None:
        return Task(target, groups, plans, said, config.transfer)
    unknown = check_same(inputs, other)
    texts, notes = _other_texts(other, inputs, target, division, config.together)
    return Task(target, groups, plans, [*said, *unknown, *notes], config.transfer, texts)


def _values(inputs: RunInputs, column: str, target: Target, places: slice | np.ndarray = slice(None)) -> list[object]:
    values = inputs.column(column)
    return [values[row] for row in target.rows[places].tolist()]


def _divided(
    inputs: RunInputs, target: Target, groups: np.ndarray, config: ClassifyConfig
) -> tuple[Division, tuple[str, str], list[str]]:
    """The division, its two sides in words, and what there is to know."""
    if not config.split:
        return stratified(target.codes, groups, config.seed), ("80 % drawn", "20 % drawn"), []
    division, said = by_column(_values(inputs, config.split, target), groups)
    return division, (f"{config.split} train", f"{config.split} test"), said


def check_same(inputs: RunInputs, other: RunInputs) -> list[str]:
    """Refuse another run whose embedder or SAE is not the same; return what of that cannot be known.

    Embeddings that were given as a file have no embedder that could be compared, only a number of dimensions.
    """
    first, second = inputs.generation.describe(), other.generation.describe()
    given = [(facts.get("embedder") or {}).get("origin") == "precomputed" for facts in (first, second)]
    same = SAME | ({"embedder": ("dimension",)} if any(given) else {})
    for chapter, names in same.items():
        for name in names:
            own, others = ((facts.get(chapter) or {}).get(name) for facts in (first, second))
            if own != others:
                raise Refusal(
                    f"the {chapter} of '{other.name}' is another than that of '{inputs.name}' ({name}: {others} and "
                    f"{own}); a run with the same embedder and SAE is expected: build one with --sae {inputs.name}."
                )
    unknown = f"That '{other.name}' has the same embedder cannot be known: embeddings were given as a file."
    return [unknown] if any(given) else []


def _other_texts(
    other: RunInputs, inputs: RunInputs, target: Target, division: Division, together: str
) -> tuple[OtherTexts, list[str]]:
    """The texts of another run that have one of the target's labels and are no copies of training texts."""
    labels = other.column(target.column)
    codes_of = {name: code for code, name in enumerate(target.names)}
    labelled = [place for place, value in enumerate(labels) if is_there(value)]
    known = [place for place in labelled if str(labels[place]) in codes_of]
    trained = [inputs.texts[row] for row in target.rows[division.train].tolist()]
    groups = groups_of([*trained, *(other.texts[place] for place in known)])
    new = ~np.isin(groups[len(trained) :], groups[: len(trained)])
    if together:
        values = other.column(together)
        taken = {value for value in _values(inputs, together, target, division.train) if is_there(value)}
        new &= np.array([values[place] not in taken for place in known], bool)
    rows = np.array(known, np.int64)[new]
    counts = {
        f"have no '{target.column}'": len(labels) - len(labelled),
        "have a label that no training text has": len(labelled) - len(known),
        f"are copies of training texts{f' or share their {together!r}' if together else ''}": int((~new).sum()),
    }
    said = [f"{n:,} texts of '{other.name}' {what} and are left out." for what, n in counts.items() if n]
    if not len(rows):
        raise Refusal(f"no text of '{other.name}' is left to test ({' '.join(said)}); choose another run.")
    said += [
        sentence.replace("the test texts", f"those of '{other.name}'") for sentence in other.seen_in_training(rows)
    ]
    codes = np.array([codes_of[str(labels[row])] for row in rows.tolist()], np.int64)
    return OtherTexts(other, other.name, rows, codes), said
