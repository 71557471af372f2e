"""The stage language_model on a run: its tables recomputed in plain torch and numpy, a killed stage, its pages."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from featurelib import queries, schema
from featurelib.sae.checkpoints import load_sae
from featurelib.storage.runs import Done, Generation, Run
from featurelib.storage.store import open_store
from precompute.build.config import BuildConfig
from precompute.stages import language_model
from tests.support.causal_models import HOSTILE, WORDS
from tests.support.numpy_run import QuietJob
from tests.support.page import Open, UseData, addresses, bodies, page_of, words
from tests.support.sentence_models import make_transformer

TABLES = (
    schema.LOGIT_LENS,
    schema.LOGIT_HISTOGRAMS,
    schema.RAISING_FEATURES,
    schema.CROSS_ENTROPY,
    schema.TOKEN_LOSSES,
)


@pytest.fixture(scope="module")
def generation(token_run: Run) -> Generation:
    return token_run.current()


@pytest.fixture(scope="module")
def model(token_folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(token_folder / "models" / "tiny-llama").eval()


@pytest.fixture
def open_tokens(token_folder: Path, use_data: UseData) -> Open:
    use_data(token_folder / "data")
    return lambda file, /, **params: page_of(file, {"run": "tokens", **params})


def rows(generation: Generation, table: schema.Table) -> pd.DataFrame:
    return pd.concat([pq.read_table(part).to_pandas() for part in generation.parts(table)])


def values_by_hand(generation: Generation, model: Any) -> np.ndarray:
    with torch.no_grad():
        directions = load_sae(generation.sae_folder).W_dec
        raw = (directions * model.model.norm.weight) @ model.lm_head.weight.T
        return (raw - raw.mean(1, keepdim=True)).numpy()


def test_the_lens_of_the_run_is_that_of_its_directions(generation: Generation, model: Any) -> None:
    values = values_by_hand(generation, model)
    lens = rows(generation, schema.LOGIT_LENS)
    assert len(lens) == 2 * 10 * len(values)
    for (feature_id, side), own in lens.groupby(["feature_id", "side"]):
        wanted = np.sort(values[feature_id])[:: -1 if side == "raised" else 1][:10]
        np.testing.assert_allclose(own["logit"], wanted, atol=1e-5)
        np.testing.assert_allclose(values[feature_id, own["token_id"]], wanted, atol=1e-5)
        assert own["rank"].tolist() == list(range(1, 11))
    raising = rows(generation, schema.RAISING_FEATURES)
    assert len(raising) == 10 * values.shape[1]
    for token_id, own in raising.groupby("token_id"):
        np.testing.assert_allclose(own["logit"], np.sort(values[:, token_id])[::-1][:10], atol=1e-5)
        np.testing.assert_allclose(values[own["feature_id"], token_id], own["logit"], atol=1e-5)


def losses_by_hand(generation: Generation, model: Any) -> pd.DataFrame:
    """The loss of each token of the held-out texts but the first of each, with hooks in plain torch."""
    sae = load_sae(generation.sae_folder)
    texts = rows(generation, schema.TEXTS).set_index("text_id")["text"]
    split = rows(generation, schema.SAE_SPLIT).set_index("text_id")["sae_split"]
    number_of = {word: number for number, word in enumerate(["<unk>", "<s>", *WORDS])}
    ids_of = {
        text_id: torch.tensor([[1, *(number_of[word] for word in texts[text_id].split())]])
        for text_id in split.index[split == "held_out"]
    }
    seen: list[torch.Tensor] = []
    change: Any = None

    def hook(module: Any, args: Any, output: Any) -> Any:
        states = (output[0] if isinstance(output, tuple) else output).clone()
        states[0, 1:] = change(states[0, 1:])
        return (states, *output[1:]) if isinstance(output, tuple) else states

    def run(ids: torch.Tensor) -> np.ndarray:
        log = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        return -log[torch.arange(1, ids.shape[1] - 1), ids[0, 2:]].numpy()

    columns: dict[str, Any] = {"text_id": np.repeat(list(ids_of), [ids.shape[1] - 2 for ids in ids_of.values()])}
    with torch.no_grad():
        columns["ce_clean"] = np.concatenate([run(ids) for ids in ids_of.values()])
        attached = model.model.layers[1].register_forward_hook(hook)
        change = lambda states: seen.append(states) or states  # noqa: E731
        for ids in ids_of.values():
            run(ids)
        mean = torch.cat(seen).double().mean(0).float()
        changes = {"ce_sae": sae.reconstruct, "ce_zero": torch.zeros_like, "ce_mean": lambda states: 0 * states + mean}
        for name, change in changes.items():  # noqa: B007
            columns[name] = np.concatenate([run(ids) for ids in ids_of.values()])
        attached.remove()
    return pd.DataFrame(columns)


def test_the_losses_of_the_run_are_those_of_hooks_written_by_hand(generation: Generation, model: Any) -> None:
    by_hand = losses_by_hand(generation, model)
    stored = rows(generation, schema.CROSS_ENTROPY).set_index("metric")
    for name in ("ce_clean", "ce_sae", "ce_zero", "ce_mean"):
        assert stored.loc[name, "value"] == pytest.approx(by_hand[name].mean(), abs=1e-5)
    assert set(stored["n_tokens"]) == {len(by_hand)} and set(stored["split"]) == {"held_out"}
    assert set(stored["n_texts"]) == {by_hand["text_id"].nunique()}
    rise = np.sort(by_hand["ce_sae"] - by_hand["ce_clean"])[::-1]
    hurt = rows(generation, schema.TOKEN_LOSSES)
    np.testing.assert_allclose(hurt["reconstructed"] - hurt["clean"], rise[: len(hurt)], atol=1e-5)
    assert len(hurt) == min(100, (rise > 0).sum())


def test_a_token_that_loses_stands_where_the_run_says(generation: Generation) -> None:
    hurt = rows(generation, schema.TOKEN_LOSSES)
    both = hurt.merge(rows(generation, schema.TOKENS), on=["text_id", "position"])
    assert len(both) == len(hurt)
    for name in ("token_id", "start", "end"):
        assert (both[f"{name}_x"] == both[f"{name}_y"]).all()


class Work(QuietJob):
    """A job on a generation, with the config of its run."""

    def __init__(self, generation: Generation, embedder: Path) -> None:
        super().__init__(generation)
        self.config = BuildConfig(
            source="corpus.csv", name="tokens", embedder=str(embedder), layer="1", pooling="none", device="cpu"
        )


@pytest.fixture
def own(token_folder: Path, tmp_path: Path) -> Generation:
    """A copy of the generation whose stage is not done."""
    copied = Generation(shutil.copytree(token_folder / "data" / "tokens" / "g0001", tmp_path / "tokens" / "g0001"))
    (copied.path / "manifest.json").unlink()
    copied.unmark("language_model")
    for table in TABLES:
        copied.file(table).unlink()
    return copied


def test_a_killed_stage_goes_on_and_ends_in_the_same_bytes(
    own: Generation, generation: Generation, token_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job: Any = Work(own, token_folder / "models" / "tiny-llama")
    measure, calls = language_model.measure_losses, []

    def dies(*args: Any) -> Any:
        calls.append(args[1])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*args)

    monkeypatch.setattr(language_model, "measure_losses", dies)
    with pytest.raises(KeyboardInterrupt):
        language_model.measure_language_model(job)
    made = language_model.measure_language_model(job)
    assert len(calls) == 4 and calls[1] == calls[2] != calls[0]
    for table in TABLES:
        assert own.file(table).read_bytes() == generation.file(table).read_bytes()
    done = generation.done("language_model")
    assert done is not None and made.facts == done.facts and made.line == done.line


def test_a_model_without_a_head_gives_empty_tables_and_the_reason(own: Generation, tmp_path: Path) -> None:
    job: Any = Work(own, make_transformer(tmp_path / "encoder"))
    made = language_model.measure_language_model(job)
    assert "predicts no next token" in made.facts["reason"] and made.facts["reason"] in made.line
    assert all(rows(own, table).empty for table in TABLES)
    own.mark_done("language_model", Done("x", made.facts, made.line, {}))
    store = open_store(own)
    assert queries.logit_spread(store, 0) is None and queries.loss_metrics(store) == []
    assert queries.no_logits_reason(store) == made.facts["reason"]
    store.close()


# --- pages -----------------------------------------------------------------------------------------------------------


def test_the_feature_page_shows_the_tokens_and_escapes_them(
    open_tokens: Open, generation: Generation, model: Any
) -> None:
    values = values_by_hand(generation, model)
    number = len(WORDS) + 1
    feature_id = int(np.argmax((values >= values[:, [number]]).sum(1) <= 10))
    app = open_tokens("feature.py", feature=feature_id)
    (section,) = [body for body in bodies(app) if 'class="logits"' in body]
    best = np.argsort(-values[feature_id])[:10]
    shown = words(app)
    for token_id in best[best > 1]:
        assert f"{WORDS[token_id - 2]} {values[feature_id, token_id]:+.2f}".replace("-", "−") in shown
    assert HOSTILE in shown and "<img" not in section and "&lt;img" in section
    assert section.count("<i ") == 40
    assert any("by=token" in address for address in addresses(app))


def test_the_evaluation_page_shows_the_losses_and_where_they_rise(open_tokens: Open, generation: Generation) -> None:
    app = open_tokens("evaluation.py")
    shown = words(app)
    stored = rows(generation, schema.CROSS_ENTROPY).set_index("metric")
    assert f"cross-entropy, the model left alone {stored.loc['ce_clean', 'value']:.2f}" in shown
    assert f"{stored.loc['ce_clean', 'n_tokens']:,} tokens" in shown
    first = rows(generation, schema.TOKEN_LOSSES).iloc[0]
    assert f"{first['clean']:.2f} → {first['reconstructed']:.2f}" in shown
    (listed,) = [body for body in bodies(app) if 'class="hurt"' in body]
    assert listed.count("<mark>") == 20 and f"text={first['text_id']:.0f}" in listed
    formulas = [body for body in bodies(app) if "KL(clean ‖ SAE)" in body]
    assert any("delta method" in body for body in formulas)


def test_the_search_finds_features_by_a_token(open_tokens: Open, generation: Generation, model: Any) -> None:
    values = values_by_hand(generation, model)[:, WORDS.index("galaxy") + 2]
    app = open_tokens("search.py", by="token", q="Galaxy")
    shown = words(app)
    assert "raise galaxy" in shown and f"{values.max():+.2f}" in shown
    assert any(f"feature={values.argmax()}" in address for address in addresses(app))
    other = words(open_tokens("search.py", by="token", q="gala"))
    assert "no single token" in other and "galaxy" in other.split("begin alike")[1]
    assert "no single token" in words(open_tokens("search.py", by="token", q=f"{HOSTILE}{HOSTILE}"))
    assert "Type one token" in words(open_tokens("search.py", by="token"))


def test_a_run_of_texts_has_none_of_it(open_tiny: Open, tiny: Run) -> None:
    assert tiny.current().done("language_model") is None
    assert not any(tiny.current().has(table) for table in TABLES)
    assert "direction raises" not in words(open_tiny("feature.py", feature=1))
    assert "Next-token loss" not in words(open_tiny("evaluation.py"))
    assert not any("by token" in str(control.options) for control in open_tiny("search.py").get("button_group"))
