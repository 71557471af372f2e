"""Every format against files that are cut, swapped, renamed, retyped, reshaped, not finite, scaled or transposed."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import pytest
import torch

from featurelib.sae.checkpoints import interpret, load_sae
from featurelib.sae.checks.self_check import check_sae
from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.formats.readers import READERS
from featurelib.sae.sources.find import find_place
from featurelib.sae.weights.contents import Contents, read_contents
from featurelib.schema import Refusal
from featurelib.storage.run_manifest import verify
from featurelib.storage.runs import Run
from precompute.__main__ import main
from tests.support.sae_files import Example, Tensors, examples, planted_rows

READER_OF = {reader.__name__.rpartition(".")[2]: reader for reader in READERS}

OBLONG, SQUARE = (16, 48), (32, 32)
CUTS = 20
FLIPS = 60
UNUSED = {"stats_last_nonzero", "latents_activation_frequency", "latents_mean_square"}
"""What files hold besides the SAE; nothing in it can make an SAE wrong."""
OPTIONAL = {"hypothesaes": {"threshold"}, "dictionary_learning": {"k"}}
"""What the config says too, or what means nothing to this SAE."""
TWINS = {
    "own": {("b_enc", "threshold")},
    "saelens": {("b_enc", "threshold")},
    "gemma_scope": {("b_enc", "threshold")},
    "batchtopk": {("b_enc", "jumprelu.log_threshold")},
    "opensae": {("W_dec", "encoder.weight")},
    "latent_sae": {("W_dec", "encoder.weight"), ("encoder.bias", "log_threshold")},
    "sparsify": {("W_dec", "encoder.weight")},
    "openai": {("latent_bias", name) for name in ("latents_activation_frequency", "latents_mean_square")},
}
"""Tensors of one shape and type, whose exchange nothing in the file can tell."""


@lru_cache
def example(name: str, size: tuple[int, int] = OBLONG) -> Example:
    return examples(*size)[name]


@pytest.fixture(scope="module")
def contents_of(tmp_path_factory) -> Callable[..., Contents]:
    """What the valid file of a format holds, read once; the format's reader is then given changed contents."""

    @lru_cache
    def read(name: str, size: tuple[int, int] = OBLONG) -> Contents:
        case = example(name, size)
        folder = tmp_path_factory.mktemp("valid") / name
        return read_contents(find_place(case.write(folder, case.tensors)))

    return read


def understood(name: str, contents: Contents, tensors: Tensors) -> Checkpoint:
    checkpoint = interpret(replace(contents, tensors=tensors), LoadOptions(**example(name).asked))
    check_sae(checkpoint.sae)
    return checkpoint


def sentence_of(refused: pytest.ExceptionInfo) -> str:
    sentence = str(refused.value)
    assert sentence.endswith((".", ")")) and "\n" not in sentence and len(sentence) < 700, sentence
    return sentence


def test_every_format_has_an_example_that_is_read_as_it_and_passes_the_self_check(contents_of):
    assert set(examples(*OBLONG)) == set(READER_OF)
    for name in READER_OF:
        for size in (OBLONG, SQUARE):
            contents = contents_of(name, size)
            checkpoint = interpret(contents, LoadOptions(**example(name).asked))
            reader = READER_OF[name]
            check = check_sae(checkpoint.sae, planted_rows(size[0]))
            assert checkpoint.format == reader.NAME and checkpoint.lacks_threshold_for is None
            assert check.warnings == () and check.fit.fvu < 0.6, (name, check)


def places_to_cut(path: Path) -> list[int]:
    size = path.stat().st_size
    even = [size * number // CUTS for number in range(CUTS)]
    return sorted({*even, 1, 7, 8, size - 1, size - 4, size - 22} - {-1})


@pytest.mark.parametrize("name", READER_OF)
def test_a_file_that_is_cut_anywhere_is_refused(name, tmp_path):
    case = example(name)
    source = case.write(tmp_path / "sae", case.tensors)
    weights = find_place(source).weights
    whole = weights.read_bytes()
    places = places_to_cut(weights)
    pickled = weights.suffix in (".pt", ".pth")
    for place in places[::3] if pickled else places:  # a process is started for each pickle
        weights.write_bytes(whole[:place])
        with pytest.raises(Refusal) as refused:
            load_sae(source, **case.asked)
        sentence_of(refused)


def damages(name: str, tensors: Tensors, prefix: str) -> Iterator[tuple[str, Tensors]]:
    """Every way in which one tensor may be wrong, each with what is then in the file."""
    for key, tensor in tensors.items():
        others = {other: value for other, value in tensors.items() if other != key}
        plain = key.removeprefix(prefix)
        if plain in UNUSED:
            continue
        if plain not in OPTIONAL.get(name, ()):
            yield f"{key} missing", others
        yield f"{key} misnamed", others | {f"{key}_": tensor}
        if not tensor.is_floating_point():
            continue
        yield f"{key} as int32", others | {key: tensor.to(torch.int32)}
        yield f"{key} as bool", others | {key: tensor > 0}
        for wrong in (torch.nan, torch.inf, -torch.inf):
            yield f"{key} with {wrong}", others | {key: spoilt(tensor, wrong)}
        if tensor.ndim:
            yield f"{key} one row less", others | {key: tensor[:-1].clone()}
            yield f"{key} with one axis more", others | {key: tensor[None].clone()}
            yield f"{key} empty", others | {key: tensor[:0]}
        else:
            yield f"{key} of two", others | {key: tensor.repeat(2)}
        if tensor.ndim == 2:
            yield f"{key} transposed", others | {key: tensor.T.contiguous()}
    if set(tensors) != {prefix}:
        yield "one too many", tensors | {f"{prefix}more": torch.ones(3)}


def spoilt(tensor: torch.Tensor, wrong: float) -> torch.Tensor:
    changed = tensor.contiguous().clone()
    changed.view(-1)[changed.numel() // 2] = wrong
    return changed


@pytest.mark.parametrize("name", READER_OF)
def test_a_tensor_that_is_missing_or_of_another_name_type_shape_or_not_finite_is_refused(name, contents_of):
    contents, prefix = contents_of(name), example(name).prefix
    understood(name, contents, contents.tensors)
    accepted = []
    for what, tensors in damages(name, contents.tensors, prefix):
        try:
            checkpoint = understood(name, contents, tensors)
        except Refusal as refusal:
            assert "\n" not in str(refusal) and str(refusal).endswith("."), refusal
        else:
            accepted += [] if checkpoint.lacks_threshold_for else [what]
    assert accepted == []


@pytest.mark.parametrize("name", READER_OF)
def test_two_tensors_exchanged_are_refused_unless_nothing_tells_them_apart(name, contents_of):
    contents, prefix = contents_of(name), example(name).prefix
    unseen = set()
    for key, other in combinations(contents.tensors, 2):
        swapped = contents.tensors | {key: contents.tensors[other], other: contents.tensors[key]}
        plain = (key.removeprefix(prefix), other.removeprefix(prefix))
        if set(plain) <= UNUSED:
            continue
        try:
            understood(name, contents, swapped)
        except Refusal:
            continue
        unseen.add(plain)
    assert {tuple(sorted(pair)) for pair in unseen} == {tuple(sorted(pair)) for pair in TWINS.get(name, set())}


@pytest.mark.parametrize("name", READER_OF)
@pytest.mark.parametrize("size", [OBLONG, SQUARE])
def test_a_trained_sae_that_is_scaled_or_transposed_is_caught_by_the_self_check(name, size, contents_of):
    contents, case = contents_of(name, size), example(name, size)
    matrices = [case.prefix + matrix for matrix in case.matrices]
    changed = {
        f"{key} times {factor}": {key: contents.tensors[key] * factor} for key in matrices for factor in (10.0, 0.1)
    }
    changed |= {f"{key} transposed": {key: contents.tensors[key].T.contiguous()} for key in matrices}
    changed["both transposed"] = {key: contents.tensors[key].T.contiguous() for key in matrices}
    missed = []
    for what, tensors in changed.items():
        try:
            read = interpret(replace(contents, tensors=contents.tensors | tensors), LoadOptions(**case.asked))
            missed += [] if check_sae(read.sae, planted_rows(size[0])).warnings else [what]
        except Refusal:
            continue
    assert missed == []


@pytest.mark.parametrize("name", READER_OF)
def test_the_same_happens_to_real_files(name, tmp_path):
    case = example(name)
    first = next(iter(case.tensors))
    others = {key: value for key, value in case.tensors.items() if key != first}
    wrong = {
        "missing": others,
        "turned": others | {first: case.tensors[first].T.contiguous()},
        "nan": others | {first: spoilt(case.tensors[first], torch.nan)},
    }
    for what, tensors in wrong.items():
        source = case.write(tmp_path / what, tensors)
        with pytest.raises(Refusal) as refused:
            load_sae(source, **case.asked)
        sentence_of(refused)


@pytest.mark.parametrize("name", ["gemma_scope", "saerch"])
def test_a_zip_whose_members_are_damaged_or_packed_to_burst_is_refused(name, tmp_path):
    case = example(name)
    source = case.write(tmp_path / "sae", case.tensors)
    weights = find_place(source).weights
    with zipfile.ZipFile(weights) as opened:
        members = {entry.filename: opened.read(entry) for entry in opened.infolist()}
    largest = max(members, key=lambda member: len(members[member]))
    for content in (b"", members[largest][:-8], bytes(300 << 20)):
        with zipfile.ZipFile(weights, "w", zipfile.ZIP_DEFLATED) as packed:
            for member, held_before in members.items():
                packed.writestr(member, content if member == largest else held_before)
        with pytest.raises(Refusal) as refused:
            load_sae(source, **case.asked)
        sentence_of(refused)


# our own files


def flipped(path: Path, bit: int) -> bytes:
    before = path.read_bytes()
    after = bytearray(before)
    after[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(after)
    return before


def test_every_flipped_bit_of_a_runs_sae_is_found_by_its_sha256(own_data, capsys):
    draw = random.Random(0)
    generation = Run(own_data / "tiny").current()
    listed = sorted(generation.sae_folder.iterdir())
    assert [path.name for path in listed] == ["cfg.json", "sae_weights.safetensors"]
    for path in listed:
        name = path.relative_to(generation.path).as_posix()
        for bit in draw.sample(range(8 * path.stat().st_size), FLIPS):
            before = flipped(path, bit)
            with pytest.raises(Refusal, match="sha256|manifest"):
                load_sae(own_data / "tiny")
            if bit % 16 == 0:
                assert {file for file, sentence in verify(generation) if sentence} == {name}
            path.write_bytes(before)
    load_sae(own_data / "tiny")
    flipped(listed[1], 12345)
    assert main(["verify", "tiny", "--data", str(own_data)]) == 2
    assert "1 of" in capsys.readouterr().err
