"""The lines of a peer comparison as markdown: a table for each size and L0, and what ours is to the best peer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from benchmarks.peer.plan import OURS, SHIPPED
from benchmarks.peer.trial import Asked


@dataclass(frozen=True)
class Line:
    """One line of the file: what was asked for and what was found."""

    asked: Asked
    """The training."""
    fvu: float
    """See figures.Figures, as the next three."""
    l0: float
    """Of the test texts."""
    fvu_exact: float
    """At exactly k."""
    dead_share: float
    """On the training texts."""
    cpu_seconds: float
    """Of the training."""
    wall_seconds: float
    """Of the training, on a machine that others may use."""
    version: str
    """The system's version."""

    @classmethod
    def read(cls, stored: dict) -> Line:
        """Return the line that was stored as one flat JSON object."""
        names = {field.name for field in fields(Asked)}
        asked = Asked(**{name: value for name, value in stored.items() if name in names})
        return cls(asked, **{name: value for name, value in stored.items() if name not in names})


@dataclass(frozen=True)
class Seeds:
    """The lines that differ in their seed only."""

    lines: list[Line]
    """At least one."""

    def mean(self, name: str) -> float:
        """Return the mean of a figure."""
        return float(np.mean([getattr(line, name) for line in self.lines]))

    def show(self, name: str, digits: int, scale: float = 1) -> str:
        """Return mean ± standard deviation of a figure."""
        values = np.array([getattr(line, name) for line in self.lines]) * scale
        spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
        return f"{values.mean():.{digits}f}{spread}"


Group = dict[tuple[str, int], Seeds]
"""By system and samples, for one size and L0."""


def write_tables(lines: list[Line]) -> Iterator[str]:
    """Yield the lines of the markdown."""
    yield from _tuning([line for line in lines if line.asked.role == "tuning"])
    groups: dict[tuple[int, int], dict[tuple[str, int], list[Line]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        if line.asked.role != "tuning":
            label = f"{OURS}, as shipped" if line.asked.option == SHIPPED else line.asked.system
            groups[line.asked.n_features, line.asked.k][label, line.asked.samples].append(line)
    for (n_features, k), group in sorted(groups.items()):
        yield from _compare(n_features, k, {key: Seeds(of) for key, of in group.items()})


def _tuning(lines: list[Line]) -> Iterator[str]:
    yield "| tuned | version | lr | batch | option | FVU at exactly k | tried | CPU seconds |"
    yield "|---|---|---|---|---|---|---|---|"
    for system in dict.fromkeys(line.asked.system for line in lines):
        tried = [line for line in lines if line.asked.system == system]
        best = min(tried, key=lambda line: line.fvu_exact)
        spent = sum(line.cpu_seconds for line in tried)
        chosen = f"{best.asked.lr:g} | {best.asked.batch} | {best.asked.option}"
        yield f"| {system} | {best.version} | {chosen} | {best.fvu_exact:.4f} | {len(tried)} | {spent:.0f} |"


def _compare(n_features: int, k: int, group: Group) -> Iterator[str]:
    samples = max(number for _, number in group)
    full = {system: of for (system, number), of in group.items() if number == samples}
    seeds = max(len(of.lines) for of in full.values())
    yield f"\n**{n_features} features, L0 {k}, {samples:,} samples, {seeds} seeds**\n"
    yield "| system | FVU | L0 | FVU at exactly k | dead % | CPU seconds | ours passes its FVU (at exactly k) in |"
    yield "|---|---|---|---|---|---|---|"
    for system, of in full.items():
        figures = f"{of.show('fvu', 4)} | {of.show('l0', 1)} | {of.show('fvu_exact', 4)}"
        spent = f"{of.show('dead_share', 1, 100)} | {of.show('cpu_seconds', 1)}"
        yield f"| {system} | {figures} | {spent} | {_catch(system, of, group)} |"
    peers = {system: of for system, of in full.items() if not system.startswith(OURS)}
    ours = [system for system in full if system not in peers]
    if ours and peers:
        for system in ours:
            yield from _ratios(system, full[system], peers)
        fastest = min(peers, key=lambda system: peers[system].mean("cpu_seconds"))
        yield f"\nTime to the fastest peer's final FVU ({fastest}): {_catch(fastest, peers[fastest], group)}"


def _catch(system: str, peer: Seeds, group: Group) -> str:
    """Return the CPU seconds of our shortest training whose mean FVU at exactly k is not above the peer's."""
    if system.startswith(OURS):
        return ""
    ours = [(of.mean("cpu_seconds"), key, of) for key, of in group.items() if key[0].startswith(OURS)]
    for seconds, (label, samples), of in sorted(ours, key=lambda row: row[0]):
        if of.mean("fvu_exact") <= peer.mean("fvu_exact"):
            share = seconds / peer.mean("cpu_seconds")
            return f"{seconds:.1f} s, {share:.2f} of its ({label}, {samples:,} samples)"
    return "never"


def _ratios(label: str, ours: Seeds, peers: dict[str, Seeds]) -> Iterator[str]:
    for name, words in (("fvu_exact", "FVU at exactly k"), ("fvu", "FVU"), ("cpu_seconds", "CPU seconds")):
        best = min(peers, key=lambda system: peers[system].mean(name))
        ratio = ours.mean(name) / peers[best].mean(name)
        drift = f", its L0 {peers[best].mean('l0'):.1f}" if name == "fvu" else ""
        yield f"\n{words}: {label} / {best} (lowest of the peers{drift}) = {ratio:.3f}"
