"""Which legacy encoding a file is in: found where it is certain, refused where it is not, never silently wrong."""

from __future__ import annotations

import json

import pytest

from featurelib.corpus import choose_roles, open_source, select
from featurelib.corpus.detection import detect_codec
from featurelib.corpus.reading import Texts
from featurelib.schema import Refusal

SENTENCES = {
    "cs": [
        "Příliš žluťoučký kůň úpěl ďábelské ódy",
        "Šeřík voní u řeky, když přijde květen",
        "Děti běží přes most domů",
    ],
    "de": [
        "Die Mühle am Fluß mahlt für drei Dörfer",
        "Über den Häusern hängt früher Nebel",
        "Er grüßt höflich und geht",
    ],
    "el": [
        "Το πλοίο φεύγει από το λιμάνι το πρωί",
        "Η γιαγιά λέει ιστορίες κάθε βράδυ",
        "Ο ήλιος λάμπει στη θάλασσα",
    ],
    "fr": [
        "L’été dernier, nous avons visité la forêt",
        "Le garçon a mangé un gâteau très sucré",
        "Où est passée la clé ?",
    ],
    "he": [
        "הספינה עוזבת את הנמל בבוקר",
        "הילדים רצים הביתה מעל הגשר",
        "סבתא מספרת סיפורים בכל ערב",
    ],
    "ja": [
        "船は朝に港を出ます。",
        "子供たちは橋を渡って家に走ります。",
        "祖母は毎晩物語を語ります。",
    ],
    "ko": [
        "배는 아침에 항구를 떠난다.",
        "아이들은 다리를 건너 집으로 달린다.",
        "할머니는 매일 저녁 이야기를 들려준다.",
    ],
    "pl": [
        "Zażółć gęślą jaźń, mówi stara łamigłówka",
        "Łódź płynie wśród mgły ku źródłu",
        "Dzieci biegną przez most",
    ],
    "ru": [
        "Корабль уходит из порта рано утром",
        "Бабушка рассказывает сказки каждый вечер",
        "Дети бегут через мост домой",
    ],
    "tr": [
        "Gemi sabah erkenden limandan ayrılıyor",
        "Büyükannem her akşam öykü anlatır",
        "Çocuklar köprüden eve koşuyor",
    ],
    "uk": [
        "Корабель вирушає з порту рано-вранці",
        "Їжак біжить стежкою крізь ліс",
        "Бабуся щовечора розповідає казки",
    ],
    "zh": [
        "船早上离开港口。",
        "孩子们跑过桥回家。",
        "奶奶每天晚上讲故事。",
    ],
}
PAIRS = [
    *(("cs", codec) for codec in ("cp1250", "iso8859-2", "cp852")),
    *(("de", codec) for codec in ("cp1252", "iso8859-1", "mac-roman")),
    *(("el", codec) for codec in ("cp1253", "iso8859-7")),
    *(("fr", codec) for codec in ("cp1252", "mac-roman")),
    *(("he", codec) for codec in ("cp1255", "iso8859-8")),
    *(("ja", codec) for codec in ("cp932", "euc-jp", "iso2022-jp")),
    *(("ko", codec) for codec in ("euc-kr", "cp949", "johab")),
    *(("pl", codec) for codec in ("cp1250", "iso8859-2", "cp852")),
    *(("ru", codec) for codec in ("cp1251", "koi8-r", "iso8859-5", "cp866", "mac-cyrillic")),
    *(("tr", codec) for codec in ("cp1254", "iso8859-9")),
    *(("uk", codec) for codec in ("cp1251", "koi8-u")),
    *(("zh", codec) for codec in ("gb2312", "gbk", "gb18030", "hz")),
]


def texts_of(path, encoding=None):
    source = open_source(str(path), encoding)
    roles, _ = choose_roles(source, "text", None, None)
    selection = select(source, roles, sample=None, shuffle_seed=None, advance=lambda n: None)
    kept = Texts(source, roles, selection)
    return [text for batch in kept.batches(lambda n: None) for text in batch["text"].to_pylist()], source


@pytest.mark.parametrize(("language", "codec"), PAIRS)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_legacy_encoding_is_found_and_said(tmp_path, language, codec, kind):
    texts = [f"{text} ({number})" for number in range(4) for text in SENTENCES[language]]
    if kind == "csv":
        content = "id;text\r\n" + "".join(f"{number};{text}\r\n" for number, text in enumerate(texts))
    else:
        content = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in texts)
    path = tmp_path / f"x.{kind}"
    path.write_bytes(content.encode(codec))
    read, source = texts_of(path)
    assert read == texts
    said = " ".join(source.notes)
    assert f"is read as {source.facts['encoding']} (guessed from" in said and "--encoding" in said


def test_the_encoding_asked_for_is_taken_where_the_bytes_allow_it(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("text\nдва\n".encode("cp855"))
    assert texts_of(path, "cp855")[0] == ["два"]
    assert texts_of(path, "IBM855")[0] == ["два"], "a name that Python knows the codec by as well"
    with pytest.raises(Refusal, match=r"x.csv is not in utf-8.*name another with --encoding"):
        open_source(str(path), "utf-8")
    for name in ("klingon", "hex", "a\0b", ""):
        with pytest.raises(Refusal, match="--encoding .* is not known; write it as Python does"):
            open_source(str(path), name)


def test_an_encoding_that_is_not_certain_is_refused_with_the_likeliest(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"text\nStra\xdfe\n")
    with pytest.raises(Refusal) as refused:
        open_source(str(path))
    said = str(refused.value)
    assert "its encoding is not certain (likeliest, in this order: " in said and "cp1252" in said
    assert said.count("\n") == 0 and "--encoding" in said


def test_bytes_that_are_no_text_at_all_are_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"text\n\x81\xfe\x8d\n")
    with pytest.raises(Refusal, match="not certain|neither"):
        open_source(str(path))


def test_a_late_foreign_character_decides_as_an_early_one_does(tmp_path):
    path = tmp_path / "x.csv"
    lines = [b"text", *[b"plain ascii"] * 50_000, *(text.encode("cp1251") for text in SENTENCES["ru"])]
    path.write_bytes(b"\n".join(lines))
    assert texts_of(path)[0][-3:] == SENTENCES["ru"]


def test_escapes_late_in_an_ascii_file_are_seen_and_latex_is_not_taken_for_hz(tmp_path):
    path = tmp_path / "x.csv"
    lines = [b"text", *[b"plain ascii"] * 5000, *(text.encode("iso2022-jp") for text in SENTENCES["ja"])]
    path.write_bytes(b"\n".join(lines))
    assert texts_of(path)[0][-3:] == SENTENCES["ja"]
    latex = [r"see Eq.~{\ref{a}} and~{\it x}~} here", "a \x1b[31mred\x1b[0m word", "~{", "~{ab~}"]
    path.write_text("\n".join(["text", *latex]))
    assert texts_of(path)[0] == latex


def test_curly_quotes_alone_tell_windows_from_a_mac():
    quotes = "It’s “quoted” – and the dogs’ tails too"
    for codec in ("cp1252", "mac-roman"):
        detection = detect_codec([quotes.encode(codec)])
        assert quotes.encode(codec).decode(detection.codec) == quotes


def test_a_utf8_file_with_foreign_lines_names_their_encoding(tmp_path):
    lines = [f"naïve {number} €".encode() for number in range(20)]
    lines[7:10] = [text.encode("cp1251") for text in SENTENCES["ru"]]
    path = tmp_path / "x.csv"
    path.write_bytes(b"\n".join([b"text", *lines]))
    read, source = texts_of(path)
    assert read[7:10] == SENTENCES["ru"] and read[0] == "naïve 0 €"
    assert source.facts["encoding"] == "utf-8 with 3 lines in cp1251"


def test_txt_files_that_are_not_utf8_share_one_encoding(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for number, text in enumerate(SENTENCES["pl"]):
        (folder / f"{number}.txt").write_bytes(text.encode("cp1250"))
    (folder / "9.txt").write_text("w UTF-8: źródło", encoding="utf-8")
    read, _ = texts_of(folder)
    assert read == [*SENTENCES["pl"], "w UTF-8: źródło"]


def test_a_parquet_file_takes_no_encoding(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(Refusal, match="a Parquet file is UTF-8 by its format; leave the flag out"):
        open_source(str(tmp_path / "x.parquet"), "cp1251")
