"""Keys of a config that no version known here writes: told once where they change nothing, refused where they may."""

from __future__ import annotations

import re
from typing import Any

from featurelib.sae.pickles.values import shown
from featurelib.sae.weights.contents import some_names
from featurelib.schema import Refusal

COMPUTING = re.compile(
    r"^k$|norm|scal|cent(er|re)|bias|thresh|activation(_f|$)|act_f|hidden_act|nonlinear|relu|gate|temperature|whiten"
    r"|rotat|mean|std|subtract|shift|clip|clamp|top_?k|quant|fold|transform|skip|apply|multipl|tied|square|sqrt|power"
)
"""In a key, the words for what an encoder or decoder may do with its numbers."""
TRAINING = re.compile(
    r"(^|_)(loss|init|initiali[sz]ation|coefficient|coeff?|warm_?up|penalty|regulari[sz]ation|optimi[sz]er|dead(?!.*relu)"
    r"|bandwidth|lr|l0)(_|$)"
)
"""Whole words for what only a training does, or what was measured of it."""
OFF: tuple[Any, ...] = (None, False, "", "none", [], {})
"""Values with which a key says that it does nothing."""


def check_unknown_keys(file: str, config: dict[str, Any], known: set[str]) -> tuple[str, ...]:
    """Return a remark that names all keys that are not `known`, or nothing where all are.

    Raises Refusal for one that, by its name, changes what is computed, unless its value says that it is off.
    """
    unknown = sorted(config.keys() - known)
    for key in unknown:
        if _changes_numbers(key, config[key]):
            raise Refusal(
                f"{file} says {shown(key)} = {shown(config[key])}, a key that is not known here and by its name changes"
                " the numbers; remove it if it means nothing, or save the SAE again with the weights folded."
            )
    if not unknown:
        return ()
    n_keys = f"{len(unknown)} keys" if len(unknown) > 1 else "a key"
    return (f"{file} has {n_keys} of no version known here, passed over: {some_names(unknown)}.",)


def _changes_numbers(key: str, value: Any) -> bool:
    if not COMPUTING.search(key.lower()) or TRAINING.search(key.lower()):
        return False
    neutral = "scal" in key.lower() and not isinstance(value, bool) and value == 1
    return not neutral and not any(type(value) is type(off) and value == off for off in OFF)
