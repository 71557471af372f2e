"""The style sheet of the pages where people read, beside the one that every page has."""

from __future__ import annotations

import streamlit as st

SHEET = """
.fb details > summary { list-style: none; cursor: pointer; }
.fb summary::-webkit-details-marker { display: none; }
.fb .card p { margin: 0; }
.fb .card b { font-weight: 620; }
.fb mark { background: light-dark(#dcebe4, #2c5648); color: inherit; border-radius: .2rem; padding: 0 .1rem; }
.read-more::after { content: "more"; color: var(--accent); font-size: .86rem; white-space: nowrap; }
details[open] .read-more::after { content: "less"; }
summary:hover .read-more::after { text-decoration: underline; }
details[open] .read-opening { display: none; }
.read-whole { white-space: pre-wrap; overflow-wrap: anywhere; }
.read-cut { display: block; margin: .55rem 0; padding: .2rem .8rem; font-size: .86rem; color: var(--muted);
  white-space: normal; border-left: 3px solid light-dark(#c9a227, #c9a94a); background: light-dark(#fbf7ea, #25221a); }
.fb .about .term { text-decoration-thickness: 1px; }
.fb .read-verdict { margin: 0; padding: .1rem 0; }

[class*="st-key-read-"] [data-testid="stElementContainer"] { margin: 0; }
[class*="st-key-read-"] [data-testid="stPageLink-NavLink"] { margin: 0; border-radius: 0; }
[class*="st-key-read-"] [data-testid="stPageLink-NavLink"] p { font-weight: 400; line-height: 1.5; }
[class*="st-key-read-inline-"] a:hover p, [class*="st-key-read-near"] a:hover p,
[class*="st-key-read-lines"] a:hover strong { text-decoration: underline; text-underline-offset: .15em; }
.st-key-read-near a p { color: var(--accent); font-size: .93rem; }

[class*="st-key-read-texts-"] > div:not(:first-child) > .stHtml .card { border-top: 1px solid var(--line); }
[class*="st-key-read-inline-"] { padding: .2rem 0 .7rem 5.15rem; align-items: baseline; column-gap: .4rem;
  row-gap: .3rem; }
[class*="st-key-read-inline-bare"] { padding-left: 0; }
[class*="st-key-read-inline-"] [data-testid="stPageLink-NavLink"] { padding: 0 .5rem; border-radius: .6rem;
  background: light-dark(#f1f4f5, #20272b) !important; }
[class*="st-key-read-inline-"] [href*="text?"] { padding: 0 .2rem 0 0 !important; background: none !important; }
[class*="st-key-read-inline-"] p { font-size: .84rem; color: var(--accent); }
[class*="st-key-read-inline-"] .fb { font-size: .84rem; }

.read-names { display: grid; color: var(--muted); font-size: .8rem; text-align: right; align-items: baseline; }
.fb .read-names h3 { text-align: left; color: light-dark(#1b2024, #e4e8ea); }
[class*="st-key-read-lines"] { padding-bottom: .5rem; }
[class*="st-key-read-lines"] :is(.stPageLink, .stPageLink > div, a, a > span, a > span > div, p) {
  width: 100%; max-width: 100%; }
[class*="st-key-read-lines"] > div { width: 100%; }
[class*="st-key-read-lines"] [data-testid="stPageLink-NavLink"] { padding: .32rem 0;
  border-bottom: 1px solid var(--line);
  background: linear-gradient(var(--accent), var(--accent)) left bottom / var(--share, 0) 3px no-repeat !important; }
[class*="st-key-read-lines"] p { display: grid; font-size: .93rem; }
[class*="st-key-read-lines"] p strong { font-weight: 400; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
[class*="st-key-read-lines"] p span { color: var(--muted) !important; text-align: right; white-space: nowrap;
  font-size: .88rem; }
[class*="st-key-read-lines1-"] :is(p, .read-names) { grid-template-columns: minmax(0, 1fr) 4rem; }
[class*="st-key-read-lines2-"] :is(p, .read-names) { grid-template-columns: minmax(0, 1fr) 3.9rem 4.4rem; }

.st-key-read-moves { row-gap: .4rem; }
.st-key-read-moves [data-testid="stPageLink-NavLink"], .st-key-read-moves button { border: 1px solid var(--line);
  min-height: 0; padding: .2rem .75rem; border-radius: .5rem; }
.st-key-read-moves :is(a, button):hover { border-color: var(--accent); }
.st-key-read-moves p { white-space: nowrap; font-size: .93rem; font-weight: 400; line-height: 1.5; }

.read-histogram { display: flex; align-items: flex-end; gap: 1px; height: 96px; border-bottom: 1px solid var(--muted); }
.read-histogram i { flex: 1; background: var(--accent); opacity: .85; }
.read-histogram i:hover { opacity: 1; }
.read-axis { display: flex; justify-content: space-between; color: var(--muted); font-size: .8rem;
  padding-top: .15rem; }

@media (max-width: 640px) {
  [class*="st-key-read-inline-"] { padding-left: 0; }
  [class*="st-key-read-texts-"] .fb .card { grid-template-columns: minmax(0, 1fr); }
  [class*="st-key-read-texts-"] .activation { display: flex; align-items: center; gap: .6rem; text-align: left; }
  [class*="st-key-read-texts-"] .bar { flex: 1; justify-content: flex-start; margin: 0; max-width: 50%; }
}
"""


def style() -> None:
    """Send the style sheet."""
    st.html(f"<style>{SHEET}</style>")
