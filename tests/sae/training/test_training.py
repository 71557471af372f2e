"""Training on planted directions: what is found, what is the same after a kill, what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
import torch

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.formats.own import save_own
from featurelib.sae.formats.saelens import save_saelens
from featurelib.sae.threshold import find_shift, find_threshold, with_threshold
from featurelib.sae.training import trainer
from featurelib.sae.training.base import State, missing
from featurelib.sae.training.loop import Training
from featurelib.sae.training.recipe import check_sizes, find_recipe, tuned
from featurelib.sae.training.registry import ARCHITECTURES, find_method
from featurelib.sae.training.sparse_batch import SparseBatch
from featurelib.sae.training.start import first_parameters
from featurelib.sae.training.topk import pre_activations
from featurelib.sae.training.trainer import train
from featurelib.schema import Refusal
from featurelib.storage import files
from featurelib.storage.embeddings import EmbeddingParts

N_PLANTED, DIMENSION = 24, 32
SIZES = {"n_features": 48, "k": 3, "batch": 128, "dead_after": 2_000}
# L1 brings its features down to three a text slowly: it takes three times the steps of the others.
RECIPES = {name: tuned(name, **SIZES, n_samples=360_000 if name == "vanilla" else 120_000) for name in ARCHITECTURES}
SHORTS = {name: replace(recipe, n_samples=10_000, dead_after=500) for name, recipe in RECIPES.items()}
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def planted(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Texts that are each the sum of three of 24 planted directions, off centre and longer than 1: rows, directions."""
    draw = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(N_PLANTED, DIMENSION))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    amounts = np.zeros((n, N_PLANTED))
    for row in amounts:
        row[draw.choice(N_PLANTED, 3, replace=False)] = draw.uniform(4, 8, size=3)
    rows = amounts @ directions + 5 + 0.02 * draw.normal(size=(n, DIMENSION))
    return rows.astype(np.float32), directions


def write_parts(folder, rows: np.ndarray, step: int = 512, mask: np.ndarray | None = None, **options) -> EmbeddingParts:
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), rows.shape[1])
        table = pa.table({"text_id": pa.array(np.arange(start, start + len(part))), "embedding": column})
        files.write_parquet(folder / f"part-{start // step:05d}.parquet", table, table.schema)
    return EmbeddingParts(
        tuple(sorted(folder.glob("*.parquet"))), np.ones(len(rows), bool) if mask is None else mask, **options
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> EmbeddingParts:
    return write_parts(tmp_path_factory.mktemp("parts"), planted(3000)[0])


@pytest.fixture(scope="module")
def unseen() -> np.ndarray:
    return planted(1000, seed=7)[0]


@pytest.fixture(scope="module")
def set_aside(tmp_path_factory) -> EmbeddingParts:
    return write_parts(tmp_path_factory.mktemp("aside"), planted(150, seed=3)[0])


@pytest.fixture(scope="module")
def trained(corpus):
    return cache(lambda architecture: train(corpus, RECIPES[architecture]))


@pytest.fixture(scope="module")
def undisturbed(corpus):
    return cache(lambda architecture: train(corpus, SHORTS[architecture]))


def same(sae, other) -> bool:
    """Whether two SAEs are equal to the bit."""
    names = ("W_enc", "b_enc", "W_dec", "b_dec")
    pairs = [(getattr(sae, name), getattr(other, name)) for name in names]
    pairs += list(zip(sae.gate.tensors().values(), other.gate.tensors().values(), strict=True))
    return type(sae.gate) is type(other.gate) and all(torch.equal(*pair) for pair in pairs)


def fvu_of(sae, rows: np.ndarray) -> float:
    rebuilt = sae.reconstruct(rows).numpy()
    return float(((rows - rebuilt) ** 2).sum() / ((rows - rows.mean(axis=0)) ** 2).sum())


@every_architecture
def test_planted_directions_are_recovered(architecture, trained):
    _, directions = planted(1)
    cosines = directions @ trained(architecture).W_dec.numpy().T
    assert cosines.max(axis=1).mean() > 0.9


@every_architecture
def test_texts_that_were_not_seen_are_rebuilt_with_the_l0_asked_for(architecture, trained, unseen):
    sae = trained(architecture)
    assert fvu_of(sae, unseen) < 0.15
    assert len(sae.encode_sparse(unseen).rows) / len(unseen) == pytest.approx(3, rel=0.1)
    assert (sae.architecture, sae.k) == (architecture, 3)


@every_architecture
def test_directions_have_unit_norm(architecture, trained):
    np.testing.assert_allclose(trained(architecture).W_dec.norm(dim=1).numpy(), 1, atol=1e-5)


def test_each_architecture_keeps_its_own_gate(trained):
    names = {name: trained(name).gate.name for name in ARCHITECTURES}
    assert names == {
        "vanilla": "standard",
        "topk": "topk",
        "batchtopk": "jumprelu",
        "jumprelu": "jumprelu",
        "gated": "gated",
        "matryoshka": "jumprelu",
    }
    assert len(set(trained("batchtopk").gate.threshold.tolist())) == 1
    assert len(set(trained("jumprelu").gate.threshold.tolist())) > 40
    assert not trained("gated").b_enc.any()


def test_the_first_prefix_of_a_matryoshka_rebuilds_more_than_that_of_a_batchtopk(trained, unseen):
    def of_prefix(sae, width=12):
        a = sae.encode(unseen)
        a[:, width:] = 0
        rest = unseen - sae.rebuild(unseen, a).numpy()
        return (rest**2).sum() / ((unseen - unseen.mean(axis=0)) ** 2).sum()

    assert of_prefix(trained("matryoshka")) < of_prefix(trained("batchtopk")) - 0.1


def test_only_a_matryoshka_says_its_prefixes_and_keeps_them_on_disk(trained, tmp_path):
    assert {name for name in ARCHITECTURES if trained(name).prefixes} == {"matryoshka"}
    sae = trained("matryoshka")
    n = sae.n_features
    assert sae.prefixes == (n // 16, n // 8, n // 4, n // 2, n)
    for save in (save_saelens, save_own):
        save(sae, tmp_path / save.__name__)
        assert load_sae(tmp_path / save.__name__).prefixes == sae.prefixes
        save(trained("batchtopk"), tmp_path / save.__name__)
        assert "prefixes" not in (tmp_path / save.__name__ / "cfg.json").read_text()


def test_the_threshold_gives_the_l0_asked_for_on_the_training_texts(trained, corpus):
    rows = np.concatenate(list(corpus.in_order()))
    for architecture in ("batchtopk", "matryoshka", "jumprelu", "vanilla"):
        assert len(trained(architecture).encode_sparse(rows).rows) == pytest.approx(3 * len(rows), abs=6)
    wider = with_threshold(trained("batchtopk"), find_threshold(trained("batchtopk"), corpus, 5))
    assert len(wider.encode_sparse(rows).rows) == pytest.approx(5 * len(rows), abs=6)


@every_architecture
def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(architecture, undisturbed, corpus):
    assert same(undisturbed(architecture), train(corpus, SHORTS[architecture]))
    assert not same(undisturbed(architecture), train(corpus, replace(SHORTS[architecture], seed=1)))


def kill_at(step):
    def report(reading):
        if reading.step == step:
            raise KeyboardInterrupt

    return report


@every_architecture
@pytest.mark.parametrize("patience", [None, 2])
def test_a_killed_training_goes_on_to_the_same_bits(architecture, patience, corpus, set_aside, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "STATE_SECONDS", 0.0)
    state_file = tmp_path / "state.safetensors"
    recipe = replace(SHORTS[architecture], patience=patience)
    readings = []
    expected = train(corpus, recipe, set_aside=set_aside, report=readings.append)
    last = len(readings) - 1
    for step in (3, 20, 21, last):
        with pytest.raises(KeyboardInterrupt):
            train(corpus, recipe, set_aside=set_aside, state_file=state_file, report=kill_at(step))
    again = []
    resumed = train(corpus, recipe, set_aside=set_aside, state_file=state_file, report=again.append)
    assert again == readings[last - 1 :]
    assert same(resumed, expected)


def test_the_state_of_another_training_is_refused(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "STATE_SECONDS", 0.0)
    state_file = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(corpus, SHORTS["gated"], state_file=state_file, report=kill_at(3))
    with pytest.raises(Refusal, match="state of another training"):
        train(corpus, SHORTS["vanilla"], state_file=state_file)


@every_architecture
def test_the_sae_does_on_raw_embeddings_what_was_trained_on_centred_ones(architecture, corpus, unseen):
    state = Training.begin(corpus, SHORTS[architecture], "cpu", None)
    draw = torch.Generator().manual_seed(0)
    p = {name: value + 0.2 * torch.randn(value.shape, generator=draw) for name, value in state.state.parameters.items()}
    x = state._centred(unseen)
    sae = state.fold(p)
    if architecture in ("batchtopk", "matryoshka"):
        kept = SparseBatch.where(pre_activations(p, x) > 0, pre_activations(p, x))
    else:
        kept = state.method.activate(p, x, 3)
    a = torch.zeros(kept.shape).index_put_((kept.rows, kept.columns), kept.values)
    np.testing.assert_allclose(sae.encode(unseen).numpy(), state.spread * a.numpy(), atol=2e-4)
    raw = (a @ p["D"] + p["c"]) * state.spread + state.mean
    np.testing.assert_allclose(sae.reconstruct(unseen).numpy(), raw.numpy(), atol=2e-3)


def test_a_dead_feature_begins_anew_at_what_the_worst_texts_lack(corpus):
    recipe = replace(SHORTS["jumprelu"], noise=0.0)
    training = Training.begin(corpus, recipe, "cpu", None)
    stream = corpus.batches(recipe.batch, seed=0)
    for _ in range(15):
        training.learn(next(stream))
    state, rows = training.state, training._centred(next(stream))
    state.silent[:] = 0
    state.silent[[5, 9]] = 10**6
    e = missing(state.parameters, training.method.activate(state.parameters, rows, 3), rows)
    before = state.parameters["E"].clone()
    training.method._revive(state, rows)
    lacking = -e / e.norm(dim=1, keepdim=True)
    for feature in (5, 9):
        assert float((lacking @ state.parameters["D"][feature]).max()) == pytest.approx(1, abs=1e-5)
        assert not state.moments["E"][feature].any() and not state.squares["threshold"][feature]
    others = [feature for feature in range(48) if feature not in (5, 9)]
    assert torch.equal(state.parameters["E"][others], before[others]) and state.moments["E"][others].any()
    assert not state.silent.any()


def test_the_penalty_follows_the_l0():
    recipe = SHORTS["gated"]
    method = find_method(replace(recipe, grip=0.0))
    draw = torch.Generator().manual_seed(0)
    parameters = first_parameters(torch.randn(48, DIMENSION, generator=draw))
    method.begin(parameters, torch.randn(64, DIMENSION, generator=draw))
    state = State.begin(parameters, method.numbers())
    state.step = recipe.steps - 1
    penalties = []
    for l0 in (30.0, 3.0, 1.0):
        state.numbers["l0"].fill_(l0)
        penalties.append(method._penalty(state))
    assert penalties[0] > recipe.penalty and penalties[1] == pytest.approx(penalties[0]) and penalties[2] < penalties[1]


def test_batches_go_on_where_they_stopped_whether_or_not_the_corpus_fits_in_memory(tmp_path):
    rows = np.arange(1000, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)
    mask = np.ones(1000, bool)
    mask[::7] = False
    for buffer_bytes in (10**9, 3 * 128 * 16):
        embeddings = write_parts(tmp_path / str(buffer_bytes), rows, step=128, mask=mask, buffer_bytes=buffer_bytes)
        stream = embeddings.batches(50, seed=3)
        first = [next(stream)[:, 0] for _ in range(60)]
        for start in (0, 1, 16, 17, 44):
            again = embeddings.batches(50, seed=3, start=start)
            np.testing.assert_array_equal(next(again)[:, 0], first[start])
        epoch = np.concatenate(first[:15])
        assert len(set(epoch)) == len(epoch) and not set(epoch) & set(range(0, 1000, 7))
        assert not np.array_equal(first[0], np.sort(first[0]))


@pytest.mark.parametrize("architecture", ["vanilla", "jumprelu", "gated"])
@pytest.mark.parametrize(("n_other", "n_features"), [(1, 32), (20, 1)])
def test_texts_that_are_nearly_all_the_same_are_rebuilt_with_few_features(architecture, n_other, n_features, tmp_path):
    """Their first activations are zero, or rounding errors: neither may set the scale of the encoder."""
    row, other = planted(2)[0][:, None]
    rows = np.concatenate([np.repeat(row, 40 - n_other, 0), np.repeat(other, n_other, 0)])
    k = 1 if n_features == 1 else 4
    recipe = replace(find_recipe(40, DIMENSION, architecture=architecture, n_features=n_features, k=k), n_samples=8_000)
    assert fvu_of(train(write_parts(tmp_path, rows), recipe), rows) < 0.2


def test_a_vanilla_sae_that_is_far_too_sparse_is_not_raised_to_its_l0(trained, corpus):
    method = find_method(RECIPES["vanilla"])
    sae = trained("vanilla")
    near = method.settle(replace(sae, b_enc=sae.b_enc - 0.5), corpus)
    torch.testing.assert_close(near.b_enc, sae.b_enc, atol=1e-3, rtol=0)
    silent = replace(sae, b_enc=sae.b_enc - 1e3)
    assert method.settle(silent, corpus) is silent


@every_architecture
def test_a_training_that_diverges_is_refused(architecture, corpus):
    with pytest.raises(Refusal, match="at step [0-9]+ the loss is (inf|nan) and no longer a number"):
        train(corpus, replace(SHORTS[architecture], lr=1e30))


def test_the_shift_lets_as_many_features_pass_as_are_asked_for(trained, corpus):
    rows = np.concatenate(list(corpus.in_order()))
    sae = trained("vanilla")
    z = sae.pre_activations(rows).numpy()
    for k in (2, 30):
        assert (z > find_shift(sae, corpus, k)).sum() == pytest.approx(k * len(rows), abs=6)
    assert find_shift(sae, corpus, 30) < 0


def test_sizes_are_chosen_from_the_corpus_and_can_be_given():
    small, large = find_recipe(900, 384), find_recipe(5_000_000, 384)
    assert small.n_features < 900 and small.k <= small.n_features
    assert large.n_features == 16_384
    for n_texts in (18, 27, 63, 64, 90):
        check_sizes(find_recipe(n_texts, 64), n_texts)
    assert [find_recipe(n_texts, 64).n_features for n_texts in (18, 27, 63, 64)] == [16, 16, 32, 64]
    given = find_recipe(900, 384, n_features=100, k=7, epochs=2, seed=5)
    assert (given.n_features, given.k, given.n_samples, given.seed) == (100, 7, 1800, 5)
    assert find_recipe(900, 384, architecture="gated", patience=2).lr != given.lr


@every_architecture
@pytest.mark.parametrize(
    ("rows", "sizes", "sentence"),
    [
        (planted(600)[0], {"n_features": 20, "k": 21}, "--k 21 is more than --features 20"),
        (planted(100)[0], {"n_features": 200, "k": 2}, "100 training texts are fewer than 200"),
        (np.ones((600, 8), np.float32), {"n_features": 20, "k": 2}, "all the same"),
        (np.full((600, 8), np.nan, np.float32), {"n_features": 20, "k": 2}, "NaN .* text 0"),
    ],
)
def test_a_corpus_that_cannot_teach_is_refused(architecture, rows, sizes, sentence, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        train(write_parts(tmp_path, rows), tuned(architecture, n_samples=1000, batch=64, **sizes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "lista"}, "'lista' is not known; choose one of vanilla, topk"),
        ({"patience": 2}, "patience needs texts to be measured on"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(changes, sentence, corpus):
    with pytest.raises(Refusal, match=sentence):
        train(corpus, replace(SHORTS["batchtopk"], **changes))
