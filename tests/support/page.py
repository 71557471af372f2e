"""A page as Streamlit runs it without a browser: through the navigation, at an address."""

from __future__ import annotations

import html
import re
from pathlib import Path

from streamlit.testing.v1 import AppTest

NAVIGATION = Path(__file__).resolve().parents[2] / "pages" / "navigation.py"


def page_of(file: str, params: dict[str, object]) -> AppTest:
    """The page `file`, drawn with `params` in its address; it must not have raised."""
    app = AppTest.from_file(str(NAVIGATION), default_timeout=60)
    for name, value in params.items():
        app.query_params[name] = str(value)
    app.switch_page(file).run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    """All that the page draws as HTML, without its tags."""
    drawn = [one.value for one in app.main.html if "<style>" not in one.value]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", " ".join(drawn))).split())


def links(app: AppTest) -> list[str]:
    """The labels of all links of the page, as they are read."""
    return [re.sub(r"\\(.)", r"\1", link.proto.label) for link in app.main.get("page_link")]
