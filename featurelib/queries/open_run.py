"""A run for a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from featurelib.queries.feature_filter import FeatureFilter
from featurelib.queries.features import feature, features, keywords
from featurelib.queries.top_texts import top_texts
from featurelib.storage.runs import Generation, stages_done
from featurelib.storage.store import Store, open_store

if TYPE_CHECKING:
    import pandas as pd


class OpenRun:
    """The current generation of a run, with its tables as pandas frames.

    It keeps the generation it was opened with; open it again to see a rebuild. `store` answers in Arrow tables.
    """

    def __init__(self, name: str, generation: Generation) -> None:
        self.name = name
        self.generation = generation
        self.store: Store = open_store(generation)

    def __repr__(self) -> str:
        """The run in one line: texts, features, embedder."""
        missing = [stage for stage, done in stages_done(self.generation).items() if done is None]
        return (
            f"OpenRun('{self.name}', {self.generation.name}: {self._fact('ingest', 'n_texts')} texts, "
            f"{self._fact('train', 'n_features')} features, {self._fact('embed', 'name')}"
            f"{'; not done yet: ' + ', '.join(missing) if missing else ''})"
        )

    def _fact(self, stage: str, name: str) -> str:
        done = self.generation.done(stage)
        fact = done.facts.get(name) if done else None
        return f"{fact:,}" if isinstance(fact, int) else str(fact or "?")

    def features(self, words: str = "", *, sort: str = "density", descending: bool = True) -> pd.DataFrame:
        """All features, or those whose label or keywords hold `words`: one row each, densest first."""
        return features(
            self.store, FeatureFilter(words=words), sort=sort, descending=descending, limit=None
        ).to_pandas()

    def top_texts(self, feature_id: int, *, limit: int = 10) -> pd.DataFrame:
        """A feature's strongest texts, up to 100, with all own columns; Refusal when there is no such feature."""
        feature(self.store, feature_id)
        return top_texts(self.store, feature_id, limit=limit, every_column=True).to_pandas()

    def keywords(self, feature_id: int) -> pd.DataFrame:
        """A feature's keywords with their scores; Refusal when there is no such feature."""
        feature(self.store, feature_id)
        return keywords(self.store, feature_id).to_pandas()

    def ask(self, sql: str, *, seconds: float | None = None, **values: Any) -> pd.DataFrame:
        """The answer to one SELECT over the run's views; `values` fill its $names.

        At most 100,000 rows; with `seconds`, a question that takes longer is ended. Refusal for anything else than one
        SELECT.
        """
        return self.store.select(sql, seconds=seconds, **values).to_pandas()
