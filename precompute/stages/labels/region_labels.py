"""Labels of the map's regions, found as those of features: the texts of a region stand for those on which it fires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from featurelib.labels.choice import Candidate, share_out
from featurelib.labels.keywords import SEPARATOR
from featurelib.labels.split import TESTING
from featurelib.schema import FIRING_LAYOUT, REGION_FEATURES, REGION_TEXTS, REGIONS, TEXTS
from featurelib.stats import auroc_and_ap
from precompute.build.embedded_strings import EmbeddedStrings
from precompute.build.job import Job
from precompute.stages.labels.candidates import ACTIVE_TEXTS, MOST_BY_CONTRAST, Candidates
from precompute.stages.labels.choices import Grounds
from precompute.stages.labels.coverage import STRONGEST
from precompute.stages.labels.fidelity import MIN_TEXTS, TestTexts
from precompute.stages.labels.label_texts import LabelTexts, TextSample


class RegionTexts:
    """The regions of all levels, numbered one level after the other, and their texts in each set of texts."""

    def __init__(self, job: Job, texts: LabelTexts) -> None:
        rows = pq.read_table(job.generation.need(REGION_TEXTS)).to_pandas()
        features = pq.read_table(job.generation.need(REGION_FEATURES)).to_pandas()
        self.features = features
        regions = features[["level", "region_id"]].drop_duplicates().sort_values(["level", "region_id"])
        self.keys = [(int(level), int(region_id)) for level, region_id in regions.itertuples(index=False)]
        # regions of a level are numbered from 0 without gaps
        first = np.searchsorted([level for level, _ in self.keys], rows["level"].to_numpy())
        numbers = first + rows["region_id"].to_numpy()
        self.n_texts = np.bincount(numbers, minlength=len(self.keys))
        columns = numbers, rows["text_id"].to_numpy(), rows["strength"].to_numpy()
        self.naming = _sample(texts.naming.text_ids, *columns, len(self.keys))
        self.samples = {
            split: _sample(sample.text_ids, *columns, len(self.keys)) for split, sample in texts.samples.items()
        }

    def candidates(self, candidates: Candidates) -> list[list[str]]:
        """Return the phrases that set each region's naming texts apart."""
        phrases = []
        for number in range(len(self.keys)):
            own = self.naming.of(number)
            phrases.append(candidates.of_texts(self.naming.rows[own], self.naming.activations[own], MOST_BY_CONTRAST))
        return phrases


def _sample(
    text_ids: np.ndarray, regions: np.ndarray, texts: np.ndarray, strengths: np.ndarray, n_regions: int
) -> TextSample:
    """The regions of some texts; within each the strongest come first, as they do in the table."""
    place = np.minimum(np.searchsorted(text_ids, texts), max(len(text_ids) - 1, 0))
    inside = text_ids[place] == texts if len(text_ids) else np.zeros(len(texts), bool)
    regions, rows, strengths = regions[inside], place[inside], strengths[inside]
    order = np.argsort(regions, kind="stable")
    starts = np.searchsorted(regions[order], np.arange(n_regions + 1))
    return TextSample(text_ids, starts, rows[order], strengths[order])


def choose_region_labels(
    texts: LabelTexts, regions: RegionTexts, phrases: Sequence[Sequence[str]], vectors: EmbeddedStrings | None
) -> dict[int, list[str]]:
    """Return the keywords of each region's label, by the region's number; in a level no two have the same."""
    alternatives = _alternatives(texts, regions, phrases, vectors)
    labels: dict[int, list[str]] = {}
    for level in {level for level, _ in regions.keys}:
        own = [number for number, key in enumerate(regions.keys) if key[0] == level]
        labels |= share_out({number: alternatives[number] for number in own if alternatives.get(number)})
    return labels


class _Standing(NamedTuple):
    """How a region's label stands on the label test texts."""

    n_strongest: int
    n_holding: int
    auroc: float | None
    ap: float | None


def write_regions(job: Job, regions: RegionTexts, labels: dict[int, list[str]], tests: TestTexts) -> None:
    """Write the table of regions with their labels, and how these stand on the label test texts."""
    n_texts = pq.read_metadata(job.generation.need(TEXTS)).num_rows
    places = pq.read_table(job.generation.need(FIRING_LAYOUT)).to_pandas().set_index("feature_id")
    of_regions = regions.features.groupby(["level", "region_id"])["feature_id"]
    region_of = regions.features.set_index(["level", "feature_id"])["region_id"].to_dict()
    rows = []
    for number, (level, region_id) in enumerate(regions.keys):
        of_region = of_regions.get_group((level, region_id))
        x, y = places.loc[of_region, ["x", "y"]].median()
        label = SEPARATOR.join(labels[number]) if number in labels else None
        n_own = int(regions.n_texts[number])
        # regions are nested, so that any of its features lies in the same one of the next coarser level
        parent = region_of.get((level - 1, int(of_region.iloc[0])))
        standing = _standing(regions.samples[TESTING], number, labels.get(number, ()), tests)
        numbers = (len(of_region), n_own, n_own / n_texts)
        rows.append((level, region_id, parent, label, x, y, *numbers, *standing))
    job.generation.write_rows(REGIONS, rows)


def _standing(sample: TextSample, number: int, keywords: Sequence[str], tests: TestTexts) -> _Standing:
    own = sample.rows[sample.of(number)]
    strongest = own[:STRONGEST]
    if not keywords:
        return _Standing(len(strongest), 0, None, None)
    n_holding = int((tests.n_held(keywords)[strongest] > 0).sum())
    inside = np.zeros(sample.n, bool)
    inside[own] = True
    if min(inside.sum(), (~inside).sum()) < MIN_TEXTS:
        return _Standing(len(strongest), n_holding, None, None)
    agreement = auroc_and_ap(tests.predict(tests.predictors[-1], keywords)[None], inside)
    return _Standing(len(strongest), n_holding, float(agreement.auroc[0]), float(agreement.ap[0]))


def _alternatives(
    texts: LabelTexts, regions: RegionTexts, phrases: Sequence[Sequence[str]], vectors: EmbeddedStrings | None
) -> dict[int, list[tuple[float, list[str]]]]:
    """The labels that each region may have."""
    wanted = [
        (number, [Candidate(phrase, ACTIVE_TEXTS) for phrase in of_region])
        for number, of_region in enumerate(phrases)
        if of_region
    ]
    grounds = Grounds.of(texts, regions.samples, with_units=vectors is not None)
    return {number: choice.alternatives for number, choice in grounds.choose(wanted, vectors)}
