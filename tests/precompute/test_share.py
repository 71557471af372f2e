"""A run without texts of its own: the copy, what is read of it, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from featurelib import queries
from featurelib.schema import BY_TEXT, EMBEDDINGS, TEXTS, Refusal
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.run_manifest import verify
from featurelib.storage.runs import Done, Run, find_run
from featurelib.storage.store import open_store
from precompute.__main__ import main
from tests.support.numpy_run import make_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with one run, and beside it a copy of another that shares its texts."""
    made = make_run(tmp_path / "runs" / "whole")
    make_run(tmp_path / "elsewhere" / "lean")
    shutil.copytree(made.run.path, tmp_path / "elsewhere" / "whole")
    assert share(tmp_path, "--without", "audit") == 0
    return tmp_path / "runs"


def share(tmp_path: Path, *flags: str) -> int:
    where = ["--data", str(tmp_path / "elsewhere")]
    return main(["share", "lean", "whole", str(tmp_path / "runs"), *where, *flags])


def test_the_copy_reads_the_texts_of_the_other_run(folder: Path) -> None:
    lean, whole = (find_run(folder, name).current() for name in ("lean", "whole"))
    assert lean.complete and not list(verify(lean))[0][1]
    own = [path.relative_to(lean.path).as_posix() for path in lean.path.rglob("*.parquet")]
    assert not any(name.startswith((TEXTS.path, EMBEDDINGS.path)) for name in own)
    assert any(name.startswith(BY_TEXT.path) for name in own) and not any("audit" in name for name in own)
    store = open_store(lean)
    assert store.ask("select text from texts order by text_id").equals(
        open_store(whole).ask("select text from texts order by text_id")
    )
    assert queries.feature(store, 8).n_active == queries.feature(open_store(whole), 8).n_active
    both = [np.concatenate([read_embeddings(part) for part in each.parts(EMBEDDINGS)]) for each in (lean, whole)]
    assert np.array_equal(*both)
    assert queries.why_not_comparable(lean, whole) is None


def test_without_the_other_run_it_says_so(folder: Path) -> None:
    shutil.move(folder / "whole", folder.parent / "away")
    with pytest.raises(Refusal, match="has the texts and embeddings of whole/g0001, which is not beside it"):
        open_store(find_run(folder, "lean").current())


def test_another_build_of_the_other_run_is_not_taken(folder: Path) -> None:
    whole = find_run(folder, "whole").current()
    done = whole.done("ingest")
    assert done is not None
    whole.mark_done("ingest", Done("other texts", done.facts, done.line, {}))
    with pytest.raises(Refusal, match="or was built from others"):
        find_run(folder, "lean").current().shared()


@pytest.mark.parametrize("words", ["../outside/g0001", "whole", "", "whole/../../x", "/etc/g0001", "..whole/g0001"])
def test_nothing_else_is_followed(folder: Path, words: str) -> None:
    lean = find_run(folder, "lean").current()
    (lean.path / "shares").write_text(words)
    with pytest.raises(Refusal, match="RUN/GENERATION is expected"):
        lean.shared()


def test_a_link_out_of_the_folder_is_not_followed(folder: Path) -> None:
    shutil.move(folder / "whole", folder.parent / "away")
    (folder / "whole").symlink_to(folder.parent / "away")
    with pytest.raises(Refusal, match="not beside it"):
        find_run(folder, "lean").current().shared()


def test_a_changed_file_of_the_other_run_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", str(folder)]
    assert main(["verify", "lean", *flags]) == 0
    path = find_run(folder, "whole").current().file(TEXTS)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert main(["verify", "lean", *flags]) == 2
    assert "whole/g0001/texts.parquet has changed" in capsys.readouterr().out
    path.unlink()
    with pytest.raises(Refusal, match="is damaged: whole/g0001/texts.parquet is missing"):
        open_store(find_run(folder, "lean").current())


def test_the_same_texts_in_a_later_build_of_the_other_run_are_taken(folder: Path) -> None:
    shutil.move(folder / "whole" / "g0001", folder / "whole" / "g0003")
    (folder / "whole" / "current").write_text("g0003\n")
    assert open_store(find_run(folder, "lean").current()).n_texts == 300


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lean", "lean"], "'lean' has no texts of its own that 'lean' could share"),
        (["whole", "lean"], "'lean' has no texts of its own that 'whole' could share"),
        (["lean", "whole", "--without", "ingest"], "--without ingest cannot be"),
        (["lean", "whole", "--without", "encode"], "--without encode cannot be"),
    ],
)
def test_copies_that_could_not_open_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    name, other, *flags = words
    assert main(["share", name, other, str(folder.parent / "copies"), "--data", str(folder), *flags]) == 2
    assert said in capsys.readouterr().err and not (folder.parent / "copies").exists()


def test_what_is_there_or_differs_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert share(folder.parent) == 2 and "is there already" in capsys.readouterr().err
    other = Run(folder.parent / "elsewhere" / "lean").current()
    done = other.done("embed")
    assert done is not None
    other.mark_done("embed", Done("others", done.facts, done.line, {}))
    shutil.rmtree(folder / "lean")
    assert share(folder.parent) == 2
    assert "do not have the same texts and embeddings (stage 'embed')" in capsys.readouterr().err
