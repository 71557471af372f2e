"""Features that fire by the form of words, and those of several themes: found in a planted corpus, none invented."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib.labels.form import Forms, form_label, forms_of, letters_of, tells_more
from featurelib.labels.themes import find_themes, silhouette
from featurelib.labels.words import TextsContaining
from featurelib.sae.checkpoints import save_sae
from featurelib.sae.gates import JumpReLU
from featurelib.sae.model import SAE
from featurelib.schema import FEATURE_THEMES, FIDELITY, LABEL_SPLIT, LABELS, NAME_COVERAGE, TEXTS
from featurelib.storage.runs import Generation, Run
from precompute.__main__ import main
from tests.support.shared import build_once

TOPICS = ("astronomy", "biology", "economy", "geology", "music", "electricity")
BOTH = ("astronomy", "music")
"""One more feature fires on the texts of these two topics."""
N_TEXTS = 700
DIMENSION = 32
SYLLABLES = ("ka", "lor", "men", "pid", "sut", "van", "zeg", "gom", "hul", "fen")


def made_words(draw: random.Random, n: int, n_syllables: int = 2) -> list[str]:
    """Different words without meaning."""
    words: set[str] = set()
    while len(words) < n:
        words.add("".join(draw.sample(SYLLABLES, n_syllables)))
    return sorted(words)


def planted_words(draw: random.Random) -> dict[str, list[str]]:
    """The words of each topic, and the words of each planted form, which belong to no topic."""
    plain = made_words(draw, 60, 3)
    topics = {topic: plain[10 * place : 10 * place + 10] for place, topic in enumerate(TOPICS[:-1])}
    # a decoy: words of one topic that begin alike, whose texts are alike too
    topics["electricity"] = [f"electro{word}" for word in made_words(draw, 30)]
    forms = {"bi-": [f"bi{word}" for word in made_words(draw, 20)], "-oid": [f"{w}oid" for w in made_words(draw, 20)]}
    # two more decoys: one word in texts of all topics, and a letter that is a word
    return topics | forms | {"r": ["r"], "shared": ["quixote"]}


@pytest.fixture(scope="module")
def forms_run(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    """A run whose SAE has a feature for each topic, each form, the letter and the shared word."""
    folder = build_once(tmp_path_factory, "forms", build)
    return Run(folder / "data" / "forms").current()


def build(folder: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import BertPreTokenizer

    draw, numbers = random.Random(5), np.random.default_rng(5)
    groups = planted_words(draw)
    kinds = list(groups)
    directions = np.linalg.qr(numbers.normal(size=(DIMENSION, DIMENSION)))[0][: len(kinds)].astype(np.float32)
    words = ["[UNK]", ".", *(word for group in groups.values() for word in group)]
    vectors = {word: 0.15 * numbers.normal(size=DIMENSION) for word in words}
    for place, kind in enumerate(kinds):
        for word in groups[kind]:
            vectors[word] = vectors[word] + (1.0 if kind in TOPICS else 4.0) * directions[place]
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    weights = torch.tensor(np.stack([vectors[word] for word in words]), dtype=torch.float32)
    static = StaticEmbedding(tokenizer, embedding_weights=weights)
    SentenceTransformer(modules=[static], device="cpu").save(str(folder / "embedder"), create_model_card=False)

    rows = []
    for number in range(N_TEXTS):
        # the decoy is rare, as forms are, so that chance does not explain it
        topic = TOPICS[-1] if number % 14 == 0 else TOPICS[number % (len(TOPICS) - 1)]
        of_text = draw.sample(groups[topic], 6)
        if draw.random() < 0.5:
            of_text.append(draw.choice(groups[draw.choice(["bi-", "-oid", "r", "shared"])]))
        draw.shuffle(of_text)
        rows.append({"id": str(number), "text": " ".join(of_text), "topic": topic})
    pq.write_table(pa.Table.from_pylist(rows), folder / "corpus.parquet")

    both = (directions[kinds.index(BOTH[0])] + directions[kinds.index(BOTH[1])]) / np.sqrt(2)
    tied = torch.tensor(np.vstack([directions, both]).astype(np.float32))
    n = len(tied)
    sae = SAE(tied.T.contiguous(), torch.zeros(n), tied, torch.zeros(DIMENSION), JumpReLU(torch.full((n,), 0.3)))
    save_sae(sae, folder / "sae")
    flags = ["--text-column", "text", "--id-column", "id", "--embedder", str(folder / "embedder")]
    flags += ["--keyword-embedder", "stand-in:64", "--sae", str(folder / "sae"), "--data", str(folder / "data")]
    flags += ["--attributed-texts", "20"]
    assert main(["build", str(folder / "corpus.parquet"), "--name", "forms", *flags, "--to", "labels"]) == 0


def test_three_planted_forms_are_found_and_none_is_invented(forms_run: Generation) -> None:
    kinds = [*planted_words(random.Random(5)), "both"]
    labels = pq.read_table(forms_run.need(LABELS)).to_pylist()
    named = {kinds[row["feature_id"]]: row["label"] for row in labels if row["source"] == "form"}
    assert named == {"bi-": 'words with "bi-"', "-oid": 'words with "-oid"', "r": 'the letter "R"'}
    others = {kinds[row["feature_id"]]: row["label"] for row in labels if row["source"] != "form"}
    assert others["shared"] == "quixote"
    assert set(others) == {*TOPICS, "shared", "both"}


def test_the_feature_of_two_topics_has_two_themes_and_no_other_has(forms_run: Generation) -> None:
    words = planted_words(random.Random(5))
    themes = pq.read_table(forms_run.need(FEATURE_THEMES)).to_pandas()
    assert set(themes.feature_id) == {len(words)}
    assert [next(topic for topic in BOTH if label in words[topic]) for label in themes.label] in (
        [*BOTH],
        [*BOTH][::-1],
    )
    corpus = pq.read_table(forms_run.need(TEXTS)).to_pandas()
    parts = pq.read_table(forms_run.need(LABEL_SPLIT)).to_pandas()["part"]
    for theme in themes.itertuples():
        of_topic = corpus.topic == next(topic for topic in BOTH if theme.label in words[topic])
        assert theme.n_texts == (of_topic & (parts != "judged")).sum()
        tested = corpus[of_topic & (parts == "judged")]
        assert (theme.n_tested, theme.n_holding) == (
            len(tested),
            tested.text.str.split().map(set(theme.label.split()).issubset).sum(),
        )
    assert themes.share.sum() == pytest.approx(1)


def test_silhouettes_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import silhouette_score

    x = np.random.default_rng(0).normal(size=(60, 8))
    clusters = np.arange(60) % 3
    x += 2 * np.eye(8)[clusters]
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert silhouette(units, clusters, 3) == pytest.approx(silhouette_score(units, clusters, metric="cosine"))


def test_one_group_of_texts_is_one_theme() -> None:
    draw = np.random.default_rng(1)
    centres = 3 * np.eye(16)[:2]

    def drawn(n: int, n_groups: int) -> np.ndarray:
        x = draw.normal(size=(n, 16)) * 0.5 + centres[np.arange(n) % n_groups]
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    assert find_themes(drawn(60, 1), drawn(30, 1)) is None
    found = find_themes(drawn(60, 2), drawn(30, 2))
    assert found is not None and sorted(np.abs(found).argmax(axis=1).tolist()) == [0, 1]
    assert find_themes(drawn(12, 2), drawn(30, 2)) is None


def test_a_form_s_coverage_and_scores_are_those_of_the_words_that_have_it(forms_run: Generation) -> None:
    feature_id = list(planted_words(random.Random(5))).index("bi-")
    coverage = pq.read_table(forms_run.need(NAME_COVERAGE)).to_pandas()
    own = coverage[(coverage.feature_id == feature_id) & (coverage.method == "ours")].iloc[0]
    assert own.n_holding == own.n_strongest >= 5
    fidelity = pq.read_table(forms_run.need(FIDELITY)).to_pandas()
    scores = fidelity[(fidelity.feature_id == feature_id) & (fidelity.method == "ours")].set_index("predictor")
    assert scores.loc["contains", "auroc"] == scores.loc["contains", "ap"] == 1.0
    assert scores.loc["contains", "label"] == 'words with "bi-"'


def test_a_text_holds_a_form_where_a_longer_word_has_it(forms_run: Generation) -> None:
    texts = pq.read_table(forms_run.need(TEXTS))["text"].to_pylist()
    containing = TextsContaining(texts, ["bi-", "-oid", "r"])
    for form, holds in (("bi-", str.startswith), ("-oid", str.endswith)):
        expected = [any(holds(word, form.strip("-")) for word in text.split()) for text in texts]
        assert containing(form).tolist() == expected
    assert containing("r").tolist() == ["r" in text.split() for text in texts]
    assert TextsContaining(["木曜日 is", "a 林 too"], ["-木-"])("-木-").tolist() == [True, False]
    assert TextsContaining(["a bit of a bi", "bismuth"], ["bi-"])("bi-").tolist() == [False, True]


def test_words_of_one_stem_are_no_form() -> None:
    vocabulary = [("orientation", 9), ("orientable", 9), ("oriented", 9), ("orienting", 9), ("other", 5000)]
    texts = [[word, "other"] for word, _ in vocabulary[:4]] * 3
    assert Forms(vocabulary, 1).find(texts) is None
    words = ["sublattice", "submarine", "subspace", "subtraction", "subversion", "subgraph"]
    found = Forms([*((word, 1) for word in words), ("other", 5000)], 1).find([[word] for word in words])
    assert found is not None and found.keyword == "sub-" and found.n_texts == found.n_of == 6


def test_copies_of_a_text_count_once() -> None:
    forms = Forms([("r", 1), ("other", 5000)], 1)
    assert forms.find([["r", "other"]] * 20) is None
    assert forms.find([["r", f"other{place}"] for place in range(20)]) is not None


def test_a_form_names_a_feature_where_it_tells_more_than_a_phrase() -> None:
    texts = np.arange(20)
    assert tells_more(texts < 12, texts < 8, everywhere=0.3)
    assert not tells_more(texts < 12, texts < 11, everywhere=0.3)
    assert not tells_more(texts < 9, texts < 2, everywhere=0.1)
    assert not tells_more(texts < 20, texts < 2, everywhere=0.9)
    assert not tells_more(texts[:0] < 1, texts[:0] < 1, everywhere=0.0)


def test_a_beginning_that_most_words_have_is_chance() -> None:
    words = ["relation", "remark", "repair", "resin", "return", "rewrite"]
    texts = [[word] for word in words]
    assert Forms([(word, 1) for word in words], 1).find(texts) is None
    assert Forms([*((word, 1) for word in words), ("other", 5000)], 1).find(texts) is not None


def test_forms_and_labels_of_forms() -> None:
    assert forms_of("ooids") == ["oo-", "ooi-", "-ids"]
    assert letters_of("Bi-partite ooids") == ("bi", "partite", "ooid")
    assert [letters_of(word) for word in ("401k", "don't", "3D", "a", "what's")] == [()] * 5
    assert letters_of("हिन्दी") == ("हिन्दी",)
    assert forms_of("木") == ["-木-"]
    labels = [form_label(form) for form in ("bi-", "r", "-木-")]
    assert labels == ['words with "bi-"', 'the letter "R"', 'the character "木"']
