"""How an SAE is trained: its sizes and rates, and how they follow from a corpus."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from featurelib.schema import Refusal

FEWEST_FEATURES, MOST_FEATURES = 64, 16_384
EPOCHS = 30
"""More passes no longer lower the FVU of texts held out, on 7,200 texts."""
FEWEST_SAMPLES = 60_000
"""A few seconds; a small corpus needs more passes to make enough steps."""
MOST_SAMPLES = 900_000
"""About a minute on two cores for 2,048 features; a corpus larger than this is seen once."""
LONG_TRAINING = 450_000
"""Samples from which a step takes the recipe's batch; shorter trainings take half of it, for more steps."""
CHOOSING = ("topk", "batchtopk", "matryoshka")
"""The architectures that keep the largest pre-activations; only they have the auxiliary loss."""
SELDOM = 64.0
"""Up to so many features per active one the auxiliary loss is as strong as the recipe says. Features of a sparser SAE
fire more seldom, and of 4,096 at k 16 1.3 % died: there it is up to three times as strong, on twice as many."""
MEASURED_TEXTS = 36_000
"""The corpus on which the default noise was measured; a smaller one needs more, a larger one less."""


@dataclass(frozen=True)
class Recipe:
    """All that the weights depend on beside the embeddings; the defaults are BatchTopK's, measured (see CHANGELOG)."""

    n_features: int
    """How many features the SAE has."""
    k: int
    """The target L0: active features per text, on average."""
    n_samples: int
    """Embeddings seen in all, counting each time an embedding is seen."""
    architecture: str = "batchtopk"
    """One of the registry's names."""
    seed: int = 0
    """What the first directions, the order of the embeddings and the noise are drawn by."""
    batch: int = 256
    """Embeddings per step; half as many reached a lower FVU in a short training (0.285, not 0.297, with 108,000
    samples) and a higher one in a long (0.238, not 0.231, with 900,000)."""
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
    dead_after: int = 2_500
    """A feature that did not fire on so many embeddings in a row is dead, and the auxiliary loss moves it; with 20,000
    a training of 108,000 samples left 3 % of 4,096 features dead."""
    aux: float = 0.1
    """The weight of the auxiliary loss (Gao et al., arXiv 2406.04093, take 1/32; that left more features dead)."""
    k_aux: int = 128
    """How many dead features rebuild what is missing from a text's reconstruction."""
    prefixes: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
    """The shares of the features that each rebuild the texts alone, in a Matryoshka."""
    penalty: float = 0.05
    """λ of the first step, in vanilla, gated and JumpReLU, for embeddings of mean square norm 1."""
    follow: float = 15.0
    """How far the logarithm of λ moves over the whole training where the L0 is e times what is asked for throughout; a
    vanilla SAE ended 4 % above its k with 10 and 3 % above with 15 (before it was settled), more made λ overshoot on
    planted directions."""
    grip: float = 4.0
    """By what power of (L0 / what is asked for) λ is raised at once; with 2 a steep fall of the L0 overshot, with 8 a
    gated SAE swung about its k."""
    bandwidth: float = 0.03
    """How wide the ramp is that stands for JumpReLU's step, for embeddings of mean square norm 1; from 0.01 to 0.1 the
    FVU changed by 0.002."""
    revive_every: float = 0.05
    """The share of steps after which a penalised architecture begins its dead features anew; 0.1 % of JumpReLU's died
    with it and 6 % without, at twice the rate."""
    revive_until: float = 0.7
    """The share of steps after which none are begun anew, so that the last ones have time to learn."""
    patience: int | None = None
    """How many measurements in a row, of twenty over the training, may be no better before it stops with the best
    weights; None trains to the end."""

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


class Own(NamedTuple):
    """The settings in which an architecture differs from BatchTopK, found on 32,000 abstracts with 1,024 features."""

    lr: float = Recipe.lr
    """Adam's rate."""
    k_start: float = Recipe.k_start
    """How many times k the first steps aim at."""
    noise: float = Recipe.noise
    """What is added to what the encoder sees."""
    dead_after: int = Recipe.dead_after
    """After how many embeddings a feature is dead."""


OWN = {
    # L1 holds every activation back, so it needs the highest rate (FVU 0.46 at 1e-3, 0.33 at 1e-2); more noise shrinks
    # them further (0.330 with 0.3, 0.316 with 0.1), none leaves the L0 of unseen texts 3 % over k; a dense start makes
    # twins of features, which L1 never parts.
    "vanilla": Own(lr=1e-2, k_start=1.0, noise=0.1, dead_after=20_000),
    # At 600,000 samples FVU 0.243, against 0.248 without noise and 0.250 at twice the rate.
    "gated": Own(lr=5e-3, dead_after=20_000),
    # As the two above it begins dead features anew, which takes more patience than the auxiliary loss.
    "jumprelu": Own(dead_after=20_000),
}
"""What differs from the recipe's defaults. JumpReLU was best with BatchTopK's (0.2395 at 600,000 samples, 0.2432 at
twice the rate); TopK at twice the rate gained 0.009 at 200,000 samples and lost 0.5 % of its features; Matryoshka lost
1.1 % and gained nothing."""


def tuned(architecture: str, **sizes: Any) -> Recipe:
    """Return the recipe of an architecture with its own rates; `sizes` are the other fields."""
    return Recipe(**(OWN.get(architecture, Own())._asdict() | {"architecture": architecture} | sizes))


def find_recipe(
    n_texts: int,
    d_in: int,
    *,
    n_features: int | None = None,
    k: int | None = None,
    epochs: float | None = None,
    seed: int = 0,
    architecture: str = "batchtopk",
    patience: int | None = None,
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
    usual = max(n_texts, min(MOST_SAMPLES, max(FEWEST_SAMPLES, EPOCHS * n_texts)))
    n_samples = round(n_texts * epochs) if epochs else usual
    own = OWN.get(architecture, Own())
    short = architecture in CHOOSING and n_samples < LONG_TRAINING
    seldom = n_features / k / SELDOM
    return tuned(
        architecture,
        n_features=n_features,
        k=k,
        n_samples=n_samples,
        seed=seed,
        noise=min(0.8, own.noise * (MEASURED_TEXTS / n_texts) ** 0.25),
        batch=min(Recipe.batch // 2 if short else Recipe.batch, max(16, n_texts // 8)),
        dead_after=min(own.dead_after, 3 * n_texts),
        aux=Recipe.aux * min(3.0, max(1.0, seldom)),
        k_aux=round(Recipe.k_aux * min(2.0, max(1.0, seldom / 2))),
        patience=patience,
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
