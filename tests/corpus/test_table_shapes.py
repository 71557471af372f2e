"""Tables as people have them: what Excel, R and pandas write, bytes without their annotation, folders of shards."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib.corpus import choose_roles, identify, open_source, select
from featurelib.corpus.reading import Texts
from featurelib.schema import Refusal

FRAME = pd.DataFrame(
    {"id": [10, 11, 12], "text": ["the first text", 'a "second", text', "the third"], "year": [2001, 2002, 2003]}
)


def read(path, text="text"):
    """The texts table and the source of a corpus, as the stage ingest reads it."""
    source = open_source(str(path))
    roles, _ = choose_roles(source, text, None, None)
    selection = select(source, roles, sample=None, shuffle_seed=None, advance=lambda n: None)
    kept = Texts(source, roles, selection)
    rows = pa.Table.from_batches(kept.batches(lambda n: None), kept.schema).to_pylist()
    return rows, source, [reason for reason in selection.dropped["reason"].to_pylist()]


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;"])
def test_excel_s_first_line_names_the_delimiter(tmp_path, line):
    rows, source, dropped = read(write(tmp_path / "x.csv", f"{line}\r\n{FRAME.to_csv(sep=';', index=False)}"))
    assert [row["text"] for row in rows] == FRAME["text"].tolist() and not dropped
    assert [row["year"] for row in rows] == FRAME["year"].tolist()
    assert "says which delimiter it has" in " ".join(source.notes)


def test_a_delimiter_that_excel_names_wins_over_commas_in_the_header(tmp_path):
    rows, _, _ = read(write(tmp_path / "x.csv", "sep=|\ntext|a,b,c\none, two|3\n"))
    assert rows[0]["text"] == "one, two" and rows[0]["a,b,c"] == 3


def test_last_fields_left_off_are_null_and_counted(tmp_path):
    content = "id,text,note,stars\n1,whole,seen,5\n2,no stars,seen\n3,neither\n4,whole again,,4\n"
    rows, source, dropped = read(write(tmp_path / "x.csv", content))
    assert [(row["text"], row["note"], row["stars"]) for row in rows] == [
        ("whole", "seen", 5),
        ("no stars", "seen", None),
        ("neither", None, None),
        ("whole again", "", 4),
    ]
    assert not dropped and source.counts() == {"rows_with_fields_left_off": 2}
    notes = " ".join(source.notes)
    assert "2 of the first 4 rows of x.csv leave off their last fields (note, stars)" in notes
    assert re.search(r"torn them in two \(the first is row [1-4] below the header\)", notes)


def test_the_halves_of_a_torn_row_are_no_rows_with_fields_left_off(tmp_path):
    content = "id,text,note\n1,whole,seen\n2,a text that a line end\ntears in two,seen\n3,whole,seen\n"
    rows, source, dropped = read(write(tmp_path / "x.csv", content))
    assert [row["text"] for row in rows] == ["whole", "a text that a line end", "whole"]
    assert dropped == ["wrong number of fields"]
    assert source.counts() == {"rows_with_fields_left_off": 1}


@pytest.mark.parametrize("quoted", [True, False])
def test_row_names_as_r_writes_them_become_a_column(tmp_path, quoted):
    names = ["a", "b", "c"] if quoted else [1, 2, 3]
    lines = ['"id" "text" "year"'.replace(" ", ",")]
    lines += [
        f'"{name}",{row.id},"{row.text.replace(chr(34), chr(34) * 2)}",{row.year}'
        for name, row in zip(names, FRAME.itertuples(), strict=True)
    ]
    rows, source, dropped = read(write(tmp_path / "x.csv", "\n".join(lines) + "\n"))
    assert [row["text"] for row in rows] == FRAME["text"].tolist() and not dropped
    assert [row["row_names"] for row in rows] == names
    assert [row["year"] for row in rows] == FRAME["year"].tolist()
    assert "names one column less than its rows have fields" in " ".join(source.notes)


@pytest.mark.parametrize("row_names", [True, False])
def test_what_r_writes_when_nothing_is_said_has_spaces_between_its_fields(tmp_path, row_names):
    lines = ['"text" "year"', *(f'"A bridge, number {row}, over \\"Q\\" Street" {2000 + row}' for row in range(30))]
    if row_names:
        lines[1:] = [f'"{number}" {line}' for number, line in enumerate(lines[1:], 1)]
    rows, source, dropped = read(write(tmp_path / "x.csv", "\n".join(lines) + "\n"))
    assert [row["text"] for row in rows] == [f'A bridge, number {row}, over "Q" Street' for row in range(30)]
    assert [row["year"] for row in rows] == list(range(2000, 2030)) and not dropped
    assert ("row_names" in rows[0]) == row_names
    assert "has its fields apart by ' '" in " ".join(source.notes)


def test_one_quoted_column_of_sentences_is_not_divided_at_spaces(tmp_path):
    rows, _, _ = read(write(tmp_path / "x.csv", '"text"\n"A bridge over a river"\n"The ""long"" winter"\n'))
    assert [row["text"] for row in rows] == ["A bridge over a river", 'The "long" winter']


def test_a_delimiter_at_the_end_of_each_row_is_left_out_and_said(tmp_path):
    content = "id;text\n1;first;\n2;second;\n3;third;;\n"
    rows, source, dropped = read(write(tmp_path / "x.csv", content))
    assert [row["text"] for row in rows] == ["first", "second", "third"] and not dropped
    assert source.counts() == {"rows_with_a_delimiter_too_many": 3}
    assert "3 of the first 3 rows of x.csv end with a delimiter too many" in " ".join(source.notes)


def test_rows_that_are_all_too_long_by_two_are_explained(tmp_path):
    path = write(tmp_path / "x.csv", "id,text\n1,a,b,c\n2,d,e,f\n")
    with pytest.raises(Refusal, match="names 2 columns, but each of its rows has 4 fields; name every column"):
        open_source(str(path))


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
@pytest.mark.parametrize("labels", [None, ["x", "y", "z"], [100, 7, 30]])
def test_what_pandas_writes_as_json_is_understood(tmp_path, orient, labels):
    frame = FRAME.set_axis(labels) if labels else FRAME
    frame.to_json(tmp_path / "x.json", orient=orient)
    rows, _, dropped = read(tmp_path / "x.json")
    assert [(row["id"], row["text"], row["year"]) for row in rows] == list(FRAME.itertuples(index=False, name=None))
    assert not dropped


def test_json_without_names_of_columns_is_refused_with_the_call_that_has_them(tmp_path):
    FRAME.to_json(tmp_path / "x.json", orient="values")
    with pytest.raises(Refusal, match=r'its columns have no names; write it again with df.to_json\(orient="records"\)'):
        read(tmp_path / "x.json")
    write(tmp_path / "x.json", '{"columns": ["text", "n"], "data": [["a", 1], ["b"]]}')
    with pytest.raises(Refusal, match="other numbers of fields than its 2 columns"):
        read(tmp_path / "x.json")


def test_bytes_without_the_utf8_annotation_are_text(tmp_path):
    columns = {"text": [b"na\xc3\xafve", None, b"plain"], "image": [b"\x89PNG", b"\xff\xd8", b"GIF"], "n": [1, 2, 3]}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    rows, source, dropped = read(tmp_path / "x.parquet", text=None)
    assert [row["text"] for row in rows] == ["naïve", "plain"] and dropped == ["null text"]
    assert "image" not in rows[0] and "read as UTF-8 text: text" in " ".join(source.notes)


def shard(folder, kind, frames):
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        path = folder / f"train-{number:05}.{kind}"
        if kind == "parquet":
            frame.to_parquet(path)
        elif kind == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_csv(path, index=False)
    return folder


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_a_folder_of_shards_is_one_corpus(tmp_path, kind):
    folder = shard(tmp_path / "shards", kind, [FRAME[:2], FRAME[2:], FRAME.assign(id=[1, 2, 3])])
    write(folder / "README.md", "not a text")
    rows, source, dropped = read(folder)
    assert [row["text"] for row in rows] == [*FRAME["text"], *FRAME["text"]] and not dropped
    assert [row["id"] for row in rows] == [10, 11, 12, 1, 2, 3]
    assert [row["source_row"] for row in rows] == list(range(6))
    assert source.facts["n_files"] == 3 and source.facts["left_out_files"] == {f"not .{kind}": 1}
    whole = identify(str(folder))
    FRAME[:1].to_csv(folder / "README.md")
    assert identify(str(folder)) == whole, "what is no part of the corpus does not change it"
    (folder / f"train-00002.{kind}").rename(folder / f"train-00003.{kind}")
    assert identify(str(folder)) != whole


def test_csv_shards_may_differ_in_the_order_of_their_columns_and_in_types(tmp_path):
    other = pd.DataFrame({"year": ["unknown"], "text": ["a fourth"], "id": [13]})
    rows, _, _ = read(shard(tmp_path / "shards", "csv", [FRAME, other]))
    assert [(row["id"], row["text"], row["year"]) for row in rows][-1] == (13, "a fourth", "unknown")
    assert rows[0]["year"] == "2001", "one type for the whole column"


def test_a_shard_in_another_encoding_is_said(tmp_path):
    folder = shard(tmp_path / "shards", "csv", [FRAME, FRAME])
    russian = "id,text,year\n1,Корабль уходит из порта рано утром,2001\n2,Бабушка рассказывает сказки,2002\n"
    write(folder / "train-00001.csv", russian.encode("cp1251"))
    rows, source, _ = read(folder)
    assert rows[-1]["text"] == "Бабушка рассказывает сказки"
    assert "train-00001.csv is read as cp1251 (guessed from" in " ".join(source.notes)


def test_parquet_shards_may_be_empty_in_a_column_or_have_whole_numbers_beside_decimals(tmp_path):
    second = FRAME.assign(year=[2001.5, 2002.0, None][: len(FRAME)])
    folder = shard(tmp_path / "shards", "parquet", [FRAME.assign(note=None), second.assign(note="x")])
    rows, _, _ = read(folder)
    assert [row["note"] for row in rows] == [None] * len(FRAME) + ["x"] * len(FRAME)
    assert [row["year"] for row in rows][: len(FRAME)] == [float(year) for year in FRAME["year"]]
    assert rows[len(FRAME)]["year"] == 2001.5


def test_a_readme_beside_shards_is_no_text_and_other_texts_make_two_kinds(tmp_path):
    folder = shard(tmp_path / "shards", "parquet", [FRAME, FRAME])
    write(folder / "README.txt", "This folder holds the shards.")
    rows, source, _ = read(folder)
    assert len(rows) == 2 * len(FRAME) and source.facts["left_out_files"] == {"not .parquet": 1}
    write(folder / "a text.txt", "A text.")
    with pytest.raises(Refusal, match=r"several kinds of files \(2 .parquet, 2 .txt\)"):
        open_source(str(folder))


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_shards_with_other_columns_are_refused_by_name(tmp_path, kind):
    folder = shard(tmp_path / "shards", kind, [FRAME, FRAME.rename(columns={"year": "when"})])
    with pytest.raises(Refusal, match=rf"columns of train-00001.{kind} .*when.* are not those of train-00000.{kind}"):
        open_source(str(folder))


def test_folders_of_two_kinds_of_empty_files_and_of_pipes_are_refused(tmp_path):
    folder = shard(tmp_path / "two", "csv", [FRAME])
    FRAME.to_parquet(folder / "x.parquet")
    with pytest.raises(Refusal, match=r"several kinds of files \(1 .csv, 1 .parquet\)"):
        open_source(str(folder))
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty" / "x.csv", "")
    with pytest.raises(Refusal, match="every file of folder empty is empty"):
        open_source(str(tmp_path / "empty"))


def test_a_pipe_among_the_texts_is_left_out_and_does_not_hang(tmp_path):
    import os

    folder = tmp_path / "texts"
    folder.mkdir()
    write(folder / "a.txt", "a text")
    os.mkfifo(folder / "b.txt")
    rows, source, _ = read(folder)
    assert [row["text"] for row in rows] == ["a text"]
    assert source.facts["left_out_files"] == {"no plain files": 1}


def test_vectors_and_nulls_in_shards_keep_their_rules(tmp_path):
    frames = [FRAME.assign(v=[np.zeros(16).tolist()] * 3, note=[None, "x", None])] * 2
    rows, source, _ = read(shard(tmp_path / "shards", "jsonl", frames))
    assert "v" not in rows[0] and [row["note"] for row in rows] == [None, "x", None] * 2
    assert json.dumps(source.facts)
