"""Where SAEs come from: folders, runs, a hub that is really asked, W&B as far as it can be without its service."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.formats.saelens import save_saelens
from featurelib.sae.sources import find, hub, wandb_artifact
from featurelib.sae.sources.find import find_place
from featurelib.sae.sources.locate import Names, choose
from featurelib.schema import Refusal
from featurelib.storage.runs import Run
from tests.sae.test_sae import random_sae
from tests.support.hub import COMMIT, Hub, in_new_python, serve

X = np.random.default_rng(3).normal(size=(5, 48)).astype(np.float32)
LOAD = """
import json, sys, time
import numpy as np
from featurelib.storage.runs import Run
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.sources.find import find_place
x = np.random.default_rng(3).normal(size=(5, 48)).astype(np.float32)
told = []
for one in sys.argv[1:]:
    began = time.monotonic()
    try:
        place = find_place(one)
        told.append([str(place.weights), load_sae(one).encode(x).tolist()])
    except ValueError as error:
        told.append([str(error), time.monotonic() - began])
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory) -> Path:
    """A repository as people have them: SAEs in folders, an embedder's weights, code, something large."""
    folder = tmp_path_factory.mktemp("repo")
    save_saelens(random_sae(seed=1), folder / "layer_3" / "width_192")
    save_saelens(random_sae(seed=2), folder / "layer_4" / "width_192")
    shutil.copy(folder / "layer_4/width_192/cfg.json", folder / "layer_4/hyperparams.json")
    (folder / "layer_3/width_192/evil.py").write_text("raise SystemExit('never run')")
    (folder / "layer_3/width_192/optimizer_states.pt").write_bytes(b"large")
    save_file({"sparsity": torch.full((192,), -2.0)}, folder / "layer_3/width_192/sparsity.safetensors")
    for name in ("a_32.pth", "b_64.pth"):
        (folder / name).write_bytes(b"not fetched")
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    save_saelens(random_sae(seed=5), folder)
    return folder


@pytest.fixture
def server(repo, plain) -> Iterator[Hub]:
    with serve({"lab/saes": repo, "lab/plain": plain, "lab/gated": plain}, gated=("lab/gated",)) as running:
        yield running


def load(server_url: str, cache: Path, *sources: str, **environment: str) -> list:
    printed = in_new_python(LOAD, *sources, HF_HOME=str(cache), HF_ENDPOINT=server_url, **environment)
    assert printed.returncode == 0, printed.stderr
    return json.loads(printed.stdout.splitlines()[-1])


def test_an_sae_on_the_hub_loads_as_it_does_from_its_folder_and_nothing_else_is_fetched(server, tmp_path):
    sources = ["lab/plain", "lab/saes/layer_3/width_192", "hf://lab/saes/layer_4/width_192", "hf://lab/plain@main"]
    sources += ["lab/saes@refs/pr/1/layer_3/width_192"]
    sources += [f"lab/saes/layer_4/width_192/sae_weights.safetensors@{COMMIT}"]
    answers = load(server.url, tmp_path / "hf", *sources)
    for (weights, activations), seed in zip(answers, (5, 1, 2, 5, 1, 2), strict=True):
        np.testing.assert_array_equal(np.float32(activations), random_sae(seed=seed).encode(X).numpy())
        assert Path(weights).is_relative_to(tmp_path / "hf") and f"/snapshots/{COMMIT}/" in weights
    names = {"cfg.json", "sae_weights.safetensors"}
    wanted = {f"layer_{number}/width_192/{name}" for number in (3, 4) for name in names}
    snapshots = [snapshot for snapshot in (tmp_path / "hf").rglob(COMMIT) if snapshot.parent.name == "snapshots"]
    fetched = {
        path.relative_to(snapshot).as_posix()
        for snapshot in snapshots
        for path in snapshot.rglob("*")
        if path.is_file()
    }
    assert fetched == names | wanted | {"layer_3/width_192/sparsity.safetensors"}
    assert not any(name.endswith((".py", ".pth", ".pt")) for name in server.sent)


def test_what_is_in_the_cache_serves_when_the_hub_is_out_of_reach(server, tmp_path):
    first = load(server.url, tmp_path / "hf", "lab/plain", "lab/saes/layer_3/width_192")
    for url, environment in (("http://127.0.0.1:9", {}), (server.url, {"HF_HUB_OFFLINE": "1"})):
        again = load(url, tmp_path / "hf", "lab/plain", "lab/saes/layer_3/width_192", "lab/saes/layer_4", **environment)
        assert again[:2] == first and "cannot be reached" in again[2][0]


def test_a_build_takes_an_sae_from_the_hub_and_keeps_its_commit(server, planted, tmp_path):
    code = "import sys; from precompute.__main__ import main; sys.exit(main(sys.argv[1:]))"
    flags = ["--text-column", "abstract", "--embedder", "stand-in:48", "--to", "train", "--sae", "lab/plain"]
    command = ["build", str(planted.path), "--name", "x", "--data", str(tmp_path / "data"), *flags]
    ended = in_new_python(code, *command, HF_HOME=str(tmp_path / "hf"), HF_ENDPOINT=server.url)
    assert ended.returncode == 0, ended.stderr
    generation = Run(tmp_path / "data" / "x").generations()[0]
    assert generation.describe()["sae"]["source"] == f"lab/plain@{COMMIT[:12]}"
    assert torch.equal(load_sae(generation.sae_folder).encode(X), random_sae(seed=5).encode(X))


def test_a_bit_that_flipped_in_the_cache_is_found_by_the_sha256_that_the_hub_told(server, tmp_path):
    weights = Path(load(server.url, tmp_path / "hf", "lab/plain")[0][0])
    blob = weights.resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    sentence = load(server.url, tmp_path / "hf", "lab/plain")[0][0]
    assert "sae_weights.safetensors in the cache of the hub is damaged" in sentence


def test_what_cannot_be_had_is_a_sentence_each_without_the_token(server, repo, tmp_path):
    server.extra_names = ["../../evil/sae.pt", "/etc/sae.pt", "a/../../sae.pt"]
    server.sizes = {"layer_4/width_192/sae_weights.safetensors": 30 << 30}
    expected = {
        "lab/unknown": "no repository lab/unknown on the hub",
        "lab/unknown/folder@main": "check its spelling",
        "lab/gated": "gated on the hub; accept its terms",
        "lab/plain@v9": "no revision 'v9'",
        "lab/plain/nothere": "holds no 'nothere'; it has no folders",
        "lab/saes/layer_9": "holds no 'layer_9'; its folders are layer_3, layer_4",
        "lab/saes": "holds 2 files that may be SAEs .a_32.pth, b_64.pth.; name one of them",
        "lab/saes/layer_3": "holds no weights .*; give one of its folders .width_192.",
        "lab/saes/layer_4/width_192": "30.0 GiB; at most 20 are fetched",
        "hf://lab": "there is no SAE at 'hf://lab'",
        "lab/saes/../../x": "there is no SAE at",
        "no such thing": "there is no SAE at",
    }
    answers = load(server.url, tmp_path / "hf", *expected, HF_TOKEN="hf_secretsecret")
    for (sentence, _), pattern in zip(answers, expected.values(), strict=True):
        assert isinstance(sentence, str) and re.search(pattern, sentence), sentence
        assert "secret" not in sentence and sentence.endswith(".") and "\n" not in sentence
    assert server.sent == [] and not list(tmp_path.rglob("*.pt"))


def test_a_hub_that_never_answers_is_given_up_in_seconds(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        sentence, seconds = load(endpoint, tmp_path, "lab/far-away")[0]
    assert seconds < 10 and "cannot be reached" in sentence


def test_a_cache_that_may_hold_a_part_only_wants_the_file_to_be_named(server, repo, tmp_path):
    shutil.copy(repo / "layer_3/width_192/sae_weights.safetensors", repo / "c.safetensors")
    try:
        load(server.url, tmp_path / "hf", "lab/saes/c.safetensors")
    finally:
        (repo / "c.safetensors").unlink()
    answers = load("http://127.0.0.1:9", tmp_path / "hf", "lab/saes", "lab/saes/c.safetensors")
    assert "name the file that you mean: hf://lab/saes/c.safetensors" in answers[0][0]
    assert "no format that is known" in answers[1][0]  # it lies there, without a config


def test_a_path_on_this_machine_wins_over_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "fetch", lambda name: pytest.fail("the hub was asked"))
    save_saelens(random_sae(seed=4), tmp_path / "lab" / "saes")
    assert torch.equal(load_sae("lab/saes").encode(X), random_sae(seed=4).encode(X))
    with pytest.raises(Refusal, match="there is no SAE"):
        load_sae(Path("lab/other"))
    with pytest.raises(Refusal, match="there is no SAE"):
        load_sae("lab/sae.pt")


@pytest.mark.parametrize(
    ("text", "repo", "folder", "revision"),
    [
        ("org/name", "org/name", ".", None),
        ("hf://org/name", "org/name", ".", None),
        ("org/name/a/b.c", "org/name", "a/b.c", None),
        ("hf://org/name@v1.0/a", "org/name", "a", "v1.0"),
        ("org/name/a@refs/pr/3", "org/name", "a", "refs/pr/3"),
        ("org/name@refs/pr/3/a", "org/name", "a", "refs/pr/3"),
        ("org/name@feature%2Fx/a", "org/name", "a", "feature/x"),
    ],
)
def test_a_hub_id_is_read_as_the_hubs_client_and_people_write_it(text, repo, folder, revision):
    assert hub.parse(text) == hub.HubName(repo, PurePosixPath(folder), revision)


@pytest.mark.parametrize(
    "text", ["./a/b", "../a/b", "/a/b", "~/a/b", "a", "a/b.pt", "a/b/../c", "a/b@x/c@y", "a\\b/c", "a b/c", "a/b/./c"]
)
def test_what_can_be_no_hub_id_is_none(text):
    assert hub.parse(text) is None


def test_the_weights_of_an_embedder_are_not_taken_for_the_sae_beside_them(tmp_path):
    save_saelens(random_sae(), tmp_path / "2_SparseAutoEncoder")
    (tmp_path / "model.safetensors").write_bytes(b"the embedder's")
    assert find_place(tmp_path).weights == tmp_path / "2_SparseAutoEncoder" / "sae_weights.safetensors"


@pytest.mark.parametrize(
    ("names", "weights", "config", "beside"),
    [
        (
            ["hyperparams.json", "checkpoints/final.safetensors"],
            "checkpoints/final.safetensors",
            "hyperparams.json",
            [],
        ),
        (["config.json", "ae.pt", "checkpoints/ae_10.pt"], "ae.pt", "config.json", []),
        (["x_24576.pt", "x_24576_log_feature_sparsity.pt"], "x_24576.pt", None, ["x_24576_log_feature_sparsity.pt"]),
        (["sae.pt", "config.json", "../sae.npz", "/sae.npz", "..\\sae.npz"], "sae.pt", "config.json", []),
    ],
)
def test_of_a_list_of_files_those_of_the_sae_are_chosen(names, weights, config, beside):
    choice = choose(Names(names), PurePosixPath())
    paths = [None if path is None else str(path) for path in (choice.weights, choice.config)]
    assert [*paths, list(map(str, choice.densities))] == [weights, config, beside]


@pytest.mark.parametrize("name", ["..\\sae.npz", "C:sae.npz", "sae\n.npz", "../sae.npz", "/sae.npz", "a/../sae.npz"])
def test_a_name_that_may_leave_its_folder_on_some_system_is_no_file(name):
    with pytest.raises(Refusal, match="holds no weights"):
        choose(Names([name]), PurePosixPath(), "lab/evil")


def test_a_run_calls_its_sae_by_name_and_commit_and_never_by_path(tmp_path):
    place = find.Place(Path(f"/cache/models--lab--saes/snapshots/{COMMIT}/a/sae.pt"), None)
    assert find.name_source("hf://lab/saes/a@main", place) == "hf://lab/saes/a@cccccccccccc"
    assert find.name_source(str(tmp_path), place) == tmp_path.name
    assert find.name_source("wandb:a/b/c:v0", find.Place(Path("/x/y"), None)) == "wandb:a/b/c:v0"


# Weights & Biases: the form, the choice, and what is said; its service cannot be reached from a test


@pytest.mark.parametrize(
    "text", ["wandb:a/b", "wandb:a/b/c", "wandb:../b/c:v0", "wandb:a/b/c:v0/../..", "wandb:a/b/.:v0"]
)
def test_a_name_that_can_be_no_artifact_is_refused(text):
    with pytest.raises(Refusal, match="give wandb:ENTITY/PROJECT/NAME:VERSION"):
        load_sae(text)


def test_an_artifact_name_is_read():
    name = wandb_artifact.parse("wandb:mshahi/thesis/768_2304_jumprelu_389:v0")
    assert name == ("mshahi", "thesis", "768_2304_jumprelu_389", "v0")


def test_a_version_that_was_fetched_before_is_used_without_asking(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(wandb_artifact, "_client", lambda: pytest.fail("W&B was asked"))
    save_saelens(random_sae(seed=6), wandb_artifact.cache_folder() / "a" / "b" / "c" / "v0")
    assert torch.equal(load_sae("wandb:a/b/c:v0").encode(X), random_sae(seed=6).encode(X))
    (wandb_artifact.cache_folder() / "a" / "b" / "c" / "latest").mkdir()
    with pytest.raises(pytest.fail.Exception, match="was asked"):
        load_sae("wandb:a/b/c:latest")


def test_without_wandb_the_sentence_says_how_to_get_it():
    code = "import sys; sys.modules['wandb'] = None\nimport featurelib; featurelib.load_sae('wandb:a/b/c:v0')"
    assert "Refusal: an SAE on W&B wants W&B's own client; give: pip install wandb." in in_new_python(code).stderr


needs_wandb = pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")


@needs_wandb
def test_of_an_artifact_only_the_sae_is_fetched_and_no_reference_is_followed(tmp_path):
    import wandb

    for name in ("sae.pt", "config.json", "train.py"):
        (tmp_path / name).write_text(name)
    logged = wandb.Artifact("sae", type="model")
    logged.add_dir(str(tmp_path))
    assert wandb_artifact.wanted_files(logged.manifest.entries, "a/b/c:v0") == ["config.json", "sae.pt"]
    pointing = wandb.Artifact("sae", type="model")
    pointing.add_reference(f"file://{tmp_path / 'sae.pt'}", name="sae.pt")
    with pytest.raises(Refusal, match="sae.pt of a/b/c:v0 is only a reference"):
        wandb_artifact.wanted_files(pointing.manifest.entries, "a/b/c:v0")


@needs_wandb
@pytest.mark.parametrize(("key", "sentence"), [("", "give: wandb login"), ("k" * 40, "check that it can be reached")])
def test_a_service_that_does_not_answer_is_a_sentence_in_seconds(key, sentence, tmp_path):
    code = (
        "import featurelib, featurelib.sae.sources.wandb_artifact as room\n"
        "room.ANSWER_SECONDS = 2\nfeaturelib.load_sae('wandb:a/b/c:v0')"
    )
    began = time.monotonic()
    ended = in_new_python(code, HOME=str(tmp_path), WANDB_BASE_URL="http://127.0.0.1:9", WANDB_API_KEY=key)
    last = ended.stderr.splitlines()[-1]
    assert "Refusal" in last and sentence in last and "kkkk" not in last, ended.stderr
    assert time.monotonic() - began < 30


def test_a_pipe_is_refused_and_nothing_beside_it_is_read(tmp_path):
    os.mkfifo(tmp_path / "sae.safetensors")
    with pytest.raises(Refusal, match="sae.safetensors is no plain file"):
        find_place(tmp_path / "sae.safetensors")
