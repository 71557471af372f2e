"""Pickles read without being run: torch's own files bit for bit, and files that were made to do harm."""

from __future__ import annotations

import ast
import gzip
import io
import json
import pickle
import random
import subprocess
import sys
import tempfile
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch

from featurelib.sae.pickles import limits
from featurelib.sae.weights import pickle_file
from featurelib.sae.weights.pickle_file import Pickled, read_pickle
from featurelib.schema import Refusal

UNPICKLE = Path(limits.__file__).parent


@pytest.fixture(autouse=True)
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that every payload would make; after each test it is not there, and no temporary folder is left."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    canary = tmp_path / "canary"
    yield canary
    assert not canary.exists()
    assert not list(temporary.iterdir())


def saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


def records_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {entry.filename.split("/", 1)[1]: archive.read(entry) for entry in archive.infolist()}


def packed(path: Path, records: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> Path:
    """An archive like torch's with these records, every checksum right."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in records.items():
            archive.writestr(f"{path.stem}/{name}", content)
    return path


def around(path: Path, opcodes: bytes, numbers: bytes = bytes(16)) -> Path:
    """An archive like torch's whose pickle is `opcodes`, with one record of numbers."""
    return packed(path, {"data.pkl": opcodes, "byteorder": b"little", "data/0": numbers, "version": b"3\n"})


def same_bits(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    def bits(tensor: torch.Tensor) -> bytes:
        return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()

    return ours.dtype == theirs.dtype and ours.shape == theirs.shape and bits(ours) == bits(theirs)


# ---- what torch writes ----


def tensors_of_every_kind() -> dict[str, torch.Tensor]:
    drawn = torch.randn(7, 12, generator=torch.Generator().manual_seed(0))
    drawn[0, :4] = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    shared = torch.arange(5 * 6 * 4, dtype=torch.float32).reshape(5, 6, 4)
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16)
    return {
        **{f"of {kind}": drawn.nan_to_num(0, 9, 9).to(kind) for kind in (*kinds, torch.int8, torch.uint8, torch.bool)},
        "with nan": drawn,
        "bfloat16 with nan": drawn.bfloat16(),
        "transposed": drawn.T,
        "rows and columns left out": drawn[1:6:2, 3::4],
        "one column": drawn[:, 3],
        "the same numbers again": drawn,
        "three dimensions permuted": shared.permute(2, 0, 1),
        "the end of a storage": shared[4, 2:],
        "half, transposed": drawn.half().T,
        "parameter": torch.nn.Parameter(drawn[:2].clone()),
        "whole number": torch.tensor(32),
        "one float": torch.tensor(0.5, dtype=torch.float64),
        "one row of a column": drawn[2:3, 1:2],
        "nothing": torch.empty(0, 12),
    }


@pytest.mark.parametrize("packing", [None, zipfile.ZIP_DEFLATED], ids=["as saved", "deflated"])
def test_every_tensor_is_torchs_own_bit_for_bit(tmp_path: Path, packing: int | None) -> None:
    path = saved(tmp_path / "sae.pt", OrderedDict(tensors_of_every_kind()))
    if packing is not None:
        packed(path, records_of(path), packing)
    theirs = torch.load(path, weights_only=True)
    read = read_pickle(path)
    assert list(read.tensors) == list(theirs) and read.plain == {}
    assert [key for key in theirs if not same_bits(read.tensors[key], theirs[key])] == []


def test_every_tensor_is_handed_over_at_a_multiple_of_its_width(tmp_path: Path) -> None:
    folder = tmp_path / "handed"
    folder.mkdir()
    pickle_file._read_apart(saved(tmp_path / "sae.pt", tensors_of_every_kind()), folder)
    stored = (folder / "tensors.safetensors").read_bytes()
    length = int.from_bytes(stored[:8], "little")
    widths = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
    starts = [(entry["data_offsets"][0], entry["dtype"]) for entry in json.loads(stored[8 : 8 + length]).values()]
    assert len(starts) == len(tensors_of_every_kind()) and length % 8 == 0
    assert [(start, dtype) for start, dtype in starts if start % widths[dtype]] == []


def test_a_modules_state_dict_is_read_under_its_own_names(tmp_path: Path) -> None:
    state = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3)).state_dict()
    read = read_pickle(saved(tmp_path / "sae.pt", state))
    assert read.tensors.keys() == state.keys()
    assert all(same_bits(read.tensors[key], state[key]) for key in state)


W, B = torch.arange(12.0).reshape(3, 4), torch.ones(4, dtype=torch.float16)
FORMS = {
    "bare": (W, {"": W}, {}),
    "list": ([W, B], {"0": W, "1": B}, {}),
    "state_dict beside cfg": (
        {"cfg": {"k": 32, "lr": 1e-4, "name": "a", "hook": None, "on": True}, "state_dict": {"W_enc": W, "b_enc": B}},
        {"state_dict.W_enc": W, "state_dict.b_enc": B},
        {"cfg": {"k": 32, "lr": 1e-4, "name": "a", "hook": None, "on": True}, "state_dict": {}},
    ),
    "a dictionary_learning backup": (
        {"step": 7, "ae": {"encoder.weight": W, "bias": B}, "norm_factor": torch.tensor(2.5)},
        {"ae.encoder.weight": W, "ae.bias": B, "norm_factor": torch.tensor(2.5)},
        {"step": 7, "ae": {}},
    ),
    "lists and tuples in dicts": (
        {"autoencoders": [{"W_enc": W}, (B, "text", 3)], 5: [1, [2.5]]},
        {"autoencoders.0.W_enc": W, "autoencoders.1.0": B},
        {"autoencoders": [{}, [None, "text", 3]], "5": [1, [2.5]]},
    ),
    "OpenAI's texts beside tensors": (
        {"pre_bias": B, "activation": "TopK", "activation_state_dict": {"k": 32, "postact_fn": "ReLU"}},
        {"pre_bias": B},
        {"activation": "TopK", "activation_state_dict": {"k": 32, "postact_fn": "ReLU"}},
    ),
    "what a config may hold": (
        {
            "dtype": torch.bfloat16,
            "device": torch.device("cuda", 1),
            "cpu": torch.device("cpu"),
            "shape": torch.Size([3, 4]),
            "path": PurePosixPath("/a/b"),
            "layers": {3},
            "lr": np.float64(0.25),
            "steps": np.int64(7),
            "half": np.float32(0.5),
            "big": 2**63,
            "raw": b"ab",
        },
        {},
        {
            **{"dtype": "torch.bfloat16", "device": "cuda:1", "cpu": "cpu", "shape": [3, 4], "path": "/a/b"},
            **{"layers": [3], "lr": 0.25, "steps": 7, "half": 0.5, "big": 2**63, "raw": "2 bytes"},
        },
    ),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("form", FORMS)
def test_tensors_have_dotted_paths_and_all_else_stays_nested(form: str, protocol: int, tmp_path: Path) -> None:
    value, tensors, plain = FORMS[form]
    path = tmp_path / "sae.pt"
    torch.save(value, path, pickle_protocol=protocol)
    read = read_pickle(path)
    assert read.tensors.keys() == tensors.keys()
    assert all(same_bits(read.tensors[key], tensors[key]) for key in tensors)
    assert read.plain == plain


@dataclass
class LanguageModelSAERunnerConfig:
    model_name: str
    d_in: int
    l1_coefficient: float
    dtype: torch.dtype
    hook_point_layers: list


class SparseAutoencoder(torch.nn.Module):
    def __init__(self, cfg: LanguageModelSAERunnerConfig, scale: float) -> None:
        super().__init__()
        self.cfg = cfg
        self.W_enc = torch.nn.Parameter(torch.full((cfg.d_in, 6), scale))
        self.register_buffer("seen", torch.tensor(3))
        self.register_buffer("nothing", None)
        self.decoder = torch.nn.Linear(6, cfg.d_in)


class SAEGroup:
    def __init__(self, cfg: LanguageModelSAERunnerConfig) -> None:
        self.cfg = cfg
        self.autoencoders = [SparseAutoencoder(cfg, 1.0), SparseAutoencoder(cfg, 2.0)]


@pytest.fixture
def mats(monkeypatch: pytest.MonkeyPatch) -> LanguageModelSAERunnerConfig:
    """A config of the old MATS library, its classes as if they were in the modules of that library."""
    homes = {
        LanguageModelSAERunnerConfig: "sae_training.config",
        SparseAutoencoder: "sae_training.sparse_autoencoder",
        SAEGroup: "sae_training.sae_group",
    }
    monkeypatch.setitem(sys.modules, "sae_training", types.ModuleType("sae_training"))
    for kind, home in homes.items():
        module = types.ModuleType(home)
        setattr(module, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, home, module)
        monkeypatch.setattr(kind, "__module__", home)
    return LanguageModelSAERunnerConfig("gpt2-small", 4, 8e-5, torch.float32, [8])


CONFIG = {
    "model_name": "gpt2-small",
    "d_in": 4,
    "l1_coefficient": 8e-5,
    "dtype": "torch.float32",
    "hook_point_layers": [8],
    "__class__": "sae_training.config.LanguageModelSAERunnerConfig",
}


@pytest.mark.parametrize("protocol", [2, 4])
def test_an_old_mats_file_is_read_with_its_config(
    mats: LanguageModelSAERunnerConfig, protocol: int, tmp_path: Path
) -> None:
    path = tmp_path / "final_sparse_autoencoder.pt"
    torch.save({"cfg": mats, "state_dict": {"W_enc": W}}, path, pickle_protocol=protocol)
    read = read_pickle(path)
    assert read.plain == {"cfg": CONFIG, "state_dict": {}}
    assert same_bits(read.tensors["state_dict.W_enc"], W)


def test_a_whole_mats_group_shows_the_parameters_of_its_autoencoders(
    mats: LanguageModelSAERunnerConfig, tmp_path: Path
) -> None:
    group = SAEGroup(mats)
    read = read_pickle(saved(tmp_path / "group.pt", group))
    expected = {
        f"autoencoders.{place}.{name}": tensor
        for place, autoencoder in enumerate(group.autoencoders)
        for name, tensor in autoencoder.state_dict().items()
    }
    assert read.tensors.keys() == expected.keys()
    assert all(same_bits(read.tensors[key], expected[key]) for key in expected)
    assert read.plain["cfg"] == read.plain["autoencoders"][1]["cfg"] == CONFIG
    assert read.plain["autoencoders"][0]["decoder"]["__class__"] == "torch.nn.modules.linear.Linear"
    assert read.plain["autoencoders"][0]["nothing"] is None


def test_a_bare_pickle_without_tensors_is_read_with_or_without_gzip(
    mats: LanguageModelSAERunnerConfig, tmp_path: Path
) -> None:
    for protocol in range(2, 6):
        stored = pickle.dumps({"cfg": mats, "losses": [0.5, 0.25], "layers": {1}, "frozen": frozenset({2})}, protocol)
        plain, zipped = tmp_path / "a.pkl", tmp_path / "a.pkl.gz"
        plain.write_bytes(stored)
        zipped.write_bytes(gzip.compress(stored))
        expected = Pickled({}, {"cfg": CONFIG, "losses": [0.5, 0.25], "layers": [1], "frozen": [2]})
        assert read_pickle(plain) == read_pickle(zipped) == expected


def test_gzip_around_torchs_archive_is_taken_off(tmp_path: Path) -> None:
    saved(tmp_path / "a.pt", {"W": W})
    (tmp_path / "a.pt.gz").write_bytes(gzip.compress((tmp_path / "a.pt").read_bytes()))
    assert same_bits(read_pickle(tmp_path / "a.pt.gz").tensors["W"], W)


def test_a_pickle_with_torchs_pickles_inside_says_how_to_save_it_again(tmp_path: Path) -> None:
    (tmp_path / "old.pkl").write_bytes(pickle.dumps({"W": W}))
    with pytest.raises(Refusal, match="old.pkl was written by pickle.* save it with torch.save"):
        read_pickle(tmp_path / "old.pkl")


def test_the_format_before_torch_1_6_says_how_to_save_it_again(tmp_path: Path) -> None:
    torch.save({"W": W}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(Refusal, match="format of torch before 1.6.* torch.save it again"):
        read_pickle(tmp_path / "old.pt")


# ---- globals ----


def text(value: str) -> bytes:
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def asked(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


HOSTILE = {
    "os.system": "touch {}",
    "posix.system": "touch {}",
    "nt.system": "touch {}",
    "builtins.eval": "open('{}', 'w')",
    "builtins.exec": "open('{}', 'w')",
    "__builtin__.eval": "open('{}', 'w')",
    "builtins.open": "{}",
    "builtins.getattr": "{}",
    "builtins.__import__": "os",
    "subprocess.Popen": "touch",
    "subprocess.check_output": "touch",
    "importlib.import_module": "os",
    "runpy.run_path": "{}",
    "pickle.loads": "{}",
    "pickle.load": "{}",
    "_pickle.loads": "{}",
    "torch.load": "{}",
    "torch.serialization.load": "{}",
    "torch.jit.load": "{}",
    "torch.hub.load": "{}",
    "torch.nn.Module": "{}",
    "torch._utils._import_dotted_name": "os.system",
    "torch.storage.UntypedStorage.from_file": "{}",
    "torch.UntypedStorage.from_file": "{}",
    "numpy.load": "{}",
    "numpy.core.multiarray._reconstruct": "{}",
    "numpy.f2py.crackfortran.myeval": "open('{}', 'w')",
    "functools.partial": "{}",
    "operator.attrgetter": "system",
    "types.FunctionType": "{}",
    "codecs.encode": "{}",
    "copyreg._reconstructor": "{}",
    "shutil.rmtree": "{}",
    "socket.socket": "{}",
    "webbrowser.open": "{}",
    "collections.OrderedDict.__init__.__globals__": "{}",
    "collections.defaultdict": "{}",
    "sae_trainingx.config": "{}",
    "pickles.known_globals.call": "{}",
    "__main__.main": "{}",
}


def test_the_payload_would_run_if_it_were_unpickled(tmp_path: Path, canary: Path) -> None:
    opcodes = b"\x80\x04" + asked("os", "system") + text(f"touch {canary}") + b"\x85R."
    run = subprocess.run([sys.executable, "-c", "import pickle, sys; pickle.load(sys.stdin.buffer)"], input=opcodes)
    assert run.returncode == 0 and canary.exists()
    canary.unlink()


@pytest.mark.parametrize("full", HOSTILE)
def test_a_global_that_no_sae_needs_is_named_and_not_run(full: str, tmp_path: Path, canary: Path) -> None:
    module, name = full.rsplit(".", 1)
    if "__globals__" in full:
        module, name = "collections", "OrderedDict.__init__.__globals__"
    opcodes = b"\x80\x04" + asked(module, name) + text(HOSTILE[full].format(canary)) + b"\x85R."
    with pytest.raises(Refusal, match=f"^evil.pt asks for the global {module}.{name}, which no SAE needs; nothing"):
        read_pickle(around(tmp_path / "evil.pt", opcodes))


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cos\nsystem\n(S'touch {}'\ntR.",
        b"(S'touch {}'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch {}'\no.",
        b"\x80\x02cos\nsystem\nX\x03\x00\x00\x00abc\x85R.",
        b"\x80\x02cos\nsystem\n\x85\x81.",
        b"\x80\x04}\x94\x8c\x01a\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85\x81s.",
        b"\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",
    ],
)
@pytest.mark.parametrize("packing", ["archive", "bare", "gzip"])
def test_every_way_to_ask_for_a_global_is_refused(opcodes: bytes, packing: str, tmp_path: Path, canary: Path) -> None:
    opcodes = opcodes.replace(b"{}", bytes(canary))
    path = tmp_path / "evil.pt"
    if packing == "archive":
        around(path, opcodes)
    else:
        path.write_bytes(gzip.compress(opcodes) if packing == "gzip" else opcodes)
    with pytest.raises(Refusal, match="asks for the global os.system, which no SAE needs"):
        read_pickle(path)


def test_an_object_that_torch_would_save_is_not_run_either(tmp_path: Path, canary: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable, tuple]:
            return __import__("os").system, (f"touch {canary}",)

    with pytest.raises(Refusal, match="asks for the global posix.system|asks for the global nt.system"):
        read_pickle(saved(tmp_path / "evil.pt", {"W_enc": W, "cfg": Evil()}))


def test_a_names_odd_letters_do_not_reach_the_sentence(tmp_path: Path) -> None:
    name = "\x1b[2J\n\u202e" + "x" * 5000
    with pytest.raises(Refusal) as refused:
        read_pickle(around(tmp_path / "evil.pt", b"\x80\x04" + asked("os", name) + b"."))
    assert str(refused.value).isprintable() and len(str(refused.value)) < 400


def test_classes_that_are_stubbed_are_never_imported(
    mats: LanguageModelSAERunnerConfig, tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "sae.pt", {"cfg": mats})
    for name in ("sae_training", "sitecustomize", "json", "pickletools", "pickles"):
        (tmp_path / f"{name}.py").write_text(f"open({str(canary)!r}, 'w')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert read_pickle(path).plain == {"cfg": CONFIG}


STUB = asked("sae_training.config", "Config")
ODD = {
    "a tensor of whole numbers": asked("torch._utils", "_rebuild_tensor_v2") + b"(K\x01K\x00))\x89}tR.",
    "a tensor of nothing": asked("torch._utils", "_rebuild_tensor_v2") + b")R.",
    "a parameter of a text": asked("torch._utils", "_rebuild_parameter") + text("W") + b"\x88}\x87R.",
    "an OrderedDict of a call": asked("collections", "OrderedDict") + STUB + b")R\x85R.",
    "a device of a list": asked("torch", "device") + b"]\x85R.",
    "a path of a dict": asked("pathlib", "PosixPath") + b"}\x85R.",
    "a path of a sequence of nothing": asked("pathlib", "PosixPath") + b"NR.",
    "bytes in another coding": asked("_codecs", "encode") + text("a") + text("zip") + b"\x86R.",
    "a numpy object": asked("numpy", "dtype") + text("O8") + b"\x89\x88\x87R.",
    "a numpy scalar of no dtype": asked("numpy.core.multiarray", "scalar") + text("f8") + b"C\x01a\x86R.",
    "a call of a storage": asked("torch", "FloatStorage") + b"K\x10\x85R.",
    "a call of a dtype": asked("torch", "float32") + b")R.",
    "a call of a text": text("os.system") + text("id") + b"\x85R.",
    "a call of an object": STUB + b")\x81)R.",
    "a call with a list": STUB + b"]R.",
    "an object of a function": asked("torch._utils", "_rebuild_tensor_v2") + b")\x81.",
    "an object of an OrderedDict": asked("collections", "OrderedDict") + b")\x81.",
    "the state of a class": STUB + b"}" + text("__setstate__") + STUB + b"sb.",
    "the state of a function": asked("collections", "OrderedDict") + b"N}" + text("x") + b"K\x01s\x86b.",
    "the state of a text": text("a") + b"}b.",
    "the state of a list": b"]}b.",
    "the state of a dict that is no dict": b"}K\x01b.",
    "a list that is added to an object's class": STUB + b"]a.",
    "a key in a list": b"]" + text("a") + b"K\x01s.",
    "a key that is a tuple": b"}K\x01\x85K\x01s.",
    "a key that is an object": b"}" + STUB + b")\x81K\x01s.",
    "a key without a value": b"}(K\x01u.",
    "a persistent id that is a path": text("/etc/passwd") + b"Q.",
    "a persistent id of another kind": b"(" + text("module") + STUB + text("0") + text("cpu") + b"K\x01tQ.",
    "a persistent id in text": b"P/etc/passwd\n.",
    "an extension": b"\x82\x01.",
    "a buffer from outside": b"\x97.",
    "nothing": b".",
    "nothing to call": b"R.",
    "no mark": b"t.",
    "an unknown memo": b"h\x09.",
    "an unknown opcode": b"\xff.",
    "no end": b"N",
    "more after the end": b"}.}.",
    "a text longer than the file": b"X\xff\xff\xff\x7fabc.",
    "bytes longer than any machine": b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "a number that is none": b"Iabc\n.",
    "a number of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "a number of a million bits": b"}" + text("k") + b"\x8b\x40\x42\x0f\x00" + b"\x7f" * 1_000_000 + b"s.",
    "a key of a million bits": b"}\x8b\x40\x42\x0f\x00" + b"\x7f" * 1_000_000 + b"Ns.",
    "an attribute twice": STUB + b")\x81}(" + text("_buffers") + b"}" + text("W") + b"Ns" + text("W") + b"Nub.",
    "a text that is no UTF-8": b"X\x02\x00\x00\x00\xff\xfe.",
    "a bare storage": b"(" + text("storage") + asked("torch", "FloatStorage") + text("0") + text("cpu") + b"K\x04tQ.",
}


@pytest.mark.parametrize("opcodes", ODD.values(), ids=ODD)
def test_a_pickle_that_torch_would_not_write_is_refused(opcodes: bytes, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"^evil\.pt .+[:;—] .+\.$") as refused:
        read_pickle(around(tmp_path / "evil.pt", b"\x80\x04" + opcodes))
    assert "ended the process" not in str(refused.value)


def test_building_on_a_stub_only_fills_its_own_state(tmp_path: Path) -> None:
    state = b"}(" + b"".join(
        text(name) + asked("collections", "OrderedDict")
        for name in ("__class__", "__reduce__", "__setstate__", "name", "state", "W")
    )
    opcodes = b"\x80\x04}" + text("cfg") + STUB + b"K\x07\x85\x81" + state + b"ubs."
    name = "collections.OrderedDict"
    assert read_pickle(around(tmp_path / "sae.pt", opcodes)).plain["cfg"] == {
        **dict.fromkeys(("__reduce__", "__setstate__", "name", "state", "W"), name),
        "__class__": "sae_training.config.Config",
        "__args__": [7],
    }


# ---- tensors that are not what they say ----


def tensor_opcodes(shape: tuple, strides: tuple, offset: int = 0, stored: int = 4, key: str = "0") -> bytes:
    """A tensor over `stored` float32 numbers, in the words of torch 2."""

    def whole(value: int) -> bytes:
        return b"\x8a" + bytes([len(encoded := pickle.encode_long(value) or b"\0")]) + encoded

    numbers = [b"(" + b"".join(whole(value) for value in values) + b"t" for values in (shape, strides)]
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + whole(stored) + b"tQ"
    called = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + whole(offset) + b"".join(numbers)
    return called + b"\x89ccollections\nOrderedDict\n)RtR"


def test_the_tensors_made_here_are_well_made(tmp_path: Path) -> None:
    numbers = np.arange(4, dtype=np.float32)
    path = around(tmp_path / "sae.pt", b"\x80\x02" + tensor_opcodes((2, 2), (1, 2)) + b".", numbers.tobytes())
    assert torch.equal(read_pickle(path).tensors[""], torch.from_numpy(numbers).reshape(2, 2).T)
    assert torch.equal(torch.load(path, weights_only=True), torch.from_numpy(numbers).reshape(2, 2).T)


BEYOND = {
    "a million million numbers with stride 0": tensor_opcodes((10**6, 10**6), (0, 0)),
    "four numbers repeated": tensor_opcodes((4, 4), (0, 1)),
    "overlapping windows": tensor_opcodes((2, 3), (1, 1)),
    "two rows that are one": tensor_opcodes((2, 2), (0, 1)),
    "one number more": tensor_opcodes((5,), (1,)),
    "strides that leave": tensor_opcodes((2, 2), (3, 1)),
    "a place behind the end": tensor_opcodes((1,), (1,), offset=4),
    "a place before the start": tensor_opcodes((1,), (1,), offset=-1),
    "a negative length": tensor_opcodes((-1, -4), (1, 1)),
    "a negative stride": tensor_opcodes((4,), (-1,), offset=3),
    "lengths whose product wraps to few": tensor_opcodes((2**32, 2**32), (1, 1)),
    "an endless length of nothing": tensor_opcodes((2**62, 0), (1, 1)),
    "nothing in endless rows and columns": tensor_opcodes((2**39, 2**39, 0), (1, 1, 1)),
    "more strides than lengths": tensor_opcodes((2,), (2, 1)),
    "twenty dimensions": tensor_opcodes((1,) * 20, (1,) * 20),
    "more numbers than the record": tensor_opcodes((4,), (1,), stored=10**12),
    "fewer numbers than the record": tensor_opcodes((2,), (1,), stored=3),
    "a negative storage": tensor_opcodes((0,), (1,), stored=-1),
    "a record that is not there": tensor_opcodes((4,), (1,), key="1"),
    "a record outside": tensor_opcodes((4,), (1,), key="../../../../etc/passwd"),
}


@pytest.mark.parametrize("opcodes", BEYOND.values(), ids=BEYOND)
def test_a_tensor_that_leaves_its_storage_is_refused(opcodes: bytes, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"^evil\.pt (holds a tensor|has 16 bytes|lacks the record|keeps its numbers)"):
        read_pickle(around(tmp_path / "evil.pt", b"\x80\x04" + opcodes + b"."))


def test_a_tensor_marked_as_negated_is_refused_because_its_numbers_are_not_those_stored(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="marks .*neg.* every tensor cloned"):
        read_pickle(saved(tmp_path / "sae.pt", {"W": torch._neg_view(W)}))


def test_an_expanded_tensor_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="save it again with every tensor made .contiguous()"):
        read_pickle(saved(tmp_path / "sae.pt", {"b_enc": torch.zeros(1).expand(6)}))


def test_many_tensors_over_one_storage_are_refused_before_they_are_written(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="holds tensors of .* bytes together, which share fewer"):
        read_pickle(saved(tmp_path / "sae.pt", dict.fromkeys(map(str, range(500)), torch.zeros(100_000))))


# ---- archives that are not what they say ----


def test_an_archive_that_inflates_to_far_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    packed(path, {"data.pkl": b"N.", "data/0": bytes(1 << 28)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(Refusal, match="announces 268435458; expected at most .* it is a zip bomb"):
        read_pickle(path)
    packed(path, {"data.pkl": b"]" * (limits.MAX_PICKLE + 1)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(Refusal, match="announces|holds a pickle of more than"):
        read_pickle(path)
    (tmp_path / "bomb.pkl.gz").write_bytes(gzip.compress(bytes(1 << 27)))
    with pytest.raises(Refusal, match="inflates to more than"):
        read_pickle(tmp_path / "bomb.pkl.gz")


def test_an_archive_that_inflates_to_more_than_it_announces_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "lies.pt", {"data.pkl": b"]" * 5000 + b"."}, zipfile.ZIP_DEFLATED)
    honest = (5001).to_bytes(4, "little")
    for announced in (2, 4999, 6000):
        lies = path.read_bytes().replace(honest, announced.to_bytes(4, "little"))
        assert lies != path.read_bytes()
        (tmp_path / "lying.pt").write_bytes(lies)
        with pytest.raises(Refusal, match="damaged archive|not the announced length"):
            read_pickle(tmp_path / "lying.pt")


def test_an_archive_without_one_pickle_of_little_endian_numbers_is_refused(tmp_path: Path) -> None:
    good = records_of(saved(tmp_path / "good.pt", {"W": W}))
    path = tmp_path / "odd.pt"

    def refused(records: dict[str, bytes], match: str, packing: int = zipfile.ZIP_STORED) -> None:
        packed(path, records, packing)
        with pytest.raises(Refusal, match=match):
            read_pickle(path)

    refused({name: good[name] for name in good if name != "data.pkl"}, "should hold one data.pkl and holds none")
    refused(good | {"code/data.pkl": b"N."}, "holds 2 of them")
    refused(good | {"constants.pkl": b"N."}, "TorchScript")
    refused(good | {"byteorder": b"big"}, "big-endian")
    refused(good, "encrypted or packed", zipfile.ZIP_BZIP2)
    refused(good | {"data/0": good["data/0"][:-4]}, "has 44 bytes in the record data/0; expected 48")
    refused({name: good[name] for name in good if name != "data/0"}, "lacks the record data/0")
    for twice, match in (("data.pkl", "holds 2 of them"), ("data/0", "two records of one name")):
        packed(path, good)
        with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"odd/{twice}", good[twice])
        with pytest.raises(Refusal, match=match):
            read_pickle(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80", b"PK\x03\x04", b"\x1f\x8b", b"{}", b"hello", b"\x93NUMPY\x01\x00", bytes(1000), b"\x80\x04" * 9],
)
def test_bytes_that_are_no_pickle_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.pt").write_bytes(content)
    with pytest.raises(Refusal, match="^odd.pt is (cut|a cut)"):
        read_pickle(tmp_path / "odd.pt")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.pt"):
        with pytest.raises(Refusal, match="there is no file"):
            read_pickle(path)


# ---- pickles that grow, and limits ----


def doubled(levels: int) -> bytes:
    """A list of two references to a list of two references to a list …: few opcodes, 2^levels members."""
    return b"\x80\x04]\x94" + b"".join(b"]\x94(h%ch%ce" % (level, level) for level in range(levels)) + b"."


def test_references_to_references_are_read_while_few_and_refused_when_endless(tmp_path: Path) -> None:
    few = read_pickle(around(tmp_path / "few.pt", doubled(10))).plain
    assert few["0"][0][0] == few["1"][1][1] and str(few).count("[") == 2**11 - 2
    with pytest.raises(Refusal, match="holds far more beside its tensors than the settings of an SAE"):
        read_pickle(around(tmp_path / "endless.pt", doubled(90)))
    long_text = b"\x80\x04" + text("a" * 100_000) + b"\x94]" + b"(" + b"h\x00" * 1000 + b"e."
    with pytest.raises(Refusal, match="holds far more beside its tensors than the settings of an SAE"):
        read_pickle(around(tmp_path / "long.pt", long_text))


@pytest.mark.parametrize("opcodes", [b"]\x94h\x00a", b"}\x94" + text("a") + b"h\x00s", b"]" * 3000 + b"a" * 2999])
def test_what_holds_itself_or_is_too_deep_is_refused(opcodes: bytes, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="nested deeper than 100 levels, or holds itself"):
        read_pickle(around(tmp_path / "deep.pt", b"\x80\x04" + opcodes + b"."))


def test_two_tensors_under_one_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="two tensors under the key a.b"):
        read_pickle(saved(tmp_path / "twice.pt", {"a.b": W, "a": {"b": B}}))
    with pytest.raises(Refusal, match="two values under the key 1"):
        read_pickle(saved(tmp_path / "twice.pt", {"1": 2, 1: 3}))


def test_thousands_of_tensors_are_refused(tmp_path: Path) -> None:
    tensor = b"\x80\x02" + tensor_opcodes((1,), (1,)) + b"\x94]("
    with pytest.raises(Refusal, match="holds more than 10000 tensors"):
        read_pickle(around(tmp_path / "many.pt", tensor + b"h\x00" * 10_001 + b"e."))


def test_a_pickle_that_fills_the_memory_ends_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="asks for more than the .* MiB of memory that its size allows"):
        read_pickle(around(tmp_path / "full.pt", b"\x80\x04" + b"\x8f" * 2_500_000 + b"."))


def test_a_pickle_of_millions_of_opcodes_is_followed_to_its_end(tmp_path: Path) -> None:
    opcodes = b"\x80\x04" + b"N0" * 1_000_000 + b"}" + text("k") + b"K\x20s."
    assert read_pickle(around(tmp_path / "long.pt", opcodes)).plain == {"k": 32}


def test_a_reader_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = around(tmp_path / "slow.pt", b"\x80\x04" + b"N0" * 1_000_000 + b"N.")
    monkeypatch.setattr(pickle_file.limits, "seconds", lambda size: 0.02)
    with pytest.raises(Refusal, match="slow.pt was not read within 0.04 seconds"):
        read_pickle(path)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the interpreter")
def test_a_reader_that_dies_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -9 $$\n")
    dying.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(dying))
    with pytest.raises(Refusal, match=r"ended the process that read it \(code -9\)"):
        read_pickle(saved(tmp_path / "sae.pt", {"W": W}))


def test_the_reader_holds_itself_to_limits_by_the_size_of_the_file() -> None:
    resource = pytest.importorskip("resource")
    code = (
        "import resource, sys; from pickles.limits import limit_self; limit_self(1 << 20);"
        "names = ('AS', 'CPU', 'FSIZE', 'NOFILE');"
        "print(*(resource.getrlimit(getattr(resource, f'RLIMIT_{name}'))[1] for name in names))"
    )
    run = subprocess.run([sys.executable, "-S", "-c", code], cwd=UNPICKLE.parent, capture_output=True, text=True)
    assert run.stdout.split() == [str(value) for value in ((256 + 20) << 20, 20, (20 + 16) << 20, 16)]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] != 16


def test_the_reader_imports_the_standard_library_alone() -> None:
    # the folder it starts in comes first on its path
    assert not {path.stem for path in UNPICKLE.parent.iterdir()} & sys.stdlib_module_names
    for path in sorted(UNPICKLE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names, path.name


# ---- damage ----


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file with what the formats of the field have."""
    state = {"W_enc": W, "W_dec": W.T, "b_enc": B, "k": torch.tensor(3), "log": torch.nn.Parameter(torch.zeros(2))}
    value = {"cfg": {"k": 3, "dtype": torch.float32, "lr": np.float64(0.1)}, "state_dict": OrderedDict(state)}
    return saved(tmp_path_factory.mktemp("whole") / "whole.pt", value)


def test_a_file_cut_anywhere_is_refused(whole: Path, tmp_path: Path) -> None:
    content = whole.read_bytes()
    assert read_pickle(whole).tensors
    for length in {*range(0, len(content), len(content) // 50), *range(len(content) - 8, len(content))}:
        path = tmp_path / "cut.pt"
        path.write_bytes(content[:length])
        with pytest.raises(Refusal, match="^cut.pt is "):
            read_pickle(path)


def test_a_pickle_cut_anywhere_is_refused(whole: Path, tmp_path: Path) -> None:
    records = records_of(whole)
    for length in range(0, len(records["data.pkl"]), 31):
        path = packed(tmp_path / "cut.pt", records | {"data.pkl": records["data.pkl"][:length]})
        with pytest.raises(Refusal, match="^cut.pt is cut"):
            read_pickle(path)


def test_a_flipped_bit_of_the_pickle_gives_a_refusal_or_tensors(whole: Path, tmp_path: Path) -> None:
    records = records_of(whole)
    drawn = random.Random(0)
    read = 0
    for _ in range(200):
        flipped = bytearray(records["data.pkl"])
        flipped[drawn.randrange(len(flipped))] ^= 1 << drawn.randrange(8)
        path = packed(tmp_path / "flipped.pt", records | {"data.pkl": bytes(flipped)})
        try:
            contents = read_pickle(path)
        except Refusal as refusal:
            assert str(refusal).startswith("flipped.pt ") and "ended the process" not in str(refusal)
        else:
            read += 1
            assert all(isinstance(tensor, torch.Tensor) for tensor in contents.tensors.values())
    assert 0 < read < 200


def test_a_flipped_bit_of_a_tensor_or_of_the_archive_is_found_by_the_archives_checksums(
    whole: Path, tmp_path: Path
) -> None:
    content = whole.read_bytes()
    theirs = read_pickle(whole)
    drawn = random.Random(1)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = archive.getinfo("whole/data/0")
    numbers = content.index(W.numpy().tobytes())
    assert numbers > entry.header_offset
    places = [*range(numbers, numbers + entry.file_size, 7), *(drawn.randrange(len(content)) for _ in range(50))]
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << drawn.randrange(8)
        path = tmp_path / "flipped.pt"
        path.write_bytes(flipped)
        try:
            contents = read_pickle(path)
        except Refusal:
            continue
        # a bit of padding, of the version record or of a date changes nothing that is read
        assert not numbers <= place < numbers + entry.file_size
        assert contents.plain == theirs.plain and contents.tensors.keys() == theirs.tensors.keys()
        assert all(same_bits(contents.tensors[key], theirs.tensors[key]) for key in theirs.tensors)
