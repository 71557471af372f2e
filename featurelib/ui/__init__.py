"""What every page is drawn with; the only part of featurelib that imports Streamlit.

The run (session):
    open_run()          the run of this rerun: .name .run .generation .store; a sentence if there is none
    live()              the client of the worker that holds embedder and SAE
    part()              `with ui.part():` turns a missing or refused part into a sentence in its place
The address (address): the only truth about what is shown; whatever is wrong in it is said in a sentence
    whole_number_param("feature")       int, or None when absent; anything else ends the page
    param("q"), choice_param("colour", CHOICES), number_param("low"), count_param("least"), page_param()
    set_params(q="x", page=None)        change the address (None removes); `run` stays
    text_box, choice_box, segments, toggle, number_box, count_box, pager    widgets whose value lives in the address
    feature_link(7, label), text_link(3, label), page_link("map.py", "…", q="x")    escaped links that keep the run
    open_feature(7), open_text(3), go("features.py", low="0.1")    switch page, keeping the run; address(…) to be copied
Drawing (elements, rows, downloads):
    page(title, lead)  heading(title, note, help=…)  sentence("…")  stop_with("…")  strip([Number(…)])
    tag("span", "any text", cls="muted") → Html, everything escaped and isolated; html(*pieces) draws them
    chips([…])  facts([(name, value)])
    feature_rows([(id, label, "0.44")])  text_rows([(id, opening, "1.2")])  feature_table(rows, …): every name is a link
    chart(figure, key=…, select=…, chosen=…)    a Plotly figure without frame and toolbar; returns the selection
    download(name, make, key=…)         CSV and Parquet buttons that make the file when they are clicked
    percent(x)  number(x)  count(x)  opening(text)  colours()
"""

from __future__ import annotations

from featurelib.ui.kit.address import (
    choice_box,
    count_box,
    count_param,
    number_box,
    page_link,
    pager,
    param,
    segments,
    set_params,
    text_box,
    text_link,
    toggle,
    whole_number_param,
)
from featurelib.ui.kit.downloads import download
from featurelib.ui.kit.elements import (
    Number,
    chart,
    count,
    facts,
    heading,
    html,
    number,
    opening,
    page,
    part,
    percent,
    plain,
    sentence,
    stop_with,
    strip,
    tag,
)
from featurelib.ui.kit.metrics import metric_number
from featurelib.ui.kit.session import (
    Opened,
    data_folder,
    data_folder_of,
    fail,
    lifespan,
    live,
    open_run,
    settle,
    use_data_folder,
)
from featurelib.ui.kit.sidebar import sidebar
from featurelib.ui.kit.tables import feature_rows, feature_table, text_rows
from featurelib.ui.kit.theme import colours, style
