"""The gradients written by hand, against torch.autograd on the loss as the papers state it, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featurelib.sae.training.base import State
from featurelib.sae.training.recipe import tuned
from featurelib.sae.training.registry import ARCHITECTURES, find_method
from featurelib.sae.training.sparse_batch import SparseBatch
from featurelib.sae.training.start import first_parameters, shrink_encoder
from featurelib.sae.training.topk import pre_activations

N_TEXTS, N_FEATURES, DIMENSION, K = 10, 24, 8, 3
CHOOSING = ("topk", "batchtopk", "matryoshka")
PENALTY = 0.3


class JumpReLUStep(torch.autograd.Function):
    """The pseudo-derivatives of the appendix of arXiv 2407.14435: z·[z > θ] and [z > θ], rectangle kernel."""

    @staticmethod
    def forward(ctx, z, threshold, bandwidth, value):
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth, ctx.value = bandwidth, value
        opened = (z > threshold).to(z.dtype)
        return z * opened if value else opened

    @staticmethod
    def backward(ctx, output):
        z, threshold = ctx.saved_tensors
        kernel = (((z - threshold) / ctx.bandwidth).abs() < 0.5).to(z.dtype) / ctx.bandwidth
        into_z = output * (z > threshold) if ctx.value else torch.zeros_like(z)
        into_threshold = -(threshold if ctx.value else 1.0) * kernel * output
        return into_z, into_threshold.sum(0), None, None


def case(architecture: str, seed: int = 0, **changes):
    """A method, its parameters in float64 (moved away from where they begin), texts and what the encoder sees."""
    draw = torch.Generator().manual_seed(seed)
    random = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64)  # noqa: E731
    recipe = tuned(
        architecture,
        n_features=N_FEATURES,
        k=K,
        n_samples=1000,
        batch=N_TEXTS,
        **{"k_start": 1.0, "bandwidth": 0.4} | changes,
    )
    method = find_method(recipe)
    x = random(N_TEXTS, DIMENSION)
    parameters = first_parameters(random(N_FEATURES, DIMENSION))
    method.begin(parameters, x)
    for name, value in parameters.items():
        value += 0.1 * random(*value.shape)
        if name == "threshold":
            value.abs_()
    return method, parameters, x, x + 0.1 * random(N_TEXTS, DIMENSION)


def leaves(parameters):
    return {name: value.clone().requires_grad_() for name, value in parameters.items()}


def assert_equal_gradients(gradients, p):
    assert gradients.keys() == p.keys()
    for name, value in p.items():
        np.testing.assert_allclose(gradients[name].numpy(), value.grad.numpy(), atol=1e-6, err_msg=name)
        assert value.grad.abs().sum() > 0, name


def chosen(architecture: str, z: torch.Tensor) -> torch.Tensor:
    """Which entries of z count: the K largest of each row, or the K·n largest of all, in numpy."""
    values = z.detach().numpy()
    if architecture == "topk":
        return torch.from_numpy(values >= np.sort(values, axis=1)[:, -K, None])
    return torch.from_numpy(values >= np.sort(values.ravel())[-K * len(values)])


def choosing_loss(architecture: str, p, x, seen, dead, recipe) -> torch.Tensor:
    z = seen @ p["E"].T + p["b_enc"]
    a = z.relu() * chosen(architecture, z)
    shares = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1) if architecture == "matryoshka" else (1,)
    widths = sorted({max(1, round(share * N_FEATURES)) for share in shares})
    errors = [a[:, :width] @ p["D"][:width] + p["c"] - x for width in widths]
    loss = sum(e.square().sum() for e in errors) / (len(x) * len(widths))
    if not len(dead):
        return loss
    top = z[:, dead].topk(min(recipe.k_aux, len(dead)), dim=1)
    spare = torch.zeros_like(z[:, dead]).scatter(1, top.indices, top.values.relu())
    residual = errors[-1].detach()
    rest = spare @ p["D"][dead] + residual
    weight = recipe.aux * min(1, len(dead) / recipe.k_aux)
    return loss + weight * rest.square().sum() / residual.square().sum()


@pytest.mark.parametrize("k_aux", [None, 3, 50])
@pytest.mark.parametrize("architecture", CHOOSING)
def test_gradients_of_the_choosing_methods(architecture, k_aux):
    method, parameters, x, seen = case(architecture, k_aux=k_aux)
    state = State.begin(parameters, method.numbers())
    z = pre_activations(parameters, seen)
    quiet = ~chosen(architecture, z).any(0)
    dead = (quiet & (torch.arange(N_FEATURES) % 2 == 0)).nonzero()[:, 0] if k_aux else torch.tensor([])
    assert len(dead) >= 2 or not k_aux
    state.silent[dead.long()] = 10**9
    p = leaves(parameters)
    loss = choosing_loss(architecture, p, x, seen, dead, method.recipe)
    loss.backward()
    step = method.learn(state, x, seen)
    assert step.loss == pytest.approx(loss.item(), abs=1e-9)
    assert step.dead == len(dead)
    assert_equal_gradients(step.gradients, p)


def penalised_loss(architecture: str, p, x, seen, recipe) -> torch.Tensor:
    z, n = seen @ p["E"].T, len(x)
    if architecture == "vanilla":
        a = (z + p["b_enc"]).relu()
        return ((a @ p["D"] + p["c"] - x).square().sum() + PENALTY * a.sum()) / n
    if architecture == "jumprelu":
        z = z + p["b_enc"]
        a = JumpReLUStep.apply(z, p["threshold"], recipe.bandwidth, True)
        count = JumpReLUStep.apply(z, p["threshold"], recipe.bandwidth, False).sum()
        return ((a @ p["D"] + p["c"] - x).square().sum() + PENALTY * count) / n
    gate = z + p["b_gate"]
    a = (gate > 0) * (z * p["r_mag"].exp() + p["b_mag"]).relu()
    aside = gate.relu() @ p["D"].detach() + p["c"].detach() - x
    rebuilt = a @ p["D"] + p["c"]
    return ((rebuilt - x).square().sum() + PENALTY * gate.relu().sum() + aside.square().sum()) / n


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in CHOOSING])
def test_gradients_of_the_penalised_methods(architecture, seed):
    method, parameters, x, seen = case(architecture, seed)
    p = leaves(parameters)
    loss = penalised_loss(architecture, p, x, seen, method.recipe)
    loss.backward()
    slopes = method.slopes(parameters, x, seen, PENALTY)
    assert slopes.fvu + PENALTY * slopes.penalised + slopes.auxiliary == pytest.approx(loss.item(), abs=1e-9)
    assert_equal_gradients(slopes.gradients, p)


@pytest.mark.parametrize("kind", ["many", "ties", "few above 0", "uneven", "none above 0"])
@pytest.mark.parametrize("count", [1, 40, 3000])
def test_the_largest_of_a_batch_are_kept(kind, count):
    draw = np.random.default_rng(count)
    z = draw.standard_normal((64, 122)).astype(np.float32)
    if kind == "ties":
        z = np.round(z, 1)
    elif kind == "few above 0":
        z -= 2.5
    elif kind == "none above 0":
        z = -np.abs(z)
    elif kind == "uneven":  # the few numbers that the guess looks at are the largest by far
        z.ravel()[::61] += 100
    cut = np.sort(z.ravel())[-count]
    expected = np.where((z >= cut) & (z > 0), z, 0)
    kept = SparseBatch.largest(torch.from_numpy(z), count)
    dense = torch.zeros(z.shape).index_put_((kept.rows, kept.columns), kept.values)
    np.testing.assert_array_equal(dense.numpy(), expected)
    assert len(kept.values) == np.count_nonzero(expected) and bool((kept.rows.diff() >= 0).all())


def test_the_largest_of_each_row_are_kept():
    z = torch.tensor([[3.0, -1.0, 2.0, 1.0], [-1.0, -2.0, 0.5, -3.0]])
    kept = SparseBatch.largest_of_rows(z, 2)
    dense = torch.zeros(2, 4).index_put_((kept.rows, kept.columns), kept.values)
    np.testing.assert_array_equal(dense.numpy(), [[3, 0, 2, 0], [0, 0, 0.5, 0]])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_begins_with_the_l0_of_its_first_step_and_reconstructions_of_the_best_length(architecture):
    method, _, x, _ = case(architecture, k_start=2.0)
    first = torch.randn(N_FEATURES, DIMENSION, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    parameters = first_parameters(first)
    method.begin(parameters, x)
    shrink_encoder(parameters, method, x)
    kept = method.activate(parameters, x, method.recipe.k_at(0))
    assert len(kept.columns) == pytest.approx(2 * K * N_TEXTS, abs=1)
    rebuilt = kept.times(parameters["D"])
    assert float((x * rebuilt).sum() / rebuilt.square().sum()) == pytest.approx(1, abs=0.02)
