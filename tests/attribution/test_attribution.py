"""Pre-activations taken apart: the parts add up for every pooling, norm and gate; words are at their places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featurelib import attribution
from featurelib.attribution import find_words, rounded, split_words, token_attributions, without_word
from featurelib.embedder import TokenStates, load_embedder
from featurelib.sae.encoder_view import readout
from featurelib.sae.gates import Capped, Gated, GroupMax, JumpReLU, KeepsMax, Relu, TopK
from featurelib.sae.model import SAE
from featurelib.schema import Refusal
from tests.support.sentence_models import make_transformer, save_model, save_static

TEXTS = [
    "the black holes of a galaxy",
    "a graph.",
    "",
    "(black-holes), the <b>galaxy</b>",
    "galaxies " * 30,
    "שלום zero\u200bwidth \u202e🙂",
]
HIDDEN = 16


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_transformer(tmp_path_factory.mktemp("transformer") / "plain")


@pytest.fixture(scope="module")
def minilm():
    return load_embedder(device="cpu")


@pytest.fixture(scope="module")
def read_by_minilm(minilm) -> tuple[list[TokenStates], np.ndarray]:
    texts = [*TEXTS, "We study the entropy of black holes in anti-de Sitter space. " * 20]
    return minilm.token_states(texts), minilm.embed(texts)


def dense(**options):
    from sentence_transformers.base.modules.dense import Dense

    torch.manual_seed(2)
    return Dense(HIDDEN, options.pop("out_features", 12), **{"activation_function": torch.nn.Identity()} | options)


def normalize():
    from sentence_transformers.base.modules.normalize import Normalize

    return Normalize()


def layer_norm(width: int = HIDDEN):
    from sentence_transformers.sentence_transformer.modules.layer_norm import LayerNorm

    made = LayerNorm(width)
    torch.nn.init.normal_(made.norm.weight)
    torch.nn.init.normal_(made.norm.bias)
    return made


BEHIND: dict[str, Callable[[], list]] = {
    "nothing": lambda: [],
    "Normalize": lambda: [normalize()],
    "Dense": lambda: [dense()],
    "two Dense, Normalize": lambda: [dense(out_features=HIDDEN, bias=False), dense(), normalize()],
    "Normalize, Dense": lambda: [normalize(), dense()],
    "Dense with residual": lambda: [dense(use_residual=True)],
    "Dense with the same width and residual, Normalize": lambda: [
        dense(out_features=HIDDEN, use_residual=True),
        normalize(),
    ],
    "LayerNorm, Normalize": lambda: [layer_norm(), normalize()],
}
POOLINGS = ("mean", "mean_sqrt_len_tokens", "weightedmean")


def random_sae(width: int, norm: str = "none", gate: object = None, subtract: bool = True, n: int = 24) -> SAE:
    torch.manual_seed(3)
    b = {name: torch.randn(n) / 3 for name in ("b_enc", "b_gate", "b_mag", "r_mag")}
    gate = Gated(b["b_gate"], b["b_mag"], b["r_mag"]) if gate == "gated" else gate or JumpReLU(torch.rand(n))
    weights = torch.randn(width, n) / width**0.5
    return SAE(weights, b["b_enc"], weights.T.clone(), torch.randn(width) / 5, gate, subtract_b_dec=subtract, norm=norm)


def differences(embedder, texts: list[str], sae: SAE) -> list[float]:
    """For each text the largest |Σ parts + constant − pre-activation|, the latter of what `embed` gives."""
    return compare(embedder.token_states(texts), embedder.embed(texts), sae)


def compare(states: list[TokenStates], embeddings: np.ndarray, sae: SAE) -> list[float]:
    ids = [0, 5, sae.n_features - 1]
    whole = sae.pre_activations(embeddings).numpy()[:, ids]
    errors = []
    for state, z in zip(states, whole, strict=True):
        divided = token_attributions(state.shares, state.offset, readout(sae, ids))
        errors.append(np.abs(divided.by_token.sum(axis=0) + divided.constant - z).max())
    return errors


# the sum


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("behind", list(BEHIND))
def test_the_parts_add_up_for_every_pooling_and_what_stands_behind_it(transformer, tmp_path, pooling, behind):
    folder = save_model(tmp_path / "model", transformer, pooling, BEHIND[behind]())
    for asked in (None, True):  # normalised by us as well
        embedder = load_embedder(str(folder), normalize=asked, device="cpu")
        assert embedder.whole_reason is None
        assert max(differences(embedder, TEXTS, random_sae(embedder.facts.dimension))) < 1e-5


@pytest.mark.parametrize("behind", ["nothing", "Normalize", "Dense"])
def test_the_parts_add_up_for_static_embeddings(tmp_path, behind):
    embedder = load_embedder(str(save_static(tmp_path / "static", BEHIND[behind]())), device="cpu")
    assert embedder.whole_reason is None
    states = embedder.token_states(TEXTS)
    assert not any(state.special.any() for state in states) and len(states[2].shares) == 0
    assert max(differences(embedder, TEXTS, random_sae(embedder.facts.dimension))) < 1e-5


def test_the_parts_add_up_with_a_prompt_in_the_pooling_and_left_out_of_it(transformer, tmp_path):
    from sentence_transformers.sentence_transformer.modules import Pooling

    for include in (True, False):
        pooling = Pooling(HIDDEN, pooling_mode="weightedmean", include_prompt=include)
        folder = save_model(tmp_path / f"model{include}", transformer, pooling)
        embedder = load_embedder(str(folder), prompt="graph of : ", device="cpu")
        assert max(differences(embedder, TEXTS, random_sae(HIDDEN))) < 1e-5
        states = embedder.token_states(["the galaxy"])[0]
        assert states.special.tolist() == [True] * 4 + [False] * 2 + [True]
        assert [states.starts[4:6].tolist(), states.ends[4:6].tolist()] == [[0, 4], [3, 10]]
        assert bool(np.abs(states.shares[:4]).max() > 0) is include


def test_the_shares_are_those_of_the_definition(transformer, tmp_path):
    from sentence_transformers import SentenceTransformer

    weights = {
        "mean": lambda n: np.ones(n) / n,
        "mean_sqrt_len_tokens": lambda n: np.ones(n) / n**0.5,
        "weightedmean": lambda n: np.arange(1, n + 1) / (n * (n + 1) / 2),
    }
    for pooling in POOLINGS:
        folder = save_model(tmp_path / pooling, transformer, pooling, [normalize()])
        plain = SentenceTransformer(str(folder), device="cpu")
        states = load_embedder(str(folder), device="cpu").token_states(TEXTS)
        for text, state in zip(TEXTS, states, strict=True):
            h = plain.encode(text, output_value="token_embeddings").numpy()
            pooled = weights[pooling](len(h)) @ h
            expected = weights[pooling](len(h))[:, None] * h / np.linalg.norm(pooled)
            assert np.abs(state.shares - expected).max() < 1e-5 and not state.offset.any()


@pytest.mark.parametrize("norm", ["none", "layer_norm", "standardise", "constant_norm_rescale"])
@pytest.mark.parametrize("gate", ["jumprelu", "gated"])
@pytest.mark.parametrize("subtract", [True, False])
def test_the_parts_add_up_for_every_norm_on_the_real_model(read_by_minilm, norm, gate, subtract):
    sae = random_sae(384, norm, "gated" if gate == "gated" else None, subtract)
    assert max(compare(*read_by_minilm, sae)) < 1e-5


@pytest.mark.parametrize(
    "gate",
    [Relu(), TopK(5), GroupMax(6), JumpReLU(torch.ones(24)), KeepsMax(torch.ones(24)), Capped(torch.ones(24), 3)],
    ids=lambda gate: type(gate).__name__,
)
def test_the_parts_add_up_for_every_gate(gate):
    embedder = load_embedder("stand-in:32", prompt="about ")
    assert max(differences(embedder, TEXTS, random_sae(32, "standardise", gate))) < 1e-5


def test_a_part_of_a_standardised_row_is_that_of_the_definition():
    draw = np.random.default_rng(0)
    shares, offset = draw.standard_normal((7, 16)).astype(np.float32), draw.standard_normal(16).astype(np.float32)
    sae = random_sae(16, "layer_norm", "gated")
    attributed = token_attributions(shares, offset, readout(sae, [3, 9]))
    x = shares.sum(axis=0) + offset
    std = x.std(ddof=1) + 1e-5
    centred = (shares - shares.mean(axis=1, keepdims=True)) / std
    slope = sae.gate.r_mag.exp().numpy()[[3, 9]]
    assert np.abs(attributed.by_token - centred @ sae.W_enc.numpy()[:, [3, 9]] * slope).max() < 1e-5


def test_a_row_of_zeros_has_the_constant_alone():
    for norm in ("none", "layer_norm", "standardise", "constant_norm_rescale"):
        sae = random_sae(16, norm)
        attributed = token_attributions(np.zeros((0, 16), np.float32), np.zeros(16, np.float32), readout(sae, [1]))
        assert attributed.by_token.shape == (0, 1)
        assert attributed.constant[0] == pytest.approx(float(sae.pre_activations(np.zeros((1, 16)))[0, 1]), abs=1e-6)


# where it does not hold


@pytest.mark.parametrize(
    ("pooling", "behind", "reason"),
    [
        ("cls", [], r"first token alone \(cls\)"),
        ("max", [], r"largest value of each dimension \(max\)"),
        ("lasttoken", [], r"last token alone \(lasttoken\)"),
        (("mean", "max"), [], r"several poolings \(mean, max\)"),
        pytest.param(
            "mean",
            [lambda: dense(activation_function=torch.nn.Tanh())],
            r"Dense layer that is not linear \(Tanh\)",
            id="Tanh",
        ),
        pytest.param(
            "mean",
            [lambda: torch.nn.Softmax(1)],
            r"not known here stands behind its pooling \(Softmax\)",
            id="Softmax",
        ),
    ],
    ids=["cls", "max", "lasttoken", "mean and max", "Tanh", "Softmax"],
)
def test_an_encoder_that_is_no_sum_over_tokens_says_why(transformer, tmp_path, pooling, behind, reason):
    from featurelib.embedder import token_states as states

    made = [layer() for layer in behind]
    if made and type(made[0]).__name__ == "Softmax":  # which sentence-transformers cannot save
        from sentence_transformers import SentenceTransformer

        folder = save_model(tmp_path / "model", transformer, pooling)
        model = SentenceTransformer(str(folder), device="cpu")
        model.add_module("odd", made[0])
        assert states.why_whole(model).endswith(reason.split("not known")[1].replace("\\", ""))
        return
    embedder = load_embedder(str(save_model(tmp_path / "model", transformer, pooling, made)), device="cpu")
    with pytest.raises(Refusal, match=f"no sum over tokens: .*{reason}; only deleting words"):
        embedder.token_states(["a galaxy"])
    assert embedder.embed(["a galaxy"]).shape[1] == embedder.facts.dimension


def test_a_model_without_any_pooling_is_refused(transformer, tmp_path):
    from featurelib.embedder import token_states as states

    model = [type("Transformer", (), {})(), type("MyPooling", (), {})()]
    assert "no pooling over tokens that is known here (Transformer, MyPooling)" in states.why_whole(model)


# words


def words_of(embedder, text: str) -> list[str]:
    states = embedder.token_states([text])[0]
    words = find_words(text, states.starts, states.ends, states.special)
    assert (words.of_token[~states.special] >= 0).all() or not len(words.starts)
    assert (words.of_token[states.special] == -1).all()
    return [text[start:end] for start, end in zip(words.starts, words.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Black holes.", ["Black", "holes", "."]),
        ("well-known (don't) e.g. 3.5%", ["well-known", "(", "don't", ")", "e.g", ".", "3.5", "%"]),
        ("α-decay of ²³⁸U—naïve café", ["α-decay", "of", "²³⁸U", "—", "naïve", "café"]),
        ("中文 text", ["中", "文", "text"]),
        ("שלום, עולם", ["שלום", ",", "עולם"]),
        ("zero\u200bwidth and e\u0301tude \u202eleft", ["zero\u200bwidth", "and", "e\u0301tude", "\u202eleft"]),
        ("<b>bold</b>", ["<", "b", ">", "bold", "<", "/", "b", ">"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("one\ttwo\r\nthree\u2028four", ["one", "two", "three", "four"]),
        ("a 🙂 smile 👩‍👩‍👧 x", ["a", "🙂", "smile", "👩‍👩‍👧", "x"]),
        ("", []),
        (" \u200b\x00 ", []),
    ],
)
def test_words_are_what_people_read(minilm, text, expected):
    assert words_of(minilm, text) == expected


def test_the_stand_in_keeps_signs_with_the_word_that_it_read_them_in():
    assert words_of(load_embedder("stand-in:8", prompt="about "), "Black (holes), yes.") == [
        "Black",
        "(holes),",
        "yes.",
    ]


def test_a_text_of_a_megabyte_is_read_as_far_as_the_embedder_goes(minilm):
    assert len(words_of(minilm, "galaxy " * 150_000)) == 254
    assert words_of(minilm, "x" * 100_000) == ["x" * 100_000]  # one unknown token


def test_white_space_tokens_count_with_the_next_word():
    starts, ends = np.array([0, 0, 1, 2, 3], np.int32), np.array([0, 1, 2, 3, 4], np.int32)
    words = find_words("ab c", starts, ends, np.array([True, False, False, False, False]))
    assert words.of_token.tolist() == [-1, 0, 0, 1, 1]
    words = find_words("a  ", np.array([0, 1, 2], np.int32), np.array([1, 2, 3], np.int32), np.zeros(3, bool))
    assert words.of_token.tolist() == [0, 0, 0]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_words_never_overlap_and_have_no_white_space(text):
    spans = split_words(text)
    assert (spans[:, 0] < spans[:, 1]).all() and (spans[1:, 0] >= spans[:-1, 1]).all()
    covered = "".join(text[start:end] for start, end in spans)
    assert covered == "".join(text.split()) or not any(c.isspace() for c in covered)
    assert len(covered) == sum(not c.isspace() for c in text)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_odd_texts_add_up_on_the_real_tokenizer(minilm, text):
    states = minilm.token_states([text])[0]
    words = find_words(text, states.starts, states.ends, states.special)
    tokens = token_attributions(states.shares, states.offset, readout(random_sae(384), [2]))
    divided = attribution.word_attributions(tokens, words)
    assert divided.total[0] == pytest.approx(tokens.by_token.sum() + tokens.constant[0], abs=1e-9)


@pytest.mark.parametrize(
    ("start", "end", "expected"), [(0, 3, "two  three"), (4, 7, "one  three"), (9, 14, "one two"), (0, 14, "")]
)
def test_a_word_is_deleted_with_the_space_before_it(start, end, expected):
    assert without_word("one two  three", start, end) == expected


# numbers


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-30, 30), max_size=80), st.floats(-60, 60))
def test_rounded_parts_keep_their_sum(parts, z):
    quantum = attribution.QUANTUM * (2.0 ** np.floor(np.log2(abs(z))) if abs(z) > 1 else 1)
    rounded_parts = rounded(np.array(parts), z).astype(np.float64)
    assert abs(rounded_parts.sum() - sum(parts)) <= quantum / 2 + 1e-9
    assert np.abs(rounded_parts - parts).max(initial=0) <= quantum * 1.0001 and not (rounded_parts % quantum).any()
