"""The corpus: every format gives the same texts, nothing is lost or changed without being counted."""

from __future__ import annotations

import csv
import io
import json
import os
import random
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurelib.corpus import Texts, choose_roles, identify, open_source, select
from featurelib.corpus.reading import LONGEST_TEXT
from featurelib.schema import DROPPED, TEXTS, Refusal

HARD = [
    "plain",
    'She said "no", twice',
    "two\nlines",
    "carriage\r\nreturn",
    r"$\mathcal{O}(n^2)$ and Schr\"odinger's \alpha, 100\%",
    "tab\tinside",
    "  spaces kept  ",
    "\u202eright to left\u202c",
    "naïve café — “quoted” €5",
    "日本語のテキスト 🦊",
    "e\u0301 combining, \u200b zero width",
    "a,b;c|d",
    "'; drop table texts; --",
    "NULL",
    "nan",
    "007",
    "x" * 80_000,
    "\x1b[31mred\x1b[0m \x0b\x0c\x1c\x85\u2028",
]


@dataclass
class Read:
    texts: pa.Table
    dropped: pa.Table
    source: object
    kept: Texts
    guessed: bool

    def column(self, name):
        return self.texts[name].to_pylist()

    @property
    def reasons(self):
        return list(zip(self.dropped["source_row"].to_pylist(), self.dropped["reason"].to_pylist(), strict=True))

    @property
    def said(self):
        return " ".join(self.source.notes)


def read(path, text=None, title=None, id=None, sample=None, shuffle_seed=None):
    source = open_source(str(path))
    roles, guessed = choose_roles(source, text, title, id)
    advanced = []
    selection = select(source, roles, sample=sample, shuffle_seed=shuffle_seed, advance=advanced.append)
    kept = Texts(source, roles, selection)
    texts = pa.Table.from_batches(kept.batches(advanced.append), kept.schema)
    assert texts["text_id"].to_pylist() == list(range(len(texts)))
    assert selection.dropped.schema == DROPPED.schema
    assert min(advanced, default=0) >= 0
    return Read(texts, selection.dropped, source, kept, guessed)


def write(path: Path, content) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_as(folder: Path, kind: str, frame: pd.DataFrame) -> Path:
    path = folder / f"corpus.{kind}"
    if kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    elif kind == "parquet":
        frame.to_parquet(path, index=False)
    elif kind in ("jsonl", "ndjson"):
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_json(path, orient="records")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "ndjson", "parquet"])
def test_hard_texts_come_back_unchanged_from_every_format(tmp_path, kind):
    frame = pd.DataFrame({"id": [f"t{i}" for i in range(len(HARD))], "text": HARD, "year": range(len(HARD))})
    made = read(write_as(tmp_path, kind, frame), id="id")
    assert made.column("text") == HARD
    assert made.column("source_id") == list(frame.id)
    assert made.column("source_row") == list(range(len(HARD)))
    assert made.texts.schema.field("year").type == pa.int64()
    assert made.column("year") == list(range(len(HARD)))
    assert made.texts.column_names == [*TEXTS.schema.names, "year"]
    assert len(made.dropped) == 0


@pytest.mark.parametrize("seed", range(5))
def test_random_csv_agrees_with_pandas_whatever_the_quoting_and_the_batches(tmp_path, seed, monkeypatch):
    monkeypatch.setattr("featurelib.corpus.rowwise.BATCH_ROWS", 7)
    draw = random.Random(seed)
    letters = ["a", "é", '"', ",", "\n", "\r\n", ";", "'", "\\", " ", "\t", "🦊"]
    cells = [["w" + "".join(draw.choices(letters, k=draw.randrange(30))) for _ in range(3)] for _ in range(100)]
    stream = io.StringIO()
    csv.writer(stream, quoting=draw.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])).writerows([["a", "body", "c"], *cells])
    path = write(tmp_path / "x.csv", stream.getvalue())
    made = read(path, text="body", title="a")
    other = pd.read_csv(path, keep_default_na=False, dtype=str)
    assert made.column("text") == list(other["a"] + ". " + other["body"])
    assert made.column("c") == list(other["c"])
    assert made.column("a") == list(other["a"])


def test_a_parquet_of_many_batches_agrees_with_pandas_in_every_column(tmp_path):
    draw = np.random.default_rng(0)
    n = 10_000
    frame = pd.DataFrame(
        {
            "text": [f"text {i} " + "ä" * int(draw.integers(50)) for i in range(n)],
            "number": draw.integers(-(2**62), 2**62, n),
            "share": draw.random(n),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(10**9, size=n), unit="s"),
            "tags": [[f"t{j}" for j in range(int(draw.integers(4)))] for _ in range(n)],
            "group": pd.Categorical(draw.choice(["a", "b"], n)),
        }
    )
    frame.loc[::7, "share"] = None
    path = tmp_path / "x.parquet"
    frame.to_parquet(path, row_group_size=3333)
    made = read(path).texts
    other = pq.read_table(path)
    for name in ("text", "number", "share", "when"):
        assert made[name].to_pylist() == other[name].to_pylist(), name
    assert made.schema.field("when").type == other.schema.field("when").type
    assert made["tags"].to_pylist() == other["tags"].to_pylist()
    assert made["group"].to_pylist() == list(frame["group"])
    assert made.schema.field("group").type == pa.string()


def test_unusable_rows_are_dropped_with_their_reason_and_row_number(tmp_path):
    rows = [
        {"id": 1, "text": "one"},
        {"id": 2, "text": None},
        {"id": 3},
        {"id": 4, "text": ""},
        {"id": 5, "text": " \n\t\u2003"},
        {"id": 6, "text": "\u200b\u00ad\x00"},
        {"id": 7, "text": 12},
        {"id": 8, "text": ["a"]},
        {"id": 1, "text": "again one"},
        {"id": "1", "text": "one as a string"},
        {"id": 2, "text": "two, usable only here"},
        {"id": None, "text": "no id"},
        {"id": "", "text": "empty id"},
    ]
    lines = [json.dumps(row) for row in rows]
    lines[4:4] = ["{not json", "", '["a list"]', "{}", "[" * 5000]
    made = read(write(tmp_path / "x.jsonl", "\n".join(lines)), id="id")
    assert made.reasons == [
        (1, "null text"),
        (2, "null text"),
        (3, "empty text"),
        (4, "not JSON"),
        (5, "not an object"),
        (6, "not an object"),
        (7, "not JSON"),
        (8, "only whitespace"),
        (9, "only invisible characters"),
        (10, "text is not a string"),
        (11, "text is not a string"),
        (12, "duplicate id"),
        (13, "duplicate id"),
    ]
    assert made.column("text") == ["one", "two, usable only here", "no id", "empty id"]
    assert made.column("source_id") == ["1", "2", "row-15", "row-16"]
    assert made.column("source_row") == [0, 14, 15, 16]
    assert made.kept.counts["ids made from row numbers"] == 2
    assert made.source.counts() == {"blank_lines": 1}
    assert made.dropped["source_id"].to_pylist()[3:6] == [None, None, None]


def test_a_broken_csv_row_costs_only_itself(tmp_path):
    lines = [
        "id,text",
        "0,fine",
        '1,"opened and never closed',
        "2,also fine",
        '3,"quote " inside"',
        "",
        "4,one,too many",
        "5",
        '6,"two',
        'lines"',
        "7,last",
    ]
    made = read(write(tmp_path / "x.csv", "\n".join(lines) + "\n\n"), id="id")
    assert made.column("source_id") == ["0", "2", "6", "7"]
    assert made.column("text") == ["fine", "also fine", "two\nlines", "last"]
    assert made.reasons == [
        (1, "broken quotes"),
        (3, "broken quotes"),
        (4, "wrong number of fields"),
        (5, "wrong number of fields"),
    ]
    assert made.source.counts() == {"blank_lines": 2}


def test_a_quote_that_never_closes_does_not_swallow_the_rest_of_a_long_file(tmp_path, monkeypatch):
    monkeypatch.setattr("featurelib.corpus.formats.delimited.LONGEST_ROW", 1000)
    lines = ["id,text", '0,"open'] + [f'{i},"text, number {i}"' if i > 1000 else f"{i},text" for i in range(1, 2000)]
    lines[900] = '899,the end of a field"'
    made = read(write(tmp_path / "x.csv", "\n".join(lines)), id="id")
    assert len(made.texts) == 1999
    assert made.reasons == [(0, "broken quotes")]


@pytest.mark.parametrize(
    ("content", "texts", "words"),
    [
        ("a;text\n1;x, y\n2;z\n", ["x, y", "z"], "';'"),
        ("text\nhello, world\nbye; 1\t2\n", ["hello, world", "bye; 1\t2"], "one column"),
        ('n,text\n1,"say \\"hi\\", you"\n2,"\\"yes\\""\n', ['say "hi", you', '"yes"'], "backslash"),
        ("a\ttext\n1\tx\n2\ty\n", ["x", "y"], "\\t"),
    ],
)
def test_other_delimiters_and_quotes_are_found_and_said(tmp_path, content, texts, words):
    made = read(write(tmp_path / "x.csv", content))
    assert made.column("text") == texts
    assert words in made.said


def test_a_tsv_whose_quotes_are_part_of_the_text_is_read_so(tmp_path):
    texts = [f'"Word {i}" is quoted' for i in range(20)]
    path = write(tmp_path / "x.tsv", "id\ttext\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(texts)))
    made = read(path)
    assert made.column("text") == texts
    assert "part of the text" in made.said


def test_one_stray_quote_does_not_change_how_the_other_rows_are_read(tmp_path):
    rows = [f'{i},"a ""quoted"" text {i}"' for i in range(20)]
    rows[5] = '5,"bro"ken"'
    made = read(write(tmp_path / "x.csv", "\n".join(["id,text", *rows])))
    assert made.column("text") == [f'a "quoted" text {i}' for i in range(20) if i != 5]
    assert made.reasons == [(5, "broken quotes")]


PHRASES = ["café naïve", "Zoë’s “quote”", "plain ascii", "€ 5 – more"]


@pytest.mark.parametrize(
    ("codec", "mark", "name"),
    [
        ("utf-8", b"", "utf-8"),
        ("utf-8-sig", b"", "utf-8 with byte-order mark"),
        ("utf-16", b"", "utf-16 with byte-order mark"),
        ("utf-16-be", b"\xfe\xff", "utf-16 with byte-order mark"),
        ("utf-16-le", b"", "utf-16-le"),
        ("utf-32", b"", "utf-32 with byte-order mark"),
        ("cp1252", b"", "cp1252"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_every_encoding_gives_the_same_texts(tmp_path, codec, mark, name, kind):
    if kind == "csv":
        content = "text,n\r\n" + "".join(f'"{phrase}",{i}\r\n' for i, phrase in enumerate(PHRASES))
    else:
        rows = [json.dumps({"text": phrase, "n": i}, ensure_ascii=False) for i, phrase in enumerate(PHRASES)]
        content = "\n".join(rows) if kind == "jsonl" else f"[{','.join(rows)}]"
    made = read(write(tmp_path / f"x.{kind}", mark + content.encode(codec)))
    assert made.column("text") == PHRASES
    assert made.column("n") == [0, 1, 2, 3]
    assert made.source.facts["encoding"] == name
    assert (name in made.said) == (name != "utf-8")


def test_a_few_foreign_lines_do_not_spoil_a_utf8_file(tmp_path):
    lines = [f"{i},naïve €{i}".encode() for i in range(20)]
    lines[3] = "3,naïve €3".encode("cp1252")
    lines[4] = b"4,bad \x81\xfe byte"
    made = read(write(tmp_path / "x.csv", b"\n".join([b"id,text", *lines])), text="text")
    texts = made.column("text")
    assert texts[:4] == ["naïve €0", "naïve €1", "naïve €2", "naïve €3"]
    assert texts[4] == "bad \ufffd\ufffd byte"
    assert texts[5:] == [f"naïve €{i}" for i in range(5, 20)]
    assert "2 lines in cp1252" in made.said
    assert made.source.counts() == {"unreadable_lines": 1}


def test_nul_and_surrogates_are_replaced_and_counted_and_pairs_are_joined(tmp_path):
    content = '{"text": "a\\u0000b", "m": "\\u0000"}\n{"text": "lone \\ud800 one"}\n{"text": "pair \\ud83e\\udd8a"}\n'
    made = read(write(tmp_path / "x.jsonl", content))
    assert made.column("text") == ["a\ufffdb", "lone \ufffd one", "pair 🦊"]
    assert made.source.repaired == Counter({"NUL characters": 2, "lone surrogates": 1})
    made = read(write(tmp_path / "x.csv", b"text,m\na\0b,1\n"))
    assert made.column("text") == ["a\ufffdb"]
    assert made.source.repaired == Counter({"NUL characters": 1})


def test_invalid_utf8_inside_parquet_is_replaced_and_counted(tmp_path):
    raw = pa.array([b"good", b"bad \xff byte", None])
    strings = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2], raw.buffers()[0])
    tags = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), strings)
    nested = pa.StructArray.from_arrays([strings], ["a"])
    table = pa.table({"text": pa.array(["x", "y", "z"]), "body": strings, "tags": tags, "nested": nested})
    pq.write_table(table, tmp_path / "x.parquet")
    made = read(tmp_path / "x.parquet", text="body")
    assert made.column("text") == ["good", "bad \ufffd byte"]
    assert made.column("tags") == [["good"], ["bad \ufffd byte"]]
    assert made.column("nested") == ['{"a": "good"}', None]
    assert made.column("source_text") == ["x", "y"]
    assert made.source.repaired["invalid UTF-8"] == 2
    assert made.source.repaired["nested values that are no UTF-8"] == 1


def test_the_title_is_put_in_front_with_a_point_unless_it_is_blank(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b", "c", "d"], "title": ["T", None, " ", "Why?"], "id": [9, 8, 7, 6]})
    frame.to_parquet(tmp_path / "x.parquet")
    made = read(tmp_path / "x.parquet", title="title", id="id")
    assert made.column("text") == ["T. a", "b", "c", "Why?. d"]
    assert made.column("title") == ["T", None, " ", "Why?"]
    assert made.column("source_id") == ["9", "8", "7", "6"]
    assert made.kept.counts["texts without title"] == 2


def test_a_text_over_the_limit_is_cut_and_counted_and_one_at_the_limit_is_whole(tmp_path):
    texts = ["é" * LONGEST_TEXT, "é" * (LONGEST_TEXT + 1)]
    made = read(write(tmp_path / "x.json", json.dumps(texts)))
    assert made.column("text") == [texts[0], texts[0]]
    assert made.kept.counts[f"texts cut to {LONGEST_TEXT:,} characters"] == 1


def test_csv_cells_become_numbers_dates_and_booleans_only_when_nothing_is_lost(tmp_path):
    columns = {
        "text": ["1", "2", "3"],
        "whole": ["-5", "", "9007199254740993"],
        "zip": ["007", "123", "9"],
        "price": ["1.50", "2.25", "3.00"],
        "share": ["0.1", "1e-07", "12"],
        "huge": ["99999999999999999999", "1", "2"],
        "day": ["2020-02-29", "", "1999-12-31"],
        "no_day": ["2020-02-30", "2020-01-01", "2020-01-02"],
        "flag": ["true", "false", ""],
        "word": ["nan", "true", ""],
        "none": ["", "", ""],
    }
    stream = io.StringIO()
    csv.writer(stream).writerows([columns.keys(), *zip(*columns.values(), strict=True)])
    made = read(write(tmp_path / "x.csv", stream.getvalue()), text="text").texts
    kinds = {field.name: str(field.type) for field in made.schema if field.name not in TEXTS.schema.names}
    assert kinds == {
        "whole": "int64",
        "zip": "string",
        "price": "string",
        "share": "double",
        "huge": "string",
        "day": "date32[day]",
        "no_day": "string",
        "flag": "bool",
        "word": "string",
        "none": "string",
    }
    assert made["whole"].to_pylist() == [-5, None, 9007199254740993]
    assert made["share"].to_pylist() == [0.1, 1e-07, 12.0]
    assert made["day"].to_pylist() == [date(2020, 2, 29), None, date(1999, 12, 31)]
    assert made["flag"].to_pylist() == [True, False, None]
    for name in ("zip", "price", "huge", "no_day", "word", "none"):
        assert made[name].to_pylist() == columns[name]


def test_json_values_keep_their_types_and_mixed_ones_become_json(tmp_path):
    rows = [
        {"text": "a", "n": 1, "x": 1, "tags": ["p", None], "deep": {"k": [1]}, "mix": "5", "big": 2**70, "flag": True},
        {"text": "b", "n": None, "x": 0.5, "tags": [], "deep": None, "mix": 5, "big": 1, "late": [1, 2]},
    ]
    made = read(write(tmp_path / "x.json", json.dumps({"version": "1", "data": rows})))
    assert made.column("n") == [1, None]
    assert made.column("x") == [1.0, 0.5]
    assert made.column("tags") == [["p", None], []]
    assert made.column("deep") == ['{"k": [1]}', None]
    assert made.column("mix") == ["5", "5"]
    assert made.column("big") == [str(2**70), "1"]
    assert made.column("flag") == [True, None]
    assert made.column("late") == [None, [1, 2]]
    assert "mix" in made.said


def test_a_json_object_of_lists_and_json_lines_under_another_name_are_read(tmp_path):
    made = read(write(tmp_path / "x.json", json.dumps({"text": ["a", "b"], "year": [1, 2]})))
    assert (made.column("text"), made.column("year")) == (["a", "b"], [1, 2])
    made = read(write(tmp_path / "y.json", '{"text": "a"}\n{"text": "b"}\n'))
    assert made.column("text") == ["a", "b"]
    assert "is read as .jsonl" in made.said


def test_binary_columns_and_vectors_are_left_out_and_said(tmp_path):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(64, np.float32)), 32)
    table = pa.table({"text": ["a", "b"], "image": [b"\xff1", b"2"], "vector": vectors, "scores": [[0.5], [0.25]]})
    pq.write_table(table, tmp_path / "x.parquet")
    made = read(tmp_path / "x.parquet")
    assert made.texts.column_names == [*TEXTS.schema.names, "scores"]
    assert "'image' (binary), 'vector' (vectors)" in made.said
    made = read(write(tmp_path / "x.jsonl", json.dumps({"text": "a", "v": [0.5] * 20})))
    assert made.texts.column_names == TEXTS.schema.names
    assert "'v' (vectors)" in made.said


def test_odd_column_names_stay_usable_and_never_collide_with_ours(tmp_path):
    names = ["body", "text", "Text_ID", "group", 'quo"te', "new\nline", "a", "a", "", "A"]
    stream = io.StringIO()
    csv.writer(stream).writerows([names, [f"v{i}" for i in range(len(names))]])
    made = read(write(tmp_path / "x.csv", stream.getvalue()), text="body")
    expected = ["source_text", "source_Text_ID", "group", 'quo"te', "new\nline", "a", "a_2", "column_9", "A_3"]
    assert made.texts.column_names == [*TEXTS.schema.names, *expected]
    assert [made.column(name)[0] for name in expected] == [f"v{i}" for i in range(1, len(names))]
    assert "renamed" in made.said
    twice = pa.table([["x"], ["y"], ["z"]], names=["text", "m", "m"])
    pq.write_table(twice, tmp_path / "x.parquet")
    made = read(tmp_path / "x.parquet")
    assert (made.column("m"), made.column("m_2")) == (["y"], ["z"])


def test_whole_number_ids_stay_whole_after_pandas_made_them_floats(tmp_path):
    pd.DataFrame({"text": ["a", "b", "c"], "id": [1, None, 3]}).to_parquet(tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet", id="id").column("source_id") == ["1", "row-1", "3"]


def test_a_folder_of_txt_is_read_in_order_without_leaving_it(tmp_path):
    folder = tmp_path / "texts"
    (folder / "b").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    write(tmp_path / "outside" / "secret.txt", "secret")
    write(folder / "b" / "2.txt", "two\r\nlines\n")
    write(folder / "a.txt", "\ufeffone")
    write(folder / "c.TXT", "café".encode("cp1252"))
    write(folder / "empty.txt", "")
    write(folder / "._a.txt", "junk")
    write(folder / "notes.md", "not a text")
    (folder / "link.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (folder / "linked").symlink_to(tmp_path / "outside")
    made = read(folder)
    assert made.column("source_id") == ["a.txt", "b/2.txt", "c.TXT"]
    assert made.column("text") == ["one", "two\r\nlines\n", "café"]
    assert made.reasons == [(3, "empty text")]
    left_out = {"hidden files": 1, "linked folders": 1, "links out of the folder": 1, "not .txt": 1}
    assert made.source.facts["left_out_files"] == left_out
    assert made.source.counts() == {"files_in_cp1252": 1, "files_in_utf-8": 3}


def test_a_sample_takes_the_first_usable_texts_or_draws_them_by_seed(tmp_path):
    rows = [{"id": i // 2, "text": "" if i % 5 == 0 else f"text {i}"} for i in range(1000)]
    path = write(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows)))
    whole = read(path, id="id")
    first = read(path, id="id", sample=10)
    assert first.texts.equals(whole.texts.slice(0, 10))
    assert max(row for row, _ in first.reasons) < first.column("source_row")[-1]
    drawn = read(path, id="id", sample=10, shuffle_seed=3)
    again = read(path, id="id", sample=10, shuffle_seed=3)
    other = read(path, id="id", sample=10, shuffle_seed=4)
    rows_drawn = drawn.column("source_row")
    assert drawn.texts.equals(again.texts) and rows_drawn != other.column("source_row")
    assert rows_drawn == sorted(rows_drawn) and set(rows_drawn) <= set(whole.column("source_row"))
    assert len(read(path, id="id", sample=10_000).texts) == len(whole.texts)


@pytest.mark.parametrize(
    ("columns", "guess"),
    [
        ({"id": ["1", "2"], "text": ["a", "b"], "abstract": ["c", "d"]}, "text"),
        ({"label": ["x", "y"], "sentence": ["a", "b"]}, "sentence"),
        ({"n": [1, 2], "anything": ["a", "b"]}, "anything"),
        ({"label": ["spam and ham and eggs"] * 9, "gloss": [f"a long enough gloss {i}" for i in range(9)]}, "gloss"),
        ({"name": ["ab", "cd"], "body": ["a", "b"], "url": ["http://a", "http://b"]}, "body"),
        ({"abstract": ["a", "b"], "body": ["a", "b"]}, None),
        (
            {
                "p": [f"one long enough text {i}" for i in range(9)],
                "q": [f"another long enough text {i}" for i in range(9)],
            },
            None,
        ),
        ({"x": ["a", "b"], "y": ["c", "d"]}, None),
    ],
)
def test_the_text_column_is_guessed_only_when_it_is_obvious(tmp_path, columns, guess):
    path = tmp_path / "x.parquet"
    pd.DataFrame(columns).to_parquet(path)
    if guess is None:
        with pytest.raises(Refusal, match="--text-column") as refused:
            read(path)
        assert all(name in str(refused.value) for name in columns)
    else:
        made = read(path)
        assert made.guessed and f"'{guess}'" in made.said
        assert made.column("text") == columns[guess]


def one_sentence(text):
    return "\n" not in text.strip() and text.endswith((".", "?"))


@pytest.mark.parametrize(
    ("name", "content", "options", "reason"),
    [
        ("x.csv", "", {}, "empty"),
        ("x.csv", "\n \n", {}, "empty"),
        ("x.csv", "text\n", {}, "has no rows"),
        ("x.csv", "text,n\n,1\n  ,2\n", {}, "1 empty text, 1 only whitespace"),
        ("x.csv", "a,b\n1,2\n", {"text": "txt"}, "its columns are a, b"),
        ("x.csv", "abstract,b\n1,2\n", {"text": "abstrakt"}, "did you mean 'abstract'"),
        ("x.csv", "a,b\n1,2\n", {"text": "a", "title": "t"}, "no column 't' for --title-column"),
        ("x.csv", "a,b\n1,2\n", {"text": "a", "id": "b2"}, "no column 'b2' for --id-column"),
        ("x.csv", "a,b\n1,2\n", {"text": "a", "title": "a"}, "both"),
        ("x.csv", b"text\n\x81\xfe\x8d\n", {}, "encoding is not certain"),
        ("x.csv", b"PK\x03\x04abc", {}, "zip"),
        ("x.csv", b"\xff\xfea\x00b", {}, "damaged"),
        ("x.csv", b"\x00" * 100, {}, None),
        ("x.json", "[1, 2", {}, "line 1"),
        ("x.json", '{"text": "a"', {}, "not JSON"),
        ("x.json", '{"a": 1}', {}, "list of objects"),
        ("x.json", '{"text": ["a"], "n": [1, 2]}', {}, "text 1, n 2"),
        ("x.json", "[" * 100_000, {}, "cannot be read"),
        ("x.json", "[]", {}, "no column"),
        ("x.jsonl", "what\never\n", {}, "no column"),
        ("x.parquet", b"PAR1 not really", {}, "Parquet"),
        ("x.xlsx", "a", {}, "no known kind"),
        ("x.txt", "a", {}, "no known kind"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(tmp_path, name, content, options, reason):
    path = write(tmp_path / name, content)
    with pytest.raises(Refusal, match=reason) as refused:
        read(path, **options)
    assert one_sentence(str(refused.value)), refused.value
    assert str(tmp_path) not in str(refused.value)


def test_a_missing_file_a_bare_folder_and_a_column_of_numbers_are_refused(tmp_path):
    write(tmp_path / "texts.csv", "text\na\n")
    with pytest.raises(Refusal, match=r"did you mean 'texts.csv'\?"):
        open_source(str(tmp_path / "text.csv"))
    (tmp_path / "bare").mkdir()
    write(tmp_path / "bare" / "notes.md", "not a text")
    with pytest.raises(Refusal, match=r"no \.txt file \(but 1 \.md\)"):
        open_source(str(tmp_path / "bare"))
    with pytest.raises(Refusal, match="no source"):
        identify(" ")
    pd.DataFrame({"year": [1], "note": ["n"]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(Refusal, match="holds int64, not text; columns with text: note"):
        read(tmp_path / "x.parquet", text="year")


def test_a_damaged_parquet_page_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    texts = [f"text {i}" for i in range(20_000)]
    pq.write_table(pa.table({"text": texts}), path, write_page_checksum=True, use_dictionary=False, compression="none")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(Refusal, match="cannot be read to its end"):
        read(path)


def test_a_column_that_only_late_rows_have_can_be_the_title(tmp_path):
    rows = [{"text": f"t{i}"} for i in range(1500)] + [{"text": "last", "heading": "Head"}]
    made = read(write(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows))), title="heading")
    assert made.column("text")[-1] == "Head. last"


def test_identity_follows_bytes_and_names(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    write(folder / "a.txt", "one")
    before = identify(str(folder))
    assert before == identify(str(folder)) and before["source"] == "texts"
    os.rename(folder / "a.txt", folder / "b.txt")
    renamed = identify(str(folder))
    write(folder / "b.txt", "two")
    assert len({before["sha256"], renamed["sha256"], identify(str(folder))["sha256"]}) == 3


def test_every_kept_text_of_a_parquet_is_byte_for_byte_that_of_the_source(tmp_path):
    frame = pd.DataFrame({"text": [None, "", *HARD, "  ", "\u200b"]})
    frame["row"] = range(len(frame))
    frame.to_parquet(tmp_path / "x.parquet")
    made = read(tmp_path / "x.parquet").texts
    own = pq.read_table(tmp_path / "x.parquet")["text"].combine_chunks()
    assert pc.equal(
        made["text"].combine_chunks(), own.take(made["source_row"].combine_chunks()).cast(pa.string())
    ).to_pylist()
    assert made["source_row"].to_pylist() == made["row"].to_pylist() == list(range(2, 2 + len(HARD)))
