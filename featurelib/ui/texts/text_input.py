"""A text that the reader types or pastes: in the page's address while it is short, else in this session alone.

An address that is longer than some 8,000 characters is refused by common proxies, so a long text is kept in the
session under its hash, and the address holds that: the page's own links work, a copied address does not hold the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import streamlit as st

from featurelib.live.client import LONGEST_TEXT
from featurelib.ui.kit.address import param, set_params
from featurelib.ui.kit.elements import count, html, plain, sentence, tag

LONGEST_IN_ADDRESS = 2_000
"""Characters of a text that may stand in an address."""
LONGEST_ADDRESS = 6_000
"""Characters that the text may take in an encoded address: other alphabets take up to nine for one."""
LONGEST = 200_000
"""Characters that are kept of what is pasted."""
LONGEST_ONE = LONGEST_TEXT
"""Characters of one text that the embedder is given."""
REFUSED = 4_000_000
"""A longer paste is refused by the browser, so that no message is too large for the server."""
MOST_STORED = 220
"""Long texts that a session stores."""
STORED = "typed texts that are kept"
CUT = "characters that were pasted"
KEY = "address t"


@dataclass(frozen=True)
class Typed:
    """The typed text, and the parameters that bring it back."""

    text: str
    """Line ends are \\n, characters that no page can show are replaced by a visible mark."""
    params: dict[str, str]
    """The parameters of the address that hold it or name it."""


def in_address(text: str) -> dict[str, str]:
    """The parameters that hold `text`, or its name in the session, where a long one is stored."""
    if not text:
        return {}
    if len(text) <= LONGEST_IN_ADDRESS and len(quote(text)) <= LONGEST_ADDRESS:
        return {"t": text}
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    stored: dict[str, str] = st.session_state.setdefault(STORED, {})
    stored.pop(name, None)
    stored[name] = text
    while len(stored) > MOST_STORED:
        stored.pop(next(iter(stored)))
    return {"kept": name}


def typed_text() -> Typed:
    """The text of the address, or the one that it names; a sentence where either is not all that was typed."""
    name = param("kept")
    if not name:
        if len(str(st.query_params.get("t", ""))) > LONGEST_IN_ADDRESS:
            sentence(f"The address holds more than {LONGEST_IN_ADDRESS:,} characters of text; only these are read.")
        text = param("t", longest=LONGEST_IN_ADDRESS)
        return Typed(text, {"t": text} if text else {})
    text = st.session_state.get(STORED, {}).get(name)
    if text is None:
        sentence(
            "The text of this address was too long for an address and was kept only in the session of whoever typed "
            "it; paste it again."
        )
    return Typed(text or "", {"kept": name} if text else {})


def typed_box(label: str, *, placeholder: str, limit: int, height: int = 180, resets: Sequence[str] = ()) -> Typed:
    """A box for a text of several lines; `limit` is the number of characters that the page will read.

    A new text removes the parameters `resets` from the address.
    """
    typed = typed_text()
    if st.session_state.get(KEY) != typed.text:
        st.session_state[KEY] = typed.text
    # Streamlit's own limit drops a longer paste silently, so it is set far above ours.
    st.text_area(
        label,
        key=KEY,
        height=height,
        on_change=_keep,
        args=(tuple(resets),),
        placeholder=placeholder,
        max_chars=REFUSED,
    )
    pasted = st.session_state.pop(CUT, None)
    if pasted:
        sentence(f"{count(pasted)} characters were pasted; the first {count(LONGEST)} are kept.")
    where = " · too long for an address: kept in this session only" if "kept" in typed.params else ""
    html(tag("div", f"{count(len(typed.text))} of at most {count(limit)} characters{where}", cls="muted typed"))
    return typed


def _keep(resets: Sequence[str]) -> None:
    text = plain(st.session_state[KEY])
    if len(text) > LONGEST:
        st.session_state[CUT] = len(text)
        text = text[:LONGEST]
    set_params(**dict.fromkeys(resets), **{"t": None, "kept": None, **in_address(text)})
