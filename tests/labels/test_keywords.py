"""Keywords: the batched method against the tutorial's plain loop, its pitfalls, and the verb label."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.tutorial_loop import compare_keywords, open_model, tutorial_keywords
from featurelib.embedder import load_embedder
from featurelib.labels import keybert, keywords
from featurelib.labels.keybert import Term
from featurelib.labels.keywords import Keyword
from featurelib.labels.split import NAMING, label_split, label_splits
from featurelib.schema import EMBEDDINGS, FEATURES, KEYWORDS, LABEL_SPLIT, TEXTS, TOP_TEXT_ROWS, Refusal
from featurelib.storage import files
from featurelib.storage.runs import Done, Generation
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.stages import keywords as verb

WORDS = ["galaxy", "galaxies", "star", "quark", "gluon", "graph", "graphs", "tree"]
WORDS += ["matrix", "tensor", "protein", "genome", "cell", "neuron", "wave", "photon"]
ROOTS = {"galaxies": "galaxy", "graphs": "graph", "tensor": "matrix"}


def embed(strings: Sequence[str]) -> np.ndarray:
    """The mean of the words' directions; a word of ROOTS lies near its root, `tensor` nearest."""
    rows = []
    for text in strings:
        row = np.zeros(32)
        for word in text.lower().replace(".", " ").split():
            for part, share in ((ROOTS.get(word, word), 1.0), (word, 0.3 if word == "tensor" else 0.8)):
                drawn = np.random.Generator(np.random.PCG64(int.from_bytes(part.encode()[:8], "little")))
                row += share * drawn.standard_normal(32)
        rows.append(row / max(np.linalg.norm(row), 1e-12))
    return np.array(rows, dtype=np.float32).reshape(len(strings), 32)


class PlainModel:
    """The same embeddings behind the method that the tutorial calls."""

    def encode(self, strings: str | Sequence[str], **_: Any) -> Any:
        import torch

        made = torch.from_numpy(embed([strings] if isinstance(strings, str) else list(strings)))
        return made[0] if isinstance(strings, str) else made


def plain_keybert(model: Any = None) -> Any:
    from keybert import KeyBERT
    from keybert.backend import BaseEmbedder

    class Backend(BaseEmbedder):
        def embed(self, documents: Sequence[str], verbose: bool = False) -> np.ndarray:
            return embed(list(documents))

    return KeyBERT(model=model or Backend())


def planted_texts(n: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(1, 9))) + "." for _ in range(n)]


def keywords_of(texts: Sequence[str], embed: Callable[[Sequence[str]], np.ndarray]) -> list[Keyword]:
    """The whole method for one feature in one piece, with the defaults of a build."""
    if not texts:
        return []
    vectors = embed(texts)
    best = keybert.text_words([keybert.candidates(text, "en").words for text in texts], vectors, embed)
    merged = [keywords.merge(words, embed, 0.9) for words in best]
    terms = [keywords.text_terms(words, vector, embed, 0.4) for words, vector in zip(merged, vectors, strict=True)]
    return keywords.feature_keywords(terms, embed, 0.75)


@pytest.mark.parametrize(("n_texts", "seed"), [(1, 0), (3, 1), (10, 2), (10, 3), (10, 4)])
def test_keywords_are_those_of_the_tutorials_loop_to_six_decimals(n_texts: int, seed: int) -> None:
    texts = planted_texts(n_texts, seed)
    ours = keywords_of(texts, embed)
    difference = compare_keywords(
        tutorial_keywords(texts, plain_keybert(), PlainModel()), [(keyword.keyword, keyword.score) for keyword in ours]
    )
    assert difference.n_keywords == len(ours) > 0
    assert not difference.only
    assert difference.largest < 1e-6


def test_real_minilm_gives_the_scores_of_the_tutorials_loop_to_four_decimals() -> None:
    texts = [
        "Fast superconducting qubits. We measure the coherence of superconducting qubits in a cavity.",
        "Qubit readout by a resonator. Readout fidelity is limited by the coherence time of the qubit.",
        "Galaxy rotation curves. The naïve and the naive reading agree: dark matter halos explain galaxies.",
    ]
    embedder = load_embedder(device="cpu")
    model = open_model({"name": embedder.facts.name, "origin": embedder.facts.origin})
    loop = tutorial_keywords(texts, plain_keybert(model), model)
    ours = keywords_of(texts, embedder.embed)
    difference = compare_keywords(loop, [(keyword.keyword, keyword.score) for keyword in ours])
    assert not difference.only
    assert not difference.decimals


def test_a_term_scores_its_mean_cosine_times_the_logarithm_of_one_more_than_its_texts() -> None:
    terms = [[Term("star", 0.5), Term("quark", 0.9)], [Term("star", 0.7)], []]
    star, quark = keywords.score_terms(terms)
    assert (star.term, quark.term) == ("star", "quark")
    assert star.score == pytest.approx(0.6 * math.log(3))
    assert quark.score == pytest.approx(0.9 * math.log(2))
    assert keywords.agreement(10.0, 10) == pytest.approx(2.398, abs=1e-3)


def test_a_cluster_is_named_by_its_best_term_and_sums_scores_and_counts() -> None:
    terms = [[Term("galaxy", 0.6), Term("galaxies", 0.4)], [Term("galaxy", 0.5)], [Term("quark", 0.1)]]
    near = float(np.dot(*embed(["galaxy", "galaxies"])))
    together = keywords.feature_keywords(terms, embed, cluster_at=near - 0.01)
    apart = keywords.feature_keywords(terms, embed, cluster_at=near + 0.01)
    assert together[0] == Keyword("galaxy", pytest.approx(1.5 / 3 * math.log(4)), 2)
    assert [keyword.keyword for keyword in apart] == ["galaxy", "galaxies", "quark"]


def test_merging_keeps_the_best_scored_word_and_pairs_need_not_be_neighbours() -> None:
    terms = [Term("tensor", 0.5), Term("matrix", 0.7), Term("star", 0.3)]
    merged = keywords.merge(terms, embed, 0.9)
    assert merged == [Term("matrix", 0.7), Term("star", 0.3)]
    assert keywords.pairs([*merged, Term("cell", 0.2)]) == ["matrix star", "matrix cell", "star cell"]


def test_a_pair_counts_from_the_cosine_on_and_keeps_all_its_decimals() -> None:
    vector = embed(["matrix star cell"])[0]
    cosine = float(embed(["matrix star"])[0] @ vector)
    words = [Term("matrix", 0.7), Term("star", 0.3)]
    assert keywords.text_terms(words, vector, embed, cosine - 1e-4)[2:] == [Term("matrix star", pytest.approx(cosine))]
    assert keywords.text_terms(words, vector, embed, cosine + 1e-4) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("   \n\t", ()),
        ("a b c 1 2 ! $x$ the of and", ()),
        ("The Star, the STAR; x-ray p53 α β", ("star", "ray", "p53")),
        ("类星体 观测 很远", ("类星体", "观测", "很", "远")),
        (r"$\alpha_{\rm QCD}$ naïve", ("alpha_", "rm", "qcd", "naïve")),
        ("x" * 80_000, ()),
    ],
)
def test_candidates_are_distinct_lower_cased_words_of_two_characters_or_more(text: str, words: tuple[str, ...]) -> None:
    assert keybert.candidates(text, "en").words == words


def test_a_huge_text_is_cut_to_its_first_2000_words_and_what_is_left_out_is_counted() -> None:
    huge = keybert.candidates(" ".join(f"w{number}" for number in range(5000)) + " " + "y" * 65, "en")
    assert len(huge.words) == keybert.MAX_CANDIDATES
    assert huge.words[-1] == "w1999"
    assert huge.left_out == 3001


def test_a_text_without_words_has_no_keywords_and_does_not_disturb_the_others() -> None:
    words = [("star", "quark"), (), ("cell",)]
    terms = keybert.text_words(words, embed(["star quark", "", "cell"]), embed)
    assert [[term.term for term in own] for own in terms] == [[*(term.term for term in terms[0])], [], ["cell"]]
    assert {term.term for term in terms[0]} == {"star", "quark"}
    assert keywords_of(["! a", ""], embed) == []
    assert keywords_of([], embed) == []


def test_embeddings_that_keybert_would_pass_over_in_silence_are_refused() -> None:
    broken = embed(["star"])
    broken[0, 0] = np.nan
    with pytest.raises(Refusal, match="not finite"):
        keybert.text_words([("star",)], broken, embed)
    with pytest.raises(Refusal, match="for 2 words"):
        keybert.text_words([("star", "cell")], embed(["star"]), lambda strings: embed(strings)[:1])


def test_a_label_takes_three_keywords_that_each_add_a_word() -> None:
    ranked = [Keyword(word, 1.0, 2) for word in ("graph", "graph tree", "tree graph", "tree", "cell", "wave")]
    assert keywords.label(3, ranked) == ("graph · graph tree · cell", "keywords")
    assert keywords.label(12, []) == ("feature 12", "none")


def test_a_label_is_of_words_that_texts_share_and_says_when_there_are_none() -> None:
    ranked = [Keyword("bubbles", 1.2, 1), Keyword("gene", 1.0, 4), Keyword("genome", 0.5, 2), Keyword("cell", 0.4, 1)]
    assert keywords.label(3, ranked) == ("gene · genome", "keywords")
    assert keywords.label(3, ranked[:1] + ranked[3:]) == ("bubbles · cell", "single texts")
    assert keywords.label_keywords(ranked) == ["gene", "genome"] and keywords.label_keywords([]) == []


@dataclass
class World:
    """A generation whose stages up to summarise are made by hand: 40 texts, 6 features, the last one dead."""

    generation: Generation
    texts: list[str]
    top: dict[int, list[int]]

    def job(self, **options: Any) -> Job:
        return Job(
            self.generation, BuildConfig(source="x", name="x", embedder="stand-in:32", **options), lambda _: None
        )

    def keywords(self) -> bytes:
        return self.generation.file(KEYWORDS).read_bytes()

    def naming(self, feature_id: int) -> list[int]:
        """The top texts that name a feature: those of the part "named", or all where none is."""
        named = [text_id for text_id in self.top[feature_id] if label_split(self.texts[text_id]) == NAMING]
        return (named or self.top[feature_id])[:10]


def make_world(path: Path, seed: int = 5, dtype: str = "float32") -> World:
    generation = Generation(path / "g0001")
    texts = [*planted_texts(38, seed), "! ?", "日本語 テキスト 説明"]
    draw = np.random.default_rng(seed)
    top = {0: [], 1: [38], 2: [39, 38, 0], 5: []}
    top |= {feature_id: draw.choice(38, 30, replace=False).tolist() for feature_id in (3, 4)}
    ids = list(range(len(texts)))
    rows = [(f, rank, text_id, 1.0 / rank) for f in sorted(top) for rank, text_id in enumerate(top[f], 1)]
    write(generation, TEXTS, [ids, ids, [str(text_id) for text_id in ids], texts])
    write(generation, LABEL_SPLIT, [ids, label_splits(texts)])
    write(generation, TOP_TEXT_ROWS, list(map(list, zip(*rows, strict=True))))
    counts = [len(top.get(feature_id, ())) for feature_id in range(6)]
    write(generation, FEATURES, [range(6), counts, *[[0.0] * 6] * 4, [not count for count in counts]])
    vectors = load_embedder("stand-in:32").embed(texts).astype(dtype)
    stored = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 32)
    for number, part in enumerate((slice(0, 16), slice(16, 40))):
        table = pa.table({"text_id": ids[part], "embedding": stored[part]})
        files.write_parquet(generation.file(EMBEDDINGS) / f"part-{number:05d}.parquet", table, table.schema)
    for stage in ("ingest", "embed", "summarise"):
        files.write_json(generation.path / "done" / f"{stage}.json", {"fingerprint": "f", "facts": {}, "line": ""})
    assert isinstance(generation.done("embed"), Done)
    return World(generation, texts, top)


def write(generation: Generation, table: Any, columns: Sequence[Any]) -> None:
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, table.schema, strict=True)]
    files.write_parquet(generation.file(table), pa.table(arrays, schema=table.schema), table.schema)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_verb_writes_what_the_method_gives_feature_by_feature(tmp_path: Path, dtype: str) -> None:
    world = make_world(tmp_path, dtype=dtype)
    made = verb.make_keywords(world.job())
    rows = pq.read_table(world.generation.file(KEYWORDS)).to_pylist()
    stand_in = load_embedder("stand-in:32").embed
    for feature_id in world.top:
        expected = keywords_of([world.texts[text_id] for text_id in world.naming(feature_id)], stand_in)
        own = [row for row in rows if row["feature_id"] == feature_id]
        assert [row["keyword"] for row in own] == [keyword.keyword for keyword in expected]
        assert [row["rank"] for row in own] == list(range(1, len(own) + 1))
        np.testing.assert_allclose([row["score"] for row in own], [keyword.score for keyword in expected], atol=1e-6)
        assert [row["n_texts"] for row in own] == [keyword.n_texts for keyword in expected]
    assert made.facts["n_without_words"] == 1
    assert made.facts["n_with_keywords"] == 3


def counted(monkeypatch: pytest.MonkeyPatch, stop_at: int = 10**9) -> Counter:
    """Count the strings that the stand-in embeds; at the string number `stop_at`, stop as Ctrl-C does."""
    seen: Counter = Counter()
    plain = verb.KeywordEmbedder.embed

    def embed_counted(self: Any, strings: Sequence[str], on_batch: Callable[[int], None] | None = None) -> np.ndarray:
        if sum(seen.values()) + len(strings) > stop_at:
            raise KeyboardInterrupt
        seen.update(strings)
        return plain(self, strings, on_batch)

    monkeypatch.setattr(verb.KeywordEmbedder, "embed", embed_counted)
    return seen


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_a_runs_own_embeddings_do_where_they_are_of_the_same_numbers_and_prompt(dtype: str | None) -> None:
    texts = ["Black holes.", "We study the entropy of black holes. " * 12, "graph neural networks " * 30, "x", "prime"]
    embedder = verb.KeywordEmbedder(BuildConfig(source="x", name="run", device="cpu", dtype=dtype))
    stored = load_embedder(device="cpu", dtype=dtype).embed(texts)
    assert verb._same_embeddings(stored, texts, embedder), "in other batches"
    others = [load_embedder(device="cpu", dtype=dtype, prompt="query: ").embed(texts), stored[::-1]]
    if dtype is None:
        others += [load_embedder(device="cpu", dtype="bfloat16").embed(texts), stored.astype(np.float16)]
    assert not any(verb._same_embeddings(other, texts, embedder) for other in others)


def test_each_distinct_string_is_embedded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path)
    seen = counted(monkeypatch)
    made = verb.make_keywords(world.job())
    terms = {string: n for string, n in seen.items() if string not in world.texts}
    assert set(terms.values()) == {1}
    assert len(terms) == made.facts["n_words"] + made.facts["n_pairs"]


@pytest.mark.parametrize("stop_at", [0, 12, 20, 60])
def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    monkeypatch.setattr(verb, "STRINGS_PER_PART", 8)
    undisturbed = make_world(tmp_path / "a")
    verb.make_keywords(undisturbed.job())
    stopped = make_world(tmp_path / "b")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        counted(patched, stop_at)
        verb.make_keywords(stopped.job())
    kept = sorted(stopped.generation.work("keywords").glob("*.npy"))
    stamps = [path.stat().st_mtime_ns for path in kept]
    verb.make_keywords(stopped.job())
    assert stopped.keywords() == undisturbed.keywords()
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    assert kept or stop_at < 20


def test_a_run_without_a_live_feature_is_labelled_with_numbers(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    write(world.generation, TOP_TEXT_ROWS, [[]] * 4)
    made = verb.make_keywords(world.job())
    assert pq.read_metadata(world.generation.file(KEYWORDS)).num_rows == 0
    assert made.line.startswith("0 keywords of 0 of 6 features from 0 top texts")


def test_the_fingerprint_covers_a_keyword_embedder_of_its_own() -> None:
    def identity(**options: Any) -> dict[str, Any]:
        return verb.identity(BuildConfig(source="x", name="x", **options))

    assert identity(embedder="stand-in:32") == {}
    other = identity(embedder="stand-in:32", keyword_embedder="stand-in:64")
    assert other["keyword_embedder"] == "stand-in:64"
    assert other != identity(embedder="stand-in:32", keyword_embedder="stand-in:32")
    assert identity(embeddings="vectors.npy")["keyword_embedder"].endswith("all-MiniLM-L6-v2")
