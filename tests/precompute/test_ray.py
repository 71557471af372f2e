"""The engine that is a Ray cluster: the same bytes as one process, with and without a machine that dies; bad input."""

from __future__ import annotations

import contextlib
import errno
import http.server
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from featurelib.schema import Refusal
from featurelib.storage import files
from featurelib.storage.runs import Run
from precompute.__main__ import main
from precompute.engines import Engine, Opener, PartMaker, open_engine
from tests.conftest import STAND_IN, TINY_FLAGS
from tests.precompute.test_build import hashes
from tests.support import ROOT
from tests.support.language_models import WORDS, save_language_model
from tests.support.planted import plant

with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason='ray is not installed (pip install "ray[data]")'
)
N_TEXTS = 4_000
N_PARTS = 16
"""Of 256 texts each, the last of fewer."""
SMALL = {"object_store_memory": 80_000_000}
SOON_DEAD = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 4,
}
"""A machine counts as dead after some seconds; Ray's own settings take a quarter of a minute."""
PAUSE = 0.5
"""Seconds that a part takes where a machine is to die in the middle."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("corpus"), N_TEXTS).path


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generation that one process makes, up to encode."""
    folder = tmp_path_factory.mktemp("alone")
    assert main(command(corpus, folder)) == 0
    return Run(folder / "tiny").current().path


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster of three machines with a core each, on this one; the first is the head. All have the project."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": SOON_DEAD, **SMALL}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=1, **SMALL)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def command(corpus: Path, folder: Path, *flags: str) -> list[str]:
    return ["build", str(corpus), "--name", "tiny", "--data", str(folder), *TINY_FLAGS, "--to", "encode", *flags]


def complaint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says when it ends with exit code 2: one line."""
    capsys.readouterr()
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@dataclass(frozen=True)
class SlowOpener:
    """Opens what another opener does, whose parts then take a while; every attempt leaves a file."""

    opener: Opener
    attempts: Path

    uses_gpu = False

    @property
    def folder(self) -> Path:
        return self.opener.folder

    def exists(self, number: int) -> bool:
        return self.opener.exists(number)

    def open(self, device: str) -> PartMaker:
        return SlowMaker(self.opener.open(device), self.attempts)


@dataclass(frozen=True)
class SlowMaker:
    maker: PartMaker
    attempts: Path

    @property
    def traits(self) -> dict[str, Any]:
        return self.maker.traits

    def __call__(self, number: int, advance: Callable[[int], None]) -> None:
        (self.attempts / f"{number}-{os.getpid()}").touch()
        time.sleep(PAUSE)
        self.maker(number, advance)


@dataclass(frozen=True)
class SlowEngine:
    """Another engine, of which each part takes a while; a thread meanwhile does something, then this one does."""

    engine: Engine
    attempts: Path
    meanwhile: Callable[[SlowOpener], None]
    afterwards: Callable[[], object]

    sharing = ""

    def make_parts(self, parts: Any, here: PartMaker, elsewhere: Opener, advance: Callable[[int], None]) -> Any:
        attempts = self.attempts / type(elsewhere).__name__
        attempts.mkdir(parents=True)
        slow = SlowOpener(elsewhere, attempts)
        aside = threading.Thread(target=self.meanwhile, args=(slow,))
        aside.start()
        traits = self.engine.make_parts(parts, here, slow, advance)
        aside.join()
        self.afterwards()
        return traits


@with_ray
def test_three_machines_make_the_same_bytes_as_one_process(
    corpus: Path, alone: Path, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)  # the folder of the runs is given as it is seen from here
    assert main(command(corpus, Path("shared"), "--engine", "ray", "--address", cluster.address)) == 0
    assert "shared by 3 machines with 3 cores and 0 GPUs" in capsys.readouterr().out
    assert hashes(Run(tmp_path / "shared" / "tiny").current().path) == hashes(alone)
    assert main(command(corpus, Path("shared"))) == 0
    assert "embed: skipped, done before" in capsys.readouterr().out, "the engine is no part of a fingerprint"


@with_ray
def test_a_token_run_is_the_same_on_a_cluster(tmp_path: Path, cluster: Any) -> None:
    """Three parts of tokens, states and means; the states are then read again by the workers that encode."""
    model = save_language_model(tmp_path / "lm")
    texts = tmp_path / "texts.txt.csv"
    texts.write_text("text\n" + "\n".join(" ".join(WORDS[n % 7 : n % 7 + 9]) + f" {WORDS[n % 5]}" for n in range(300)))
    flags = ["--layer", "2", "--pooling", "none", "--no-keep-embeddings", "--features", "32", "--k", "4"]
    flags += ["--embedder", str(model), "--keyword-embedder", STAND_IN, "--to", "encode"]
    made = {}
    for name, engine in (("one", []), ("three", ["--engine", "ray", "--address", cluster.address])):
        assert main(["build", str(texts), "--name", "tok", "--data", str(tmp_path / name), *flags, *engine]) == 0
        made[name] = hashes(Run(tmp_path / name / "tok").current().path)
    assert made["one"] == made["three"]


def processes_with_a_part(machine: Any, opener: SlowOpener) -> list[int]:
    """The processes of a machine, if one of them is at a part and some parts are made; else none."""
    (raylet,) = (each.process.pid for each in machine.all_processes["raylet"])
    children = {
        int(child)
        for task in Path(f"/proc/{raylet}/task").iterdir()
        for child in (task / "children").read_text().split()
    }
    begun = [path.name.split("-") for path in opener.attempts.iterdir()]
    n_made = sum(opener.exists(number) for number in range(N_PARTS))
    busy = any(int(process) in children and not opener.exists(int(number)) for number, process in begun)
    return sorted(children) if busy and n_made >= 3 else []


@with_ray
def test_a_machine_that_dies_costs_only_its_parts(
    corpus: Path, alone: Path, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine is killed while embeddings are made, a second one, put in its place, while activations are."""
    made_before: list[int] = []

    def kill(opener: SlowOpener) -> None:
        machine = list(cluster.worker_nodes)[-1]
        while not (processes := processes_with_a_part(machine, opener)):
            time.sleep(0.02)
        for process in processes:
            os.kill(process, signal.SIGKILL)
        cluster.remove_node(machine, allow_graceful=False)
        made_before.append(sum(opener.exists(number) for number in range(N_PARTS)))

    @contextlib.contextmanager
    def open_slowed(*arguments: Any) -> Iterator[SlowEngine]:
        with open_engine(*arguments) as engine:
            yield SlowEngine(engine, tmp_path / "attempts", kill, lambda: cluster.add_node(num_cpus=1, **SMALL))

    monkeypatch.setattr("precompute.build.build.open_engine", open_slowed)
    flags = ("--engine", "ray", "--address", cluster.address)
    assert main(command(corpus, tmp_path / "killed", *flags)) == 0
    generation = Run(tmp_path / "killed" / "tiny").current()
    assert len(made_before) == 2 and max(made_before) < N_PARTS, "a machine died while parts were still to be made"
    # what a killed worker was writing stays beside its place until the run is complete
    whole = {name: digest for name, digest in hashes(generation.path).items() if not name.endswith(files.ASIDE)}
    assert whole == hashes(alone)
    for folder in (tmp_path / "attempts").iterdir():
        times = Counter(int(path.name.split("-")[0]) for path in folder.iterdir())
        assert sorted(times) == list(range(N_PARTS))
        assert 1 <= sum(times.values()) - N_PARTS <= 2, "what the machine had in hand was made again, and nothing else"


@dataclass(frozen=True)
class FailingOpener:
    """Whose parts are text files; `failing` of them raise what they are told to."""

    folder: Path
    failing: dict[int, Exception]

    uses_gpu = False

    def exists(self, number: int) -> bool:
        return (self.folder / str(number)).exists()

    def open(self, device: str) -> PartMaker:
        return FailingMaker(self)


@dataclass(frozen=True)
class FailingMaker:
    opener: FailingOpener
    traits = {"device": "cpu"}

    def __call__(self, number: int, advance: Callable[[int], None]) -> None:
        if number in self.opener.failing:
            raise self.opener.failing[number]
        (self.opener.folder / str(number)).write_text("made by a worker")


@with_ray
def test_what_a_worker_cannot_do_is_said_here_and_parts_that_exist_are_kept(tmp_path: Path) -> None:
    from ray.exceptions import RayTaskError

    (tmp_path / "1").write_text("made before")
    with open_engine("ray", "local", "cpu", lambda sentence: None) as engine:

        def make(failing: dict[int, Exception]) -> None:
            opener = FailingOpener(tmp_path, failing)
            engine.make_parts(dict.fromkeys(range(4), 10), opener.open("cpu"), opener, done.append)

        done: list[int] = []
        with pytest.raises(Refusal, match="a text is odd"):
            make({2: Refusal("a text is odd")})
        with pytest.raises(OSError) as full:
            make({2: OSError(errno.ENOSPC, "No space left on device", "/there/part")})
        assert full.value.errno == errno.ENOSPC and full.value.filename == "/there/part"
        with pytest.raises(RayTaskError, match="a fault of ours"):
            make({2: ZeroDivisionError("a fault of ours")})
        done.clear()
        make({})
    assert done == [10] * 4
    assert (tmp_path / "1").read_text() == "made before" and (tmp_path / "2").read_text() == "made by a worker"
    assert not list(tmp_path.glob("*.aside"))


@with_ray
def test_a_machine_that_does_not_see_the_folder_is_named(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine whose folder of runs is another file system, in a mount namespace of its own."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a mount namespace needs root")
    from ray.cluster_utils import Cluster

    (tmp_path / "data").mkdir()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **SMALL})
    start = f"{sys.executable} -m ray.scripts.scripts start --address {cluster.address} --num-cpus 1 --block"
    start += f" --object-store-memory {SMALL['object_store_memory']}"
    shell = f"mount -t tmpfs none {tmp_path}/data && exec {start}"
    blind = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", shell], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_machines(cluster.address, 2)
        said = complaint(command(corpus, tmp_path / "data", "--engine", "ray", "--address", cluster.address), capsys)
    finally:
        blind.terminate()
        blind.wait(30)
        cluster.shutdown()
    assert "a machine of the Ray cluster: the folder" in said and "is not seen there" in said and "share" in said


def wait_for_machines(address: str, n: int) -> None:
    import ray

    ray.init(address=address, log_to_driver=False)
    try:
        for _ in range(120):
            if sum(node["Alive"] for node in ray.nodes()) == n:
                return
            time.sleep(0.5)
        raise AssertionError("the machine did not join")
    finally:
        ray.shutdown()


@with_ray
def test_an_address_that_does_not_answer_is_a_sentence_within_seconds(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.monotonic()
    said = complaint(command(corpus, tmp_path, "--engine", "ray", "--address", "127.0.0.1:9"), capsys)
    assert "no Ray cluster answers at 127.0.0.1:9" in said and "ray start --head" in said
    assert time.monotonic() - started < 10
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    said = complaint(command(corpus, tmp_path, "--engine", "ray"), capsys)
    assert "no Ray cluster was found" in said and "--address local" in said
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    said = complaint(command(corpus, tmp_path, "--engine", "ray", "--address", address), capsys)
    server.shutdown()
    assert f"no Ray cluster answers at {address}" in said
    assert not list(tmp_path.iterdir()), "nothing was begun"


def test_without_ray_the_command_to_install_it_is_named(corpus: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; from precompute.__main__ import main; sys.exit(main(sys.argv[1:]))"
    arguments = command(corpus, tmp_path, "--engine", "ray", "--address", "local")
    ended = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert 'pip install "ray[data]' in ended.stderr and "--engine" in ended.stderr


def test_one_process_builds_without_ray(corpus: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; from precompute.__main__ import main; sys.exit(main(sys.argv[1:]))"
    ended = subprocess.run([sys.executable, "-c", code, *command(corpus, tmp_path)], cwd=ROOT, capture_output=True)
    assert ended.returncode == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--address", "auto"], "--address is for a Ray cluster"),
        (["--engine", "ray", "--address", "ray://head:10001"], "auto, local or HOST:PORT is expected"),
        (["--engine", "ray", "--address", "head"], "auto, local or HOST:PORT is expected"),
        (["--engine", "spark"], "invalid choice: 'spark'"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    corpus: Path, tmp_path: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in complaint(command(corpus, tmp_path, *flags), capsys)
