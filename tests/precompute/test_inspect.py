"""`inspect` and `export`: what a file is, told without running it; what is written for others, read again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from featurelib.sae import export
from featurelib.sae.checkpoints import load_sae, save_sae
from featurelib.sae.formats.saelens import save_saelens
from featurelib.sae.gates import GroupMax, KeepsMax, Relu, TopK
from featurelib.sae.model import SAE
from featurelib.storage import files
from precompute.__main__ import main
from tests.sae.formats.test_openai_like import saerch
from tests.sae.test_sae import random_sae
from tests.support.foreign import FOUR, pt


def told(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, str], str]:
    """The lines by their labels, and the complaint."""
    captured = capsys.readouterr()
    lines = [(line[:14].strip(), line[14:]) for line in captured.out.splitlines()]
    return {label: text for label, text in lines if label}, captured.err


def with_gate(gate, **changes) -> SAE:
    sae = random_sae()
    return SAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, gate, **changes)


def test_a_run_is_told_in_full(tiny, tiny_data, capsys):
    assert main(["inspect", str(tiny_data / "tiny")]) == 0
    lines, _ = told(capsys)
    weights = tiny.current().sae_folder / "sae_weights.safetensors"
    sae = load_sae(tiny_data / "tiny")
    assert lines["sha256"] == files.sha256_file(weights)
    assert lines["file"] == f"sae_weights.safetensors, {weights.stat().st_size:,} bytes"
    assert (lines["format"], lines["architecture"], lines["k"]) == ("SAELens", "batchtopk", "3")
    assert lines["sizes"] == "d_in 64, 32 features" and lines["b_dec"] == "subtracted before encoding"
    assert float(lines["thresholds"]) == pytest.approx(float(sae.gate.threshold[0]), rel=1e-5)
    assert lines["in a run"] == "kept in SAELens' layout, as jumprelu"
    assert re.fullmatch(r"W_dec +float32 +\[32, 64\]", lines["tensors"])
    assert "missing" not in lines and str(tiny_data) not in str(lines)


def test_what_a_file_leaves_open_is_told_with_its_flag(tmp_path, capsys):
    path = saerch(tmp_path / "sae", name="weights.pth")
    assert main(["inspect", str(path)]) == 2
    lines, complaint = told(capsys)
    assert "encoder.weight" in lines["tensors"] and "--k" in complaint and "format" not in lines
    assert main(["inspect", str(path), "--k", "2"]) == 0
    assert told(capsys)[0]["k"] == "2"
    folder = pt(tmp_path / "batch", FOUR, {"sae_type": "batchtopk", "top_k": 2, "input_unit_norm": True})
    assert main(["inspect", str(folder)]) == 0
    lines, _ = told(capsys)
    assert "--threshold" in lines["missing"] and lines["architecture"] == "batchtopk" and "thresholds" not in lines
    assert "top_k = 2" in lines["says"] and lines["kind"] == "pickle"
    assert main(["inspect", str(folder), "--threshold", "1.3"]) == 0
    lines, _ = told(capsys)
    assert lines["thresholds"] == "1.3" and "missing" not in lines and "threshold asked for" in lines["remark"]


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("canary"),)


def test_a_hostile_file_is_named_and_not_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"W_enc": Evil()}, tmp_path / "sae.pt")
    assert main(["inspect", str(tmp_path / "sae.pt")]) == 2
    lines, complaint = told(capsys)
    assert lines["sha256"] == files.sha256_file(tmp_path / "sae.pt") and "tensors" not in lines
    assert "touch" in complaint or "getattr" in complaint
    assert not (tmp_path / "canary").exists()


def test_names_in_a_file_cannot_steer_the_terminal(tmp_path, capsys):
    save_file({"W\x1b[2J\n": torch.ones(2)}, tmp_path / "x.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps({"key\x1b": "\x07"}))
    assert main(["inspect", str(tmp_path / "x.safetensors")]) == 2
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "\x07" not in printed and "W?[2J?" in printed


def test_an_sae_that_saelens_has_no_place_for_is_told_to_be_foreign(tmp_path, capsys):
    save_sae(with_gate(KeepsMax(torch.full((192,), 0.5)), norm="layer_norm", shift_back=False), tmp_path / "sae")
    assert main(["inspect", str(tmp_path / "sae")]) == 0
    lines, _ = told(capsys)
    assert lines["in a run"].startswith("kept as 'foreign'") and lines["norm"].startswith("layer_norm, not undone")
    assert lines["gate"].startswith("keepsmax")


def test_a_weight_that_looks_wrong_is_warned_of(tmp_path, capsys):
    sae = random_sae()
    W_dec = sae.W_dec.clone()
    W_dec[3] *= 1e6
    save_saelens(SAE(sae.W_enc, sae.b_enc, W_dec, sae.b_dec, Relu()), tmp_path / "sae")
    assert main(["inspect", str(tmp_path / "sae")]) == 0
    assert "longest direction" in told(capsys)[0]["warning"]


@pytest.mark.parametrize(
    ("sae", "layout"),
    [
        (random_sae(), "saelens"),
        (with_gate(TopK(5), norm="layer_norm"), "saelens"),
        (with_gate(TopK(5)), "sparsify"),
        (with_gate(GroupMax(4), W_skip=0.1 * torch.randn(48, 48)), "sparsify"),
    ],
)
def test_what_is_exported_is_the_same_sae(sae, layout, tmp_path, capsys):
    save_sae(sae, tmp_path / "sae")
    out = tmp_path / "made" / "out"
    assert main(["export", str(tmp_path / "sae"), str(out), "--layout", layout]) == 0
    assert "are equal" in capsys.readouterr().out
    names = {"saelens": {"cfg.json", "sae_weights.safetensors"}, "sparsify": {"cfg.json", "sae.safetensors"}}[layout]
    assert {path.name for path in out.iterdir()} == names and len(list(out.parent.iterdir())) == 1
    stored = load_file(out / (names - {"cfg.json"}).pop())
    encoder = stored["W_enc"] if layout == "saelens" else stored["encoder.weight"].T
    assert torch.equal(encoder, sae.W_enc)
    x = np.random.default_rng(0).normal(size=(50, 48)).astype(np.float32)
    assert torch.equal(load_sae(out).reconstruct(x), sae.reconstruct(x))
    assert (sae.encode(export._rows(sae)) > 0).any(dim=1).float().mean() > 0.4


def test_nothing_is_overwritten_and_what_a_layout_cannot_hold_is_refused(tmp_path, capsys):
    save_saelens(random_sae(), tmp_path / "sae")
    before = (tmp_path / "sae" / "cfg.json").read_bytes()
    assert main(["export", str(tmp_path / "sae"), str(tmp_path / "sae"), "--layout", "saelens"]) == 2
    assert "is there already" in capsys.readouterr().err and (tmp_path / "sae" / "cfg.json").read_bytes() == before
    assert main(["export", str(tmp_path / "sae"), str(tmp_path / "out"), "--layout", "sparsify"]) == 2
    assert "no place for this SAE" in capsys.readouterr().err
    folder = pt(tmp_path / "batch", FOUR, {"sae_type": "batchtopk", "top_k": 2, "input_unit_norm": True})
    assert main(["export", str(folder), str(tmp_path / "out"), "--layout", "saelens"]) == 2
    assert "--threshold" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch", "sae"]
    assert main(["export", str(folder), str(tmp_path / "out"), "--layout", "saelens", "--threshold", "1.3"]) == 0
    assert main(["export", str(folder), str(tmp_path / "x"), "--layout", "openai"]) == 2
    assert "invalid choice" in capsys.readouterr().err


def test_a_writer_that_writes_another_sae_is_caught(tmp_path, capsys, monkeypatch):
    save_saelens(random_sae(), tmp_path / "sae")
    wrong = SAE(*(getattr(random_sae(seed=1), name) for name in ("W_enc", "b_enc", "W_dec", "b_dec", "gate")))
    monkeypatch.setitem(export.WRITERS, "saelens", lambda sae, folder: save_saelens(wrong, folder))
    assert main(["export", str(tmp_path / "sae"), str(tmp_path / "out"), "--layout", "saelens"]) == 2
    assert "reads back with another" in capsys.readouterr().err and not (tmp_path / "out").exists()
