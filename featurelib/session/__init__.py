"""A language model with the SAE that was trained on it: states, features, interventions; `load_session` opens one.

    from featurelib.session import add, multiply, set_to
    with session.bind(features={7: set_to(0), 12: add(3.0), 80: multiply(2)}, where="generated"):
        session.generate("The galaxy")

A change is named `set_to`, because `set` is Python's own; who wants OpenSAE's word may `import set_to as set`.
"""

from __future__ import annotations

from featurelib.language_model.intervention import add, multiply, set_to
from featurelib.session.language_session import EncodedText, Session
from featurelib.session.opening import load_session

__all__ = ["EncodedText", "Session", "add", "load_session", "multiply", "set_to"]
