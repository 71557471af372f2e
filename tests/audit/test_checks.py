"""What the audit measures, against numpy, scipy and sklearn; what it flags on a corpus with planted artefacts."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from featurelib import queries
from featurelib.audit import checks
from featurelib.audit.boilerplate import CorpusSegments, Segment, segment_of, stands_out
from featurelib.audit.copies import all_copies, close_pairs, exact_groups, near_pairs, same_text
from featurelib.audit.scripts import NO_SCRIPT, language_column, main_script
from featurelib.audit.shingles import SplitText, jaccard, passage, split_text, visible
from featurelib.schema import AUDIT, COPIES, TEXTS, Refusal
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings_of
from featurelib.storage.runs import Done, Run
from featurelib.storage.store import Store, open_store
from featurelib.storage.texts import read_texts
from precompute.build.config import BuildConfig
from precompute.build.stage_table import PIPELINE
from precompute.stages.audit import audit, text_comparison
from precompute.stages.audit.feature_counts import count, draw
from precompute.stages.audit.traits import read_traits
from tests.support.numpy_run import DEAD, N_FEATURES, QuietJob, make_run
from tests.support.planted import FILLER, TOPICS

FOOTER = "Copyrighted material distributed exclusively under licence number nine by publisher."
RUSSIAN = [
    *("звезда", "галактика", "клетка", "ген", "белок", "рынок", "цена", "торговля", "музыка", "ритм", "скрипка"),
    *("оркестр", "лёд", "океан", "климат"),
]
LINKS = ["moreover", "whereas", "nevertheless", "accordingly", "furthermore", "thereby", "hence", "likewise"]


SAME = [
    ("Two  words\nhere", "two words here"),
    ("zero\u200bwidth", "ZEROWIDTH"),
    ("\u202eright to left\u202c", "right to left"),
    ("ﬁne", "fine"),
    ("", "\u200b\u2060 "),
]


@pytest.mark.parametrize(("text", "other"), SAME)
def test_copies_are_the_same_but_for_case_space_and_what_has_no_width(text: str, other: str) -> None:
    assert same_text(text) == same_text(other) != same_text("another")


def test_near_copies_need_a_close_embedding_and_common_words() -> None:
    words = [f"w{number}" for number in range(60)]
    base, changed = " ".join(words), " ".join([*words[:30], "new", *words[31:]])
    shuffled = " ".join(random.Random(1).sample(words, 60))
    texts = [split_text(text) for text in (base, changed, shuffled, base.upper(), "")]
    close, far = np.array([1.0, 0]), np.array([0, 1.0])
    exact = np.array([4, 7, 9, 4, 12])
    ids = np.array([4, 7, 9, 11, 12])
    shingles = {text_id: text.shingles for text_id, text in zip(ids.tolist(), texts, strict=True)}
    nearby = close_pairs(np.stack([close] * 4 + [close * 0]), exact)
    assert nearby.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]
    pairs, group = near_pairs(ids, nearby, shingles, exact)
    assert pairs == [(4, 7)] and group.tolist() == [4, 4, 9, 4, 12]
    pairs, group = near_pairs(ids, close_pairs(np.stack([close, far, close, close, far]), exact), shingles, exact)
    assert not pairs and group.tolist() == [4, 7, 9, 4, 12]
    assert jaccard(texts[0].shingles, texts[1].shingles) == pytest.approx(55 / 61)
    assert jaccard(texts[4].shingles, texts[4].shingles) == 1 or not len(texts[4].shingles)


def test_groups_of_copies_are_joined_through_others() -> None:
    exact = exact_groups(np.array([5, 6, 5, 7, 8, 9, 6], np.uint64))
    assert exact.tolist() == [0, 1, 0, 3, 4, 5, 1]
    copies = all_copies(exact, [(2, 3), (3, 5)])
    assert copies.text_ids.tolist() == [0, 1, 2, 3, 5, 6] and copies.copy_of.tolist() == [0, 1, 0, 0, 0, 1]
    assert copies.n_copies.tolist() == [3, 1, 3, 3, 3, 1]
    assert copies.exact.tolist() == [True, True, True, False, False, True]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("plain words", "LATIN"),
        ("naïve Straße ＡＢＣ", "LATIN"),
        ("звёзды and", "CYRILLIC"),
        ("銀河の星", "CJK"),
        ("مرحبا", "ARABIC"),
        ("\u200f123 — !", NO_SCRIPT),
        ("", NO_SCRIPT),
    ],
)
def test_the_script_of_a_text_is_that_of_most_letters(text: str, script: str) -> None:
    assert main_script(text) == script


def test_a_column_for_the_language_is_known_by_its_name() -> None:
    assert language_column(["year", "Lang"]) == "Lang" and language_column(["lang", "language"]) == "language"
    assert language_column(["slang", "languages spoken"]) is None and language_column([]) is None


def test_words_of_all_scripts_and_hostile_texts() -> None:
    text = split_text("One two. Three four five! 銀河 <b>six</b>\u0000 ")
    assert passage(text, 0, 2, 80) == "One two" and len(text.starts) == 10
    assert [split_text(text).starts.size for text in ("", "...", "\u200b", "_")] == [0, 0, 0, 0]
    assert len(split_text("word " * 300_000).starts) == 4_000
    assert visible("a\u200db\ufeff") == "ab"
    assert passage(split_text("a\nb   c"), 0, 3, 4) == "a b "


def test_the_passage_that_stands_out_is_the_one_that_the_corpus_lacks() -> None:
    draw = random.Random(4)
    vocabulary = [f"word{number}" for number in range(500)]
    everywhere = "this sentence stands at the very end of each text there is"

    def text_with(extra: str) -> str:
        return f"{' '.join(draw.sample(vocabulary, 30))}. {extra} {' '.join(draw.sample(vocabulary, 5))}. {everywhere}."

    def common_segment(texts: list[SplitText], corpus: CorpusSegments) -> Segment:
        found = stands_out([text.segments for text in texts], corpus)
        return segment_of(found, texts[found.place] if found.place >= 0 else None)

    corpus = CorpusSegments.of([split_text(text_with("")) for _ in range(200)])
    texts = [split_text(text_with(FOOTER if number % 2 else "Short notice here.")) for number in range(20)]
    segment = common_segment(texts, corpus)
    assert (segment.k, segment.n, segment.expected) == (10, 20, 0.0)
    assert segment.passage in ("Short notice here", FOOTER.rstrip(".")[:80])
    usual = common_segment(texts[:4], corpus)
    assert (usual.k, usual.expected) == (4, 1.0) and everywhere.startswith(usual.passage[:40])
    assert not checks.check_boilerplate([usual] * 3).flagged.any()
    assert checks.check_boilerplate([segment] * 3).flagged.all()
    different = [split_text(" ".join(draw.sample(vocabulary, 30))) for _ in range(9)]
    assert common_segment(different, corpus) == Segment(0, 9, 0.0, "")
    assert common_segment([], corpus) == Segment(0, 0, 0.0, "")
    assert CorpusSegments.of([]).share(texts[0].segments).tolist() == [0] * len(texts[0].segments)


def test_a_flag_needs_enough_texts_an_effect_and_an_interval() -> None:
    k, n = np.array([4, 50, 30, 6, 0, 3]), np.array([4, 50, 100, 8, 0, 5])
    measured = checks.check_share("truncation", k, n, 0.1, [""] * 6)
    assert measured.flagged.tolist() == [False, True, False, True, False, True]
    assert np.isnan(measured.value[4]) and measured.value[1] == 1
    small = checks.check_share("truncation", np.array([50]), np.array([100]), 0.2, [""])
    assert not small.flagged[0] and small.low[0] > 0.3
    wide = checks.check_share("truncation", np.full(10_000, 3), np.full(10_000, 5), 0.1, [""] * 10_000)
    assert not wide.flagged.any() and (wide.low > 0.1).all()
    lengths = checks.check_length(
        np.array([5 * 98.0, 4 * 98.5, 5 * 50.5, 5 * 3.0]), np.array([5, 4, 5, 5]), 100, [""] * 4
    )
    assert lengths.value == pytest.approx([1, 1, 0.5, 0]) and lengths.flagged.tolist() == [True, False, False, True]


@dataclass(frozen=True)
class World:
    """A corpus with planted artefacts, a run of it, and the kind of each text."""

    run: Run
    kinds: np.ndarray
    texts: list[str]

    @property
    def store(self) -> Store:
        return open_store(self.run.current())


def plant(folder: Path, *, language: bool) -> tuple[Path, np.ndarray, list[str]]:
    """Write a corpus: clean texts, copies, near copies, long texts, texts with a footer, Russian texts."""
    draw = random.Random(11)
    kinds, texts = [], []

    def add(kind: str, text: str) -> None:
        kinds.append(kind)
        texts.append(text)

    def clean() -> str:
        words = draw.sample(TOPICS[draw.choice(list(TOPICS))].split(), 7) + draw.sample(FILLER, 3)
        words += [f"n{draw.randrange(10**6)}" for _ in range(draw.randrange(4))]
        return " ".join(draw.sample(words, len(words)))

    for _ in range(600):
        add("clean", clean())
    copied = "Erratum concerning volume twelve issue four page ninety"
    near = [f"announce{number}" for number in range(60)]
    for number in range(30):
        add("copies", [copied, copied.upper(), copied.replace(" ", "  "), copied + "\u200b"][number % 4])
        add("near", " ".join([*near, f"other{number}"]))
    for _ in range(50):
        add("footer", f"{clean()}. {FOOTER}")
        add("russian", " ".join(draw.sample(RUSSIAN, 9)))
        add("long", " ".join(draw.choices(LINKS, k=45) + [clean() for _ in range(4)]))
    order = draw.sample(range(len(texts)), len(texts))
    kinds, texts = [kinds[place] for place in order], [texts[place] for place in order]
    columns = {"text": texts} | ({"Lang": ["ru" if kind == "russian" else "en" for kind in kinds]} if language else {})
    pq.write_table(pa.table(columns), folder / "artefacts.parquet")
    return folder / "artefacts.parquet", np.array(kinds), texts


def build(folder: Path, *, language: bool) -> World:
    """Run the real stages up to the audit, those between that it does not read left out."""
    source, kinds, texts = plant(folder, language=language)
    config = BuildConfig(
        source=str(source), name="art", embedder="stand-in:64", features=40, k=2, text_column="text", epochs=60
    )
    run = Run(folder / "art")
    generation = run.next_generation()
    generation.path.mkdir(parents=True)
    job = QuietJob(generation)
    job.config = config
    files.write_json(generation.path / "run.json", {"format_version": 1})
    run.point_to(generation)
    for stage in PIPELINE:
        if stage.name in ("ingest", "embed", "train", "encode", "summarise", "audit"):
            made = stage.make(job)
            generation.mark_done(stage.name, Done("", made.facts, made.line, {}))
    kept = pq.read_table(generation.file(TEXTS), columns=["source_row"])["source_row"].to_numpy()
    return World(run, kinds[kept], texts)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("artefacts"), language=False)


def shares(world: World) -> pd.DataFrame:
    """For each feature the share of its texts of each kind, and how many it has."""
    rows = world.store.ask("select feature_id, text_id from activations_by_feature").to_pandas()
    counted = pd.crosstab(rows["feature_id"], world.kinds[rows["text_id"]])
    return counted.div(counted.sum(axis=1), axis=0).assign(n=counted.sum(axis=1))


FOUND = {"copies": "copies", "near": "copies", "long": "truncation", "footer": "boilerplate", "russian": "script"}


@pytest.mark.parametrize("kind", FOUND)
def test_a_planted_artefact_is_found(world: World, kind: str) -> None:
    table = shares(world)
    own = set(table.index[(table[kind] > 0.8) & (table["n"] >= 10)])
    flagged = set(queries.flagged_ids(world.store, FOUND[kind]))
    assert own and own <= flagged
    if kind == "long":
        assert own & set(queries.flagged_ids(world.store, "length"))


def test_clean_features_are_not_flagged_and_unrelated_flags_are_not_raised(world: World) -> None:
    table = shares(world)
    clean = set(table.index[(table["clean"] > 0.9) & (table["n"] >= 10)])
    assert len(clean) >= 10 and not clean & set(queries.flagged_ids(world.store))
    for check, kinds in {"copies": ["copies", "near"], "script": ["russian"], "truncation": ["long"]}.items():
        for feature_id in queries.flagged_ids(world.store, check):
            assert table.loc[feature_id, kinds].sum() >= 0.5


def test_the_details_say_what_was_found(world: World) -> None:
    table, store = shares(world), world.store
    rows = queries.audit_rows(store, limit=None).to_pandas()
    footer = rows[(rows["check"] == "boilerplate") & rows["feature_id"].isin(table.index[table["footer"] > 0.8])]
    assert (
        all(FOOTER.startswith(detail) or detail in FOOTER for detail in footer["detail"])
        and (footer["value"] > 0.8).all()
    )
    copied = table.index[(table["copies"] == 1) & (table["n"] == 30)]
    details = {row["check"]: row["detail"] for row in queries.feature_audit(store, int(copied[0])).to_pylist()}
    assert details["copies"] == "fires on 30 exact copies of one text only"
    assert details["boilerplate"] == "" and not set(copied) & set(queries.flagged_ids(store, "boilerplate"))
    russian = rows[(rows["check"] == "script") & rows["flagged"]]
    assert set(russian["detail"]) == {"CYRILLIC"} and (russian["expected"] - 50 / 810 < 1e-9).all()


def test_copies_are_exactly_the_planted_groups(world: World) -> None:
    table = pq.read_table(world.run.current().file(COPIES)).to_pandas().set_index("text_id")
    copies, near = np.flatnonzero(world.kinds == "copies"), np.flatnonzero(world.kinds == "near")
    assert set(table.loc[copies, "copy_of"]) == {copies[0]} and (table.loc[copies, "n_copies"] == 29).all()
    assert table.loc[copies, "exact"].all() and not table.loc[near, "exact"].any()
    assert set(table.loc[near, "copy_of"]) == {near[0]}
    others = table.drop([*copies, *near])
    clean = pd.Series([" ".join(text.casefold().split()) for text in pq.read_table(
        world.run.current().file(TEXTS), columns=["text"])["text"].to_pylist()])  # fmt: skip
    assert set(others.index[others["exact"]]) == set(clean.index[clean.duplicated(keep=False)]) - set(copies)


def test_every_number_is_that_of_the_definition(world: World) -> None:
    store = world.store
    rows = store.ask("select feature_id, text_id from activations_by_feature").to_pandas()
    about = store.ask("select text_id, n_tokens, truncated from text_summaries order by text_id").to_pandas()
    table = queries.audit_rows(store, flagged=False, limit=None).to_pandas()
    for feature_id, own in rows.groupby("feature_id"):
        fires = about["text_id"].isin(own["text_id"])
        measured = table[table["feature_id"] == feature_id].set_index("check")
        assert measured.loc["length", "value"] == pytest.approx(roc_auc_score(fires, about["n_tokens"]))
        cut = about["truncated"][fires]
        interval = binomtest(int(cut.sum()), len(cut)).proportion_ci(0.95, "wilson")
        assert measured.loc["truncation", "value"] == pytest.approx(cut.mean())
        assert measured.loc["truncation", "low"] == pytest.approx(interval.low, abs=1e-12)
        assert measured.loc["truncation", "expected"] == pytest.approx(about["truncated"].mean())
        cyrillic = (world.kinds[own["text_id"]] == "russian").mean()
        expected = cyrillic if measured.loc["script", "detail"] == "CYRILLIC" else 1 - cyrillic
        assert measured.loc["script", "value"] == pytest.approx(expected)


def test_a_column_of_the_corpus_names_the_language(tmp_path: Path) -> None:
    world = build(tmp_path, language=True)
    measured = queries.audit_rows(world.store, "language").to_pandas()
    assert set(measured["detail"]) == {"ru"} and world.run.current().done("audit").facts["language_column"] == "Lang"
    assert [row["check"] for row in queries.audit_counts(world.store).to_pylist()][2] == "language"


def test_a_killed_audit_goes_on_and_ends_in_the_same_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = world.run.current()
    job = QuietJob(generation)
    job.config = BuildConfig(source="x", name="art")
    expected = [files.sha256_file(generation.file(table)) for table in (AUDIT, COPIES)]
    files.remove(generation.work("audit"))
    monkeypatch.setattr(text_comparison, "RANGE_BYTES", 20_000)
    monkeypatch.setattr(text_comparison, "RANGE_CHARACTERS", 2_000)
    compared: list[range] = []
    whole = text_comparison._Comparison.compare_range

    def stop_at_third(self, features):
        compared.append(features)
        if len(compared) == 3:
            raise KeyboardInterrupt
        return whole(self, features)

    monkeypatch.setattr(text_comparison._Comparison, "compare_range", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        audit(job)
    written = {path: path.stat().st_mtime_ns for path in generation.work("audit").iterdir()}
    assert {path.suffix for path in written} == {".npz", ".npy", ".codes", ".rows"}
    audit(job)
    assert [files.sha256_file(generation.file(table)) for table in (AUDIT, COPIES)] == expected
    assert len(compared) > 5 and compared.count(compared[0]) == 1 and compared[2] == compared[3]
    assert all(path.stat().st_mtime_ns == written[path] for path in written)
    files.remove(generation.work("audit"))


def test_copies_and_passages_are_those_of_every_pair_and_every_text(world: World) -> None:
    """Compared by the definition: all pairs of a feature's texts, all passages of its different texts, one by one."""
    generation = world.run.current()
    job = QuietJob(generation)
    job.config = BuildConfig(source="x", name="art")
    traits = read_traits(job)
    counted = count(job, traits, 40)
    pairs, segments = text_comparison.compare(job, traits, counted)
    files.remove(generation.work("audit"))
    everything = np.arange(len(traits.exact))
    texts = read_texts(generation, everything)
    words = [split_text(visible(t if cut < 0 else t[:cut])) for t, cut in zip(texts, traits.cut.tolist(), strict=True)]
    embeddings = read_embeddings_of(generation, everything).astype(np.float64)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    corpus = Counter(
        code for place in draw(np.unique(traits.exact), text_comparison.CORPUS_SAMPLE, job.config.seed)
        for code in words[place].segments.tolist()
    )  # fmt: skip
    n_corpus = min(len(np.unique(traits.exact)), text_comparison.CORPUS_SAMPLE)
    expected_pairs = set()
    for feature_id in range(40):
        ids = np.union1d(counted.top[feature_id], counted.drawn[feature_id]).tolist()
        group = {text_id: min(i for i in ids if traits.exact[i] == traits.exact[text_id]) for text_id in ids}
        for first, second in combinations(ids, 2):
            close = embeddings[first] @ embeddings[second] >= 0.98 and group[first] != group[second]
            if close and jaccard(words[first].shingles, words[second].shingles) >= 0.7:
                expected_pairs.add((first, second))
                low, high = sorted((group[first], group[second]))
                group = {text_id: low if own == high else own for text_id, own in group.items()}
        drawn = counted.drawn[feature_id].tolist()
        different = [i for place, i in enumerate(drawn) if group[i] not in {group[other] for other in drawn[:place]}]
        counts = Counter(code for text_id in different for code in words[text_id].segments.tolist())
        excess = {c: n / len(different) - corpus[c] / n_corpus for c, n in counts.items() if n >= 3}
        found = segments[feature_id]
        assert found.n == len(different)
        if not excess:
            assert found == Segment(0, len(different), 0.0, "")
            continue
        best = [code for code, much in excess.items() if much == max(excess.values())]
        assert (found.k, found.expected) in {(counts[code], corpus[code] / n_corpus) for code in best}
        first_text = next(i for i in different if set(best) & set(words[i].segments.tolist()))
        assert found.passage and found.passage in " ".join(words[first_text].text.split())
    assert set(pairs) == expected_pairs and len(expected_pairs) > 20
    assert sum(segment.k > 0 for segment in segments) > 3


def test_hostile_texts_columns_and_unknown_tokens_are_audited(tmp_path: Path) -> None:
    truth = make_run(tmp_path / "odd")
    generation = truth.generation
    job = QuietJob(generation)
    job.config = BuildConfig(source="x", name="odd")
    texts = pq.read_table(generation.file(TEXTS))
    odd = texts["text"].to_pylist()
    odd[7:12] = ["\u200b", "<script>alert(1)</script>", "\u202eمرحبا", "![x](http://evil/x.png)", "a\x00b\ud7ff"]
    language = pa.array(["e\x00n", "", None, "<b>de</b>" * 40, "en"] * 60)
    texts = texts.set_column(texts.column_names.index("text"), "text", pa.array(odd)).append_column("LANG", language)
    files.write_parquet(generation.file(TEXTS), texts, texts.schema)
    summaries = generation.path / "summaries/texts.parquet"
    frame = pq.read_table(summaries).to_pandas().assign(n_tokens=None, truncated=None, cut=None)
    schema = pq.read_schema(summaries)
    files.write_parquet(summaries, pa.Table.from_pandas(frame, schema=schema, preserve_index=False), schema)
    made = audit(job)
    assert made.facts["unit"] == "characters" and "truncation" not in made.facts["flags"]
    measured = pq.read_table(generation.file(AUDIT)).to_pandas()
    of_each = set(measured.groupby("feature_id")["check"].agg(tuple))
    assert of_each == {("length", "language", "boilerplate", "copies")} and len(measured) == 4 * N_FEATURES
    dead = measured[measured["feature_id"].isin(DEAD)]
    assert dead["value"].isna().all() and not dead["flagged"].any() and (dead["n_texts"] == 0).all()
    assert measured["detail"].str.len().max() <= 80


def test_questions_of_the_audit(world: World) -> None:
    store = world.store
    table = pq.read_table(world.run.current().file(AUDIT)).to_pandas()
    counted = queries.audit_counts(store).to_pandas()
    assert counted["check"].tolist() == ["length", "truncation", "script", "boilerplate", "copies"]
    assert counted["n_flagged"].tolist() == [
        table["flagged"][table["check"] == check].sum() for check in counted["check"]
    ]
    for check in (None, "copies", "'; drop view texts; --"):
        kept = table[(table["check"] == check) | (check is None)]
        assert queries.flagged_ids(store, check) == tuple(sorted(set(kept["feature_id"][kept["flagged"]])))
        for flagged in (True, False):
            n = queries.count_audit_rows(store, check, flagged=flagged)
            assert n == (kept["flagged"].sum() if flagged else kept["value"].notna().sum())
            rows = queries.audit_rows(store, check, flagged=flagged, limit=None).to_pandas()
            assert len(rows) == n
            above, below = rows["low"] - rows["expected"], rows["expected"] - rows["high"]
            sure = above.where(rows["check"] != "length", np.maximum(above, below))
            expected = rows.assign(sure=sure).sort_values(
                ["flagged", "sure", "feature_id"], ascending=[False, False, True], kind="stable"
            )
            assert rows.index.tolist() == expected.index.tolist()
    early = open_store(make_run(world.run.path.parent / "early", upto="keywords").generation)
    with pytest.raises(Refusal, match="stage 'audit' is not done"):
        queries.audit_counts(early)
