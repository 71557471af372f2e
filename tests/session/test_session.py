"""Sessions of the layouts that say where their SAE came from, with tiny models; the store of activations."""

from __future__ import annotations

import json
import sys
import types

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

import featurelib
from featurelib.sae.formats.saelens import save_saelens
from featurelib.schema import Refusal
from featurelib.session import add, multiply, set_to
from featurelib.session import set_to as set_  # as OpenSAE's `set`
from featurelib.session.origin import MODELS
from featurelib.session.shuffled import shuffled
from precompute.__main__ import main
from tests.support.language_models import D, random_sae, save_language_model
from tests.support.shared import build_once
from tests.support.token_run import token_run_data

TEXTS = [" ".join(f"w{(7 * text + 3 * word) % 58}" for word in range(5 + text % 9)) for text in range(40)]
HOOK = "blocks.2.hook_resid_pre"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_language_model(tmp_path_factory.mktemp("model"))


def saelens(folder, model, version=6, **changes):
    save_saelens(random_sae(), folder)
    config = json.loads((folder / "cfg.json").read_text())
    says = {"model_name": str(model), "hook_name": HOOK, "context_size": 16, "prepend_bos": True,
            "dataset_path": "some/texts"} | changes  # fmt: skip
    says = {key: value for key, value in says.items() if value is not None}
    config = config | ({"metadata": says} if version == 6 else says)
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def opensae(folder, model, **changes):
    sae = random_sae()
    folder.mkdir()
    config = {"architectures": ["OpenSae"], "hidden_size": D, "feature_size": 48, "activation": "topk", "k": 6,
              "input_normalize": True, "normalize_shift_back": True, "input_hookpoint": "layers.2",
              "model_name": str(model)} | changes  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    named = {
        "encoder.weight": sae.W_enc.T.contiguous(),
        "encoder.bias": sae.b_enc,
        "W_dec": sae.W_dec,
        "b_dec": sae.b_dec,
    }
    save_file(named, folder / "model.safetensors")
    return folder


def mats(folder, model, monkeypatch, **changes):
    module = types.ModuleType("sae_training.config")
    kind = type("LanguageModelSAERunnerConfig", (), {"__module__": module.__name__})
    module.LanguageModelSAERunnerConfig = kind
    monkeypatch.setitem(sys.modules, "sae_training", types.ModuleType("sae_training"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    config = kind()
    config.__dict__ |= {
        "model_name": str(model), "hook_point": "blocks.{layer}.hook_resid_pre", "hook_point_layer": 2, "d_in": D,
        "d_sae": 48, "context_size": 16, "dataset_path": "some/texts", "dtype": torch.float32,
    } | changes  # fmt: skip
    folder.mkdir()
    sae = random_sae()
    state = {"W_enc": sae.W_enc, "b_enc": sae.b_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec}
    torch.save({"cfg": config, "state_dict": state}, folder / "final.pt")
    return folder / "final.pt"


def states(session, text):
    """What enters block 2, BOS included, by a hook of torch's own."""
    caught = []
    handle = session.model.model.model.layers[2].register_forward_pre_hook(
        lambda module, args, kwargs: caught.append((args or [kwargs["hidden_states"]])[0]), with_kwargs=True
    )
    ids = [0, *session.model.tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.inference_mode():
        session.model.model(input_ids=torch.tensor([ids]))
    handle.remove()
    return caught[0][0]


@pytest.mark.parametrize("version", [5, 6])
def test_a_session_of_saelens_reads_all_from_the_file(version, model, tmp_path):
    session = featurelib.load_session(saelens(tmp_path / "sae", model, version))
    origin = session.origin
    assert (origin.hook, origin.context_size, origin.bos, origin.dataset) == (HOOK, 16, True, "some/texts")
    assert origin.special_tokens and not origin.centred
    encoded = session.encode(TEXTS[0])
    expected = session.sae.encode(states(session, TEXTS[0])).numpy()
    dense = np.zeros_like(expected)
    dense[encoded.activations.rows, encoded.activations.feature_ids] = encoded.activations.activations
    np.testing.assert_allclose(dense, expected, atol=1e-5)
    assert encoded.tokens[0] == "<s>" and encoded.tokens[1].strip() == "w0"
    assert [TEXTS[0][s:e] for s, e in zip(encoded.starts, encoded.ends, strict=True)] == ["", *TEXTS[0].split()]


def test_a_file_that_left_special_tokens_out_is_read_without_them(model, tmp_path):
    session = featurelib.load_session(saelens(tmp_path / "sae", model, exclude_special_tokens=True))
    assert not session.origin.special_tokens and "<s>" not in session.encode(TEXTS[0]).tokens
    assert len(session.encode(TEXTS[0]).tokens) == len(TEXTS[0].split())


def test_what_a_run_exports_says_that_special_tokens_were_left_out(tmp_path_factory, tmp_path):
    folder = build_once(tmp_path_factory, "token-run", token_run_data)
    assert main(["export", str(folder / "data" / "tok"), str(tmp_path / "sae"), "--layout", "saelens"]) == 0
    session = featurelib.load_session(tmp_path / "sae", model=folder / "lm")
    assert not session.origin.special_tokens and session.origin.bos


def test_an_sae_that_reads_one_state_a_text_has_no_session(model, tmp_path):
    pd.DataFrame({"text": [f"w{n} w{n + 1} w{n % 7}" for n in range(50)]}).to_csv(tmp_path / "texts.csv")
    command = ["build", str(tmp_path / "texts.csv"), "--name", "pooled", "--data", str(tmp_path), "--to", "train"]
    flags = ["--text-column", "text", "--embedder", str(model), "--layer", "1", "--features", "40", "--k", "4"]
    assert main([*command, *flags]) == 0
    with pytest.raises(Refusal, match="reads one hidden state a text"):
        featurelib.load_session(tmp_path / "pooled")


def test_a_session_of_opensae_and_what_is_given_wins(model, tmp_path):
    session = featurelib.load_session(opensae(tmp_path / "sae", model))
    assert session.hook.name == "blocks.2.hook_resid_post" and session.sae.norm == "standardise"
    other = featurelib.load_session(tmp_path / "sae", hook="0", model=session.model, bos=False, special_tokens=False)
    assert other.hook.layer == 0 and other.model is session.model and other.prompt_ids("w1") == [4]


def test_a_session_of_an_old_mats_file_takes_the_mean_off(model, tmp_path, monkeypatch):
    path = mats(tmp_path / "sae", model, monkeypatch)
    session = featurelib.load_session(path)
    assert session.hook.name == HOOK and session.origin.context_size == 16 and session.origin.centred
    x = states(session, TEXTS[1])
    x = x - x.mean(1, keepdim=True)
    expected = session.sae.encode(x)
    (rows,) = session.activations([TEXTS[1]], batch=64, buffer=128)
    np.testing.assert_allclose(rows[np.argsort(rows[:, 0])], x.numpy()[np.argsort(x[:, 0])], atol=1e-5)
    # at a hook the states have their mean, and the SAE reads them all the same
    torch.testing.assert_close(session._bound_sae.encode(states(session, TEXTS[1])), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "given", "sentence"),
    [
        ({"model_name": None}, {}, "does not say which model.*give model="),
        ({"hook_name": None}, {}, "does not say where.*give hook="),
        ({"hook_name": "blocks.2.hook_z"}, {}, "no hook 'blocks.2.hook_z'"),
        ({"hook_name": "blocks.9.hook_resid_pre"}, {}, "layers 0 to 3; there is no layer 9"),
        ({"context_size": "long"}, {}, "context_size = 'long'; expected a whole number"),
        ({"prepend_bos": 1}, {}, "prepend_bos = 1; expected true or false"),
        ({"context_size": 1}, {}, "leaves no room"),
    ],
)
def test_what_a_file_does_not_say_is_asked_for(changes, given, sentence, model, tmp_path):
    with pytest.raises(Refusal, match=sentence):
        featurelib.load_session(saelens(tmp_path / "sae", model, **changes), **given)


def test_what_is_missing_can_be_given(model, tmp_path):
    folder = saelens(tmp_path / "sae", model, model_name=None, hook_name=None)
    session = featurelib.load_session(folder, model, HOOK, context_size=8)
    assert session.origin.hook == HOOK and session.origin.context_size == 8


def test_an_sae_of_another_width_is_refused(model, tmp_path):
    save_saelens(random_sae(d=16), tmp_path / "sae")
    with pytest.raises(Refusal, match="dimension 16, but those of .* have 32; give model="):
        featurelib.load_session(tmp_path / "sae", model, HOOK)


def test_an_old_gpt2_file_that_does_not_say_whether_states_were_centred_is_warned_about(tmp_path):
    folder = save_language_model(tmp_path / "gpt2", "gpt2")
    with pytest.warns(UserWarning, match="give centred=True where they were"):
        session = featurelib.load_session(saelens(tmp_path / "sae", folder))
    assert not session.origin.centred
    says = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    assert featurelib.load_session(saelens(tmp_path / "centred", folder, **says)).origin.centred


def test_saelens_short_names_are_hub_ids():
    assert MODELS["gpt2-small"] == MODELS["gpt2"] == "openai-community/gpt2"
    assert (
        MODELS["pythia-70m-deduped"] == "EleutherAI/pythia-70m-deduped" and MODELS["gemma-2-2b"] == "google/gemma-2-2b"
    )


def test_activations_are_every_state_once_in_another_order(model, tmp_path):
    session = featurelib.load_session(saelens(tmp_path / "sae", model, exclude_special_tokens=True))
    batches = list(session.activations(iter(TEXTS), batch=32, buffer=64, seed=1))
    assert all(rows.dtype == np.float32 and rows.shape == (32, D) for rows in batches[:-1])
    expected = np.concatenate([states(session, text)[1:].numpy() for text in TEXTS])
    found = np.concatenate(batches)
    assert found.shape == expected.shape
    order, other = np.lexsort(found.T), np.lexsort(expected.T)
    np.testing.assert_allclose(found[order], expected[other], atol=1e-5)
    assert not np.allclose(found[: len(TEXTS)], expected[: len(TEXTS)])
    again = np.concatenate(list(session.activations(TEXTS, batch=32, buffer=64, seed=1)))
    assert (again == found).all()
    assert not (np.concatenate(list(session.activations(TEXTS, batch=32, buffer=64, seed=2))) == found).all()


def test_the_buffer_bounds_what_is_read_ahead():
    read = []

    def rows():
        for number in range(1000):
            read.append(number)
            yield np.full((10, 2), number, np.float32)

    batches = shuffled(rows(), batch=50, buffer=200, seed=0)
    next(batches)
    assert len(read) == 20
    rest = np.concatenate([next(batches), *batches])
    assert len(rest) == 10_000 - 50 and len(read) == 1000
    with pytest.raises(Refusal, match="two batches"):
        next(shuffled(rows(), batch=50, buffer=99, seed=0))


def test_a_session_binds_generates_and_compares(model, tmp_path):
    session = featurelib.load_session(saelens(tmp_path / "sae", model))
    plain = session.generate("w1 w2 w3", n_tokens=8)
    with session.bind(features={7: set_(0), 12: add(6.0), 30: multiply(2)}, where="generated"):
        changed = session.generate("w1 w2 w3", n_tokens=8)
    assert session.generate("w1 w2 w3", n_tokens=8) == plain != changed
    assert plain.ids[0] == changed.ids[0]  # the first new token is read from the prompt, which is not changed
    compared = session.compare("w1 w2 w3", {12: add(6.0)}, "generated")
    assert compared.before.ids[:8] == plain.ids and compared.prediction.kl == 0
    assert session.compare("w1 w2 w3", {12: add(6.0)}).prediction.kl > 0
    assert set_ is set_to
    with pytest.raises(Refusal, match="no feature 48"), session.bind({48: set_to(0)}):
        pass
    assert session.generate("w1 w2 w3", n_tokens=8) == plain
