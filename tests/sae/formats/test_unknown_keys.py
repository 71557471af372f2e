"""Keys of a config that no version known here writes: one warning with all, and a refusal where numbers change."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.formats.own import save_own
from featurelib.sae.gates import Capped
from featurelib.schema import Refusal
from tests.sae.formats.test_saelens import BATCH, held
from tests.sae.test_sae import random_sae
from tests.support.foreign import FOUR, JUMPING, X, checkpoint, published, safe

EXPORT = {
    "architecture": "jumprelu", "d_in": 4, "d_sae": 6, "dtype": "float32", "device": "cpu", "metadata": {},
    "apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none",
}  # fmt: skip
NEWER = {"checkpoint_path": "C:\\Users\\x\\ckpt", "future": {"k": 1}, "seed": None}
OFF = {"output_bias": False, "input_scale": 1.0, "rescale_acts_by_decoder_norm": False, "input_centering": None}
TRAINING = {"dead_feature_threshold": 1e-6, "decoder_norm_regularization": 0.1, "threshold_lr": 0.01}


@pytest.mark.parametrize("keys", [NEWER, OFF, TRAINING], ids=["of a newer version", "switched off", "of the training"])
def test_unknown_keys_that_change_nothing_are_told_in_one_warning(keys, tmp_path):
    folder = safe(tmp_path / "sae", JUMPING, EXPORT | keys)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sae = load_sae(folder)
    sentences = [str(warning.message) for warning in caught]
    assert len(sentences) == 1 and sentences[0].endswith(f"passed over: {', '.join(sorted(keys))}."), sentences
    published(sae, "B4 jumprelu")


@pytest.mark.parametrize(
    "key",
    [
        {"input_scale": 2.0},
        {"rescale_acts_by_decoder_norm": True},
        {"encoder_activation_fn": "gelu"},
        {"normalize_decoder": {"p": 2}},
        {"k": 2},
    ],
    ids=lambda key: next(iter(key)),
)
def test_an_unknown_key_that_changes_the_numbers_is_refused_and_named(key, tmp_path):
    folder = safe(tmp_path / "sae", JUMPING, EXPORT | NEWER | key)
    with pytest.raises(Refusal, match=f"cfg.json says {next(iter(key))} = .* changes the numbers"):
        load_sae(folder)


def test_a_checkpoint_in_training_keeps_the_remark(tmp_path):
    remarks = checkpoint(safe(tmp_path / "sae", FOUR | held(1.5), BATCH | {"run_name": "x", "notes": ""})).remarks
    assert remarks == ("cfg.json has 2 keys of no version known here, passed over: notes, run_name.",)


def test_our_own_layout_of_a_newer_version_is_read_alike(tmp_path):
    from dataclasses import replace

    sae = random_sae(4, 6)
    sae = replace(sae, gate=Capped(sae.gate.threshold, 2))
    save_own(sae, tmp_path)
    assert checkpoint(tmp_path).remarks == ()
    _add(tmp_path / "cfg.json", written_by="0.9")
    read = checkpoint(tmp_path)
    assert read.remarks == ("cfg.json has a key of no version known here, passed over: written_by.",)
    assert (read.sae.encode(X) == sae.encode(X)).all()
    _add(tmp_path / "cfg.json", output_scale=3)
    with pytest.raises(Refusal, match="output_scale = 3"):
        checkpoint(tmp_path)


def _add(path: Path, **keys: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
