"""A corpus whose topics are known: each text is made of the words of one or two topics and a few words of none."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TOPICS = {
    "astronomy": "galaxy star telescope redshift supernova nebula quasar orbit",
    "genetics": "gene genome protein mutation dna chromosome allele ribosome",
    "learning": "network training gradient neural classifier dataset overfitting perceptron",
    "algebra": "group ring ideal polynomial homomorphism lattice module matrix",
    "climate": "rainfall temperature monsoon glacier drought ocean carbon aerosol",
    "economics": "market price auction inflation wage trade tariff investor",
    "quantum": "qubit entanglement photon spin superposition decoherence hamiltonian boson",
    "medicine": "patient clinical tumour therapy vaccine diagnosis surgery antibody",
    "robotics": "robot gripper actuator manipulator quadruped servo locomotion torque",
    "linguistics": "grammar syntax phoneme morphology dialect vowel corpus lexicon",
    "geology": "basalt sediment tectonic magma fault mineral erosion quartz",
    "music": "melody rhythm chord tempo violin harmony octave orchestra",
}
FILLER = ["we", "study", "show", "result", "method", "new", "paper", "using", "approach", "between"]


@dataclass(frozen=True)
class Planted:
    """The corpus and the truth about it."""

    path: Path
    texts: list[str]
    topics: list[tuple[str, ...]]
    ids: list[str]


def plant(folder: Path, n_texts: int = 600, seed: int = 7) -> Planted:
    """A corpus of `n_texts` texts, written as Parquet into `folder` unless it is there; text = title + '. ' + body."""
    draw = random.Random(seed)
    rows, texts, topics = [], [], []
    names = list(TOPICS)
    for number in range(n_texts):
        chosen = tuple(sorted(draw.sample(names, 1 if draw.random() < 0.6 else 2)))
        words = [word for topic in chosen for word in draw.sample(TOPICS[topic].split(), 6)]
        words += draw.sample(FILLER, 3)
        draw.shuffle(words)
        title, body = " ".join(words[:3]), " ".join(words[3:])
        rows.append(
            {
                "id": f"p{number:04d}",
                "title": title,
                "abstract": body,
                "group": chosen[0],
                "year": 2000 + number % 20,
                "labels": list(chosen),
            }
        )
        texts.append(f"{title}. {body}")
        topics.append(chosen)
    path = folder / "planted.parquet"
    if not path.exists():
        pq.write_table(pa.Table.from_pylist(rows), path)
    return Planted(path, texts, topics, [row["id"] for row in rows])
