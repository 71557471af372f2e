"""The question whether an SAE that was not trained in a run fits its embeddings, as the stage train has answered it."""

from __future__ import annotations

from dataclasses import dataclass

from featurelib.storage.store import Store


@dataclass(frozen=True)
class FitVerdict:
    """What is said of it on every page."""

    fits: bool
    """Whether nothing speaks against it."""
    sentence: str
    """The verdict, with its reasons."""


def fit_verdict(store: Store) -> FitVerdict | None:
    """Return the verdict; None for an SAE that was trained here, or taken before there were verdicts."""
    done = store.once("the stage train", lambda: store.generation.done("train"))
    fit = done.facts.get("fit") if done else None
    if done is None or not isinstance(fit, dict) or not isinstance(fit.get("sentence"), str):
        return None
    return FitVerdict(fit.get("verdict") == "fits", f"The SAE '{done.facts.get('source')}' {fit['sentence']}")
