"""How an SAE is trained: its sizes and rates, and how they follow from a corpus."""

from __future__ import annotations

import math
from dataclasses import dataclass

from featurelib.schema import Refusal

FEWEST_FEATURES, MOST_FEATURES = 64, 16_384
EPOCHS = 30
"""More passes no longer lower the FVU of texts held out, on 7,200 texts."""
FEWEST_SAMPLES = 60_000
"""A few seconds; a small corpus needs more passes to make enough steps."""
MOST_SAMPLES = 900_000
"""About a minute on two cores for 2,048 features; a corpus larger than this is seen once."""
MEASURED_TEXTS = 36_000
"""The corpus on which the default noise was measured; a smaller one needs more, a larger one less."""


@dataclass(frozen=True)
class Recipe:
    """All that the weights depend on beside the embeddings; the defaults were measured (see CHANGELOG)."""

    n_features: int
    """How many features the SAE has."""
    k: int
    """The target L0: active features per text, on average."""
    n_samples: int
    """Embeddings seen in all, counting each time an embedding is seen."""
    seed: int = 0
    """What the first directions, the order of the embeddings and the noise are drawn by."""
    batch: int = 256
    """Embeddings per step; smaller batches take more steps for the same samples, and reached a lower FVU."""
    lr: float = 3e-3
    """Adam's rate after warm-up."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Adam's decay rates; with 0.999 features that fire seldom move less, and more of them die."""
    warm_up: float = 0.02
    """The share of steps in which the rate rises from 0."""
    decay: float = 0.8
    """The share of steps, at the end, in which the rate falls to 0."""
    k_start: float = 4.0
    """The first steps keep k_start·k activations per text: features that would never be chosen learn meanwhile."""
    k_steps: float = 0.3
    """The share of steps after which k is reached."""
    noise: float = 0.3
    """Length of the noise added to what the encoder sees, in units of the embeddings' spread about their mean; the
    decoder rebuilds the text without it. It keeps the encoder from learning its texts by heart."""
    dead_after: int = 20_000
    """A feature that did not fire on so many embeddings in a row is dead, and the auxiliary loss moves it."""
    aux: float = 1 / 32
    """The weight of the auxiliary loss (Gao et al., arXiv 2406.04093)."""
    k_aux: int = 128
    """How many dead features rebuild what is missing from a text's reconstruction."""

    @property
    def steps(self) -> int:
        """How many batches the training takes."""
        return max(1, self.n_samples // self.batch)

    def rate_at(self, step: int) -> float:
        """Return Adam's rate at a step: a rise, a plateau, a fall to 0."""
        rise = (step + 1) / max(1.0, self.warm_up * self.steps)
        fall = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.lr * min(rise, fall, 1.0)

    def k_at(self, step: int) -> float:
        """Return how many activations per text are kept at a step."""
        left = max(0.0, 1 - step / max(1.0, self.k_steps * self.steps))
        return min(self.k * (1 + (self.k_start - 1) * left), self.n_features)


def find_recipe(
    n_texts: int,
    d_in: int,
    *,
    n_features: int | None = None,
    k: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
) -> Recipe:
    """Return the recipe for a corpus of n_texts training texts of dimension d_in; what is None is chosen from them.

    Features: the power of two nearest to an eighth of the texts; at k 32 a feature then learns from some 250 texts. 64
    at least, or, of a corpus with fewer texts than that, as many as there are texts (a power of two again).
    k: a sixteenth of the features, from 4 to 32: with more, most features of a small SAE fire on a tenth of the texts.
    """
    wanted = 2 ** round(math.log2(max(1.0, n_texts / 8)))
    fewest = min(FEWEST_FEATURES, 2 ** math.floor(math.log2(max(1, n_texts))))
    n_features = n_features or min(MOST_FEATURES, max(fewest, wanted))
    k = k or min(n_features, max(4, min(32, n_features // 16, d_in // 2)))
    n_samples = n_texts * epochs if epochs else max(n_texts, min(MOST_SAMPLES, max(FEWEST_SAMPLES, EPOCHS * n_texts)))
    return Recipe(
        n_features=n_features,
        k=k,
        n_samples=n_samples,
        seed=seed,
        noise=min(0.8, Recipe.noise * (MEASURED_TEXTS / n_texts) ** 0.25),
        batch=min(Recipe.batch, max(16, n_texts // 8)),
        dead_after=min(Recipe.dead_after, 3 * n_texts),
    )


def check_sizes(recipe: Recipe, n_texts: int) -> None:
    """Refuse sizes that cannot work together, or with n_texts training texts."""
    if recipe.k < 1:
        raise Refusal(f"--k is {recipe.k}; expected at least 1 active feature per text.")
    if recipe.k > recipe.n_features:
        raise Refusal(
            f"--k {recipe.k} is more than --features {recipe.n_features}; a text cannot have more features than exist."
        )
    if n_texts < recipe.n_features:
        raise Refusal(
            f"{n_texts} training texts are fewer than {recipe.n_features} features; give more texts or --features "
            f"{max(1, n_texts // 8)} or less."
        )
    if n_texts < recipe.batch:
        raise Refusal(f"{n_texts} training texts do not fill a batch of {recipe.batch}; give more texts.")
