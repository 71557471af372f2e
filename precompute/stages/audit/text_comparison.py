"""Texts of one feature beside each other: near copies, and the passage that they have in common.

Features are compared in ranges whose texts take RANGE_BYTES at the most (one feature may take more): their embeddings
and segments are read from the work files together, the words of texts that may be near copies from the corpus, and the
texts in which a passage stands once, when all features are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from featurelib.audit.boilerplate import CorpusSegments, Segment, StandsOut, segment_of, stands_out
from featurelib.audit.copies import close_pairs, near_pairs
from featurelib.audit.shingles import LOOKED_AT, split_text
from featurelib.audit.word_codes import in_portions, read_words, shingles_of
from featurelib.storage import files
from featurelib.storage.index.arrays import offsets_of
from precompute.build.job import Job
from precompute.stages.audit.feature_counts import Counted, draw
from precompute.stages.audit.traits import Traits
from precompute.stages.audit.work_files import Shown, write_embeddings, write_segments

CORPUS_SAMPLE = 2_000
"""Texts drawn of the corpus, in which the same passages are counted for comparison."""
RANGE_BYTES = 200_000_000
"""Embeddings and segments that are in memory together, and the results of which are saved together."""
RANGE_CHARACTERS = 25_000_000
"""Characters whose words are in memory together; a word of one letter and the space behind it take four bytes each."""


def compare(job: Job, traits: Traits, counted: Counted) -> tuple[list[tuple[int, int]], list[Segment]]:
    """Find the near copies among the texts of each feature, and the passage that its texts have in common."""
    # Products of a few hundred rows: threads that wait for each other took five times as long on a busy machine.
    from threadpoolctl import threadpool_limits

    comparison = _Comparison(job, traits, counted)
    pairs: list[tuple[int, int]] = []
    found: list[tuple[int, StandsOut]] = []
    with job.progress(len(counted.top), "features compared") as bar, threadpool_limits(1):
        for features in comparison.ranges():
            path = job.generation.work("audit") / f"features-{features.start}-{features.stop}.npz"
            if not path.is_file():
                files.write_arrays(path, **comparison.compare_range(features))
            own_pairs, own = _read_range(path)
            pairs += own_pairs
            found += own
            bar.advance(len(features))
    return pairs, _passages(comparison.shown, found)


class _Comparison:
    """What every range of features is compared with."""

    def __init__(self, job: Job, traits: Traits, counted: Counted) -> None:
        self._counted, self._exact = counted, traits.exact
        self._characters = np.minimum(traits.characters, LOOKED_AT)
        self.shown = Shown(job.generation, traits.cut)
        self._embeddings = write_embeddings(job, _among(len(traits.exact), [*counted.top, *counted.drawn]))
        self._segments = write_segments(job, self.shown, _among(len(traits.exact), counted.drawn))
        self._corpus = self._corpus_segments(job)

    def _corpus_segments(self, job: Job) -> CorpusSegments:
        different = np.flatnonzero(self._exact == np.arange(len(self._exact)))
        ids = draw(different, CORPUS_SAMPLE, job.config.seed)
        return CorpusSegments.of([split_text(text) for texts in self.shown.stream(ids) for text in texts])

    def _texts_of(self, feature_id: int) -> np.ndarray:
        """The texts of a feature that are compared, ascending."""
        return np.union1d(self._counted.top[feature_id], self._counted.drawn[feature_id])

    def ranges(self) -> Iterator[range]:
        """Yield ranges of features whose texts are compared together."""
        n_bytes = self._embeddings.n_bytes + self._segments.n_bytes
        return _ranges((self._texts_of(place) for place in range(len(self._counted.top))), n_bytes, RANGE_BYTES)

    def compare_range(self, features: range) -> dict[str, np.ndarray]:
        """Return near copies and what stands out, as `_read_range` reads it."""
        ids_of = [self._texts_of(feature_id) for feature_id in features]
        close = self._close(ids_of)
        pairs: set[tuple[int, int]] = set()
        groups: list[np.ndarray] = []
        touched = [np.unique(ids[own]) for ids, own in zip(ids_of, close, strict=True)]
        for some in _ranges(touched, self._characters, RANGE_CHARACTERS):
            shingles = self._shingles(_joined(touched[some.start : some.stop]))
            for place in some:
                ids = ids_of[place]
                near, group = near_pairs(ids, close[place], shingles, self._exact[ids])
                pairs.update(near)
                groups.append(group)
        return _arrays(sorted(pairs), self._stand_out(features, ids_of, groups))

    def _close(self, ids_of: list[np.ndarray]) -> list[np.ndarray]:
        """The pairs of each feature's texts that are close."""
        ids = _joined(ids_of)
        rows, _ = self._embeddings.read(ids)
        return [close_pairs(_unit(rows[np.searchsorted(ids, own)]), self._exact[own]) for own in ids_of]

    def _shingles(self, text_ids: np.ndarray) -> dict[int, np.ndarray]:
        found: list[np.ndarray] = []
        for texts in self.shown.stream(text_ids):
            for _, portion in in_portions(texts):
                found += shingles_of(read_words(portion), len(portion))
        return dict(zip(text_ids.tolist(), found, strict=True))

    def _stand_out(
        self, features: range, ids_of: list[np.ndarray], groups: list[np.ndarray]
    ) -> Iterator[tuple[int, StandsOut]]:
        """What stands out among the drawn texts of each feature, of copies only the first; and the text that has it."""
        ids = _joined([self._counted.drawn[feature_id] for feature_id in features])
        codes, offsets = self._segments.read(ids)
        for feature_id, own, group in zip(features, ids_of, groups, strict=True):
            drawn = self._counted.drawn[feature_id]
            _, first = np.unique(group[np.searchsorted(own, drawn)], return_index=True)
            different = drawn[np.sort(first)]
            places = np.searchsorted(ids, different).tolist()
            found = stands_out([codes[offsets[place] : offsets[place + 1]] for place in places], self._corpus)
            yield (int(different[found.place]) if found.place >= 0 else -1), found


def _ranges(ids_of: Iterable[np.ndarray], sizes: np.ndarray, most: int) -> Iterator[range]:
    """Yield ranges of consecutive places in `ids_of` whose different texts have `most` or less together, or one place.

    `sizes` [n_texts] is what each text has.
    """
    begun = np.full(len(sizes), -1, np.int32)
    first, total, place = 0, 0, -1
    for place, ids in enumerate(ids_of):
        new = ids[begun[ids] != first]
        size = int(sizes[new].sum())
        if place > first and total + size > most:
            yield range(first, place)
            first, total, new, size = place, 0, ids, int(sizes[ids].sum())
        begun[new] = first
        total += size
    if place >= 0:
        yield range(first, place + 1)


def _among(n_texts: int, ids: list[np.ndarray]) -> np.ndarray:
    among = np.zeros(n_texts, bool)
    for own in ids:
        among[own] = True
    return among


def _joined(ids_of: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate([np.empty(0, np.int64), *ids_of]))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Embeddings at length 1 (0 where one has none), float32 [n, d]."""
    rows = rows.astype(np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return unit


def _arrays(pairs: list[tuple[int, int]], found: Iterator[tuple[int, StandsOut]]) -> dict[str, np.ndarray]:
    """What was found of a range of features, for a file."""
    text_ids, all_found = zip(*found, strict=True)
    empty = np.empty(0, np.int64)
    return {
        "pairs": np.array(pairs, np.int64).reshape(-1, 2),
        "text_ids": np.array(text_ids, np.int64),
        "n": np.array([each.n for each in all_found], np.int64),
        "places": np.array([each.place for each in all_found], np.int64),
        "offsets": offsets_of([len(each.codes) for each in all_found]),
        "codes": np.concatenate([empty.astype(np.uint64), *(each.codes for each in all_found)]),
        "counts": np.concatenate([empty, *(each.counts for each in all_found)]),
        "shares": np.concatenate([empty.astype(np.float64), *(each.shares for each in all_found)]),
    }


def _read_range(path: Path) -> tuple[list[tuple[int, int]], list[tuple[int, StandsOut]]]:
    """Read what `_arrays` made: near copies; and for each feature what stands out, and the text that has it or −1."""
    with np.load(path) as stored:
        arrays = dict(stored)
    spans = [slice(*span) for span in zip(arrays["offsets"][:-1].tolist(), arrays["offsets"][1:].tolist(), strict=True)]
    found = [
        StandsOut(n, place, *(arrays[name][span] for name in ("codes", "counts", "shares")))
        for n, place, span in zip(arrays["n"].tolist(), arrays["places"].tolist(), spans, strict=True)
    ]
    pairs = [(first, second) for first, second in arrays["pairs"].tolist()]
    return pairs, list(zip(arrays["text_ids"].tolist(), found, strict=True))


def _passages(shown: Shown, found: list[tuple[int, StandsOut]]) -> list[Segment]:
    """The passage of each feature, read from the text that has it."""
    segments = [segment_of(stands, None) for _, stands in found]
    having: dict[int, list[int]] = {}
    for feature_id, (text_id, _) in enumerate(found):
        if text_id >= 0:
            having.setdefault(text_id, []).append(feature_id)
    text_ids = np.array(sorted(having), np.int64)
    texts = (text for some in shown.stream(text_ids) for text in some)
    for text_id, text in zip(text_ids.tolist(), texts, strict=True):
        words = split_text(text)
        for feature_id in having[text_id]:
            segments[feature_id] = segment_of(found[feature_id][1], words)
    return segments
