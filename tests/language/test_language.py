"""Languages and words: texts that anybody can check, written for these tests."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from featurelib.labels.keybert import candidates
from featurelib.labels.keywords import is_short
from featurelib.labels.phrases import Phrases, TextWords
from featurelib.labels.stop_words import stop_words
from featurelib.labels.words import TextsContaining, alike
from featurelib.language.characters import DIVIDER, divided, has_python_words
from featurelib.language.guess import Languages, find_languages, read_codes
from featurelib.language.segmentation import joined, words
from featurelib.schema import Refusal

SENTENCES = {
    "en": ["The engineers have built a small bridge over the river.", "Our winters were longer than the summers."],
    "de": ["Die Ingenieure haben eine kleine Brücke über den Fluss gebaut.", "Unsere Winter waren länger als sonst."],
    "fr": ["Les ingénieurs ont construit un petit pont sur la rivière.", "Nos hivers étaient plus longs que nos étés."],
    "pl": [
        "Inżynierowie zbudowali mały most nad rzeką.",
        "Nasze zimy były dłuższe niż nasze lata.",
    ],
    "ru": ["Инженеры построили небольшой мост через реку.", "Наши зимы были длиннее, чем лето, и мы сидели дома."],
    "hi": ["इंजीनियरों ने नदी पर एक छोटा पुल बनाया है।", "हमारी सर्दियाँ गर्मियों से लंबी थीं।"],
    "zh": ["工程师们在河上建了一座小桥。", "我们的冬天比夏天更长，所以大家都待在家里。"],
    "ja": ["技術者たちは川に小さな橋を架けました。", "私たちの冬は夏より長かったので、家にいました。"],
    "th": ["วิศวกรสร้างสะพานเล็กข้ามแม่น้ำ", "ฤดูหนาวของเรายาวนานกว่าฤดูร้อน"],
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_corpus_of_one_language_is_known_as_that(code: str) -> None:
    assert find_languages(SENTENCES[code] * 20).shares == {code: 1.0}


def test_each_text_of_a_mixed_corpus_has_its_own_language() -> None:
    texts = [text for own in SENTENCES.values() for text in own]
    languages = find_languages(texts)
    assert set(languages.shares) == set(SENTENCES) and sum(languages.shares.values()) == pytest.approx(1)
    assert [languages.of(text) for text in texts] == [code for code, own in SENTENCES.items() for _ in own]


def test_a_language_of_less_than_a_hundredth_is_a_slip_of_the_guess() -> None:
    languages = find_languages(SENTENCES["en"] * 100 + SENTENCES["de"][:1])
    assert languages.shares == {"en": 1.0} and languages.of(SENTENCES["de"][0]) == "en"


def test_texts_without_a_language_have_none() -> None:
    assert find_languages([]).shares == {} and find_languages(["", "12 %", "?!"]).of("?!") is None
    assert not stop_words(None).listed and not stop_words("ace").listed


def test_languages_that_are_named_are_taken_and_unknown_ones_refused() -> None:
    languages = find_languages(SENTENCES["de"] + SENTENCES["fr"], "DE, fr")
    assert languages.shares == {"de": 0.5, "fr": 0.5}
    assert read_codes("yue, wuu,en") == ("zh", "en")
    for typed in ("german", "de,klingon", ",", "../de"):
        with pytest.raises(Refusal, match="ISO 639 codes such as en"):
            read_codes(typed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("don't stop a well-known x_y", ["don't", "stop", "a", "well-known", "x", "y"]),
        ("机器学习模型预测了天气。", ["机器", "学习", "模型", "预测", "了", "天气"]),
        ("東京の大学、DNA検査", ["東京", "の", "大学", "DNA", "検査"]),
        ("ภาษาไทยไม่มีวรรค", ["ภาษา", "ไทย", "ไม่มี", "วรรค"]),
        ("हिन्दी में लिखा", ["हिन्दी", "में", "लिखा"]),
        ("نمی‌خواهم بروم", ["نمی‌خواهم", "بروم"]),
        (unicodedata.normalize("NFD", "Zoë café"), [unicodedata.normalize("NFD", word) for word in ("Zoë", "café")]),
        ("한국어 문장이다", ["한국어", "문장이다"]),
    ],
)
def test_words_of_every_script(text: str, expected: list[str]) -> None:
    assert words(text) == expected
    assert has_python_words(text) == (text.isascii() or "한" in text)


def test_words_are_joined_as_a_text_writes_them() -> None:
    assert joined(["机器", "学习"]) == "机器学习" and joined(["dark", "matter"]) == "dark matter"
    assert joined(["DNA", "検査"]) == "DNA 検査" and joined(["หิว", "ข้าว"]) == "หิวข้าว"


def test_each_letter_of_an_unspaced_script_stands_apart_and_marks_stay_with_theirs() -> None:
    assert divided("机器DNA x") == f"机{DIVIDER}器{DIVIDER}DNA x"
    assert divided("ไม่มี").split(DIVIDER) == ["ไ", "ม่", "มี"]
    assert divided("naïve हिन्दी") == "naïve हिन्दी"


@pytest.mark.parametrize(
    ("language", "text", "kept", "stopped"),
    [
        ("de", "Die Brücke über den Fluss", {"brücke", "fluss"}, {"die", "über", "den"}),
        ("zh", "我们的机器学习模型", {"机器", "学习", "模型"}, {"我们", "的"}),
        ("ja", "この橋は大学の前にあります", {"大学"}, {"この", "あり", "ます"}),
        ("zh", "我家的猫和狗喜欢吃鱼", {"猫", "狗", "鱼"}, {"的", "和"}),
        ("hi", "नदी पर एक छोटा पुल", {"नदी", "छोटा", "पुल"}, {"पर", "एक"}),
        ("ru", "мост через реку и они", {"мост", "реку"}, {"через", "они"}),
        (None, "the bridge", {"the", "bridge"}, set()),
    ],
)
def test_candidates_leave_out_the_stop_words_of_the_language(
    language: str | None, text: str, kept: set[str], stopped: set[str]
) -> None:
    found_words = set(candidates(text, language).words)
    assert kept <= found_words and not stopped & found_words


def test_a_word_is_a_stop_word_only_in_the_language_that_has_it() -> None:
    english = ["the dogs die here in peace", "dogs die from hunger and thirst", "many horses die without water"]
    german = ["die Hunde leben hier in Frieden", "die Hunde schlafen nicht mehr", "die Katzen leben auch hier"]
    texts = [*english, *german, *["zzz yyy"] * 12]
    languages = Languages({"en": 0.5, "de": 0.5})
    index = Phrases(TextWords.read(texts, languages))

    def phrases(rows: list[int]) -> set[str]:
        return {candidate.phrase for candidate in index.candidates(np.array(rows), np.ones(3, np.float32), 50)}

    assert "die" in phrases([0, 1, 2]) and "dogs die" in phrases([0, 1, 2])
    assert "die" not in phrases([3, 4, 5]) and "hunde" in phrases([3, 4, 5])


def test_a_word_of_one_letter_can_be_a_label_in_chinese_and_not_in_english() -> None:
    index = Phrases(TextWords.read(["我家的猫", "猫吃鱼", "一只猫"] + ["今天天气很好"] * 9, Languages({"zh": 1.0})))
    assert "猫" in {candidate.phrase for candidate in index.candidates(np.arange(3), np.ones(3, np.float32), 50)}
    index = Phrases(TextWords.read(["type A"] * 3 + ["other words"] * 9, Languages({"en": 1.0})))
    assert "a" not in {candidate.phrase for candidate in index.candidates(np.arange(3), np.ones(3, np.float32), 50)}


def test_thai_words_with_the_same_beginning_are_no_forms_of_one() -> None:
    assert not alike("ความสุข", "ความสามารถ") and alike("ความสุข", "ความสุข") and alike("galaxy", "galaxies")


def test_a_label_has_forty_characters_at_most() -> None:
    assert is_short(["a" * 20, "b" * 17]) and not is_short(["a" * 20, "b" * 18])


def test_words_with_an_apostrophe_between_stop_words_and_letters_begin_no_phrase() -> None:
    texts = ["vie d'un pont d'acier", "poids d'un pont d'acier"] + ["autre chose"] * 9
    index = Phrases(TextWords.read(texts, Languages({"fr": 1.0})))
    phrases = {candidate.phrase for candidate in index.candidates(np.arange(2), np.ones(2, np.float32), 50)}
    assert "pont d'acier" in phrases and not {"d'un", "d'un pont"} & phrases


def test_phrases_of_chinese_are_short_and_stand_in_their_texts() -> None:
    texts = ["机器学习模型预测天气的变化，效果很好", "他们用机器学习研究星系", "机器学习和天气"] + ["今天去吃饭"] * 9
    index = Phrases(TextWords.read(texts, Languages({"zh": 1.0})))
    phrases = [candidate.phrase for candidate in index.candidates(np.arange(3), np.ones(3, np.float32), 50)]
    assert "机器学习" in phrases and "天气" in phrases
    containing = TextsContaining(texts, phrases)
    for phrase in phrases:
        assert [phrase in text for text in texts] == containing(phrase).tolist()
