"""The dashboard as an ASGI app: `streamlit run app.py`, or with another data folder `… app.py -- --data DIR`."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from featurelib import guard, ui

HERE = Path(__file__).resolve().parent
SHELL = Path(st.__file__).parent / "static" / "index.html"

if Path(sys.argv[0]).name == Path(__file__).name:
    ui.use_data_folder(ui.data_folder_of(sys.argv[1:], default=HERE / "data"))

app = st.App(
    HERE / "pages" / "navigation.py",
    lifespan=ui.lifespan,
    on_script_error=ui.fail,
    middleware=[
        Middleware(
            guard.Guard,
            allowed_hosts=lambda: st.get_option("server.allowedHosts"),
            shell=SHELL.read_text(encoding="utf-8") + ui.script_element(),
        )
    ],
)
