"""The architectures that can be trained: a new one is a file of this folder and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from featurelib.sae.training.gated import GatedMethod
from featurelib.sae.training.jumprelu import JumpReLUMethod
from featurelib.sae.training.topk import BatchTopKMethod, MatryoshkaMethod, TopKMethod
from featurelib.sae.training.vanilla import VanillaMethod
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.training.base import Method
    from featurelib.sae.training.recipe import Recipe

METHODS: Mapping[str, Callable[[Recipe], Method]] = {
    "vanilla": VanillaMethod,
    "topk": TopKMethod,
    "batchtopk": BatchTopKMethod,
    "jumprelu": JumpReLUMethod,
    "gated": GatedMethod,
    "matryoshka": MatryoshkaMethod,
}
ARCHITECTURES = tuple(METHODS)
"""Their names, as --architecture takes them."""


def find_method(recipe: Recipe) -> Method:
    """Return the method that trains the recipe's architecture; Refusal when there is none of that name."""
    if recipe.architecture not in METHODS:
        raise Refusal(
            f"the architecture '{recipe.architecture}' is not known; choose one of {', '.join(ARCHITECTURES)}."
        )
    return METHODS[recipe.architecture](recipe)
