"""A run as classifiers see it: its texts and their columns, activations, embeddings and reconstructions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from featurelib.classification.representation import Control, Shown
from featurelib.schema import BY_TEXT, EMBEDDINGS, FEATURES, SAE_SPLIT, TEXTS, Refusal
from featurelib.storage.activation_rows import read_rows
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.runs import Generation

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MOST_NAMED = 12


@dataclass(frozen=True)
class RunInputs:
    """One generation of a run; each part is read when it is first asked for."""

    generation: Generation

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.generation.path.parent.name

    @cached_property
    def texts(self) -> list[str]:
        """Its texts, in order."""
        texts: list[str] = pq.read_table(self.generation.need(TEXTS), columns=["text"])["text"].to_pylist()
        return texts

    def column(self, name: str) -> list[object]:
        """The values of one of the source's own columns; Refusal with the known names when there is none."""
        path = self.generation.need(TEXTS)
        names = [known for known in pq.read_schema(path).names if known not in TEXTS.schema.names]
        if name not in names:
            known = ", ".join(names[:MOST_NAMED]) or "none"
            raise Refusal(f"the texts have no column '{name[:60]}'; their own columns are: {known}.")
        values: list[object] = pq.read_table(path, columns=[name])[name].to_pylist()
        if any(isinstance(value, list) for value in values):
            raise Refusal(f"'{name}' holds lists; a column with one label for each text is expected.")
        return values

    @cached_property
    def activations(self) -> csr_matrix:
        """CSR [n_texts, n_features]."""
        from scipy.sparse import csr_matrix

        n_features = pq.read_metadata(self.generation.need(FEATURES)).num_rows
        parts = [read_rows(part) for part in self.generation.parts(BY_TEXT)]
        values, texts, features = (
            np.concatenate([getattr(rows, name) for rows in parts])
            for name in ("activations", "text_ids", "feature_ids")
        )
        return csr_matrix((values, (texts, features)), shape=(len(self.texts), n_features))

    @cached_property
    def embeddings(self) -> np.ndarray:
        """float32 [n_texts, d_in]."""
        return np.concatenate([read_embeddings(part) for part in self.generation.parts(EMBEDDINGS)])

    @cached_property
    def reconstructions(self) -> np.ndarray:
        """float32 [n_texts, d_in]."""
        from featurelib import load_sae

        sae = load_sae(self.generation.path, embeddings=self.embeddings)
        rebuilt: np.ndarray = sae.rebuild(self.embeddings, sae.encode_sparse(self.embeddings)).numpy()
        return rebuilt

    def seen_in_training(self, text_ids: np.ndarray) -> list[str]:
        """Return a sentence on how many of some texts the SAE was trained on; none where that is not known."""
        if not self.generation.has(SAE_SPLIT):
            return []
        split = pq.read_table(self.generation.file(SAE_SPLIT)).sort_by("text_id")["sae_split"].to_numpy(False)
        share = float((split[text_ids] == "train").mean()) if len(text_ids) else 0.0
        return [f"The SAE was trained on {share:.0%} of the test texts, without their labels."] if share else []

    def shown(self, rows: np.ndarray, kinds: set[str], seed: int, control: Control | None = None) -> Shown:
        """Some of the texts, in the order of `rows`; what no representation of `kinds` needs is empty."""
        from scipy.sparse import csr_matrix

        nothing = np.empty((len(rows), 0), np.float32)
        return Shown(
            self.activations[rows] if kinds & {"features", "random"} else csr_matrix(nothing),
            self.embeddings[rows] if kinds & {"embedding", "random"} else nothing,
            self.reconstructions[rows] if "reconstruction" in kinds else nothing,
            [self.texts[row] for row in rows.tolist()],
            seed,
            control,
        )
