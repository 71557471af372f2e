"""Features changed inside tiny language models, against hooks that are written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featurelib.embedder import find_embedder
from featurelib.embedder.hidden_states.hooks import parse_hook
from featurelib.embedder.hidden_states.loading import load_model
from featurelib.language_model.comparison import Intervention
from featurelib.language_model.generation import Generating, PromptTokens, continue_prompt, predict, read_prompt
from featurelib.language_model.intervention import Change, add, bind, multiply, set_to
from featurelib.schema import Refusal
from tests.support.language_models import D, random_sae, save_language_model

IDS = [0, 5, 9, 17, 33, 4, 21, 60]
"""BOS, then words."""
HOOK = parse_hook("blocks.2.hook_resid_post")
NORMS = [("none", True), ("layer_norm", True), ("standardise", True), ("standardise", False),
         ("constant_norm_rescale", True)]  # fmt: skip


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def loaded(request, tmp_path_factory):
    folder = save_language_model(tmp_path_factory.mktemp(request.param), request.param)
    return load_model(find_embedder(str(folder)), device="cpu", with_head=True)


def logits(loaded, ids=IDS, **options):
    with torch.inference_mode():
        return loaded.model(input_ids=torch.tensor([ids]), use_cache=False, **options).logits[0]


def blocks(loaded):
    return loaded.model.model.layers if hasattr(loaded.model, "model") else loaded.model.transformer.h


def states(loaded, ids=IDS, layer=2):
    """What leaves a block, by a hook of torch's own."""
    caught = []
    handle = blocks(loaded)[layer].register_forward_hook(
        lambda module, args, output: caught.append(output[0] if isinstance(output, tuple) else output)
    )
    logits(loaded, ids)
    handle.remove()
    return caught[0][0]


def by_hand(loaded, delta, ids=IDS, layer=2):
    """The logits when `delta` [tokens, d] is added to what leaves a block."""

    def act(module, args, output):
        return (output[0] + delta, *output[1:]) if isinstance(output, tuple) else output + delta

    handle = blocks(loaded)[layer].register_forward_hook(act)
    try:
        return logits(loaded, ids)
    finally:
        handle.remove()


def n_hooks(loaded):
    modules = list(loaded.model.modules())
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


def silent_feature(sae, x):
    return int((sae.encode(x) > 0).sum(0).argmin())


@pytest.mark.parametrize("kind", ["empty", "multiply by 1", "add 0", "a silent feature set to 0"])
def test_what_changes_no_activation_leaves_every_bit(loaded, kind):
    sae = random_sae(256, k=4)
    silent = silent_feature(sae, states(loaded))
    assert not (sae.encode(states(loaded))[:, silent] > 0).any()
    changes = {"empty": {}, "multiply by 1": {3: multiply(1)}, "add 0": {3: add(0)}, "a silent feature set to 0":
               {silent: set_to(0)}}[kind]  # fmt: skip
    untouched = logits(loaded)
    with bind(loaded, HOOK, sae, changes, special_tokens=True):
        assert torch.equal(logits(loaded), untouched)


@pytest.mark.parametrize(("norm", "shift_back"), NORMS)
def test_a_feature_set_to_zero_takes_away_exactly_its_activation_times_its_direction(loaded, norm, shift_back):
    sae = random_sae(norm=norm, shift_back=shift_back)
    x = states(loaded)
    a = sae.encode(x)
    feature = int((a > 0).sum(0).argmax())
    mean = x.mean(1, keepdim=True)
    scale = {
        "layer_norm": (x - mean).std(1, keepdim=True),
        "standardise": (x - mean).std(1, keepdim=True) + 1e-5 if shift_back else torch.ones(len(x), 1),
        "constant_norm_rescale": x.norm(dim=1, keepdim=True) / D**0.5,
    }.get(norm, torch.ones(len(x), 1))
    delta = -a[:, feature, None] * scale * sae.W_dec[feature]
    delta[0] = 0  # BOS is left alone
    with bind(loaded, HOOK, sae, {feature: set_to(0)}):
        changed = logits(loaded)
        after = states(loaded)
    torch.testing.assert_close(after, x + delta, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(changed, by_hand(loaded, delta), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(changed, logits(loaded), atol=1e-3)


def test_several_features_are_changed_at_once_and_the_error_of_the_sae_stays(loaded):
    sae, x = random_sae(k=8), states(loaded)
    a = sae.encode(x)
    wanted = a.clone()
    wanted[1:, 7] = 2.5
    wanted[1:, 11] += 3.0
    wanted[1:, 30] = 2 * a[1:, 30] + 1
    delta = sae.rebuild(x, wanted) - sae.rebuild(x, a)
    with bind(loaded, HOOK, sae, {7: set_to(2.5), 11: add(3.0), 30: multiply(2) | add(1)}):
        torch.testing.assert_close(states(loaded), x + delta, atol=1e-4, rtol=1e-5)


def test_the_other_hooks_are_changed_too(loaded):
    sae = random_sae()
    untouched = logits(loaded)
    for site in ("hook_resid_pre", "hook_mlp_out", "hook_attn_out"):
        with bind(loaded, parse_hook(f"blocks.1.{site}"), sae, {3: add(2.0)}):
            changed = logits(loaded)
        assert not torch.allclose(changed, untouched, atol=1e-3), site
    # what enters block 2 is what leaves block 1
    with bind(loaded, parse_hook("blocks.2.hook_resid_pre"), sae, {3: add(2.0)}):
        entering = logits(loaded)
    with bind(loaded, parse_hook("blocks.1.hook_resid_post"), sae, {3: add(2.0)}):
        torch.testing.assert_close(logits(loaded), entering, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("where", "special", "moved"),
    [("all", False, range(1, 8)), ("all", True, range(8)), ("prompt", False, range(1, 8)), ("generated", False, []),
     ((3, 5), False, [3, 5]), ((0, 3), False, [3]), ((0, 3), True, [0, 3])],
)  # fmt: skip
def test_only_the_tokens_that_are_asked_for_are_changed(loaded, where, special, moved):
    sae, x = random_sae(), states(loaded)
    with bind(loaded, HOOK, sae, {3: add(2.0)}, where, special_tokens=special):
        after = states(loaded)
    assert [row for row in range(8) if not torch.equal(after[row], x[row])] == list(moved)


def test_padding_is_no_token(loaded):
    sae = random_sae()
    ids = torch.tensor([[1, 1, *IDS], [0, *range(10, 19)]])
    mask = torch.tensor([[0, 0, *[1] * 8], [1] * 10])
    caught = []

    def watched():
        handle = blocks(loaded)[2].register_forward_hook(
            lambda module, args, output: caught.append(output[0] if isinstance(output, tuple) else output)
        )
        with torch.inference_mode():
            loaded.model(input_ids=ids, attention_mask=mask, use_cache=False)
        handle.remove()

    watched()
    with bind(loaded, HOOK, sae, {3: add(2.0)}, (1, 2), special_tokens=True):
        watched()
    moved = (caught[0] != caught[1]).any(dim=2)
    assert moved[0].nonzero().flatten().tolist() == [3, 4] and moved[1].nonzero().flatten().tolist() == [1, 2]


def test_the_hook_comes_off_after_an_exception(loaded):
    before = n_hooks(loaded)
    untouched = logits(loaded)
    with pytest.raises(ZeroDivisionError), bind(loaded, HOOK, random_sae(), {3: add(2.0)}):
        raise ZeroDivisionError
    with (
        pytest.raises(Refusal, match="there is no layer 9"),
        bind(loaded, parse_hook("9"), random_sae(), {3: add(2.0)}),
    ):
        pass
    with pytest.raises(Refusal, match="input_ids"), bind(loaded, HOOK, random_sae(), {3: add(2.0)}):
        loaded.model(inputs_embeds=torch.zeros(1, 3, D))
    assert n_hooks(loaded) == before and torch.equal(logits(loaded), untouched)


@pytest.mark.parametrize("where", ["all", "prompt", "generated", (2, 9, 12)])
def test_a_continuation_with_a_cache_is_that_without_one(loaded, where):
    sae = random_sae()
    how = Generating(n_tokens=14)
    written = {}
    for use_cache in (True, False):
        with bind(loaded, HOOK, sae, {3: add(4.0), 8: set_to(0)}, where) as places:
            written[use_cache] = continue_prompt(loaded, IDS, how, places, use_cache=use_cache)
    assert written[True] == written[False] and len(written[True].ids) == 14
    by_itself = continue_prompt(loaded, IDS, how)
    assert by_itself.ids != written[True].ids


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("where", ["prompt", "generated", (9, 12)])
def test_transformers_own_generate_finds_the_same_places(loaded, where, use_cache):
    sae = random_sae()
    with bind(loaded, HOOK, sae, {3: add(4.0), 8: set_to(0)}, where):
        ids = torch.tensor([IDS])
        whole = loaded.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, use_cache=use_cache
        )
    with bind(loaded, HOOK, sae, {3: add(4.0), 8: set_to(0)}, where) as places:
        ours = continue_prompt(loaded, IDS, Generating(n_tokens=10), places)
    assert tuple(whole[0, len(IDS) :].tolist())[: len(ours.ids)] == ours.ids


def test_a_greedy_continuation_is_the_argmax_of_each_pass(loaded):
    ids = list(IDS)
    for _ in range(6):
        ids.append(int(logits(loaded, ids)[-1].argmax()))
    written = continue_prompt(loaded, IDS, Generating(n_tokens=6))
    assert written.ids == tuple(ids[len(IDS) :]) and written.ended == "tokens"
    assert written.text.split() == loaded.tokenizer.decode(list(written.ids)).split()


def test_a_seed_draws_the_same_tokens_and_no_change_gives_the_same_text_twice(loaded):
    how = Generating(n_tokens=12, temperature=1.5, seed=3)
    first = continue_prompt(loaded, IDS, how)
    assert first == continue_prompt(loaded, IDS, how)
    assert first != continue_prompt(loaded, IDS, Generating(n_tokens=12, temperature=1.5, seed=4))
    compared = Intervention(loaded, HOOK, random_sae(), {3: multiply(1)}).compare(
        PromptTokens(IDS, [True] * len(IDS)), how
    )
    assert compared.before == compared.after == first and compared.prediction.kl == 0
    assert compared.prediction.loss_before == compared.prediction.loss_after


def test_limits_end_a_continuation(loaded):
    asked = []
    cancelled = Generating(n_tokens=20, cancelled=lambda: bool(asked.append(1)) or len(asked) > 3)
    assert continue_prompt(loaded, IDS, cancelled).ended == "cancelled" and len(asked) == 4
    assert continue_prompt(loaded, IDS, Generating(n_tokens=20, seconds=1e-9)).ended == "seconds"
    long = [0, *[5 + number % 50 for number in range(60)]]
    most = continue_prompt(loaded, long, Generating(n_tokens=20))
    assert most.ended in ("context", "stop") and len(most.ids) <= 3
    with pytest.raises(Refusal, match="n_tokens is -1"):
        Generating(n_tokens=-1)


def test_predictions_are_those_of_numpy(loaded):
    sae = random_sae()
    changed = by_hand_of(loaded, sae)
    predicted = predict(loaded, IDS, lambda: bind(loaded, HOOK, sae, {3: add(2.0)}))
    ln = [soft(values.numpy().astype(np.float64)) for values in (logits(loaded), changed)]
    p, q = (np.exp(values[-1]) for values in ln)
    assert predicted.kl == pytest.approx((p * np.log(p / q)).sum(), abs=1e-6) and predicted.kl > 1e-3
    for loss, values in zip((predicted.loss_before, predicted.loss_after), ln, strict=True):
        assert loss == pytest.approx(-np.mean([values[row, IDS[row + 1]] for row in range(7)]), abs=1e-5)
    shown = {token.id: token for token in predicted.next_tokens}
    assert set(shown) == set(np.argsort(-p)[:10]) | set(np.argsort(-q)[:10])
    for token in predicted.next_tokens:
        assert (token.before, token.after) == pytest.approx((p[token.id], q[token.id]), abs=1e-6)
    assert [token.before for token in predicted.next_tokens] == sorted((t.before for t in shown.values()), reverse=True)


def by_hand_of(loaded, sae):
    delta = (2.0 * sae.W_dec[3]).expand(8, D).clone()
    delta[0] = 0
    return by_hand(loaded, delta)


def soft(values):
    shifted = values - values.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def test_a_prompt_is_read_with_bos_and_a_long_one_refused(loaded):
    assert read_prompt(loaded, "w1 w2").ids == [0, 4, 5] and read_prompt(loaded, "w1 w2", bos=False).ids == [4, 5]
    with pytest.raises(Refusal, match="has no token"):
        read_prompt(loaded, "", bos=False)
    with pytest.raises(Refusal, match="101 tokens, but .* reads 64"):
        read_prompt(loaded, "w1 " * 100)
    with pytest.raises(Refusal, match="no chat template"):
        read_prompt(loaded, "w1", chat_template=True)


@pytest.mark.parametrize(
    ("changes", "sae", "sentence"),
    [
        ({48: set_to(0)}, random_sae(), "no feature 48; this SAE has the features 0 to 47"),
        ({-1: set_to(0)}, random_sae(), "no feature -1"),
        ({0: set_to(0)}, random_sae(d=16), "dimension 16, but those of .* have 32"),
    ],
)
def test_what_does_not_fit_is_a_sentence(loaded, changes, sae, sentence):
    with pytest.raises(Refusal, match=sentence), bind(loaded, HOOK, sae, changes):
        pass
    for where in ("everywhere", (-1,)):
        with pytest.raises(Refusal, match="where"), bind(loaded, HOOK, random_sae(), {}, where):
            pass
    for value in (float("nan"), float("inf")):
        with pytest.raises(Refusal, match="finite"):
            set_to(value)


def test_changes_after_each_other():
    both = multiply(2) | add(1)
    assert (
        both == Change(2.0, 1.0) and add(1) | multiply(2) == Change(2.0, 2.0) and multiply(3) | set_to(4) == set_to(4)
    )
    assert (multiply(2) | multiply(0.5)).changes_nothing and not set_to(0).changes_nothing
