"""A text whose words are coloured by their attributions to a feature, the sum of these, and the effect of deletions.

The hue, set in ui/kit/css/highlight.css, shows the sign: teal adds, orange with a dotted line subtracts (distinct with
any kind of colour blindness). The strength shows the size relative to the largest attribution of the text; the number
appears on hover. A text is an HTML block of its own, so that right-to-left words keep their order and its control
characters affect nothing else.
"""

from __future__ import annotations

import html as escaping
import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featurelib.live.results import Attribution, Deletions
from featurelib.ui.kit.elements import Html, number, plain, tag

WHOLE = 6_000
"""Characters of a text that are shown."""
FAINT = 0.02
"""Words are coloured from this share of the largest attribution on."""
LEAST = 80
"""Characters of a window at least, however long the title is."""
STRONGEST = 62
"""The colour of the largest attribution, in percent of full colour: text stays readable on it."""
UNREAD = "Truncated here."
ATTRIBUTIONS = (
    "What each word adds to the pre-activation. With the special tokens and the constant, the attributions add up to "
    "it exactly. An attribution belongs to a position whose state has seen the other words too, so deleting the word "
    "may have another effect."
)
TOKENS = (
    "The feature's activation on each token. The model has read the tokens before it too, and with a causal model "
    "nothing behind it; the number appears on hover."
)
SPECIAL = "What the model's own tokens, such as [CLS] and [SEP], and those of the prompt add."
CONSTANT = "What no token adds: the encoder's bias, and the decoder's where it is subtracted from the input."
DELETED = (
    "Each word is deleted in turn and the rest embedded again: the pre-activation with the word minus that without it."
)
THRESHOLD = "The feature fires where its pre-activation exceeds this."
AGREE = (
    "Between attributions and changes over the words of this text: 1 when they agree, 0 when they are unrelated. "
    "Pearson's correlation is led by the few words that matter most; Spearman's compares the order of all "
    "words, most of which hardly matter either way, so it is usually low."
)


Offsets = Sequence[int] | np.ndarray
"""Places in a text, in characters."""


def stored(row: Mapping[str, Any], feature_id: int, threshold: float) -> Attribution:
    """A row of the table of attributions, in the form of the worker's answer.

    A `threshold` of 0 becomes NaN: with TopK the other features of the text decide what must be exceeded.
    """
    starts, ends, by_word = (
        np.array(row[name], kind) for name, kind in (("starts", "i4"), ("ends", "i4"), ("parts", "f4"))
    )
    return Attribution(
        feature_id, starts, ends, by_word, row["special"], row["constant"], row["pre_activation"], threshold or math.nan
    )


@dataclass(frozen=True)
class ColouredText:
    """A text with its words coloured by their attributions, made once for its beginning and for all of it."""

    text: str
    words: Sequence[tuple[int, int, str]]
    """Where each coloured word begins and ends, in characters, and its HTML."""
    bold: int
    """Characters at the beginning that are bold: the title."""
    attributed: tuple[Offsets, Offsets, np.ndarray]
    """Where every word begins and ends, and its attribution."""
    is_plain: bool
    """Whether the text may stand in HTML as it is."""

    def between(self, first: int, last: int) -> str:
        """The HTML of the characters from `first` to `last`."""
        pieces = []
        at = first
        for start, end, word in self.words[bisect_left(self.words, (first, 0, "")) :]:
            if end > last:
                break
            if at < start:
                pieces.append(self._plain(at, start))
            pieces.append(word)
            at = end
        return "".join([*pieces, self._plain(at, max(at, last))])

    def _plain(self, start: int, end: int) -> str:
        if start >= self.bold:
            return self._shown(start, end)
        split = min(end, self.bold)
        return f"<b>{self._shown(start, split)}</b>{self._shown(split, end)}"

    def _shown(self, start: int, end: int) -> str:
        return self.text[start:end] if self.is_plain else _shown(self.text[start:end])


def coloured_text(
    text: str,
    starts: Offsets,
    ends: Offsets,
    attributions: Sequence[float] | np.ndarray,
    *,
    title: str = "",
    spoken: Callable[[float], str] | None = None,
) -> ColouredText:
    """Colour the words of a text, at [starts, ends) in characters; `title` is bold where the text begins with it.

    `spoken` writes the value that appears on hover: with its sign, unless said otherwise.
    """
    spoken = spoken or signed
    bold = len(title) if title and text.startswith(title) else 0
    values = np.asarray(attributions, np.float64)
    largest = float(np.abs(values).max(initial=0.0)) or 1.0
    seen = np.flatnonzero(np.abs(values) >= FAINT * largest)
    strengths = np.rint(STRONGEST * np.minimum(np.abs(values[seen]) / largest, 1.0)).astype(int).tolist()
    places = np.asarray(starts)[seen].tolist(), np.asarray(ends)[seen].tolist(), values[seen].tolist()
    words: list[tuple[int, int, str]] = []
    is_plain = _shown(text) == text
    at = 0
    for start, end, value, strength in zip(*places, strengths, strict=True):
        if at <= start:  # a word never begins before the one before it has ended
            # without quotes: some thousand words of a page, and no value has a space, a quote or a sign of HTML
            inner = text[start:end] if is_plain else _shown(text[start:end])
            inner = f"<b>{inner}</b>" if start < bold else inner
            kind = "up" if value > 0 else "down"
            html = f"<i class={kind} style=--p:{strength} data-add={spoken(value)}>{inner}</i>"
            words.append((start, end, html))
            at = end
    return ColouredText(text, words, bold, (starts, ends, values), is_plain)


def apart(starts: np.ndarray, ends: np.ndarray, activations: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens of which none shares a character with another, as parts of one do: these become one, the strongest value.

    `starts` [n] ascend.
    """
    if not len(starts):
        return starts, ends, activations
    reached = np.maximum.accumulate(ends)
    first = np.flatnonzero(np.append(True, starts[1:] >= reached[:-1]))
    return starts[first], np.maximum.reduceat(ends, first), np.maximum.reduceat(activations, first)


def highlighted(
    text: str,
    starts: Offsets,
    ends: Offsets,
    attributions: Sequence[float] | np.ndarray,
    *,
    title: str = "",
    cut: int | None = None,
) -> Html:
    """A text whose words, at [starts, ends) in characters, are coloured by their attributions.

    `title` is set bold where the text begins with it; what follows the character `cut` is grey. Returns the text as
    HTML.
    """
    return whole(coloured_text(text, starts, ends, attributions, title=title), cut)


def whole(coloured: ColouredText, cut: int | None = None) -> Html:
    """A coloured text up to the character `WHOLE`; what follows the character `cut` is grey."""
    last = min(len(coloured.text), WHOLE)
    read = cut if cut is not None and 0 <= cut < last else last
    pieces = [coloured.between(0, read)]
    if read < last:
        pieces.append(tag("span", Html(_shown(coloured.text[read:last])), cls="unread", help=UNREAD))
    return tag("div", Html("".join(pieces)), Html(" …" if last < len(coloured.text) else ""), cls="words")


def opening(coloured: ColouredText, length: int, *, of_tokens: bool = False, focus: int | None = None) -> Html:
    """Some `length` characters of a coloured text: the title, and those around the words that add most.

    With `of_tokens` the values are of some tokens only, and the strongest of these stands in the middle; or the
    character `focus`.
    """
    text, bold = coloured.text, coloured.bold
    window = token_window if of_tokens else strongest_window
    starts, ends, values = coloured.attributed if focus is None else ([focus], [focus + 1], [1.0])
    first, last = window(text, starts, ends, values, max(length - bold, LEAST), after=bold)
    title = coloured.between(0, bold) if bold else ""
    gap = " … " if bold else "… "
    shown = f"{title}{gap}{coloured.between(first, last)}" if first > bold else coloured.between(0, last)
    return tag("div", Html(shown), Html(" …" if last < len(text) else ""), cls="words")


def _shown(text: str) -> str:
    """Escaped, but not isolated word by word: the words of a sentence are ordered together."""
    return escaping.escape(plain(text), quote=False)


def strongest_window(
    text: str,
    starts: Offsets,
    ends: Offsets,
    attributions: Sequence[float] | np.ndarray,
    length: int,
    *,
    after: int = 0,
) -> tuple[int, int]:
    """The `length` characters of a text, from the character `after` on, whose words add most, in whole words.

    Its beginning where no word adds anything; of windows that add equally much the first.
    """
    if len(text) <= after + length:
        return after, len(text)
    inside = np.asarray(starts) >= after
    begins, stops, gains = (np.asarray(values)[inside] for values in (starts, ends, np.maximum(attributions, 0.0)))
    sums = np.append(0.0, np.cumsum(gains))
    lasts = np.searchsorted(stops, begins + length, side="right")
    added = sums[lasts] - sums[np.arange(len(begins))]
    if not len(added) or added.max() <= 0:
        return after, after + length
    best = int(added.argmax())
    inside_gains = gains[best : lasts[best]]
    core = best + np.flatnonzero(inside_gains > FAINT * inside_gains.max())
    # The words that add most stand in the middle.
    wanted = min((begins[core[0]] + stops[core[-1]] - length) // 2, len(text) - length)
    first = after if wanted <= after else int(begins[np.searchsorted(begins, wanted)])
    return first, len(text) if len(text) <= first + length else int(stops[stops <= first + length][-1])


def token_window(
    text: str,
    starts: Offsets,
    ends: Offsets,
    activations: Sequence[float] | np.ndarray,
    length: int,
    *,
    after: int = 0,
) -> tuple[int, int]:
    """The `length` characters of a text, from the character `after` on, around its strongest token, in whole words."""
    if len(text) <= after + length or not len(activations):
        return after, min(len(text), after + length)
    strongest = int(np.argmax(activations))
    middle = (int(starts[strongest]) + int(ends[strongest])) // 2
    first = max(after, min(middle - length // 2, len(text) - length))
    last = min(len(text), first + length)
    begin, end = text.find(" ", first, int(starts[strongest])), text.rfind(" ", int(ends[strongest]), last)
    first = first if first == after or begin < 0 else begin + 1
    return first, last if last == len(text) or end < 0 else end


def signed(value: float) -> str:
    """A number with its sign: +0.031 or −0.002."""
    return f"{'−' if value < 0 else '+'}{number(abs(value))}"


def legend(adds: str = "adds to it", subtracts: str = "subtracts from it") -> Html:
    """What the colours mean."""
    up = tag("span", Html(f'<i class="up" style="--p:{STRONGEST}">a word</i>'), adds)
    down = tag("span", Html(f'<i class="down" style="--p:{STRONGEST}">a word</i>'), subtracts)
    return tag(
        "div", up, down, tag("span", "stronger colour = closer to this text's largest attribution"), cls="words-legend"
    )


def token_legend() -> Html:
    """What the colours of tokens mean."""
    up = tag("span", Html(f'<i class="up" style="--p:{STRONGEST}">a token</i>'), "it fires here")
    return tag("div", up, tag("span", "stronger colour = closer to this text's largest"), cls="words-legend")


def bars(attribution: Attribution) -> Html:
    """The sum: what the words, the special tokens and the constant add, the pre-activation, and its threshold."""
    words = float(np.sum(attribution.by_word, dtype=np.float64))
    rest = attribution.pre_activation - words - attribution.special - attribution.constant
    largest = max(
        abs(words), abs(attribution.special), abs(attribution.constant), abs(attribution.pre_activation), 1e-12
    )
    largest = largest if math.isnan(attribution.threshold) else max(largest, abs(attribution.threshold))
    subtracted = float(np.sum(np.minimum(attribution.by_word, 0.0), dtype=np.float64))
    n_added, n_subtracted = int((attribution.by_word > 0).sum()), int((attribution.by_word < 0).sum())
    counts = f"{n_added} words add {signed(words - subtracted)}, {n_subtracted} subtract {signed(subtracted)}."
    cells = [
        _cell("words", words, largest, f"{counts}\n{ATTRIBUTIONS}"),
        _cell("special tokens", attribution.special, largest, SPECIAL),
        _cell("constant", attribution.constant, largest, CONSTANT),
    ]
    if abs(rest) > max(5e-3 * abs(attribution.pre_activation), 1e-4):
        cells.append(_cell("rounding of the stored embedding", rest, largest, "What the attributions do not explain."))
    cells.append(_cell("= pre-activation", attribution.pre_activation, largest, "The sum of these.", plain_bar=True))
    if not math.isnan(attribution.threshold):
        cells.append(_cell("threshold", attribution.threshold, largest, THRESHOLD, plain_bar=True))
    return tag("div", *cells, cls="sum")


def _cell(name: str, value: float, largest: float, help: str, *, plain_bar: bool = False) -> Html:
    kind = "" if plain_bar else ' class="up"' if value > 0 else ' class="down"'
    shown = number(value).replace("-", "−") if plain_bar else signed(value)
    length = 100 * min(abs(value) / largest, 1.0)
    bar = f'<div class="track"><i{kind} style="width:{length:.1f}%"></i></div>'
    named = tag("span", name, cls="term", help=help)
    return Html(f'<div><div class="value"><bdi>{shown}</bdi></div>{bar}<div class="name">{named}</div></div>')


def attributed_text(text: str, attribution: Attribution, *, title: str = "", cut: int | None = None) -> Html:
    """A text with its words coloured by their attributions, the legend, and the sum; or its tokens by activation."""
    if not attribution.is_sum:
        places = attribution.starts, attribution.ends, attribution.by_word
        coloured = coloured_text(text, *places, title=title, spoken=number)
        return tag("div", _head("Activation on each token", TOKENS), whole(coloured, cut), token_legend())
    head = _head("What each word adds to the pre-activation", ATTRIBUTIONS)
    words = highlighted(text, attribution.starts, attribution.ends, attribution.by_word, title=title, cut=cut)
    return tag("div", head, words, legend(), bars(attribution))


def deletion_text(text: str, deletions: Deletions, *, title: str = "", cut: int | None = None) -> Html:
    """A text with its words coloured by what changes without them, and how far that agrees with their attributions."""
    head = _head("What changes when the word is deleted", DELETED)
    words = highlighted(text, deletions.starts, deletions.ends, deletions.changes, title=title, cut=cut)
    colours = legend("the pre-activation is lower without it", "the pre-activation is higher without it")
    return tag("div", head, words, colours, tag("div", *_agreement(deletions), cls="words-head"))


def _head(title: str, help: str) -> Html:
    return tag("div", tag("span", title, cls="term", help=help), cls="words-head")


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def _agreement(deletions: Deletions) -> list[object]:
    n = len(deletions.starts)
    if deletions.whole_reason is not None:
        words: list[object] = [f"Only this can be shown for this run's embedder: {deletions.whole_reason}."]
    elif deletions.rank_correlation is None:
        words = ["There are too few words to compare this with their attributions."]
    else:
        both = f"correlation {_two(deletions.correlation)}, rank correlation {_two(deletions.rank_correlation)}"
        words = ["With the attributions: ", tag("span", both, cls="term", help=AGREE), f" over {n} words of this text."]
    if deletions.n_words_left_out:
        words += [Html(" "), f"{deletions.n_words_left_out} more words were not deleted: that would take too long."]
    return words
