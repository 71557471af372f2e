"""Hidden states of windows: the model runs no further than the hook, and stops there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from featurelib.embedder.hidden_states.hooks import Hook, attach
from featurelib.embedder.hidden_states.loading import LoadedModel
from featurelib.embedder.hidden_states.windows import Window


class _Reached(Exception):  # noqa: N818
    """Carries the states out of the model; raised in each thread alone, so that threads may share a model."""

    def __init__(self, states: Any) -> None:
        self.states = states


class StateReader:
    """Reads the hidden states of a loaded model at one hook."""

    def __init__(self, loaded: LoadedModel, hook: Hook, *, shared: bool = False) -> None:
        """Put the hook on for good, or, on a model that is `shared` with others, for the time of each reading.

        Raises Refusal for a hook that the model does not have.
        """
        self.loaded, self.hook, self.shared = loaded, hook, shared
        attached = attach(loaded.model, hook, loaded.name, _stop)
        if shared:
            attached.remove()

    def read(self, windows: Sequence[Window]) -> list[np.ndarray]:
        """Return the states of all tokens of each window, float32 [n, d]."""
        import torch

        longest = max(len(window.ids) for window in windows)
        ids = torch.zeros((len(windows), longest), dtype=torch.long)
        mask = torch.zeros((len(windows), longest), dtype=torch.long)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = torch.from_numpy(window.ids.astype(np.int64))
            mask[row, : len(window.ids)] = 1
        attached = attach(self.loaded.model, self.hook, self.loaded.name, _stop) if self.shared else None
        try:
            states = self._run(ids.to(self.loaded.device), mask.to(self.loaded.device)).float().cpu().numpy()
        finally:
            if attached is not None:
                attached.remove()
        return [states[row, : len(window.ids)] for row, window in enumerate(windows)]

    def _run(self, ids: Any, mask: Any) -> Any:
        import torch

        with torch.inference_mode():
            try:
                self.loaded.model(input_ids=ids, attention_mask=mask, **_without_cache(self.loaded.model))
            except _Reached as reached:
                return reached.states
        raise AssertionError(f"the model never came to {self.hook.name}")


def _stop(states: Any) -> None:
    raise _Reached(states)


def _without_cache(model: Any) -> dict[str, bool]:
    return {"use_cache": False} if hasattr(model.config.get_text_config(), "use_cache") else {}
