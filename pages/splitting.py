"""Two SAEs on the same texts: which features of one became which of the other."""

from __future__ import annotations

from featurelib import ui
from featurelib.ui import matching
from featurelib.ui.kit.session import known_runs

LEAD = (
    "How the features of this run correspond to those of another run on the same texts and embedder: a larger SAE "
    "often splits a feature into several. Overlap is of the texts on which features fire."
)

opened = ui.open_run()
ui.page("Splitting", LEAD)
names, reasons = matching.partners(opened)
if not names:
    ui.stop_with(matching.no_partner(reasons, known_runs()))
other = ui.choice_box("Compare with", "other", names, width=260, resets=("page", "feature"))
with ui.section():
    compared = matching.compare(opened, other)
    matching.fates(compared)
    fate = matching.fate_box()
    rows = matching.overview(compared, fate)
    if rows.num_rows:
        matching.fate_table(rows, key=f"fates {opened.name} {other} {fate}")
    else:
        ui.sentence("No feature matches.")
    asked = ui.whole_number_param("feature")
    if asked is not None or rows.num_rows:
        shown = rows["feature_id"][0].as_py() if asked is None else asked
        with ui.section():
            matching.feature_fate(compared, shown)
