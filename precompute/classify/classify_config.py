"""What is to be classified, from flags or a YAML file with the same keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from featurelib.classification.pipeline import CLASSIFIERS, DEPTHS, FOLDS, LEAVES, STRENGTHS, Settings
from featurelib.classification.representation import Representation
from featurelib.schema import Refusal

USUAL = (
    *("features", "features+binary", "features+anova-50", "features+largest-20"),
    *("reconstruction", "embedding", "random", "tfidf"),
)
NO_NAME = re.compile(r"[^A-Za-z0-9._-]+|[.]{2,}")
TEXTS_OF = ("run", "label", "representation", "classifier", "name", "split", "together", "transfer", "test_run")
TYPES: dict[str, Any] = {
    **dict.fromkeys(TEXTS_OF, str),
    **dict.fromkeys(("depths", "leaves", "folds", "resamples", "seed"), int),
    "strengths": (int, float),
}
WORDS: dict[Any, str] = {str: "text", int: "a whole number", (int, float): "a number"}
LISTS = ("label", "representation", "classifier", "strengths", "depths", "leaves")


@dataclass(frozen=True)
class ClassifyConfig:
    """One set of experiments."""

    run: str
    """The run whose texts are classified."""
    label: tuple[str, ...]
    """Columns of labels, each of which is predicted."""
    representation: tuple[str, ...] = USUAL
    """What the classifiers see, as in `featurelib.classification.representation`."""
    classifier: tuple[str, ...] = CLASSIFIERS
    """logistic, tree."""
    name: str = ""
    """The name of the set; empty: that of the label columns."""
    split: str = ""
    """The column that calls texts train and test; empty: 80 to 20, drawn."""
    together: str = ""
    """A column whose values are never on both sides, such as one that tells translations of a text; empty: none."""
    transfer: str = ""
    """A column: a model is fitted on the texts of each of its values and tested on those of every one; empty: none."""
    test_run: str = ""
    """Another run with the same embedder and SAE, whose texts test each model too; empty: none."""
    strengths: tuple[float, ...] = STRENGTHS
    """Values of C that are tried."""
    depths: tuple[int, ...] = DEPTHS
    """Depths of trees that are tried."""
    leaves: tuple[int, ...] = LEAVES
    """Least numbers of texts in a leaf that are tried."""
    folds: int = FOLDS
    """Parts of the cross-validation that finds settings."""
    resamples: int = 0
    """How often each model is fitted anew on other divisions of its training texts."""
    seed: int = 0
    """Seed of all that is drawn."""
    known: tuple[Representation, ...] = field(init=False)
    """The representations, read."""

    def __post_init__(self) -> None:
        """Check the values; Refusal names what is wrong."""
        self._check_types()
        if not self.label:
            raise Refusal("no label column is given; name one with --label COLUMN.")
        object.__setattr__(self, "known", tuple(map(Representation.parse, self.representation)))
        for name in self.classifier:
            if name not in CLASSIFIERS:
                raise Refusal(f"'{name[:40]}' is no classifier; expected is one of {', '.join(CLASSIFIERS)}.")
        for name, least in (("folds", 2), ("resamples", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise Refusal(f"{name} is {getattr(self, name)}; {least} or more is expected.")
        for name in ("strengths", "depths", "leaves"):
            wrong = [value for value in getattr(self, name) if value <= 0]
            if wrong:
                raise Refusal(f"{name} holds {wrong[0]}; numbers above 0 are expected.")

    def _check_types(self) -> None:
        for name, kind in TYPES.items():
            given = getattr(self, name)
            for value in given if isinstance(given, tuple) else (given,):
                if not isinstance(value, kind) or isinstance(value, bool):
                    raise Refusal(f"{name} is {str(value)[:40]!r}; {WORDS[kind]} is expected.")

    @property
    def set_name(self) -> str:
        """The name of the set."""
        parts = [*self.label, *(["by", self.transfer] if self.transfer else [])]
        parts += ["on", self.test_run] if self.test_run else []
        return self.name or (NO_NAME.sub("-", "-".join(parts)).strip("-.")[:64] or "labels")

    @property
    def settings(self) -> Settings:
        """What is tried of a classifier."""
        return Settings(self.strengths, self.depths, self.leaves, self.folds, self.seed)


def config_of(keys: Mapping[str, Any]) -> ClassifyConfig:
    """Make a config of keys that are set; Refusal for an unknown key, or a run that is missing."""
    known = {each.name for each in fields(ClassifyConfig) if each.init}
    unknown = sorted(set(keys) - known)
    if unknown:
        raise Refusal(f"'{unknown[0]}' is no key of classify; known are {', '.join(sorted(known))}.")
    if not keys.get("run"):
        raise Refusal("no run is given; name one with --run NAME.")
    values = {name: value for name, value in keys.items() if value not in (None, (), [])}
    for name in LISTS:
        if name in values and not isinstance(values[name], list | tuple):
            values[name] = [values[name]]
        if name in values:
            given = list(values[name])
            values[name] = tuple(value for place, value in enumerate(given) if value not in given[:place])
    return ClassifyConfig(**{"label": ()} | values)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of keys; Refusal when it is none."""
    if not path.is_file():
        raise Refusal(f"there is no file {path}; give classify a YAML file, or flags.")
    try:
        keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as wrong:
        raise Refusal(f"{path.name} is no YAML ({str(wrong).partition(chr(10))[0][:160]}); mend it.") from wrong
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys):
        raise Refusal(f"{path.name} holds no keys; expected are lines such as 'run: demo' and 'label: group'.")
    return keys
