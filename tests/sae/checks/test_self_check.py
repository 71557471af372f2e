"""An SAE read wrong must not pass in silence: what the self-check sees on trained SAEs, read right and wrong."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.checks.fit import evenly
from featurelib.sae.checks.self_check import check_sae
from featurelib.sae.formats.saelens import save_saelens
from featurelib.sae.gates import Relu, TopK
from featurelib.sae.model import SAE
from featurelib.schema import Refusal
from featurelib.storage.runs import Run
from precompute.__main__ import main
from precompute.stages import embed
from tests.conftest import STAND_IN
from tests.sae.formats.test_openai_like import saerch
from tests.sae.test_sae import random_sae
from tests.support.sae_files import planted_rows, trained_sae

KINDS = ("topk", "vanilla", "jumprelu")
SIZES = ((32, 32), (32, 48))


def trained(size, kind) -> tuple[SAE, np.ndarray]:
    return trained_sae(*size, kind), planted_rows(size[0])


def turned(matrix: torch.Tensor) -> torch.Tensor:
    return matrix.T.contiguous()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_a_trained_sae_passes_with_the_numbers_of_its_definition(size, kind):
    sae, x = trained(size, kind)
    check = check_sae(sae, x)
    assert check.warnings == ()
    chosen = x[np.linspace(0, len(x) - 1, 1000).round().astype(int)].astype(np.float64)
    rebuilt = sae.reconstruct(chosen).numpy()
    fvu = ((chosen - rebuilt) ** 2).sum() / ((chosen - chosen.mean(0)) ** 2).sum()
    assert check.fit.n == 1000 and check.fit.fvu == pytest.approx(fvu, rel=1e-4) and fvu < 0.4
    assert check.fit.l0 == pytest.approx((sae.encode(chosen) > 0).sum(1).float().mean().item())
    lengths = np.linalg.norm(sae.W_dec.numpy(), axis=1)
    assert check.lengths == pytest.approx((lengths.min(), np.median(lengths), lengths.max()), abs=1e-5)
    W_enc, W_dec = sae.W_enc.numpy(), sae.W_dec.numpy()
    cosines = (W_enc.T * W_dec).sum(1) / (np.linalg.norm(W_enc, axis=0) * lengths)
    assert check.alignment == pytest.approx(cosines.mean(), abs=1e-5)
    centred, back = chosen - chosen.mean(0), rebuilt - rebuilt.mean(0)
    stretch = np.linalg.lstsq(back.reshape(-1, 1), centred.ravel())[0][0]
    assert check.fit.stretch == pytest.approx(stretch, rel=1e-4)
    left = ((centred - stretch * back) ** 2).sum() / (centred**2).sum()
    assert check.fit.best_fvu == pytest.approx(left, rel=1e-3)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_square_sae_with_a_transposed_matrix_is_refused_without_any_embeddings(kind, tied):
    sae = trained_sae(32, 32, kind, tied=tied)
    check_sae(sae)
    for wrong in (
        replace(sae, W_enc=turned(sae.W_enc)),
        replace(sae, W_dec=turned(sae.W_dec)),
        replace(sae, W_enc=turned(sae.W_enc), W_dec=turned(sae.W_dec)),
    ):
        with pytest.raises(Refusal, match="is transposed"):
            check_sae(wrong)


def test_random_weights_are_never_called_transposed():
    for d in (2, 4, 8, 16, 32, 64):
        for seed in range(60):
            draw = torch.Generator().manual_seed(seed)
            W_enc, W_dec = (torch.randn(d, d, generator=draw) for _ in range(2))
            check_sae(SAE(W_enc, torch.zeros(d), W_dec, torch.zeros(d), Relu()))


@pytest.mark.parametrize("factor", [10, 0.1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_weights_of_another_scale_are_seen_on_embeddings(size, kind, factor):
    sae, x = trained(size, kind)
    for name in ("W_enc", "W_dec"):
        assert check_sae(replace(sae, **{name: getattr(sae, name) * factor}), x).warnings


@pytest.mark.parametrize("kind", KINDS)
def test_what_else_is_lost_in_a_wrong_load_is_seen_on_embeddings(kind):
    sae, x = trained((32, 48), kind)
    assert check_sae(replace(sae, b_dec=torch.zeros(32)), x).warnings
    assert check_sae(replace(sae, subtract_b_dec=False), x).warnings
    shortened = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert "the wrong embedder" in " ".join(check_sae(sae, shortened).warnings)
    if kind != "vanilla":
        lost = " ".join(check_sae(replace(sae, gate=Relu()), x).warnings)
        assert "a gate may have been lost" in lost or "made for 3" in lost


def test_what_is_no_sae_at_all_is_refused():
    sae, x = trained((32, 48), "topk")
    for name in ("W_enc", "W_dec"):
        with pytest.raises(Refusal, match=f"{name} holds nothing but zeros"):
            check_sae(replace(sae, **{name: torch.zeros_like(getattr(sae, name))}))
    with pytest.raises(Refusal, match="NaN or infinity"):
        check_sae(replace(sae, W_enc=sae.W_enc * 1e38, gate=TopK(3)), x)


def test_odd_weights_are_said():
    sae, _ = trained((32, 48), "vanilla")
    long = sae.W_dec.clone()
    long[7] *= 1000
    assert "longest direction has length 1e+03" in check_sae(replace(sae, W_dec=long)).warnings[0]
    empty = sae.W_enc.clone()
    empty[:, :2] = 0
    assert "2 of 48 features have encoders of length 0" in check_sae(replace(sae, W_enc=empty)).warnings[0]
    draw = torch.Generator().manual_seed(0)
    W_enc, W_dec = torch.randn(64, 192, generator=draw), torch.randn(192, 64, generator=draw)
    shuffled = SAE(W_enc, torch.zeros(192), W_dec, torch.zeros(64), Relu())
    assert "as if they were of different features" in check_sae(shuffled).warnings[0]


def test_constant_embeddings_have_no_fvu_and_silent_features_are_said():
    sae, x = trained((32, 48), "jumprelu")
    same = np.repeat(x[:1], 50, axis=0)
    assert check_sae(sae, same).fit.fvu is None
    check = check_sae(replace(sae, b_enc=sae.b_enc - 1e4), x)
    assert "no feature fires on 1,000 of these embeddings." in check.warnings


def test_rows_are_drawn_evenly_and_all_where_there_are_few():
    assert evenly(5, 1000).tolist() == [0, 1, 2, 3, 4]
    drawn = evenly(100_000, 1000)
    assert len(drawn) == 1000 and drawn[0] == 0 and drawn[-1] == 99_999 and set(np.diff(drawn)) <= {100, 101}


def test_loading_says_and_refuses_what_the_check_finds(tmp_path):
    sae, x = trained((32, 32), "vanilla")
    save_saelens(replace(sae, W_dec=10 * sae.W_dec), tmp_path / "long")
    load_sae(tmp_path / "long")
    with pytest.warns(UserWarning, match="long: FVU is .*worse than their mean"):
        load_sae(tmp_path / "long", embeddings=x)
    save_saelens(replace(sae, W_enc=turned(sae.W_enc)), tmp_path / "turned")
    with pytest.raises(Refusal, match="is transposed"):
        load_sae(tmp_path / "turned")


# at a build


def build(planted, folder, *flags) -> int:
    columns = ("--text-column", "abstract", "--title-column", "title", "--id-column", "id")
    return main(["build", str(planted.path), "--name", "x", "--data", str(folder / "data"), *columns, *flags])


@pytest.mark.parametrize("given", ["embedder", "npy", "parquet"])
def test_an_sae_for_another_dimension_is_refused_before_anything_is_embedded(
    given, planted, tmp_path, capsys, monkeypatch
):
    save_saelens(trained_sae(32, 48, "topk"), tmp_path / "sae")
    rows = np.ones((600, 64), np.float32)
    np.save(tmp_path / "rows.npy", rows)
    pq.write_table(pa.table({"e": pa.array(list(rows))}), tmp_path / "rows.parquet")
    flags = {
        "embedder": ("--embedder", STAND_IN),
        "npy": ("--embeddings", str(tmp_path / "rows.npy")),
        "parquet": ("--embeddings", f"{tmp_path / 'rows.parquet'}:e"),
    }[given]
    monkeypatch.setattr(embed.Parts, "write", lambda *_: pytest.fail("embedded"))
    assert build(planted, tmp_path, *flags, "--sae", str(tmp_path / "sae")) == 2
    sentence = "the embeddings have dimension 64 but the SAE 'sae' was trained on dimension 32; use the embedder it"
    assert sentence in capsys.readouterr().err


def test_a_build_says_what_a_taken_sae_makes_of_its_embeddings_and_gives_a_k(planted, tmp_path, capsys):
    sae = random_sae(64, 96)
    path = saerch(
        tmp_path / "sae",
        {
            "encoder.weight": sae.W_enc.T,
            "decoder.weight": sae.W_dec.T,
            "latent_bias": sae.b_enc,
            "pre_bias": sae.b_dec,
        },
        "weights.pth",
    )
    flags = ("--embedder", STAND_IN, "--to", "train", "--sae", str(path))
    assert build(planted, tmp_path, *flags) == 2
    assert "--k" in capsys.readouterr().err
    assert build(planted, tmp_path, *flags, "--k", "4") == 0
    printed = capsys.readouterr().out
    said = re.search(r"the SAE 'weights.pth': FVU ([\d.]+) and L0 4.0 on ([\d,]+) of these embeddings", printed)
    assert said and float(said[1]) > 1 and "warning: FVU is" in printed
    facts = Run(tmp_path / "data" / "x").generations()[-1].describe()["sae"]
    assert (facts["k"], facts["format"], facts["source"]) == (4, "saerch", "weights.pth")
    assert build(planted, tmp_path, *flags, "--k", "4", "--features", "9") == 2
    assert "--features has no meaning together with --sae" in capsys.readouterr().err
