"""The texts from which a feature is explained and on which the explanation is tested, with words marked in them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from featurelib.llm.explanations import Material, Sample
from featurelib.llm.marked_words import PLAIN_QUOTES, AttributedWords, mark_words, right_words, wrong_words
from featurelib.llm.prompts import CHARACTERS, Example
from featurelib.llm.sampling import MIN_TESTED, ChosenTexts
from featurelib.llm.shown_texts import ShownText, shorten
from featurelib.storage.store import Store
from precompute.stages.explanations.markers import Marker

AHEAD = 32
"""Features whose texts are read together."""
AROUND_TOKEN = 300
"""Characters of a text that are shown in a token run: those around the token on which the feature fires most."""


def materials(store: Store, choices: list[ChosenTexts], marker: Marker, seed: int) -> Iterator[Material]:
    """The texts of each choice, some features at a time, so that memory stays bounded."""
    for start in range(0, len(choices), AHEAD):
        ahead = choices[start : start + AHEAD]
        texts = _texts(store, {text_id for choice in ahead for text_id in _all_ids(choice)})
        for choice in ahead:
            yield _by_token(choice, texts, marker, seed) if marker.by_token else _by_text(choice, texts, marker, seed)


def _by_text(choice: ChosenTexts, texts: Mapping[int, str], marker: Marker, seed: int) -> Material:
    """Texts from their beginning; marks only where marks are judged."""
    shown = {text_id: ShownText(texts[text_id][:CHARACTERS]) for text_id in _all_ids(choice)}
    fuzzing: list[Sample] = []
    if marker.reason is None and choice.firing:
        ids = _shuffled(choice, seed)
        words = marker.words({text_id: shown[text_id].text for text_id in ids}, choice.feature_id)
        fuzzing = _marked(ids, {text_id: shown[text_id].text for text_id in ids}, words, _draw(choice, seed))
    return Material(
        choice.feature_id,
        [Example(shown[text_id], strength) for text_id, strength in choice.fires_on],
        [shown[text_id] for text_id in choice.silent_on],
        [(shown[text_id], True) for text_id in choice.firing] + [(shown[text_id], False) for text_id in choice.silent],
        fuzzing,
    )


def _by_token(choice: ChosenTexts, texts: Mapping[int, str], marker: Marker, seed: int) -> Material:
    """The part of each text around its strongest token, with marks where it explains; of silent texts any part."""
    examples = [text_id for text_id, _ in choice.fires_on]
    whole = {text_id: texts[text_id] for text_id in [*examples, *choice.firing]}
    words = marker.words(whole, choice.feature_id)
    marked = {text_id: mark_words(whole[text_id], words[text_id], right_words(words[text_id])) for text_id in whole}
    draw = random.Random(f"{seed}:{choice.feature_id}:parts")
    silent = {text_id: _any_part(texts[text_id], draw) for text_id in [*choice.silent_on, *choice.silent]}
    firing = [(shorten(_without_marks(marked[text_id]), AROUND_TOKEN), True) for text_id in choice.firing]
    fuzzing = _marked(_shuffled(choice, seed), whole, words, _draw(choice, seed)) if choice.firing else []
    return Material(
        choice.feature_id,
        [Example(shorten(marked[text_id], AROUND_TOKEN), strength) for text_id, strength in choice.fires_on],
        [silent[text_id] for text_id in choice.silent_on],
        firing + [(silent[text_id], False) for text_id in choice.silent],
        [(shorten(shown, AROUND_TOKEN), truth) for shown, truth in fuzzing],
        marked=True,
    )


def _any_part(text: str, draw: random.Random) -> ShownText:
    """A part of a text of the length that the others have, so that their form does not tell them apart."""
    return shorten(ShownText(text.translate(PLAIN_QUOTES), draw.randrange(max(len(text), 1))), AROUND_TOKEN)


def _without_marks(marked: ShownText) -> ShownText:
    """The same text and focus without its marks."""
    before = marked.text[: marked.focus]
    return ShownText(marked.text.replace("«", "").replace("»", ""), len(before) - before.count("«") - before.count("»"))


def _all_ids(choice: ChosenTexts) -> tuple[int, ...]:
    return tuple(text_id for text_id, _ in choice.fires_on) + choice.silent_on + choice.firing + choice.silent


def _texts(store: Store, ids: Iterable[int]) -> dict[int, str]:
    """Texts as far as the embedder read them."""
    rows = store.ask(
        """
        select t.text_id, t.text, coalesce(s.cut, -1) as cut
        from texts t
        join text_summaries s on s.text_id = t.text_id
        where t.text_id in (select unnest($ids::bigint[]))
        order by t.text_id""",
        ids=sorted(ids),
    )
    columns = (rows[name].to_pylist() for name in ("text_id", "text", "cut"))
    return {text_id: text[:cut] if cut >= 0 else text for text_id, text, cut in zip(*columns, strict=True)}


def _draw(choice: ChosenTexts, seed: int) -> random.Random:
    return random.Random(f"{seed}:{choice.feature_id}:marks")


def _shuffled(choice: ChosenTexts, seed: int) -> list[int]:
    """The test texts on which a feature fires, in another order than that of their strengths."""
    return random.Random(f"{seed}:{choice.feature_id}:order").sample(choice.firing, len(choice.firing))


def _marked(
    ids: Sequence[int], texts: Mapping[int, str], words: Mapping[int, AttributedWords], draw: random.Random
) -> list[Sample]:
    """The texts with marked words, every other one rightly; a text without a word that carries is left out."""
    samples: list[Sample] = []
    for text_id in ids:
        own = words[text_id]
        right = right_words(own)
        wrong = wrong_words(own, len(right), draw)
        if right and len(wrong) == len(right):
            rightly = len(samples) % 2 == 0
            samples.append((mark_words(texts[text_id], own, right if rightly else wrong), rightly))
    return samples if len(samples) >= MIN_TESTED else []
