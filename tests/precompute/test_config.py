"""The keys of a build in a YAML file: whatever stands there is read or refused in one sentence, within moments."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from featurelib.embedder.precomputed import open_precomputed
from featurelib.schema import Refusal
from precompute.build.config import BuildConfig
from precompute.build.config_file import read_yaml

NESTED = "[" + ", ".join(["&a [1,1,1,1,1,1,1,1,1,1]", *["[*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]"] * 3]) + "]"
ALIASES = "\n".join(["k:", " - &x0 [1, 1]", *(f" - &x{n} [*x{n - 1}, *x{n - 1}, *x{n - 1}]" for n in range(1, 60))])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("k: 2024-02-30", "is not YAML .day"),
        ('k: !!int "abc"', "is not YAML"),
        ("k: " + "[" * 5000 + "]" * 5000, "is not YAML"),
        (f"k: {NESTED}", "k is .*; a whole number is expected"),
        (ALIASES, "k is .*; a whole number is expected"),
        ("name: [a]", "name is .*; a text is expected"),
        ("k: !!python/object/apply:os.system ['true']", "is not YAML"),
        ("- a\n- b", "holds no keys"),
    ],
)
def test_odd_yaml_is_one_sentence_within_moments(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(content)
    begun = time.monotonic()
    with pytest.raises(Refusal, match=words) as refused:
        read_yaml(path)
    assert len(str(refused.value)) < 400 and time.monotonic() - begun < 10, "aliases of aliases are not written out"


@pytest.mark.parametrize("name", ["text_column", "embeddings", "sae", "embedder", "encoding"])
def test_an_empty_value_is_refused(name: str) -> None:
    with pytest.raises(Refusal, match=f"--{name.replace('_', '-')} is empty; give a value, or leave it out"):
        BuildConfig(source="x.csv", name="x", **{name: ""})
    assert BuildConfig(source="x.csv", name="x", prompt="").prompt == "", "an empty prompt means none"


@pytest.mark.parametrize("shape", [b"(-3, 16), }  ", b"(9**9, 16), }", b"(3, 16        ", b"(10**30, 16)}"])
def test_an_npy_file_whose_header_lies_is_a_sentence(tmp_path: Path, shape: bytes) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 16), np.float32))
    content = (tmp_path / "x.npy").read_bytes()
    right = content[content.index(b"(3, 16)") :][: len(shape)]
    (tmp_path / "x.npy").write_bytes(content.replace(right, shape))
    with pytest.raises(Refusal, match=r"x.npy is not an npy file of numbers \(.+\); save it with numpy.save"):
        open_precomputed(str(tmp_path / "x.npy"), tmp_path)


def test_thousands_of_brackets_are_refused_before_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("source: " + "[" * 5000)
    with pytest.raises(Refusal, match=r"x.yaml is not YAML \(it has more than 500 brackets\)"):
        read_yaml(tmp_path / "x.yaml")


def test_embeddings_under_another_name_transposed_or_bfloat16_say_how_to_mend(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros((3, 16), np.float32))
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    with pytest.raises(Refusal, match="x.npy is an npz archive under another name"):
        open_precomputed(str(tmp_path / "x.npy"), tmp_path)
    np.save(tmp_path / "b.npy", np.zeros((3, 16), np.dtype("V2")))
    with pytest.raises(Refusal, match=r"as numpy writes bfloat16; save it again from float32"):
        open_precomputed(str(tmp_path / "b.npy"), tmp_path)
    np.save(tmp_path / "t.npy", np.zeros((16, 3), np.float32))
    given = open_precomputed(str(tmp_path / "t.npy"), tmp_path)
    with pytest.raises(Refusal, match="16 rows of 3 numbers, and there are 3 texts: it looks transposed"):
        given.matched_by(3, 3, sampled=False)
