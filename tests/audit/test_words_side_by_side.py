"""Many texts split side by side against one text at a time, and what the work files give back against what went in."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from featurelib.audit.seen_often import SeenOften
from featurelib.audit.shingles import split_text, visible
from featurelib.audit.word_codes import CHARACTERS, in_portions, read_words, segments_of, shingles_of
from featurelib.schema import TEXTS
from featurelib.storage import files
from featurelib.storage import texts as stored_texts
from featurelib.storage.index.arrays import offsets_of
from featurelib.storage.texts import read_texts, stream_texts
from precompute.stages.audit import text_comparison, work_files
from precompute.stages.audit.work_files import Shown, WorkFile, write_segments
from tests.support.numpy_run import QuietJob, make_run

ODD = [
    *("", "...", "\u200b", "_", "a", "a b", "a b.", "銀", "e\u0301 cafe\u0301 one two three four", "a\nb\n\nc d e\n"),
    *("One two. Three four five! 銀河 <b>six</b>\u0000 ", "naïve Straße İstanbul ŉ ſ a\ud7ff b c d. e f g h"),
    *(
        "звёзды летят над морем. Тихо очень тихо.",
        "a銀b河c d e f g h",
        "Ꙁ ß ẞ ΣΣς. ΑΣ ας Σ",
        "中文字符测试。一二三四五六七八九十",
    ),
    *("x" * 100 + " y z. " + "q" * 41 + " a b", "word " * 5_000, "\ud800 lone s u r r", "A b C d E f G h i " * 3),
]


def drawn_texts(n: int) -> list[str]:
    draw = random.Random(3)
    letters = "abc AB .!?\n_1é銀ßİ\u0301 \u200b۔"
    return ["".join(draw.choices(letters[: draw.choice((12, 99))], k=draw.randrange(150))) for _ in range(n)]


@pytest.mark.parametrize(
    "texts",
    [[], [""], ["🙂"], ["…", "—"], ODD, ODD[::-1], drawn_texts(2_000)],
    ids=["none", "empty", "no word", "no words", "odd", "back", "drawn"],
)
def test_texts_split_side_by_side_are_as_each_split_alone(texts: list[str]) -> None:
    shown = [visible(text) for text in texts]
    seen = 0
    for first, portion in in_portions(shown):
        assert first == seen and sum(map(len, portion)) < 2 * CHARACTERS
        words = read_words(portion)
        codes, whose = segments_of(words)
        shingles = shingles_of(words, len(portion))
        for place, text in enumerate(shown[first : first + len(portion)]):
            alone = split_text(text)
            assert (words.whose == place).sum() == len(alone.starts), repr(text)
            assert np.array_equal(np.unique(codes[whose == place]), alone.segments), repr(text)
            assert np.array_equal(shingles[place], alone.shingles), repr(text)
        seen += len(portion)
    assert seen == len(texts)


def test_what_is_seen_often_is_never_missed_and_most_of_the_rest_is() -> None:
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 2**64, 30_000, dtype=np.uint64)
    times = draw.integers(1, 6, len(codes))
    times[0] = 1_000
    stream = draw.permutation(np.repeat(codes, times))
    often = SeenOften(3, bits=20)
    for portion in np.array_split(stream, 50):
        often.add(portion)
    assert often.has(codes[times >= 3]).all()
    assert often.has(codes[times < 3]).mean() < 0.1


def test_a_range_holds_no_more_than_it_may_and_every_feature_is_in_one() -> None:
    draw = np.random.default_rng(1)
    sizes = draw.integers(1, 50, 400)
    ids_of = [np.unique(draw.integers(0, 400, draw.integers(0, 60))) for _ in range(200)]
    ranges = list(text_comparison._ranges(ids_of, sizes, 3_000))
    assert [place for some in ranges for place in some] == list(range(200)) and len(ranges) > 5
    for some, after in zip(ranges, [*ranges[1:], None], strict=True):
        own = np.unique(np.concatenate(ids_of[some.start : some.stop]))
        assert sizes[own].sum() <= 3_000
        if after is not None:
            assert sizes[np.union1d(own, ids_of[after.start])].sum() > 3_000
    assert [*map(len, text_comparison._ranges(ids_of[:3], sizes, 0))] == [1, 1, 1]
    assert list(text_comparison._ranges([], sizes, 10)) == []


@pytest.mark.parametrize("read_bytes", [1, 100, 10**7])
def test_values_come_back_from_a_work_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_bytes: int) -> None:
    monkeypatch.setattr(work_files, "READ_BYTES", read_bytes)
    draw = np.random.default_rng(2)
    of_texts = [draw.integers(0, 2**64, draw.integers(0, 6), dtype=np.uint64) for _ in range(300)]
    (tmp_path / "codes").write_bytes(b"".join(codes.tobytes() for codes in of_texts))
    stored = WorkFile(tmp_path / "codes", np.dtype(np.uint64), offsets_of([len(codes) for codes in of_texts]))
    for ids in (np.arange(300), np.empty(0, np.int64), np.sort(draw.choice(300, 40, replace=False))):
        values, offsets = stored.read(ids)
        own = np.split(values, offsets[1:-1]) if len(ids) else []
        assert all(np.array_equal(found, of_texts[text_id]) for found, text_id in zip(own, ids.tolist(), strict=True))
    rows = draw.normal(size=(50, 7)).astype(np.float16)
    (tmp_path / "rows").write_bytes(rows.tobytes())
    kind = np.dtype((np.float16, (7,)))
    needed = draw.random(120) < 0.3
    needed[np.flatnonzero(needed)[50:]] = False
    stored = WorkFile(tmp_path / "rows", kind, offsets_of(needed))
    some = np.flatnonzero(needed)[3:20]
    assert np.array_equal(stored.read(some)[0], rows[3:20]) and stored.n_bytes.max() == 14


def test_texts_are_streamed_by_their_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = make_run(tmp_path / "streamed", upto="summarise")
    texts = truth.texts["text"].tolist()
    rows = pq.read_table(truth.generation.file(TEXTS))
    pq.write_table(rows, truth.generation.file(TEXTS), row_group_size=70)
    monkeypatch.setattr(stored_texts, "BATCH", 30)
    for ids in (np.arange(len(texts)), np.array([0, 7, 8, 40, 69, 70, len(texts) - 1]), np.empty(0, np.int64)):
        assert read_texts(truth.generation, ids) == [texts[text_id] for text_id in ids]
        assert [text for some in stream_texts(truth.generation, ids) for text in some] == [texts[i] for i in ids]


def test_segments_of_a_text_are_kept_once_and_none_that_may_be_common_is_lost(tmp_path: Path) -> None:
    generation = make_run(tmp_path / "segments", upto="summarise").generation
    rows = pq.read_table(generation.file(TEXTS))
    phrase = "one two three four five six seven eight nine. "
    texts = [f"{text}. {phrase * (place % 4)}" for place, text in enumerate(rows["text"].to_pylist())]
    files.write_parquet(
        generation.file(TEXTS), rows.set_column(rows.column_names.index("text"), "text", [texts]), rows.schema
    )
    cut = np.full(len(texts), -1)
    cut[::5] = 60
    needed = np.arange(len(texts)) % 3 > 0
    stored = write_segments(QuietJob(generation), Shown(generation, cut), needed)
    own = [split_text(text if at < 0 else text[:at]).segments for text, at in zip(texts, cut.tolist(), strict=True)]
    counts = Counter(code for place in np.flatnonzero(needed) for code in own[place].tolist())
    values, offsets = stored.read(np.arange(len(texts)))
    kept = np.split(values, offsets[1:-1])
    assert all(len(codes) == 0 for codes, wanted in zip(kept, needed, strict=True) if not wanted)
    for place in np.flatnonzero(needed).tolist():
        assert (np.diff(kept[place].astype(object)) > 0).all() and np.isin(kept[place], own[place]).all()
        assert {code for code in own[place].tolist() if counts[code] >= 3} <= set(kept[place].tolist())
    assert 0 < len(values) < sum(map(len, own)) / 2
