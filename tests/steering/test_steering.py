"""Steering and similarity agree with numpy on the files, to the last bit where nothing is changed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file

from featurelib import search, steering
from featurelib.sae.gates import JumpReLU, Relu, TopK
from featurelib.sae.model import SAE
from featurelib.schema import BY_TEXT, EMBEDDINGS, Refusal
from featurelib.search import nearest
from featurelib.storage.runs import Generation
from featurelib.storage.store import Store, open_store
from featurelib.ui.kit.elements import number
from featurelib.ui.similar import SMALL
from featurelib.ui.steer import rankings
from featurelib.ui.steer.sliders import MOST, knob_of, read_changes, written
from tests.support.numpy_run import D_IN, DEAD, N_TEXTS, NumpyRun, finish, make_run
from tests.support.numpy_run import weights as numpy_weights
from tests.support.page import Open, UseData, addresses, bodies, lines, links, page_of, param, words
from tests.support.planted import Planted

D, N = 12, 30
TEXT = 7


# ---- the formulas


def sae_of(norm: str = "none", *, shift_back: bool = True, skip: bool = False, seed: int = 0, gate=None) -> SAE:
    draw = torch.Generator().manual_seed(seed)
    w_dec = torch.randn(N, D, generator=draw)
    return SAE(
        W_enc=w_dec.T.contiguous() / 3,
        b_enc=0.1 * torch.randn(N, generator=draw),
        W_dec=w_dec / 2,
        b_dec=0.2 * torch.randn(D, generator=draw),
        gate=gate or JumpReLU(torch.full((N,), 0.3)),
        norm=norm,
        shift_back=shift_back,
        W_skip=0.1 * torch.randn(D, D, generator=draw) if skip else None,
    )


SAES = [
    *(sae_of(norm, seed=1) for norm in ("none", "layer_norm", "standardise", "constant_norm_rescale")),
    sae_of("layer_norm", shift_back=False, seed=2),
    sae_of("constant_norm_rescale", skip=True, seed=3),
    sae_of("standardise", skip=True, seed=4),
    sae_of(gate=TopK(4), seed=5),
    sae_of(gate=Relu(), seed=6, skip=True),
]


@pytest.mark.parametrize(
    "sae", SAES, ids=lambda sae: f"{sae.norm} {sae.gate.name} {sae.shift_back} {sae.W_skip is None}"
)
def test_the_pieces_are_the_reconstruction_and_the_split_adds_up_for_every_norm(sae: SAE) -> None:
    x = (2.5 * np.random.default_rng(0).standard_normal((40, D)) + 0.3).astype(np.float32)
    rebuilt = sae.reconstruct(x).numpy()
    activations = sae.encode(x).numpy().astype(np.float64)
    written_as = [steering.decompose(sae, row) for row in x]
    for row, piece, own in zip(x, written_as, rebuilt, strict=True):
        assert row - piece.residual == pytest.approx(own, abs=2e-5)
    stds = np.array([steering.row_scale(sae, row)[0] for row in x])
    for a, b in np.random.default_rng(1).integers(0, len(x), (60, 2)):
        split = steering.similarity(written_as[a], written_as[b])
        wide = x.astype(np.float64)
        lengths = np.linalg.norm(wide[a]) * np.linalg.norm(wide[b])
        assert split.cosine == pytest.approx(wide[a] @ wide[b] / lengths, abs=1e-12)
        parts = split.shared + split.cross + split.constant + split.skip + split.unexplained
        assert parts == pytest.approx(split.cosine, abs=1e-12)
        gram = sae.W_dec.double().numpy() @ sae.W_dec.double().numpy().T
        terms = stds[a] * stds[b] * np.outer(activations[a], activations[b]) * gram / lengths
        assert split.shared == pytest.approx(np.trace(terms), abs=1e-9)
        assert split.cross == pytest.approx(terms.sum() - np.trace(terms), abs=1e-9)
        left = x - rebuilt
        assert split.unexplained == pytest.approx((left[a] @ x[b] + rebuilt[a] @ left[b]) / lengths, abs=1e-5)
        assert (split.skip != 0) == (sae.W_skip is not None)
        both = np.flatnonzero((activations[a] > 0) & (activations[b] > 0))
        assert sorted(split.feature_ids) == both.tolist() and (np.diff(split.shares) <= 0).all()
        assert split.shares == pytest.approx(np.diag(terms)[split.feature_ids], abs=1e-9)
        np.fill_diagonal(terms, 0)
        assert split.pair_shares == pytest.approx([terms[f, g] for f, g in split.pairs], abs=1e-9) and np.abs(
            split.pair_shares
        ) == pytest.approx(np.sort(np.abs(terms), axis=None)[::-1][: len(split.pairs)], abs=1e-9)


@pytest.mark.parametrize(
    "sae", SAES, ids=lambda sae: f"{sae.norm} {sae.gate.name} {sae.shift_back} {sae.W_skip is None}"
)
def test_steering_adds_the_change_of_what_the_sae_rebuilds(sae: SAE) -> None:
    for x in np.random.default_rng(2).standard_normal((20, D)).astype(np.float32):
        own = sae.encode(x[None])[0]
        wanted = own.clone()
        wanted[3], wanted[5] = 0.0, own[5] * 2 + 0.7
        ids = [3, 5, 9]
        scale = steering.row_scale(sae, x)[0]
        args = (own[ids].numpy(), wanted[ids].numpy(), sae.W_dec[ids].numpy())
        steered = steering.steer(x, *args, scale=scale)
        expected = x + (sae.rebuild(x[None], wanted[None]) - sae.rebuild(x[None], own[None])).numpy()[0]
        assert steered == pytest.approx(expected, abs=2e-5)
        unit = steering.steer(x, *args, scale=scale, renormalise=True)
        assert unit == pytest.approx(expected / np.linalg.norm(expected), abs=2e-5)


def test_what_is_not_steered_keeps_its_bits_even_where_its_length_is_not_one() -> None:
    draw = np.random.default_rng(3)
    x, own = draw.standard_normal(D).astype(np.float32), draw.random(5).astype(np.float32)
    directions = draw.standard_normal((5, D)).astype(np.float32)
    same = steering.steer(x, own, own.astype(np.float64), directions, scale=3.0, renormalise=True)
    assert same.tobytes() == x.tobytes()
    wanted = own.copy()
    wanted[2] += 1
    all_five = steering.steer(x, own, wanted, directions)
    assert all_five.tobytes() == steering.steer(x, own[2:3], wanted[2:3], directions[2:3]).tobytes() != x.tobytes()


def test_an_embedding_that_vanishes_or_overflows_is_refused() -> None:
    x = np.eye(1, D, dtype=np.float32)[0]
    with pytest.raises(Refusal, match="is zero"):
        steering.steer(x, [1.0], [0.0], x[None], renormalise=True)
    assert not steering.steer(x, [1.0], [0.0], x[None]).any()
    with pytest.raises(Refusal, match="not finite"):
        steering.steer(x, [0.0], [3e38], 1e30 * x[None])
    with pytest.raises(Refusal, match="no number"):
        zero = steering.decompose(SAES[0], np.zeros(D, np.float32))
        steering.similarity(zero, zero)


# ---- the ranking


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("steering") / "small")


def test_a_rank_is_exact_among_cosines_that_are_equal_but_for_their_rounding() -> None:
    draw = np.random.default_rng(0)
    cosines = (0.5 + draw.uniform(0, 2e-4, 200_000)).astype(np.float32)
    vectors = np.stack([cosines, np.sqrt(1 - cosines.astype(np.float64) ** 2).astype(np.float32)], axis=1)
    exact = vectors[:, 0].astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1)
    ranked = np.empty(len(exact), np.int64)
    ranked[np.lexsort((np.arange(len(exact)), -exact))] = 1 + np.arange(len(exact))
    places = np.sort(draw.permutation(len(exact))[:200])
    (compared,) = nearest.Compared.each(vectors, [np.array([3.0, 0.0])])
    assert (compared.ranks(places)[0] == ranked[places]).all()


def test_both_rankings_are_numpys_and_those_of_the_search(small: NumpyRun) -> None:
    store = open_store(small.generation)
    draw = np.random.default_rng(4)
    for without in (None, 105):
        before, after = draw.standard_normal((2, D_IN)).astype(np.float32)
        ranking = search.rankings(store, before, after, limit=12, without=without).to_pandas()
        places = [numpy_ranks(small.embeddings, vector, without) for vector in (before, after)]
        for text_id in range(N_TEXTS - 1):  # the last one is zero
            row = ranking[ranking.text_id == text_id]
            ranks = [place.get(text_id, 10**6) for place in places]
            assert len(row) == (min(ranks) <= 12)
            if len(row):
                assert row[["rank_before", "rank_after"]].to_numpy()[0].tolist() == ranks
        same = search.rankings(store, before, before, limit=12).to_pandas()
        listed = search.texts_by_meaning(store, before, limit=12).to_pandas()
        assert (same.rank_before == same.rank_after).all() and same.rank_after.tolist() == list(range(1, 13))
        assert same.text_id.tolist() == listed.text_id.tolist()
        for name in ("cosine_before", "cosine_after"):
            assert same[name].to_numpy().tobytes() == listed.cosine.to_numpy().tobytes()


@pytest.mark.parametrize(
    ("before", "after", "change", "among_first"),
    [
        (3, 3, "=", (True, True)),
        (9, 2, "↑7", (True, True)),
        (2, 9, "↓7", (True, True)),
        (25, 4, "↑21 new", (False, True)),
        (None, 4, "new", (False, True)),
    ],
)
def test_a_place_that_is_not_counted_is_new(
    before: int | None, after: int, change: str, among_first: tuple[bool, bool]
) -> None:
    ranked = rankings.RankedText(7, before, after, 0.5, 0.5)
    assert (ranked.change, ranked.among_first) == (change, among_first)
    assert rankings.RankedText(7, 4, None, 0.5, 0.5).among_first == (True, False)


def numpy_ranks(embeddings: np.ndarray, vector: np.ndarray, without: int | None) -> dict[int, int]:
    """The place of each text that has a cosine, ties (equal embeddings) by id."""
    x = embeddings.astype(np.float64)
    ids = [text_id for text_id in range(len(x)) if x[text_id].any() and text_id != without]
    # summed row by row, so that equal rows have equal bits
    cosines = [np.round(np.einsum("d,d", x[text_id], vector) / np.linalg.norm(x[text_id]), 12) for text_id in ids]
    order = np.lexsort((ids, -np.array(cosines)))
    return {ids[place]: rank for rank, place in enumerate(order, start=1)}


# ---- the worker, on the tiny run


@pytest.fixture(scope="module")
def store(generation: Generation) -> Store:
    return open_store(generation)


@pytest.fixture(scope="module")
def embeddings(generation: Generation) -> np.ndarray:
    parts = [pq.read_table(path)["embedding"].to_pylist() for path in generation.parts(EMBEDDINGS)]
    return np.array(sum(parts, []), dtype=np.float32)


@pytest.fixture(scope="module")
def activations(generation: Generation, embeddings: np.ndarray) -> np.ndarray:
    dense = np.zeros((len(embeddings), 32), np.float32)
    for path in generation.parts(BY_TEXT):
        rows = pq.read_table(path)
        dense[rows["text_id"], rows["feature_id"]] = rows["activation"]
    return dense


@pytest.fixture(scope="module")
def weights(generation: Generation) -> dict[str, np.ndarray]:
    return load_file(generation.sae_folder / "sae_weights.safetensors")


def numpy_steered(x: np.ndarray, change: float, direction: np.ndarray) -> np.ndarray:
    steered = x.astype(np.float64) + change * direction.astype(np.float64)
    return steered / np.linalg.norm(steered)


def feature_of(topic: str, planted: Planted, activations: np.ndarray) -> tuple[int, np.ndarray]:
    """The feature that fires on a topic's texts and hardly elsewhere, and which texts these are."""
    topic_mask = np.array([topic in topics for topics in planted.topics])
    fires = activations > 0
    f1 = 2 * (fires & topic_mask[:, None]).sum(0) / (fires.sum(0) + topic_mask.sum())
    assert f1.max() > 0.6
    return int(f1.argmax()), topic_mask


@pytest.mark.parametrize("topic", ["astronomy", "music", "quantum"])
def test_a_planted_feature_switched_off_or_doubled_moves_its_texts_as_numpy_predicts(
    live, generation, store, embeddings, activations, weights, planted, topic
) -> None:
    feature_id, topic_mask = feature_of(topic, planted, activations)
    text_id = int(activations[:, feature_id].argmax())
    x, own = embeddings[text_id], activations[text_id, feature_id]
    unit = embeddings.astype(np.float64) / np.linalg.norm(embeddings.astype(np.float64), axis=1)[:, None]
    others = topic_mask & (np.arange(len(topic_mask)) != text_id)
    means, among_first = {}, {}
    for wanted in (0.0, float(own), 2 * float(own)):
        steered = live.steer(generation.path, x, {feature_id: wanted})
        expected = numpy_steered(x, wanted - own, weights["W_dec"][feature_id]) if wanted != own else x
        assert steered.renormalised and steered.after == pytest.approx(expected, abs=1e-6)
        ranking = search.rankings(store, steered.before, steered.after, limit=len(x) + 20, without=text_id).to_pandas()
        predicted = unit @ (expected / np.linalg.norm(expected))
        assert ranking.cosine_after.to_numpy() == pytest.approx(predicted[ranking.text_id], abs=1e-6)
        places = numpy_ranks(embeddings, steered.after, text_id)
        assert ranking.rank_after.tolist() == [places[other_id] for other_id in ranking.text_id]
        means[wanted] = predicted[others].mean()
        among_first[wanted] = others[ranking.text_id[ranking.rank_after <= 20]].sum()
        assert among_first[wanted] == sum(places[other_id] <= 20 for other_id in np.flatnonzero(others))
    off, still, doubled = means.values()
    assert off < still < doubled
    assert among_first[0.0] < among_first[2 * float(own)]


def test_untouched_or_moved_and_returned_the_bits_and_the_ranking_are_the_stored_ones(
    live, generation, store, embeddings, activations
) -> None:
    for text_id in (0, TEXT, 599):
        x = search.embedding_of(store, text_id)
        assert x.tobytes() == embeddings[text_id].tobytes()
        firing = np.flatnonzero(activations[text_id])
        silent = int(np.flatnonzero(activations[text_id] == 0)[0])
        untouched = live.steer(generation.path, x, {})
        moved = live.steer(generation.path, x, {int(firing[0]): 0.01})
        back = read_changes(written({int(f): float(activations[text_id, f]) for f in firing}), 32)[0]
        returned = live.steer(generation.path, x, back | {silent: 0.0})
        assert moved.after.tobytes() != x.tobytes() and moved.cosine < 1
        listed = search.texts_by_meaning(store, x, limit=600)
        for steered in (untouched, returned):
            assert steered.before.tobytes() == steered.after.tobytes() == x.tobytes() and steered.cosine == 1
            assert search.texts_by_meaning(store, steered.after, limit=600).equals(listed)
            order = np.lexsort((firing, -activations[text_id, firing]))
            assert steered.feature_ids.tolist() == steered.after_ids.tolist() == firing[order].tolist()
            assert steered.activations.tobytes() == steered.after_activations.tobytes()
            assert steered.activations.tobytes() == activations[text_id, firing[order]].tobytes()


def test_the_steered_embedding_is_encoded_again_by_the_sae_of_the_run(live, generation, embeddings, weights) -> None:
    steered = live.steer(generation.path, embeddings[TEXT], {4: 1.0, 9: 0.5})
    z = (steered.after - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    expected = np.where(z > weights["threshold"], np.maximum(z, 0), 0)
    again = np.zeros(32, np.float32)
    again[steered.after_ids] = steered.after_activations
    assert again == pytest.approx(expected, abs=1e-5)


def test_a_typed_text_is_steered_like_the_same_text_of_the_corpus(live, generation, embeddings, planted) -> None:
    typed = live.steer(generation.path, planted.texts[TEXT], {4: 1.0})
    stored = live.steer(generation.path, embeddings[TEXT], {4: 1.0})
    assert typed.before == pytest.approx(stored.before, abs=1e-6)
    assert typed.after == pytest.approx(stored.after, abs=1e-6)


def test_the_split_of_stored_texts_adds_up(live, generation, embeddings, activations) -> None:
    wide = embeddings.astype(np.float64)
    for a, b in np.random.default_rng(5).integers(0, len(wide), (40, 2)):
        split = live.similarity(generation.path, embeddings[a], embeddings[b])
        cosine = wide[a] @ wide[b] / np.linalg.norm(wide[a]) / np.linalg.norm(wide[b])
        parts = split.shared + split.cross + split.constant + split.skip + split.unexplained
        assert (parts, split.cosine) == pytest.approx((cosine, cosine), abs=1e-9)
        assert not split.has_skip and split.skip == 0 and split.shares.sum() == pytest.approx(split.shared, abs=1e-9)
        assert split.n_active == (np.count_nonzero(activations[a]), np.count_nonzero(activations[b]))
        own = np.stack([activations[a], activations[b]], axis=1)[split.feature_ids]
        assert split.activations == pytest.approx(own, abs=1e-6)


def test_a_typed_text_is_compared_with_a_stored_one(live, generation, embeddings, planted) -> None:
    typed = live.similarity(generation.path, planted.texts[TEXT], embeddings[30])
    stored = live.similarity(generation.path, embeddings[TEXT], embeddings[30])
    assert typed.cosine == pytest.approx(stored.cosine, abs=1e-5)
    assert typed.feature_ids.tolist() == stored.feature_ids.tolist()
    assert live.similarity(generation.path, embeddings[TEXT], embeddings[TEXT]).cosine == pytest.approx(1)


@pytest.mark.parametrize(
    ("given", "changes", "said"),
    [
        ("", {}, "is empty"),
        ("x" * 1_000_000, {}, "1,000,000 characters"),
        ("a text", {32: 1.0}, "no feature 32"),
        ("a text", {-1: 1.0}, "no feature -1"),
        ("a text", {3: float("nan")}, "finite number from 0"),
        ("a text", {3: float("inf")}, "finite number from 0"),
        ("a text", {3: -1.0}, "finite number from 0"),
        (np.zeros(5), {}, "64 finite numbers"),
        (np.full(64, np.nan), {}, "64 finite numbers"),
    ],
)
def test_what_cannot_be_steered_is_a_sentence(live, generation, given, changes, said) -> None:
    with pytest.raises(Refusal, match=said):
        live.steer(generation.path, given, changes)


def test_a_zero_embedding_has_no_cosine(live, generation, embeddings) -> None:
    with pytest.raises(Refusal, match="no number"):
        live.similarity(generation.path, np.zeros(64, np.float32), embeddings[0])


def run_of_given_embeddings(folder: Path) -> NumpyRun:
    made = make_run(folder)
    described = made.generation.path / "run.json"
    facts = {"embedder": {"origin": "precomputed", "name": "e.npy", "normalize": None, "embedder": None}}
    described.write_text(json.dumps(json.loads(described.read_text()) | facts))
    finish(made.generation)
    return made


def test_embeddings_that_were_given_are_brought_to_length_one_only_if_they_have_it(tmp_path: Path, live) -> None:
    made = run_of_given_embeddings(tmp_path / "given")
    assert live.steer(made.generation.path, made.embeddings[0], {1: 0.9}).renormalised
    part = made.generation.parts(EMBEDDINGS)[0]
    rows = pq.read_table(part)
    doubled = [[2 * value for value in row] for row in rows["embedding"].to_pylist()]
    pq.write_table(pa.table({"text_id": rows["text_id"], "embedding": pa.array(doubled, rows["embedding"].type)}), part)
    steered = live.steer(made.generation.path, made.embeddings[0], {1: 0.9})
    assert not steered.renormalised and np.linalg.norm(steered.after) != pytest.approx(1, abs=1e-3)


# ---- the address


@pytest.mark.parametrize(
    ("text", "changes", "n_said"),
    [
        ("", {}, 0),
        ("7:0.8,12:0", {7: 0.8, 12: 0.0}, 0),
        (" 7:0.8 , ,7:1e-2,", {7: 0.01}, 0),
        ("7:nan", {}, 1),
        ("7:inf,3:-1,3:1e9", {}, 3),
        ("x,7,7:,:7,7:1:2,-7:1,٧:1", {}, 7),
        ("32:1,31:1", {31: 1.0}, 1),
        ("999999999:1,9999999999:1", {}, 2),
    ],
)
def test_the_address_says_what_is_turned(text: str, changes: dict[int, float], n_said: int) -> None:
    answer, said = read_changes(text, 32)
    assert answer == changes and len(said) == n_said
    assert read_changes(written(changes), 32)[0] == changes


def test_the_address_turns_so_many_features_and_brings_a_float32_back() -> None:
    changes, said = read_changes(",".join(f"{feature_id}:1" for feature_id in range(MOST + 5)), 100)
    assert len(changes) == MOST and len(said) == 5
    values = np.random.default_rng(6).random(1000).astype(np.float32)
    back = [read_changes(written({1: float(value)}), 2)[0][1] for value in values]
    assert np.array(back, np.float32).tobytes() == values.tobytes()


@pytest.mark.parametrize("now", [0.0, 1e-4, 0.123, 0.7, 4.0])
@pytest.mark.parametrize("maximum", [0.0, 0.5, 1.9])
def test_a_slider_can_be_moved_and_returned_to_what_the_text_has(now: float, maximum: float) -> None:
    now = float(np.float32(now))
    knob = knob_of({"feature_id": 1, "label": "x", "max_activation": maximum}, now, None, True, 0.6)
    steps = now / knob.step
    assert abs(steps - round(steps)) < 1e-6 and knob.untouched and knob.top >= max(2 * maximum, now) * 0.999
    steered = knob_of({"feature_id": 1, "label": "x", "max_activation": maximum}, now, 123.0, True, 0.6)
    assert steered.top >= 123 and not steered.untouched


# ---- the pages


def test_an_untouched_page_shows_the_stored_ranking(open_tiny: Open, store: Store) -> None:
    app = open_tiny("steer.py", text=TEXT)
    listed = search.texts_by_meaning(store, search.embedding_of(store, TEXT), limit=21).to_pylist()
    expected = [row for row in listed if row["text_id"] != TEXT][:20]
    shown = lines(app, "text")
    assert len(shown) == 20
    for rank, (row, line) in enumerate(zip(expected, shown, strict=True), start=1):
        title = pq_title(store, row["text_id"])
        assert line == (f"{rank} · {title}", "=", number(row["cosine"]))
    said = words(app)
    assert "0 features steered" in said and "0 of 20 nearest texts are new" in said and "nothing is steered" in said


def pq_title(store: Store, text_id: int) -> str:
    return store.ask("select title from texts where text_id = $i", i=text_id)["title"][0].as_py()


def test_a_slider_moved_turns_the_ranking_and_returned_brings_it_back(
    open_tiny: Open, live, generation, store, embeddings, activations
) -> None:
    app = open_tiny("steer.py", text=TEXT)
    still = links(app, "text")
    strongest = int(activations[TEXT].argmax())
    own = float(activations[TEXT, strongest])
    slider = app.main.slider[0]
    assert slider.value == own and slider.min == 0
    slider.set_value(0.0).run()
    assert not app.exception and param(app, "set") == f"{strongest}:0"
    steered = live.steer(generation.path, embeddings[TEXT], {strongest: 0.0})
    ranking = search.rankings(store, steered.before, steered.after, without=TEXT).to_pandas().query("rank_after <= 20")
    shown = [line for line in lines(app, "text") if re.match(r"\d+ · ", line[0])]
    for row, line in zip(ranking.itertuples(), shown, strict=True):
        moved = row.rank_before - row.rank_after
        arrow = "=" if not moved else f"{'↑' if moved > 0 else '↓'}{abs(moved)}"
        arrow += " new" if row.rank_before > 20 else ""
        assert line[0].startswith(f"{row.rank_after} · ") and line[1:] == (arrow, number(row.cosine_after))
    new = int((ranking.rank_before > 20).sum())
    said = words(app)
    assert new > 0 and f"{new} of 20 nearest texts are new" in said and "scaled to length 1" in said
    assert f"{number(steered.cosine, 4)} cosine to the unchanged text" in said
    app.main.slider[0].set_value(own).run()
    assert param(app, "set") is None and links(app, "text") == still


def test_the_buttons_turn_off_double_and_go_back(open_tiny: Open, activations) -> None:
    strongest = int(activations[TEXT].argmax())
    own = float(activations[TEXT, strongest])
    app = open_tiny("steer.py", text=TEXT)
    app.button(key=f"double {strongest}").click().run()
    assert float(param(app, "set").split(":")[1]) == pytest.approx(2 * own) and app.main.slider[
        0
    ].value == pytest.approx(2 * own)
    app.button(key=f"off {strongest}").click().run()
    assert param(app, "set") == f"{strongest}:0"
    app.button(key=f"back {strongest}").click().run()
    assert param(app, "set") is None and app.main.slider[0].value == own


def test_another_feature_is_found_and_given_a_slider(open_tiny: Open, activations) -> None:
    silent = int(np.flatnonzero((activations[TEXT] == 0) & (activations.max(0) > 0))[0])
    app = open_tiny("steer.py", text=TEXT, add=silent)
    n_sliders = len(app.main.slider)
    app.button(key=f"add {silent}").click().run()
    assert param(app, "set") == f"{silent}:0" and param(app, "add") is None
    assert len(app.main.slider) == n_sliders + 1 and app.main.slider[n_sliders].value == 0
    assert "0 features steered" in words(app)


def test_bad_addresses_are_sentences_and_the_page_stands(open_tiny: Open) -> None:
    app = open_tiny("steer.py", text=TEXT, set="4:nan,77:1,oops")
    said = words(app)
    assert "set=4:nan" in said and "set=77:1; this run has the features 0 to 31" in said and "set=oops" in said
    assert len(app.main.slider) >= 1 and "0 features steered" in said
    assert "there is no text 99999" in words(open_tiny("steer.py", text=99999)).lower()
    assert "a whole number is expected" in words(open_tiny("steer.py", text="x"))
    assert "Or one from the corpus" in words(open_tiny("steer.py", t="   "))
    assert "0 to 599" in words(open_tiny("similar.py", a=1, b=600))
    assert "a=12&b=30" in words(open_tiny("similar.py"))


def test_without_an_embedder_texts_of_the_corpus_turn_and_a_feature_that_never_fires_says_so(
    tmp_path: Path, use_data: UseData
) -> None:
    made = run_of_given_embeddings(tmp_path / "given")
    use_data(tmp_path)
    app = page_of("steer.py", {"run": "given", "text": 105, "set": f"{DEAD[0]}:0.4"})
    said = words(app)
    assert "It never fires on this corpus" in said and "1 feature steered" in said
    assert app.main.slider[-1].value == 0.4 and app.main.slider[-1].max >= 0.4
    x = made.embeddings[105] + np.float32(0.4) * numpy_weights()["W_dec"][DEAD[0]]
    own = made.embeddings[105].astype(np.float64)
    assert f"{number(own @ x / np.linalg.norm(own) / np.linalg.norm(x), 4)} cosine to the unchanged text" in said
    assert "what made these is not known" in words(page_of("steer.py", {"run": "given", "t": "a text"}))
    assert "their cosine is no number" in words(page_of("similar.py", {"run": "given", "a": 1, "b": N_TEXTS - 1}))
    assert "nothing is near to it" in words(page_of("steer.py", {"run": "given", "text": N_TEXTS - 1}))


def test_a_typed_text_of_hostile_characters_is_shown_as_it_is(open_tiny: Open) -> None:
    app = open_tiny("steer.py", t='galaxy <img src=x onerror="alert(1)"> ![](http://x/y.png) \u202e \u200b :red[x]')
    assert "Nearest texts" in words(app) and not any("<img" in body for body in bodies(app))
    app = open_tiny("similar.py", t="<b>galaxy</b> ![](http://x/y.png) star", b=3)
    assert any("&lt;b&gt;galaxy" in body for body in bodies(app))


def test_the_page_of_two_texts_shows_the_split_and_the_texts(open_tiny: Open, live, generation, embeddings) -> None:
    other = int(search.texts_by_meaning(open_store(generation), embeddings[TEXT], limit=2)["text_id"][1].as_py())
    app = open_tiny("similar.py", a=TEXT, b=other)
    split = live.similarity(generation.path, embeddings[TEXT], embeddings[other])
    said = words(app)
    assert f"{number(split.cosine, 4)} cosine of the embeddings" in said
    for value in (split.shared, split.cross, split.constant, split.unexplained):
        assert f"{value:+.4f}" in said
    assert "skip connection" not in said
    shown = lines(app, "feature")
    assert len(shown) == min(12, len(split.feature_ids)) and f"{split.shares[0]:+.4f}" in shown[0]
    assert links(app, "text").count("open text ›") == 2


def test_a_negative_cosine_has_no_shares(open_tiny: Open, embeddings) -> None:
    lengths = np.linalg.norm(embeddings, axis=1)
    cosines = embeddings @ embeddings[TEXT] / lengths / lengths[TEXT]
    other = int(cosines.argmin())
    assert cosines[other] < -SMALL
    assert "– of it from shared features" in words(open_tiny("similar.py", a=TEXT, b=other))


def test_a_text_alone_is_offered_its_nearest_to_compare(open_tiny: Open, store: Store) -> None:
    app = open_tiny("similar.py", a=TEXT)
    listed = search.texts_by_meaning(store, search.embedding_of(store, TEXT), limit=21)["text_id"].to_pylist()
    expected = [text_id for text_id in listed if text_id != TEXT][:20]
    wheres = addresses(app, "similar")
    assert wheres == [f"run=tiny&a={TEXT}&b={text_id}" for text_id in expected]
    assert {"explain a similarity ›"} <= set(links(open_tiny("text.py", text=TEXT), "similar"))
