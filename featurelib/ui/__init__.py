"""What every page is drawn with; the only part of featurelib that imports Streamlit.

The names that most pages need are imported here, from the room `kit`; a page imports all others from their own file.
What `kit` has: session (the run of this rerun, the worker's client), address (parameters, links that keep the run and
widgets whose value lives in the address), elements (escaped HTML and charts), lists and tables (rows of links),
downloads, theme. An address that cannot be read is said in a sentence on the page.
"""

from __future__ import annotations

from featurelib.ui.kit.address import (
    choice_box,
    count_box,
    count_param,
    number_box,
    pager,
    param,
    segments,
    set_params,
    text_box,
    toggle,
    whole_number_param,
)
from featurelib.ui.kit.anchors import follow_links, link, page_link, page_links, script_element, text_link
from featurelib.ui.kit.downloads import download
from featurelib.ui.kit.elements import (
    Number,
    chart,
    count,
    density,
    facts,
    heading,
    html,
    number,
    opening,
    page,
    percent,
    plain,
    section,
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
    fragment,
    lifespan,
    live,
    open_run,
    say_fit,
    say_if_being_built,
    settle,
    turn,
    use_data_folder,
    warn_of_damage,
)
from featurelib.ui.kit.sidebar import named_pages, sidebar
from featurelib.ui.kit.theme import colours, remembered, style
