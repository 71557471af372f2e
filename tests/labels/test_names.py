"""Names that stand in the texts: fragments, spelling, the choice, coverage, failures and the names of regions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import hypergeom
from sklearn.metrics import average_precision_score, roc_auc_score

from featurelib import queries
from featurelib.labels.choice import Candidate, choose, usable
from featurelib.labels.evidence import Evidence
from featurelib.labels.phrases import Candidate as Phrase
from featurelib.labels.phrases import Phrases, TextWords, without_fragments
from featurelib.labels.spelling import Spelling
from featurelib.labels.words import TextsContaining
from featurelib.language.guess import Languages
from featurelib.schema import BY_FEATURE, LABEL_SPLIT, LABELS, NAME_COVERAGE, NAME_FAILURES, REGIONS, TEXTS
from featurelib.storage.runs import Run
from featurelib.storage.store import open_store
from tests.support import page
from tests.support.page import Open, UseData
from tests.support.planted import TOPICS, Planted

WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")


# --- candidates ----------------------------------------------------------------------------------------------------


def test_a_phrase_that_stands_in_one_longer_phrase_is_a_fragment_of_it() -> None:
    phrases = [Phrase("role of dark", 0.9, 8), Phrase("role of dark matter", 0.8, 7), Phrase("dark matter", 0.7, 12)]
    assert [phrase.phrase for phrase in without_fragments(phrases)] == ["role of dark matter", "dark matter"]


def test_a_phrase_that_says_a_word_twice_swallows_no_other() -> None:
    texts = [f"we study learning to learn with {word} models" for word in ("five", "large", "small", "new", "old")]
    index = Phrases(TextWords.read([*texts, *["other words"] * 20], Languages({"en": 1.0})))
    found = {candidate.phrase for candidate in index.candidates(np.arange(5), np.ones(5, np.float32), 50)}
    assert found & {"learning", "learn", "study learning"} and "learning to learn" not in found


def test_fragments_are_left_out_of_candidates() -> None:
    texts = ["the role of dark matter", "a role of dark matter here", "dark matter halos", *["other words"] * 9]
    index = Phrases(TextWords.read(texts, Languages({"en": 1.0})))
    found = {candidate.phrase for candidate in index.candidates(np.arange(3), np.ones(3, np.float32), 50)}
    assert {"dark matter", "role of dark matter"} <= found and not {"role of dark", "dark", "matter", "role"} & found


@pytest.mark.parametrize(
    ("phrase", "written"),
    [
        ("hiv infection", "HIV infection"),
        ("galaxies", "galaxies"),
        ("qcd", "QCD"),
        ("de sitter space", "de Sitter space"),
        ("unknown words", "unknown words"),
        ("x-ray", "X-ray"),
        ("milky way", "Milky Way"),
        ("new york", "New York"),
        ("new way", "new way"),
        ("su gauge theory", "SU(N) gauge theory"),
        ("function", "function"),
    ],
)
def test_words_are_written_as_the_texts_write_them(phrase: str, written: str) -> None:
    texts = [
        "Galaxies and HIV Infection. Galaxies are seen. QCD is used; the galaxies and the infection by HIV.",
        "The de Sitter space: an X-ray of galaxies. Space is empty; a space.",
        "Seen from New York, the Milky Way is a new way; a new one, as the Milky Way in New York is.",
        "With SU(2), SU(3), SU(N) and SU(5) or SU(10), the function(s) and function(s) of a function.",
    ]
    assert Spelling(texts)(phrase) == written


def test_lists_of_several_sizes_are_those_of_each_size() -> None:
    draw = np.random.default_rng(0)
    vocabulary = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("ane", "iro", "utal", "eck", "osin")]
    index = Phrases(TextWords.read([" ".join(draw.choice(vocabulary, 30)) for _ in range(200)], Languages({"en": 1.0})))
    rows, weights = np.arange(0, 200, 5), draw.random(40).astype(np.float32)
    lists = index.lists(rows, weights, (3, 10, 50))
    assert lists == [index.candidates(rows, weights, most) for most in (3, 10, 50)]
    assert len(lists[0]) < len(lists[1]) < len(lists[2])


def test_texts_are_looked_through_once_for_words_that_are_asked_for_later() -> None:
    texts = ["dark matter and bismuth", "the bipartite MATTERS", "dark, bi", "木曜日 and halos", "strong solenoid", ""]
    asked = ["dark matter", "halo", "bi-", "-oid", "-木-", "nowhere", "?!", "matters"]
    every, given = TextsContaining(texts), TextsContaining(texts, asked)
    held = {keyword: every(keyword).nonzero()[0].tolist() for keyword in asked}
    assert held == {keyword: given(keyword).nonzero()[0].tolist() for keyword in asked}
    assert held == dict(zip(asked, [[0], [3], [0, 1], [4], [3], [], [], [0, 1]], strict=True))


# --- the choice ----------------------------------------------------------------------------------------------------


def evidence(contains: list[list[int]], n_fires: int, cosines: np.ndarray | None = None) -> Evidence:
    """Texts of which the first fire, the strongest first."""
    activations = np.zeros(len(contains[0]), np.float32)
    activations[:n_fires] = np.linspace(2, 1, n_fires)
    return Evidence(cosines, np.array(contains, bool), activations)


def held(n_firing: int, n_other: int, n: int = 100, n_fires: int = 20, shift: int = 0) -> list[int]:
    """A candidate that stands in so many firing texts and others."""
    row = [0] * n
    row[shift : shift + n_firing] = [1] * n_firing
    row[n_fires : n_fires + n_other] = [1] * n_other
    return row


def chosen(words: list[str], rows: list[list[int]], n_fires: int = 20) -> list[str]:
    """The label that the same evidence of both sets of texts gives."""
    ground = evidence(rows, n_fires)
    alternatives = choose([Candidate(word, "active texts") for word in words], ground, ground).alternatives
    return alternatives[0][1] if alternatives else []


def test_a_word_of_most_texts_beats_one_of_a_single_text() -> None:
    assert chosen(["gravity", "pendulum flexometer"], [held(12, 1), held(1, 0, shift=15)]) == ["gravity"]


def test_a_second_word_is_taken_only_where_the_first_is_missing() -> None:
    rows = [held(5, 0, n_fires=10), held(4, 0, n_fires=10, shift=6), held(4, 0, n_fires=10)]
    assert chosen(["gravity", "inertia", "newton"], rows, n_fires=10) == ["gravity", "inertia"]


def test_a_word_that_is_as_frequent_elsewhere_names_nothing() -> None:
    assert chosen(["propose"], [held(10, 40)]) == []


def test_a_word_that_is_rarer_where_a_dense_feature_fires_names_nothing() -> None:
    assert chosen(["elsewhere"], [held(50, 10, n_fires=90)], n_fires=90) == []


def test_a_rare_feature_is_named_by_a_phrase_of_two_of_its_texts_or_not_at_all() -> None:
    naming = evidence([held(1, 0, n_fires=4), held(2, 0, n_fires=4)], 4)
    choosing = evidence([held(0, 0), held(0, 0)], 1)
    candidates = [Candidate("once", "active texts"), Candidate("twice", "active texts")]
    assert [label for _, label in choose(candidates, naming, choosing).alternatives] == [["twice"]]
    once = choose(candidates[:1], naming.take(np.array([0])), choosing.take(np.array([0])))
    assert once.alternatives == [] and [weighed.keyword for weighed in once.weighed] == ["once"]


def test_a_feature_that_fires_nowhere_has_no_name() -> None:
    assert chosen(["word"], [held(5, 5)], n_fires=0) == []


def worth_by_definition(own: Evidence, combination: tuple[int, ...]) -> float:
    """The formula at the top of featurelib/labels/evidence.py for one set of texts, without what is taken off."""
    fires, places = own.activations > 0, list(combination)
    counts = own.contains[places].sum(axis=0)
    resembles = counts if own.cosines is None else own.cosines[places].sum(axis=0)
    strongest = np.argsort(-own.activations, kind="stable")[: min(50, fires.sum())]
    agreement = (roc_auc_score(fires, resembles) + average_precision_score(fires, resembles)) / 2
    return 2 * agreement + average_precision_score(fires, counts) / 2 + (counts[strongest] > 0).mean() / 2


@pytest.mark.parametrize("with_cosines", [True, False])
@pytest.mark.parametrize("n_fires", [1, 30, 200])
def test_the_worth_of_labels_is_the_formulas(with_cosines: bool, n_fires: int) -> None:
    draw = np.random.default_rng(n_fires)
    contains = draw.random((9, 400)) < 0.2
    cosines = draw.standard_normal((9, 400)).astype(np.float32) if with_cosines else None
    activations = draw.permutation(np.r_[draw.random(n_fires) + 0.1, np.zeros(400 - n_fires)]).astype(np.float32)
    own = Evidence(cosines, contains, activations)
    for combinations in ([(place,) for place in range(9)], [(0, 3), (2, 5, 8), (1, 4, 7), (6,)]):
        expected = [worth_by_definition(own, combination) for combination in combinations]
        np.testing.assert_allclose(own.worth(combinations), expected, atol=1e-6)
        taken = own.take(np.arange(9)[::-1])
        turned = [tuple(sorted(8 - place for place in combination)) for combination in combinations]
        np.testing.assert_allclose(taken.worth(turned), expected, atol=1e-6)


def usable_by_definition(naming: Evidence, choosing: Evidence) -> list[int]:
    """More frequent on the firing texts of both sets, three times or half of what is possible, beyond chance."""
    activations = np.concatenate([naming.activations, choosing.activations])
    contains, fires = np.concatenate([naming.contains, choosing.contains], axis=1), activations > 0
    lift = max(1.02, min(3, 0.5 / fires.mean()))
    tells = [
        row[fires].mean() >= lift * row.mean()
        and row[np.argsort(-activations, kind="stable")[:20]].any()
        and hypergeom.sf(row[fires].sum() - 1, len(row), row.sum(), fires.sum()) <= 0.01
        for row in contains
    ]
    return np.flatnonzero(tells).tolist()


def test_candidates_that_no_label_may_have_change_nothing() -> None:
    draw = np.random.default_rng(3)
    sets = []
    for _ in range(2):
        activations = np.where(draw.random(600) < 0.1, draw.random(600) + 0.1, 0).astype(np.float32)
        likely = np.where(activations > 0, 0.5, 0.1) * (np.arange(40) % 3 > 0)[:, None] + 0.02
        contains = draw.random((40, 600)) < likely
        sets.append(
            Evidence((draw.standard_normal((40, 600)) + 2 * contains).astype(np.float32), contains, activations)
        )
    letters = "abcdefgh"
    candidates = [Candidate(f"{letters[n // 8] * 5}{letters[n % 8] * 5}", "active texts") for n in range(40)]
    places = usable(*sets)
    assert 10 < len(places) < 30 and places.tolist() == usable_by_definition(*sets)
    alone = choose([candidates[place] for place in places], *(own.take(places) for own in sets))
    assert alone == choose(candidates, *sets) and len(alone.alternatives[0][1]) > 1


# --- what is written -----------------------------------------------------------------------------------------------


def singulars(text: str) -> set[str]:
    """The words of a text, also in pieces, without an English plural (written anew for the test)."""
    words = set(WORD.findall(text.casefold()))
    words |= {piece for word in words for piece in word.split("-")}
    return {re.sub(r"(?<=..)(?<![sui])s$", "", re.sub(r"(?<=..)ies$", "y", word)) for word in words}


def recomputed(tiny: Run) -> tuple[list[set[str]], np.ndarray, dict[int, np.ndarray]]:
    """The words of every text, the label test texts, and the texts on which each feature fires, strongest first."""
    generation = tiny.current()
    texts = pq.read_table(generation.file(TEXTS))["text"].to_pylist()
    is_test = pq.read_table(generation.file(LABEL_SPLIT))["part"].to_numpy() == "judged"
    rows = pa.concat_tables([pq.read_table(path) for path in generation.parts(BY_FEATURE)]).to_pandas()
    rows = rows.sort_values(["feature_id", "activation", "text_id"], ascending=[True, False, True])
    fired = {int(number): group.to_numpy() for number, group in rows.groupby("feature_id")["text_id"]}
    return [singulars(text) for text in texts], is_test, fired


def test_coverage_counts_the_strongest_test_texts_that_hold_a_part(tiny: Run) -> None:
    words, is_test, fired = recomputed(tiny)
    labels = {row["feature_id"]: row for row in pq.read_table(tiny.current().file(LABELS)).to_pylist()}
    rows = [row for row in pq.read_table(tiny.current().file(NAME_COVERAGE)).to_pylist() if row["method"] == "ours"]
    assert len(rows) > 20 and any(row["n_holding"] for row in rows)
    for row in rows:
        strongest = [text_id for text_id in fired[row["feature_id"]] if is_test[text_id]][:20]
        parts = [singulars(part) for part in labels[row["feature_id"]]["label"].split(" · ")]
        holding = sum(any(part <= words[text_id] for part in parts) for text_id in strongest)
        assert (row["n_strongest"], row["n_holding"]) == (len(strongest), holding)


def test_names_fail_on_test_texts_that_are_passed_over_or_untold(tiny: Run) -> None:
    words, is_test, fired = recomputed(tiny)
    labels = {row["feature_id"]: row["label"] for row in pq.read_table(tiny.current().file(LABELS)).to_pylist()}
    rows = pq.read_table(tiny.current().file(NAME_FAILURES)).to_pylist()
    assert {row["kind"] for row in rows} == {"passed over", "untold"}
    for row in rows:
        parts = [singulars(part) for part in labels[row["feature_id"]].split(" · ")]
        assert is_test[row["text_id"]] and row["n_held"] == sum(part <= words[row["text_id"]] for part in parts)
        fires = row["text_id"] in fired[row["feature_id"]]
        assert (fires and row["n_held"] == 0) if row["kind"] == "untold" else not fires
    untold = [row for row in rows if row["kind"] == "untold" and row["rank"] == 1]
    for row in untold:
        parts = [singulars(part) for part in labels[row["feature_id"]].split(" · ")]
        silent = [
            text_id
            for text_id in fired[row["feature_id"]]
            if is_test[text_id] and not any(part <= words[text_id] for part in parts)
        ]
        assert row["text_id"] == silent[0]


def test_regions_are_named_by_the_topics_of_their_texts(tiny: Run, planted: Planted) -> None:
    rows = pq.read_table(tiny.current().file(REGIONS)).to_pylist()
    assert sum(row["n_texts"] for row in rows if row["level"] == 0) == sum(
        row["n_texts"] for row in rows if row["level"] == 2
    )
    known = {word for words in TOPICS.values() for word in words.split()}
    named = [WORD.findall(row["label"]) for row in rows if row["level"] == 0 and row["label"]]
    assert named and np.mean([word in known for label in named for word in label]) > 0.9
    finest = {(row["level"], row["region_id"]) for row in rows}
    assert all(row["parent_id"] is None or (row["level"] - 1, row["parent_id"]) in finest for row in rows)


# --- questions and pages -------------------------------------------------------------------------------------------


def test_how_sure_a_name_is(tiny: Run) -> None:
    store = open_store(tiny.current())
    feature = queries.feature(store, 4)
    words = {low: queries.how_sure(feature, low) for low in (0.9, 0.7, 0.3, None)}
    assert words == {0.9: "reliable", 0.7: "fair", 0.3: "weak", None: "not measured"}


def test_themes_have_features_of_their_own_and_their_strongest_text(tiny: Run) -> None:
    rows = queries.themes(open_store(tiny.current())).to_pylist()
    assert rows and [row["n_texts"] for row in rows] == sorted((row["n_texts"] for row in rows), reverse=True)
    for row in rows:
        assert 1 <= len(row["features"]) <= 3 and row["share"] == pytest.approx(row["n_texts"] / 600)


def test_the_pages_open_with_themes_and_say_where_a_name_fails(open_tiny: Open, tiny: Run) -> None:
    store = open_store(tiny.current())
    theme = queries.themes(store).to_pylist()[0]
    overview = page.words(open_tiny("overview.py"))
    assert "What is in this corpus" in overview and theme["label"] in overview
    assert overview.index("What is in this corpus") < overview.index("FVU")
    on_map = page.words(open_tiny("map.py", colour="theme", cluster=theme["region_id"]))
    assert theme["label"] in on_map and f"{theme['n_features']} features" in on_map
    row = next(row for row in pq.read_table(tiny.current().file(NAME_FAILURES)).to_pylist() if row["kind"] == "untold")
    said = page.words(open_tiny("feature.py", feature=row["feature_id"], view="name"))
    assert "It fires on them, the name does not tell" in said and "holds 0 parts of the name" in said


def test_an_older_run_says_that_failures_are_not_known(own_data: Path, use_data: UseData) -> None:
    generation = Run(own_data / "tiny").current()
    manifest = generation.path / "manifest.json"
    written = json.loads(manifest.read_text())
    for table in (NAME_COVERAGE, NAME_FAILURES, REGIONS):
        generation.file(table).unlink()
        del written["files"][table.path]
    manifest.write_text(json.dumps(written))
    use_data(own_data)
    said = page.words(page.page_of("feature.py", {"run": "tiny", "feature": 4, "view": "name"}))
    assert "build it once more" in said
    assert "What is in this corpus" not in page.words(page.page_of("overview.py", {"run": "tiny"}))
