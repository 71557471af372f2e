"""The engine that is a Ray cluster: the one door to ray.

Ray Data does all that is hard: it starts and ends workers, gives each a part, and gives the part of a dead one to
another. Only numbers of parts travel through it; texts, embeddings and activations are read and written by the workers
in the run's folder, which every machine must see.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from featurelib import __version__
from featurelib.schema import Refusal
from featurelib.storage import files

if TYPE_CHECKING:
    from precompute.engines import Opener, PartMaker

INSTALL = 'pip install "ray[data]>=2.50,<3"'
ANSWER_SECONDS = 3.0
"""How long a machine may take to accept a connection."""
STATUS_SECONDS = 15.0
"""How long Ray's own `ray status` may take: it imports ray, then asks the cluster."""
OBJECT_STORE_BYTES = 128 * 2**20
"""What a build takes of each Ray it starts, and of a cluster's object store: numbers of parts need a few kilobytes."""
LOOKS, LOOK_SECONDS = 4, 1.0
"""How often a worker looks for the run's folder, and how long it waits between: network file systems show late."""
MOST_CPUS = 4
"""Cores of a worker without a GPU: they share one copy of the model."""


class Machines(NamedTuple):
    """What the machines of a cluster have together, now."""

    nodes: int
    """Machines."""
    cpus: int
    """Cores that Ray gives away."""
    gpus: int
    """GPUs."""
    cpus_per_worker: int
    """Cores of a worker without a GPU."""
    cpu_workers: int
    """How many of these find room at once."""


@contextmanager
def open_ray(address: str, device: str, say: Callable[[str], None]) -> Iterator[RayEngine]:
    """Connect to the cluster at `address`: auto, HOST:PORT, or local, which starts one on this machine.

    Raises Refusal, within seconds, when ray is not installed or no cluster answers.
    """
    # a build tells nobody that it runs; this counts only for a Ray that is started here
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise Refusal(
            f"--engine ray needs a package that is not installed ({error.name}): {INSTALL}; or leave --engine out."
        ) from error
    if address != "local":
        _ask(address)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    own = {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    ours: dict[str, Any] = own if address == "local" else {}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **ours)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_answer(address, " ".join(str(error).split())[:160]) from error
    try:
        nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
        machines = _machines(nodes())
        if device == "cuda" and not machines.gpus:
            raise Refusal(
                f"--device cuda was asked for but the Ray cluster {_named(address)} has no GPU; leave --device out, or "
                "start Ray on machines with GPUs."
            )
        engine = RayEngine(machines, "cpu" if device == "cpu" or not machines.gpus else "cuda")
        say(f"ray: {engine.sharing}.")
        yield engine
    finally:
        ray.shutdown()


def _named(address: str) -> str:
    return "of this machine" if address in ("auto", "local") else f"at {address}"


def _ask(address: str) -> None:
    """Ask whether a cluster is there; ray.init itself takes over a minute to find that none is."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
        except OSError as error:
            raise _no_answer(address, error.strerror or str(error)) from error
    command = [sys.executable, "-m", "ray.scripts.scripts", "status"]
    try:
        asked = subprocess.run(
            command if address == "auto" else [*command, "--address", address],
            capture_output=True,
            timeout=STATUS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _no_answer(address, f"no answer of a Ray cluster in {STATUS_SECONDS:g} s") from error
    if asked.returncode:
        said = asked.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise _no_answer(address, said[-1].strip()[:160])


def _no_answer(address: str, reason: str) -> Refusal:
    if address == "auto":
        return Refusal(
            f"no Ray cluster was found from this machine ({reason.rstrip('.')}); start one with `ray start --head`, "
            "name one with --address HOST:PORT, or give --address local for this machine alone."
        )
    return Refusal(
        f"no Ray cluster answers at {address} ({reason.rstrip('.')}); give the HOST:PORT that `ray start --head` "
        "printed, and run the build on a machine that has joined with `ray start --address`."
    )


def _machines(nodes: list[dict[str, Any]]) -> Machines:
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    cpus = [int(resources.get("CPU", 0)) for resources in alive]
    per_worker = min([MOST_CPUS, *(count for count in cpus if count)])
    fit = sum(count // per_worker for count in cpus)
    return Machines(len(alive), sum(cpus), int(sum(own.get("GPU", 0) for own in alive)), per_worker, fit)


@dataclass(frozen=True)
class RayEngine:
    """Has parts made by workers, which are more while there is work for more and room in the cluster."""

    machines: Machines
    """Those of the cluster when the build began."""
    device: str
    """Where a stage that gains from a GPU runs: cpu or cuda."""

    @property
    def sharing(self) -> str:
        """What the cluster is."""
        nodes, cpus, gpus, *_ = self.machines
        counts = [
            f"{n} {name}{'' if n == 1 else 's'}" for n, name in ((nodes, "machine"), (cpus, "core"), (gpus, "GPU"))
        ]
        return "embedding and encoding are shared by {} with {} and {}".format(*counts)

    def make_parts(
        self, parts: Mapping[int, int], here: PartMaker, elsewhere: Opener, advance: Callable[[int], None]
    ) -> dict[str, Any]:
        """See `Engine.make_parts`; Refusal when a worker cannot go on, or the cluster fails."""
        from ray.exceptions import RayError, RayTaskError

        traits = here.traits
        if not parts:
            return traits
        try:
            with _marker(elsewhere.folder) as marker:
                for outcome in self._outcomes(list(parts), elsewhere, marker):
                    traits = outcome.traits
                    advance(parts[outcome.number])
        except RayTaskError:  # an error in our own code, which must be seen as it is
            raise
        except RayError as error:
            raise Refusal(
                f"the Ray cluster failed ({type(error).__name__}: {' '.join(str(error).split())[:160]}); mend it and "
                "give the same command again, it goes on where it was."
            ) from error
        return traits

    def _outcomes(self, numbers: list[int], opener: Opener, marker: Marker) -> Iterator[Outcome]:
        """Yield what became of each part, as they are made; raises the error of the first that was not."""
        import ray.data
        from ray.data import ActorPoolStrategy, ExecutionResources

        on_gpu = opener.uses_gpu and self.device == "cuda"
        fit = self.machines.gpus if on_gpu else self.machines.cpu_workers
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.resource_limits = ExecutionResources(object_store_memory=OBJECT_STORE_BYTES)
        parts = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
        made = parts.map_batches(
            Worker,
            fn_constructor_args=(opener, "cuda" if on_gpu else "cpu", marker),
            batch_size=1,
            compute=ActorPoolStrategy(min_size=1, max_size=len(numbers), initial_size=max(1, min(fit, len(numbers)))),
            num_cpus=1 if on_gpu else self.machines.cpus_per_worker,
            num_gpus=1 if on_gpu else 0,
        )
        for row in made.iter_rows():
            yield Outcome.of(row["number"], row["outcome"])


class Marker(NamedTuple):
    """A file by which a worker on another machine knows that it sees the run's folder, and not another of its name."""

    path: Path
    """The file, in the generation."""
    word: str
    """What is written in it."""
    version: str
    """The version of the code that wrote it."""

    def check(self) -> None:
        """Refuse, in a worker, a machine that does not see the run's folder or has another version of the code."""
        if __version__ != self.version:
            raise Refusal(
                f"this project is installed in version {__version__} and the build runs {self.version}; install "
                "the same on every machine of the cluster."
            )
        for _ in range(LOOKS):
            if self.path.is_file() and self.path.read_text(encoding="ascii") == self.word:
                return
            time.sleep(LOOK_SECONDS)
        raise Refusal(
            f"the folder {self.path.parent} of the run is not seen there, or is another one; give --data a folder on a "
            "file system that all machines of the cluster share, under one path."
        )


@contextmanager
def _marker(folder: Path) -> Iterator[Marker]:
    word = uuid.uuid4().hex
    marker = Marker(folder / f"engine-{word[:8]}{files.ASIDE}", word, __version__)
    marker.path.write_text(word, encoding="ascii")
    try:
        yield marker
    finally:
        files.remove(marker.path)


class Outcome(NamedTuple):
    """What became of one part."""

    number: int
    """The part."""
    traits: dict[str, Any]
    """Those of the worker that made it."""

    @classmethod
    def of(cls, number: int, outcome: str) -> Outcome:
        """Read what a worker wrote; raises its error."""
        read = json.loads(outcome)
        if "refused" in read:
            raise Refusal(read["refused"])
        if "system" in read:
            raise OSError(*read["system"])
        return cls(int(number), read["traits"])


class Worker:
    """Makes the parts whose numbers it is given, in a process of a Ray cluster."""

    def __init__(self, opener: Opener, device: str, marker: Marker) -> None:
        self._opener, self._device, self._marker = opener, device, marker
        self._maker: PartMaker | None = None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        """Make the parts of a batch; return their numbers and outcomes, errors with a sentence of their own among them.

        A part that exists is kept: one that was made by a worker that died before it could say so.
        """
        numbers = batch["number"].tolist()
        return {"number": numbers, "outcome": [json.dumps(self._make(number)) for number in numbers]}

    def _make(self, number: int) -> dict[str, Any]:
        try:
            maker = self._open()
            if not self._opener.exists(number):
                maker(number, lambda n: None)
        except Refusal as refusal:
            return {"refused": str(refusal)}
        except OSError as error:
            return {"system": [error.errno, error.strerror, str(error.filename or "")]}
        return {"traits": maker.traits}

    def _open(self) -> PartMaker:
        """The maker of parts, opened at the first part; Refusal names the machine that cannot make any."""
        if self._maker is None:
            try:
                self._marker.check()
                self._maker = self._opener.open(self._device)
            except Refusal as refusal:
                raise Refusal(f"on {socket.gethostname()}, a machine of the Ray cluster: {refusal}") from refusal
            files.write_apart()
        return self._maker
