"""Scores against the number of features that a classifier sees, one line for each way to choose them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from featurelib import charts
from featurelib.charts import ScoreLine
from featurelib.queries import Experiment
from featurelib.ui.classify.choosing import classifier_name
from featurelib.ui.classify.one_experiment import METRICS
from featurelib.ui.kit.address import segments
from featurelib.ui.kit.elements import chart, heading
from featurelib.ui.kit.theme import colours

COUNTED = re.compile(r"(.+)[+](largest|anova|difference|l1)-(\d+)")
CHOSEN = {
    "largest": "the largest of each text",
    "anova": "chosen by ANOVA",
    "difference": "chosen by mean difference",
    "l1": "chosen by L1",
}
LEVELS = ("features", "embedding")
HELP = (
    "With 95 % intervals by bootstrap over the test texts. Columns are chosen on the training texts alone. The level "
    "lines see everything."
)


def lines_of(rows: Sequence[Experiment], metric: str) -> list[ScoreLine]:
    """The scores of representations that differ in their number of features alone; two or more make a line."""
    found: dict[tuple[str, str], list[tuple[int, Experiment]]] = {}
    for each in rows:
        if read := COUNTED.fullmatch(each.representation):
            found.setdefault((read[1], read[2]), []).append((int(read[3]), each))
    lines = []
    for (kind, way), own in found.items():
        own.sort(key=lambda pair: pair[0])
        scores = [each.scores[metric] for _, each in own]
        if len(own) > 1:
            name = f"{kind}, {CHOSEN[way]}"
            lines.append(ScoreLine(name, [n for n, _ in own], *(list(column) for column in zip(*scores, strict=True))))
    return lines


def by_number(rows: Sequence[Experiment], metric: str) -> None:
    """Draw the lines of one classifier; nothing where no two experiments differ in their number of features alone."""
    with_lines = [
        name
        for name in dict.fromkeys(each.classifier for each in rows)
        if lines_of([each for each in rows if each.classifier == name], metric)
    ]
    if not with_lines:
        return
    classifier = segments("Classifier", "by", with_lines, show=classifier_name, label_visibility="collapsed")
    own = [each for each in rows if each.classifier == classifier]
    lines = lines_of(own, metric)
    levels = {each.representation: each.scores[metric][0] for each in own if each.representation in LEVELS}
    heading(f"{METRICS[metric][0]} by number of features", help=HELP)
    chart(charts.scores_by_number(lines, levels, colours()), key=f"by number {metric} {classifier}")
