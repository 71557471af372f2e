"""Early stop on texts set aside: when it stops, what it keeps, and which texts those are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featurelib.sae.training.early_stop import counts
from featurelib.sae.training.loop import Training
from featurelib.sae.training.recipe import tuned
from featurelib.sae.training.registry import ARCHITECTURES
from featurelib.schema import Refusal
from precompute.build.config import BuildConfig
from precompute.stages.train.held_out import draw_held_out, draw_set_aside
from tests.sae.training.test_training import write_parts


@pytest.fixture
def noise_texts(tmp_path):
    """Texts without any structure: a dictionary can only memorise them, and rebuilds no other text better."""
    draw = np.random.default_rng(5)
    rows = draw.normal(size=(400, 16)).astype(np.float32)
    return write_parts(tmp_path / "train", rows[:100]), write_parts(tmp_path / "aside", rows[100:])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_stops_when_texts_set_aside_are_no_longer_rebuilt_better_and_keeps_the_best(architecture, noise_texts):
    embeddings, set_aside = noise_texts
    recipe = tuned(
        architecture, n_features=64, k=8, n_samples=40_000, batch=32, noise=0.0, dead_after=10**9, patience=3, decay=0.1
    )
    state = Training.begin(embeddings, recipe, "cpu", set_aside)
    stream, measured = embeddings.batches(32, seed=0), {}
    while not state.ends:
        state.learn(next(stream))
        if counts(recipe, state.state):
            fvu = state.early_stop.measure(state.state.parameters)
            measured[state.state.step] = fvu, state.state.parameters["D"].clone()
    assert state.state.step < recipe.steps
    steps = list(measured)
    best = min(steps, key=lambda step: measured[step][0])
    assert steps.index(best) == len(steps) - 1 - 3
    assert torch.equal(state.early_stop.best({})["D"], measured[best][1])
    assert torch.equal(state.finish(embeddings).W_dec, measured[best][1])


def test_measurements_count_once_the_l0_is_down_to_k(noise_texts):
    recipe = tuned("vanilla", n_features=64, k=3, n_samples=60_000, batch=32, patience=1)
    state = Training.begin(noise_texts[0], recipe, "cpu", noise_texts[1]).state
    every, settled = recipe.steps // 20, recipe.k_steps * recipe.steps

    def counted(l0: float) -> list[int]:
        state.numbers["l0"].fill_(l0)
        steps = []
        for state.step in range(1, recipe.steps + 1):
            steps += [state.step] if counts(recipe, state) else []
        return steps

    on_the_way = [step for step in range(every, recipe.steps, every) if step >= settled]
    assert counted(3.2) == [*on_the_way, *({recipe.steps} - set(on_the_way))]
    assert counted(3.4) == []


def test_texts_set_aside_that_are_the_mean_are_judged_by_their_error(tmp_path, noise_texts):
    rows = np.concatenate(list(noise_texts[0].in_order())).round(1)
    rows -= rows.mean(axis=0)
    embeddings, set_aside = (
        write_parts(tmp_path / "a", rows),
        write_parts(tmp_path / "b", np.zeros((1, 16), np.float32)),
    )
    recipe = tuned("topk", n_features=8, k=2, n_samples=640, batch=32, patience=1)
    state = Training.begin(embeddings, recipe, "cpu", set_aside)
    state.early_stop._texts.zero_()
    state.state.parameters["c"][:] = 0.5
    assert state.early_stop.measure(state.state.parameters) > 0


def test_texts_set_aside_are_training_texts_and_equal_texts_go_together():
    first = np.arange(2000)
    first[1000:1500] = np.arange(500)
    held_out = draw_held_out(first, 0)
    aside = draw_set_aside(first, held_out, 0)
    assert not (aside & held_out).any() and not set(first[aside]) & set(first[~aside])
    assert len(set(first[aside])) == round(0.05 * len(set(first[~held_out])))
    assert (aside == draw_set_aside(first, held_out, 0)).all() and (aside != draw_set_aside(first, held_out, 1)).any()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"architecture": "topk", "threshold": 1.0}, "--threshold has no meaning for --architecture topk"),
        ({"architecture": "gated", "threshold": 1.0}, "--threshold has no meaning for --architecture gated"),
        ({"sae": "some/folder", "patience": 2}, "--patience has no meaning together with --sae"),
        ({"sae": "some/folder", "logger": "tensorboard"}, "--logger has no meaning together with --sae"),
        ({"patience": 0}, "--patience is 0; give a whole number from 1"),
    ],
)
def test_flags_that_mean_nothing_are_refused(flags, sentence):
    with pytest.raises(Refusal, match=sentence):
        BuildConfig(source="texts.csv", name="try", **flags)
