"""Next-token losses with replaced hidden states, against hooks written by hand in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from featurelib.embedder import HiddenStateOptions, find_embedder, load_embedder
from featurelib.embedder.hidden_states.hooks import parse_hook
from featurelib.embedder.hidden_states.loading import load_model
from featurelib.embedder.hidden_states.windows import make_reading
from featurelib.language_model import cross_entropy
from featurelib.language_model.cross_entropy import Losses, Spliced, measure_losses, sum_states
from featurelib.language_model.head import find_head
from featurelib.language_model.loss_metrics import evaluate_losses, hurt_most
from tests.support.causal_models import TEXTS, make_model

FAMILIES = ("gpt2", "llama", "gemma2", "gpt_neox")


def spliced(
    folder: Path, hook: str = "1", *, context_size: int = 64, special_tokens: bool = False, **options: Any
) -> Spliced:
    loaded = load_model(find_embedder(str(folder)), device="cpu", with_head=True)
    reading = make_reading(
        loaded.tokenizer, "tiny", context_size=context_size, bos=None, is_causal=True, chat_template=False
    )
    return Spliced(loaded, find_head(loaded), parse_hook(hook), reading, special_tokens, **options)


def halved(states: np.ndarray) -> np.ndarray:
    return 0.5 * states + 0.1


def untouched(states: np.ndarray) -> np.ndarray:
    return states


@pytest.fixture(scope="module", params=FAMILIES)
def with_bos(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / request.param, request.param, bos=True)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "llama", "llama")


def by_hand(
    model: Any, ids: list[int], change: Callable[[torch.Tensor], torch.Tensor] | None, first: int
) -> torch.Tensor:
    """The log probabilities of one window, the states that leave block 1 being changed from place `first` on."""
    blocks = next(child for child in model.base_model.children() if isinstance(child, torch.nn.ModuleList))

    def hook(module: Any, args: Any, output: Any) -> Any:
        states = (output[0] if isinstance(output, tuple) else output).clone()
        states[:, first:] = change(states[:, first:])
        return (states, *output[1:]) if isinstance(output, tuple) else states

    attached = blocks[1].register_forward_hook(hook) if change is not None else None
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    if attached is not None:
        attached.remove()
    return logits.log_softmax(-1)


def test_losses_are_those_of_hooks_written_by_hand(with_bos: Path) -> None:
    model = spliced(with_bos)
    total, n = sum_states(model, TEXTS)
    mean = torch.from_numpy((total / n).astype(np.float32))
    losses = measure_losses(model, TEXTS, halved, mean.numpy())
    changes: dict[str, Any] = {
        "clean": None,
        "sae": lambda states: 0.5 * states + 0.1,
        "zero": torch.zeros_like,
        "mean": lambda states: mean.expand_as(states),
    }
    for text, words in enumerate(TEXTS):
        ids = [1, *model.loaded.tokenizer(words, add_special_tokens=False)["input_ids"]]
        of_text = losses.texts == text
        np.testing.assert_array_equal(losses.token_ids[of_text], ids[2:])
        np.testing.assert_array_equal(losses.positions[of_text], np.arange(1, len(ids) - 1))
        places = zip(losses.starts[of_text], losses.ends[of_text], strict=True)
        assert [words[a:b] for a, b in places] == words.split()[1:]
        logs = {name: by_hand(model.loaded.model, ids, change, 1) for name, change in changes.items()}
        for name, log in logs.items():
            wanted = -log[torch.arange(1, len(ids) - 1), torch.tensor(ids[2:], dtype=torch.long)]
            np.testing.assert_allclose(getattr(losses, name)[of_text], wanted, atol=1e-5)
        kl = (logs["clean"].exp() * (logs["clean"] - logs["sae"])).sum(-1)[1:-1]
        np.testing.assert_allclose(losses.divergence[of_text], kl, atol=1e-5)
    assert len(losses.texts) == sum(len(words.split()) - 1 for words in TEXTS)


def test_the_clean_loss_is_the_models_own(with_bos: Path) -> None:
    model = spliced(with_bos)
    losses = measure_losses(model, TEXTS[:1], untouched, np.zeros(16, np.float32))
    ids = torch.tensor([[1, *model.loaded.tokenizer(TEXTS[0], add_special_tokens=False)["input_ids"]]])
    labels = ids.clone()
    labels[:, :2] = -100  # BOS, and the first token, which follows a state that is not replaced
    with torch.no_grad():
        own = model.loaded.model(input_ids=ids, labels=labels, use_cache=False).loss
    metrics = {metric.metric: metric for metric in evaluate_losses(losses, "held_out")}
    assert metrics["ce_clean"].value == pytest.approx(float(own), abs=1e-5)
    assert metrics["ce_clean"].n_tokens == ids.shape[1] - 2


@pytest.mark.parametrize("hook", ["blocks.0.hook_resid_pre", "2", "blocks.1.hook_mlp_out", "blocks.1.hook_attn_out"])
def test_a_perfect_reconstruction_costs_nothing_at_any_hook(with_bos: Path, hook: str) -> None:
    model = spliced(with_bos, hook)
    losses = measure_losses(model, TEXTS, untouched, np.zeros(16, np.float32))
    np.testing.assert_array_equal(losses.sae, losses.clean)
    assert not losses.divergence.any() and not hurt_most(losses)
    np.testing.assert_array_equal(losses.zero, losses.mean)  # the mean that was given is zero
    assert np.abs(losses.zero - losses.clean).max() > 0.01


def test_the_states_that_are_replaced_are_those_of_the_embedder(with_bos: Path) -> None:
    for special_tokens in (False, True):
        model = spliced(with_bos, special_tokens=special_tokens)
        options = HiddenStateOptions("1", pooling="none", context_size=64, special_tokens=special_tokens)
        embedder: Any = load_embedder(str(with_bos), hidden_states=options)
        rows = np.concatenate([each.states for each in embedder.token_rows(TEXTS)])
        total, n = sum_states(model, TEXTS)
        assert n == len(rows)
        np.testing.assert_allclose(total, rows.sum(axis=0, dtype=np.float64), atol=1e-3)
        seen: list[np.ndarray] = []
        measure_losses(model, TEXTS, lambda states, seen=seen: seen.append(states) or states, np.zeros(16))
        got = np.concatenate(seen)
        np.testing.assert_allclose(np.sort(got, axis=0), np.sort(rows, axis=0), atol=1e-4)


def test_positions_are_those_of_the_embedders_rows(with_bos: Path) -> None:
    model = spliced(with_bos, context_size=8, special_tokens=True)
    options = HiddenStateOptions("1", pooling="none", context_size=8, special_tokens=True)
    embedder: Any = load_embedder(str(with_bos), hidden_states=options)
    losses = measure_losses(model, TEXTS, halved, np.zeros(16, np.float32))
    for text, rows in enumerate(embedder.token_rows(TEXTS)):
        of_text = losses.texts == text
        np.testing.assert_array_equal(rows.ids[losses.positions[of_text]], losses.token_ids[of_text])
        # every token of the text, because each follows one whose state is replaced
        assert of_text.sum() == len(TEXTS[text].split())


def test_without_bos_the_first_token_of_a_window_is_not_predicted(llama: Path) -> None:
    model = spliced(llama, context_size=5)
    losses = measure_losses(model, TEXTS, halved, np.zeros(16, np.float32))
    lengths = [len(words.split()) for words in TEXTS]
    assert len(losses.texts) == sum(n - -(-n // 5) for n in lengths)
    assert not (losses.positions % 5 == 0).any()
    log = by_hand(model.loaded.model, model.tokens(TEXTS)[1].ids[5:10].tolist(), lambda s: 0.5 * s + 0.1, 0)
    of_window = (losses.texts == 1) & (losses.positions >= 5) & (losses.positions < 10)
    wanted = -log[torch.arange(4), torch.from_numpy(losses.token_ids[of_window].astype(np.int64))]
    np.testing.assert_allclose(losses.sae[of_window], wanted, atol=1e-5)


def test_batches_and_blocks_of_logits_change_nothing(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = spliced(llama)
    whole = measure_losses(model, TEXTS, halved, np.zeros(16, np.float32))
    monkeypatch.setattr(cross_entropy, "BATCH_TOKENS", 1)
    monkeypatch.setattr(cross_entropy, "LOGIT_NUMBERS", 3 * model.head.n_tokens)
    for ours, theirs in zip(whole, measure_losses(model, TEXTS, halved, np.zeros(16, np.float32)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_text_of_one_token_and_no_text_have_no_losses(llama: Path) -> None:
    model = spliced(llama)
    for texts in (["light"], []):
        losses = measure_losses(model, texts, halved, np.zeros(16, np.float32))
        assert len(losses.texts) == 0 and not evaluate_losses(losses, "train") and not hurt_most(losses)


def test_reading_stops_where_the_run_stops(llama: Path) -> None:
    losses = measure_losses(spliced(llama, most_tokens=4), TEXTS, halved, np.zeros(16, np.float32))
    assert losses.positions.max() == 3


def test_the_metrics_are_sums_before_ratios() -> None:
    draw = np.random.default_rng(0)
    texts = np.repeat(np.arange(30), draw.integers(1, 40, 30))
    n = len(texts)
    clean, sae, zero, mean, kl = (draw.gamma(2, size, n).astype(np.float32) for size in (1, 1.3, 4, 3, 0.2))
    ids = np.arange(n, dtype=np.int32)
    losses = Losses(texts, ids, ids, ids, ids, clean, sae, zero, mean, kl)
    metrics = {metric.metric: metric for metric in evaluate_losses(losses, "unknown")}
    means = [column.mean(dtype=np.float64) for column in (clean, sae, zero, mean, kl)]
    assert [metrics[name].value for name in ("ce_clean", "ce_sae", "ce_zero", "ce_mean", "kl")] == pytest.approx(means)
    assert metrics["ce_recovered"].value == pytest.approx((means[2] - means[1]) / (means[2] - means[0]))
    assert metrics["ce_recovered_mean"].value == pytest.approx((means[3] - means[1]) / (means[3] - means[0]))
    assert metrics["ce_increase"].value == pytest.approx(means[1] - means[0])
    assert all(metric.low <= metric.value <= metric.high for metric in metrics.values())
    assert {(metric.n_texts, metric.n_tokens, metric.split) for metric in metrics.values()} == {(30, n, "unknown")}
    # the delta method's interval is about as wide as that of drawing the texts again
    drawn = []
    for _ in range(400):
        weight = np.bincount(draw.integers(30, size=30), minlength=30)[texts].astype(np.float64)
        drawn.append(((zero - sae) * weight).sum() / ((zero - clean) * weight).sum())
    width = metrics["ce_recovered"].high - metrics["ce_recovered"].low
    assert width == pytest.approx(np.quantile(drawn, 0.975) - np.quantile(drawn, 0.025), rel=0.25)
    worst = np.argsort(-(sae - clean), kind="stable")[:100]
    assert [row.token_id for row in hurt_most(losses)] == worst.tolist()
