"""Odd and hostile files of an SAE that once ended in a traceback, or were read in silence as something they are not."""

from __future__ import annotations

import json
import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.export import export_sae
from featurelib.sae.gates import Relu
from featurelib.sae.model import SAE
from featurelib.sae.sources.find import find_place
from featurelib.sae.sparse import Sparse
from featurelib.schema import Refusal
from precompute.__main__ import main
from tests.support.sae_files import examples, planted_rows, trained_sae

EXAMPLES = examples(32, 48)
HUGE = 10**400
"""A whole number that JSON may hold and no float can."""


def refused(source, match, **asked):
    with pytest.raises(Refusal, match=match) as refusal:
        load_sae(source, **asked)
    sentence = str(refusal.value)
    assert "\n" not in sentence and "\x1b" not in sentence and sentence.endswith(".")


def written(name, folder, **settings):
    source = EXAMPLES[name].write(folder, EXAMPLES[name].tensors)
    for path in folder.glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return source


@pytest.mark.parametrize(
    ("name", "settings", "match"),
    [
        ("own", {"trained_as": ["topk"]}, "trained_as = "),
        ("own", {"target_k": "three"}, "target_k = "),
        ("own", {"target_k": HUGE}, "target_k = "),
        ("llama_scope", {"jump_relu_threshold": HUGE}, "jump_relu_threshold = "),
        ("llama_scope", {"jump_relu_threshold": 1e300}, "jump_relu_threshold = "),
        ("llama_scope", {"dataset_average_activation_norm": {"in": HUGE}}, "dataset_average_activation_norm = "),
        ("llama_scope", {"dataset_average_activation_norm": {"in": 1e-300}}, "NaN or infinite"),
        ("opensae", {"activation": "jumprelu", "jumprelu_theta": HUGE}, "jumprelu_theta = "),
        ("opensae", {"activation": "jumprelu", "jumprelu_theta": 1e300}, "jumprelu_theta = "),
        ("opensae", {"activation": "jumprelu", "jumprelu_theta": float("nan")}, "jumprelu_theta = "),
    ],
)
def test_a_setting_that_no_float_can_hold_or_of_a_wrong_kind_is_refused(name, settings, match, tmp_path):
    refused(written(name, tmp_path / "sae", **settings), match)


@pytest.mark.parametrize("metadata", [{"target_l0": HUGE}, {"target_l0": -7}, {"trained_as": {}}, {"trained_as": 5}])
def test_odd_metadata_of_saelens_says_nothing_about_the_sae(metadata, tmp_path):
    sae = load_sae(written("saelens", tmp_path / "sae", metadata={"trained_as": "x"} | metadata))
    assert sae.k is None and sae.architecture in ("x", "jumprelu")


@pytest.mark.parametrize("threshold", [1e300, float("inf"), float("nan")])
@pytest.mark.parametrize(
    ("name", "key", "settings"),
    [
        ("latent_sae", "batchtopk_threshold", {"sae_type": "BATCHTOPK"}),
        ("saelens_training", "topk_threshold", {}),
        ("hypothesaes", "threshold", {}),
    ],
)
def test_a_single_threshold_that_float32_cannot_hold_is_refused(name, key, settings, threshold, tmp_path):
    example = EXAMPLES[name]
    kept = {tensor_name: tensor for tensor_name, tensor in example.tensors.items() if "threshold" not in tensor_name}
    source = example.write(tmp_path / "sae", kept | {key: torch.tensor(threshold, dtype=torch.float64)})
    for path in source.glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    refused(source, "threshold")


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"architecture": "gated"}, "--architecture is gated"),
        ({"threshold": -1.0}, "--threshold is -1.0; give a number from 0"),
        ({"threshold": 1e300}, "--threshold is"),
        ({"k": 7}, "--k is 7"),
    ],
)
def test_what_is_asked_for_and_is_not_so_is_refused_instead_of_ignored(name, asked, match, tmp_path):
    if name == "saerch" and "k" in asked:
        return  # any k may be that of its file
    source = EXAMPLES[name].write(tmp_path / "sae", EXAMPLES[name].tensors)
    refused(source, match, **(EXAMPLES[name].asked | asked))


# safetensors


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda header: json.dumps(header | {"__metadata__": {"a": 1}}).encode(), "cannot be read"),
        (lambda header: json.dumps(header).encode("utf-16"), "cannot be read"),
        (lambda header: b"\xef\xbb\xbf" + json.dumps(header).encode(), "cannot be read"),
        (lambda header: json.dumps(header).encode().replace(b'"b_dec"', b'"b_dec\\ud800"'), "cannot be read"),
        (lambda header: json.dumps(header).encode().replace(b'"b_dec"', b'"b_dec\\u001b[31m\\n"'), "also holds b_dec"),
    ],
)
def test_a_header_that_only_python_would_read_is_refused(change, match, tmp_path):
    source = written("sparsify", tmp_path / "sae")
    path = find_place(source).weights
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = change(json.loads(whole[8 : 8 + length]))
    path.write_bytes(struct.pack("<Q", len(header)) + header + whole[8 + length :])
    refused(source, match)


def test_many_tensors_are_not_all_named(tmp_path):
    source = written("sparsify", tmp_path / "sae")
    path = find_place(source).weights
    save_file(load_file(path) | {f"more{number}": torch.ones(1) for number in range(20)}, path)
    refused(source, "and 12 more")


def test_a_config_that_says_a_thing_twice_is_refused(tmp_path):
    source = written("sparsify", tmp_path / "sae")
    path = find_place(source).config
    path.write_text(path.read_text()[:-1] + ', "k": 4}')
    refused(source, "stands there twice")


# npz


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(128)


def in_central(place: int, value: int):
    """A change of two bytes in the first entry of the archive's list."""

    def change(path):
        whole = bytearray(path.read_bytes())
        start = whole.find(b"PK\x01\x02") + place
        whole[start : start + 2] = value.to_bytes(2, "little")
        path.write_bytes(whole)

    return change


def with_member(content: bytes, *, twice: bool = False):
    def change(path):
        with zipfile.ZipFile(path) as opened:
            members = {name: opened.read(name) for name in opened.namelist()}
        with zipfile.ZipFile(path, "w") as packed, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, before in members.items():
                if twice or name != "b_dec.npy":
                    packed.writestr(name, before)
            packed.writestr("b_dec.npy", content)

    return change


def long_doubles(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **arrays | {"b_dec": arrays["b_dec"].astype(np.longdouble)})


PLAIN = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }\n"


@pytest.mark.parametrize(
    "change",
    [
        in_central(0, 0xDEAD),  # no such list
        in_central(6, 99),  # a version that is to come
        in_central(8, 1),  # encrypted
        in_central(8, 0x40),  # strongly so
        in_central(10, 77),  # packed in an unknown way
        in_central(28, 60000),  # a name that never ends
        with_member(npy("{'descr': (\n")),
        with_member(npy(PLAIN % 10**30)),
        with_member(npy("(" * 5000 + ")" * 5000 + "\n")),
        with_member(npy(PLAIN % 32), twice=True),
        long_doubles,
    ],
)
def test_an_odd_npz_is_refused(change, tmp_path):
    source = written("gemma_scope", tmp_path / "sae")
    change(find_place(source).weights)
    refused(source, "params.npz")


def test_a_flipped_bit_in_the_list_of_an_npz_never_ends_in_a_traceback(tmp_path):
    source = written("gemma_scope", tmp_path / "sae")
    path = find_place(source).weights
    whole = path.read_bytes()
    for place in range(whole.find(b"PK\x01\x02"), len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            load_sae(source)
        except Refusal as refusal:
            assert "\n" not in str(refusal)


# around the files


@pytest.mark.parametrize("current", [b"g0009\n", b"\xff\xfe", b"", b"a\0b", b"../../etc", b"/etc"])
def test_a_run_whose_current_leads_nowhere_or_elsewhere_is_refused(current, tmp_path):
    written("sparsify", tmp_path / "run" / "g0001" / "sae")
    (tmp_path / "run" / "current").write_bytes(current)
    refused(tmp_path / "run", "names no generation that is there")
    (tmp_path / "run" / "current").write_bytes(b"g0001\n")
    assert load_sae(tmp_path / "run").k == 3


@pytest.mark.parametrize("manifest", ["[]", '{"files": []}', '{"files": {"sae/sae.safetensors": 5}}', "5"])
def test_somebody_elses_manifest_is_not_ours(manifest, tmp_path):
    source = written("sparsify", tmp_path / "sae")
    (tmp_path / "manifest.json").write_text(manifest)
    assert load_sae(source).k == 3


def test_a_user_that_is_not_there_is_no_place():
    with pytest.raises(Refusal, match="there is no SAE at '~nobody.here/x'"):
        load_sae("~nobody.here/x")


def test_an_export_to_the_folder_in_which_one_stands_leaves_it_in_place(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    number = folder.stat().st_ino
    export_sae(trained_sae(32, 48, "topk"), type(folder)("."), "sparsify")
    assert folder.stat().st_ino == number and sorted(path.name for path in folder.iterdir()) == [
        "cfg.json",
        "sae.safetensors",
    ]


# sparse activations


def test_sparse_activations_decode_in_any_order_and_none_outside_the_dictionary():
    sae, x = trained_sae(32, 48, "topk"), planted_rows(32)[:9]
    sparse, dense = sae.encode_sparse(x), sae.encode(x)
    order = torch.randperm(len(sparse.rows), generator=torch.Generator().manual_seed(0))
    mixed = Sparse(*(column[order] for column in sparse))
    torch.testing.assert_close(sae.decode(mixed, n=9), sae.decode(dense))
    as_arrays = Sparse(*(column.numpy() for column in sparse))
    torch.testing.assert_close(sae.decode(as_arrays), sae.decode(dense))
    with pytest.raises(Refusal, match="row .* not among the 2"):
        sae.decode(sparse, n=2)
    for outside in (-1, 48, 10**6):
        with pytest.raises(Refusal, match="feature_id .* not among the 48"):
            sae.decode(Sparse(torch.tensor([0]), torch.tensor([outside]), torch.tensor([1.0])))
    with pytest.raises(Refusal, match="not of one length"):
        sae.decode(Sparse(torch.tensor([0]), torch.tensor([1, 2]), torch.tensor([1.0])))


def test_one_dimension_has_no_spread_to_divide_by():
    matrix, bias = torch.ones(1, 1), torch.zeros(1)
    with pytest.raises(Refusal, match="d_in is 1"):
        SAE(matrix, bias, matrix, bias, Relu(), norm="layer_norm")
    SAE(matrix, bias, matrix, bias, Relu())


# what inspect says


def test_inspect_shows_the_settings_one_level_down_and_the_gate_that_a_build_keeps(tmp_path, capsys):
    example = EXAMPLES["dictionary_learning"]
    source = example.write(tmp_path / "sae", example.tensors | {"threshold": torch.tensor(-1.0)})
    assert main(["inspect", str(source)]) == 0
    said = capsys.readouterr().out
    assert "trainer.dict_class = 'BatchTopKSAE'" in said and "kept in SAELens' layout, as jumprelu" in said
