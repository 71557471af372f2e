"""Safetensors in shards with an index: read whole, here and from the hub; an index that lies is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.formats.saelens import save_saelens
from featurelib.sae.sources.find import find_place, weights_sha256
from featurelib.schema import Refusal
from precompute.__main__ import main
from tests.sae.formats.test_unknown_keys import EXPORT
from tests.sae.sources.test_sources import X as HUB_X
from tests.sae.sources.test_sources import load
from tests.sae.test_sae import random_sae
from tests.support.foreign import JUMPING, published, tensors
from tests.support.hub import serve

FIRST = ("W_enc", "W_dec")
INDEX = "model.safetensors.index.json"


def sharded(folder: Path, stem: str = "model", n_first: int = 2, whole: Path | None = None) -> Path:
    """An SAE (of a folder, or a tiny one) as transformers splits it: the first tensors in one file, then the rest."""
    folder.mkdir(parents=True)
    stored = load_file(whole / "sae_weights.safetensors") if whole else tensors(JUMPING)
    names = [*FIRST, *(name for name in stored if name not in FIRST)]
    groups = [group for group in (names[:n_first], names[n_first:]) if group]
    weight_map = {}
    for number, group in enumerate(groups, 1):
        shard = f"{stem}-{number:05d}-of-{len(groups):05d}.safetensors"
        save_file({name: stored[name].contiguous() for name in group}, folder / shard)
        weight_map |= dict.fromkeys(group, shard)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
    (folder / "cfg.json").write_text((whole / "cfg.json").read_text() if whole else json.dumps(EXPORT))
    return folder


@pytest.mark.parametrize(
    ("stem", "n_first"), [("model", 2), ("sae_weights", 1), ("diffusion_pytorch_model", 4), ("model", 0)]
)
def test_shards_are_read_whole_by_folder_index_or_any_of_them(stem, n_first, tmp_path):
    folder = sharded(tmp_path / "sae", stem, n_first)
    for source in [folder, *folder.glob("*.safetensors*")]:
        published(load_sae(source), "B4 jumprelu")


def test_other_weights_beside_an_index_win_by_their_usual_name_only(tmp_path):
    folder = sharded(tmp_path / "sae")
    (folder / "optimizer.pt").write_bytes(b"no weights")
    assert find_place(folder).weights.name == INDEX
    save_file({name: tensor.contiguous() for name, tensor in tensors(JUMPING).items()}, folder / "model.safetensors")
    assert find_place(folder).weights.name == "model.safetensors"


def test_inspect_names_all_files_and_a_hash_that_follows_each_of_them(tmp_path, capsys):
    folder = sharded(tmp_path / "sae")
    before = weights_sha256(find_place(folder))
    assert main(["inspect", str(folder)]) == 0
    lines = capsys.readouterr().out
    assert before in lines and all(path.name in lines for path in folder.glob("model*"))
    second = folder / "model-00002-of-00002.safetensors"
    save_file(load_file(second) | {"b_dec": torch.ones(4)}, second)
    assert weights_sha256(find_place(folder)) != before


def test_shards_come_from_the_hub_and_then_from_its_cache(tmp_path):
    save_saelens(random_sae(seed=1), tmp_path / "whole")
    folder = sharded(tmp_path / "repo", n_first=3, whole=tmp_path / "whole")
    sources = ["lab/sharded", "hf://lab/sharded/model-00001-of-00002.safetensors"]
    with serve({"lab/sharded": folder}) as server:
        answers = load(server.url, tmp_path / "hf", *sources)
    again = load("http://127.0.0.1:9", tmp_path / "hf", *sources)
    for weights, activations in [*answers, *again]:
        assert weights.endswith(INDEX), weights
        assert torch.equal(torch.tensor(activations), random_sae(seed=1).encode(HUB_X))


def set_map(**changes: object) -> Callable[[Path], None]:
    """A change of the index: these tensors are said to lie elsewhere; None takes one out."""

    def change(folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        weight_map = {**index["weight_map"], **changes}
        kept = {name: shard for name, shard in weight_map.items() if shard is not None}
        (folder / INDEX).write_text(json.dumps(index | {"weight_map": kept}))

    return change


def write_index(content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / INDEX).write_text(content)


def no_second(folder: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").unlink()


def pipe_for_second(folder: Path) -> None:
    no_second(folder)
    os.mkfifo(folder / "model-00002-of-00002.safetensors")


def cut_second(folder: Path) -> None:
    second = folder / "model-00002-of-00002.safetensors"
    second.write_bytes(second.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (set_map(b_dec="../secret-00001-of-00002.safetensors"), "expected a shard beside it"),
        (set_map(b_dec="/etc/model-00001-of-00002.safetensors"), "expected a shard beside it"),
        (set_map(b_dec="..\\model-00001-of-00002.safetensors"), "expected a shard beside it"),
        (set_map(b_dec="model-00001-of-00002.safetensors\n"), "expected a shard beside it"),
        (set_map(b_dec="model-00001-of-00002.bin"), "expected a shard beside it"),
        (set_map(b_dec="cfg.json"), "expected a shard beside it"),
        (set_map(b_dec=5), "expected a shard beside it"),
        (set_map(b_dec="model-00003-of-00002.safetensors"), "names model-00003.*not beside it"),
        (no_second, "names model-00002-of-00002.safetensors, which is not beside it"),
        (pipe_for_second, "which is not beside it"),
        (cut_second, "model-00002-of-00002.safetensors has .* it is cut"),
        (set_map(b_dec="model-00001-of-00002.safetensors"), "00001-of-00002.safetensors lacks b_dec, unlike"),
        (set_map(b_dec=None), "00002-of-00002.safetensors also holds b_dec, unlike"),
        (set_map(**{f"t{n}": "model-00001-of-00002.safetensors" for n in range(100)}), "names 105 tensors"),
        (write_index("{}"), "holds no weight_map"),
        (write_index('{"weight_map": []}'), "holds no weight_map"),
        (write_index("[1]"), "no JSON object"),
        (write_index("[" * 5000), "is not JSON"),
        (write_index('{"weight_map": {"b_dec": "a", "b_dec": "b"}}'), "stands there twice"),
    ],
)
def test_an_index_that_lies_or_leads_elsewhere_is_refused(change, sentence, tmp_path):
    folder = sharded(tmp_path / "sae")
    (tmp_path / "secret-00001-of-00002.safetensors").write_bytes(b"never read")
    change(folder)
    with pytest.raises(Refusal, match=sentence) as refused:
        load_sae(folder)
    assert "\n" not in str(refused.value)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    folder = sharded(tmp_path / "sae")
    first = folder / "model-00001-of-00002.safetensors"
    save_file(load_file(first) | {"b_dec": torch.zeros(4)}, first)
    with pytest.raises(Refusal, match="00001-of-00002.safetensors also holds b_dec"):
        load_sae(folder)


@pytest.mark.parametrize(
    ("suffix", "mend"),
    [
        ("safetensors", "their index model.safetensors.index.json, which says what lies where, is not: fetch it too"),
        ("bin", "only those of safetensors are read: save the SAE in one file"),
    ],
)
def test_shards_without_an_index_of_safetensors_are_called_so(suffix, mend, tmp_path):
    for number in (1, 2):
        (tmp_path / f"model-0000{number}-of-00002.{suffix}").write_bytes(b"part")
    with pytest.raises(Refusal, match=f"the shards are there .*{mend}"):
        load_sae(tmp_path)
