"""The checks of the audit in sentences, with the numbers of this run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featurelib.storage.store import Store
from featurelib.ui.kit.elements import Html, count, html, tag


def thresholds(store: Store) -> dict[str, Any]:
    """What the flags of this run were set by, empty before the stage audit."""
    done = store.generation.done("audit")
    return dict(done.facts) if done else {}


def check_sentence(check: str, facts: Mapping[str, Any]) -> str:
    """One sentence on what a check measures and above which value it flags, with the numbers of this run."""
    at = facts.get("thresholds") or {}
    if not at:
        return ""
    share = f"flagged from {_whole(at['share'])} % of them on, {_whole(at['excess'])} points above the corpus's share"
    column = facts.get("language_column")
    return {
        "length": f"AUROC of a text's number of {facts.get('unit', 'tokens')} against firing (0.5 where length says "
        f"nothing); flagged from {at['auroc']:g} on, or up to {1 - at['auroc']:.2g}.",
        "truncation": f"The share of its texts that the embedder truncated; {share}.",
        "language": f"The value of the column '{column}' whose share of its texts exceeds the corpus's most; {share}.",
        "script": "The Unicode script (of most letters of a text) whose share of its texts exceeds the "
        f"corpus's share most; {share}.",
        "boilerplate": f"The share of its different texts (of {count(facts.get('sampled'))} drawn ones) that have one "
        "passage in common: 8 words in a row, or a whole sentence of 3 to 7; flagged from "
        f"{_whole(at['segment_share'])} % on, {_whole(at['segment_excess'])} points above the corpus's share, in "
        f"{at['segment_texts']} texts or more.",
        "copies": "The share of its top texts of which another top text is a copy, exact but for case and white space, "
        f"or near (cosine from {at['cosine']:g} and {_whole(at['same_words'])} % of all runs of 3 words in common); "
        f"{share}.",
    }.get(check, "")


def _whole(share: float) -> str:
    return f"{100 * share:.0f}"


def rule(facts: Mapping[str, Any]) -> str:
    """What all flags have in common, in one sentence."""
    least = (facts.get("thresholds") or {}).get("min_texts")
    return (
        f"A feature is flagged where it fires on at least {least} texts, the effect is that large, and an interval "
        "that holds for all features together (95 %, Bonferroni) leaves out what is expected; the intervals shown are "
        "the plain ones of 95 %. A flag is a reason to look, not a verdict: topics differ in length too."
    )


def checks_list(names: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Every check of this run with its sentence."""
    pieces: list[Html] = []
    for name in names:
        pieces += [tag("dt", name), tag("dd", check_sentence(name, facts))]
    html(tag("dl", *pieces, cls="audit-checks"), tag("p", rule(facts), cls="audit-rule"))
