"""Old files of mats_sae_training, written with torch.save from objects of classes that no longer exist."""

from __future__ import annotations

import gzip
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch

from featurelib.sae.checkpoints import load_sae
from featurelib.schema import Refusal
from tests.sae.test_sae import B_DEC, B_ENC, I6, W_DEC, W_ENC, tensor
from tests.support.foreign import FOUR, X64, agree, checkpoint, published, relu, tensors


@pytest.fixture
def mats(monkeypatch):
    """The modules whose classes old files name, for as long as a file is written."""
    module = types.ModuleType("sae_training.sparse_autoencoder")
    written = {}
    bases = {"LanguageModelSAERunnerConfig": object, "SparseAutoencoder": torch.nn.Module, "SAEGroup": object}
    for name, base in bases.items():
        written[name] = type(name, (base,), {"__module__": module.__name__})
        setattr(module, name, written[name])
    monkeypatch.setitem(sys.modules, "sae_training", types.ModuleType("sae_training"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return types.SimpleNamespace(**written)


def settings(mats, **changes):
    config = mats.LanguageModelSAERunnerConfig()
    config.__dict__ |= {
        "d_in": 4,
        "d_sae": 6,
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "lr": 4e-4,
    } | changes
    return config


def module(mats, **changes):
    sae = mats.SparseAutoencoder()
    sae.cfg = settings(mats, **changes)
    for name, value in tensors(FOUR).items():
        setattr(sae, name, torch.nn.Parameter(value))
    return sae


def test_a_mats_file_gives_the_published_vectors(mats, tmp_path):
    path = tmp_path / "final_sparse_autoencoder_gpt2-small_blocks.8.hook_resid_pre_6.pt"
    torch.save({"cfg": settings(mats), "state_dict": module(mats).state_dict()}, path)
    read = checkpoint(path)
    assert read.format == "mats_sae_training" and read.log_density is None and read.remarks == ()
    published(read.sae, "B1 standard")


def test_a_file_of_plain_pickle_holds_pickles_in_its_pickle_and_is_refused(mats, tmp_path):
    with gzip.open(tmp_path / "sae.pkl.gz", "wb") as opened:
        pickle.dump({"cfg": settings(mats), "state_dict": module(mats).state_dict()}, opened)
    with pytest.raises(Refusal, match="save it with torch.save"):
        load_sae(tmp_path / "sae.pkl.gz")


def test_a_group_of_one_is_read_and_a_group_of_two_refused(mats, tmp_path):
    group = mats.SAEGroup()
    group.cfg, group.autoencoders = settings(mats), [module(mats)]
    torch.save(group, tmp_path / "group.pt")
    published(load_sae(tmp_path / "group.pt"), "B1 standard")
    group.autoencoders = [(module(mats), settings(mats))]
    torch.save(group, tmp_path / "group.pt")
    published(load_sae(tmp_path / "group.pt"), "B1 standard")
    group.autoencoders = [module(mats), module(mats)]
    torch.save(group, tmp_path / "group.pt")
    with pytest.raises(Refusal, match="a group of 2 SAEs"):
        load_sae(tmp_path / "group.pt")


def test_a_whole_pickled_sae_is_read(mats, tmp_path):
    torch.save(module(mats), tmp_path / "sae.pt")
    published(load_sae(tmp_path / "sae.pt"), "B1 standard")


@pytest.mark.parametrize(
    "wrapped", [lambda densities: densities, lambda densities: [densities], lambda densities: densities[None]]
)
def test_the_densities_beside_a_mats_file_are_read(mats, wrapped, tmp_path):
    path = tmp_path / "blocks.8.hook_resid_pre_6.pt"
    torch.save({"cfg": settings(mats), "state_dict": module(mats).state_dict()}, path)
    torch.save(wrapped(tensor(-I6)), tmp_path / "blocks.8.hook_resid_pre_6_log_feature_sparsity.pt")
    assert checkpoint(path).log_density.tolist() == [0, -1, -2, -3, -4, -5]
    torch.save(wrapped(tensor(np.zeros(5))), tmp_path / "blocks.8.hook_resid_pre_6_log_feature_sparsity.pt")
    with pytest.raises(Refusal, match="the SAE beside it has 6 features"):
        load_sae(path)
    torch.save(wrapped(tensor(np.full(6, np.nan))), tmp_path / "blocks.8.hook_resid_pre_6_log_feature_sparsity.pt")
    with pytest.raises(Refusal, match="NaN for a density"):
        load_sae(path)


def test_the_scale_of_version_1_multiplies_activations_when_they_are_decoded(mats, tmp_path):
    factor = 0.5 + 0.2 * I6
    state = module(mats).state_dict() | {"scaling_factor": tensor(factor)}
    torch.save({"cfg": settings(mats), "state_dict": state}, tmp_path / "sae.pt")
    a = relu((X64 - B_DEC) @ W_ENC + B_ENC)
    agree(load_sae(tmp_path / "sae.pt"), a, (a * factor) @ W_DEC + B_DEC)


@pytest.mark.parametrize(
    ("arrays", "changes", "sentence"),
    [
        ({"b_dec_out": B_DEC}, {}, "also holds b_dec_out"),
        ({"scaling_factor": B_DEC}, {}, "scaling_factor has shape"),
        ({"W_dec": W_ENC}, {}, "transposed"),
        ({}, {"d_sae": 12}, "d_sae = 12 but the tensors say 6"),
        ({}, {"activation_fn": "tanh-relu"}, "only 'relu' is read"),
        ({}, {"normalize_activations": True}, "only 'none' is read"),
    ],
)
def test_a_mats_file_that_contradicts_is_refused(mats, arrays, changes, sentence, tmp_path):
    state = OrderedDict(tensors(FOUR | arrays))
    torch.save({"cfg": settings(mats, **changes), "state_dict": state}, tmp_path / "sae.pt")
    with pytest.raises(Refusal, match=sentence):
        load_sae(tmp_path / "sae.pt")


def test_a_state_dict_without_settings_is_not_taken_for_a_mats_file(tmp_path):
    torch.save({"state_dict": OrderedDict(tensors(FOUR))}, tmp_path / "sae.pt")
    with pytest.raises(Refusal, match="holds no cfg beside its weights"):
        load_sae(tmp_path / "sae.pt")
