"""Whether every page of the demo shows the same numbers here as in another checkout, text by text.

Usage: python -m benchmarks.same_pages --other CHECKOUT [--run demo] [--many 10] [--seed 0] [--words] [--keep FILE]

Each page is drawn without a browser in both checkouts, each in a process of its own, from the run in its own data
folder: all views of `--many` features and as many texts, and every other page. Compared are the numbers that stand in
texts, links, tables and charts, in the order of the page; an address whose numbers differ is printed with the numbers
that only one side has. `--words` prints the texts that differ too. Exit code 1 when a number differs.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import random
import re
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
NUMBER = re.compile(r"(?<![\w.])[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|(?<![\w.])\.\d+")
SECONDS = 120
FEATURE_VIEWS = ("top", "bands", "random", "near")
TRIED = "A survey of galaxy clusters with weak lensing"


def addresses(n_features: int, n_texts: int, many: int, seed: int) -> list[tuple[str, dict[str, str]]]:
    """The pages to draw, each a file of pages/ and its parameters."""
    draw = random.Random(seed)
    features = sorted(draw.sample(range(n_features), many))
    texts = sorted(draw.sample(range(n_texts), many))
    pages: list[tuple[str, dict[str, str]]] = [("overview.py", {}), ("evaluation.py", {}), ("splitting.py", {})]
    pages += [
        ("features.py", {}),
        ("features.py", {"sort": "density", "order": "rising"}),
        ("features.py", {"q": "galaxy"}),
    ]
    pages += [("map.py", {}), ("map.py", {"cluster": "1"}), ("families.py", {}), ("families.py", {"family": "0"})]
    pages += [("families.py", {"order": "rising"}), ("audit.py", {}), ("audit.py", {"every": "yes"})]
    pages += [("search.py", {"q": "galaxy"}), ("search.py", {"q": "galaxy clusters", "by": "meaning"})]
    pages += [("textmap.py", {}), ("textmap.py", {"colour": "year"}), ("try.py", {"t": TRIED})]
    for feature in features:
        for view in FEATURE_VIEWS:
            pages.append(("feature.py", {"feature": str(feature), "view": view}))
        pages.append(("map.py", {"feature": str(feature)}))
        pages.append(("combine.py", {"with": str(feature)}))
        pages.append(("textmap.py", {"feature": str(feature)}))
    for text, other in zip(texts, texts[1:] + texts[:1], strict=True):
        pages.append(("text.py", {"text": str(text)}))
        pages.append(("steer.py", {"text": str(text)}))
        pages.append(("similar.py", {"a": str(text), "b": str(other)}))
    return pages


def plain(text: str) -> str:
    """HTML as a reader reads it: without tags, entities resolved, one space between words."""
    without_styles = re.sub(r"<(style|script).*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", without_styles)).split())


def checksum(array: re.Match[str]) -> str:
    """A chart's array as one number, so that equal arrays are equal numbers."""
    return f'"array": {zlib.crc32(array.group(1).encode())}'


def shown(app: Any) -> list[str]:
    """Every piece of text that a drawn page shows, and the numbers of its tables and charts."""
    pieces: list[str] = []
    for element in app.main:
        kind = element.type
        if kind == "page_link":
            pieces.append(re.sub(r"\\(.)", r"\1", element.proto.label))
        elif kind in ("html", "markdown", "text", "caption", "heading", "title", "subheader", "header", "code"):
            pieces.append(plain(str(element.value)))
        elif kind in ("arrow_data_frame", "dataframe"):
            pieces.append(element.value.to_csv(index=False))
        elif kind == "plotly_chart":
            spec = re.sub(r'"bdata":"([^"]*)"', checksum, element.proto.spec)
            pieces.append("chart " + json.dumps(json.loads(spec), sort_keys=True, separators=(" , ", " : ")))
        elif kind in ("error", "warning", "info", "success"):
            pieces.append(plain(str(element.value)))
    return [piece for piece in pieces if piece]


def draw(request: dict[str, Any]) -> dict[str, list[str]]:
    """Draw every page of the request in the checkout this process runs in; its texts by address."""
    from streamlit.testing.v1 import AppTest

    pages: dict[str, list[str]] = {}
    for file, params in request["pages"]:
        app = AppTest.from_file(str(Path.cwd() / "pages" / "navigation.py"), default_timeout=SECONDS)
        for name, value in {"run": request["run"], **params}.items():
            app.query_params[name] = value
        app.switch_page(file).run()
        name = f"{file}?{urlencode(params)}"
        pages[name] = shown(app) if not app.exception else [f"exception {app.exception[0].value}"]
    return pages


def draw_in(checkout: Path, request: dict[str, Any]) -> dict[str, list[str]]:
    """Draw the pages in a process whose code is that of `checkout`."""
    process = subprocess.run(
        [sys.executable, __file__, "--draw"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "HF_HUB_OFFLINE": "1"},
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return json.loads(process.stdout.splitlines()[-1])  # a library may print a line before


def numbers(texts: list[str]) -> Counter[str]:
    """How often each number stands in the texts."""
    return Counter(number for text in texts for number in NUMBER.findall(text))


def compare(here: dict[str, list[str]], other: dict[str, list[str]], words: bool) -> int:
    """Print what differs; the number of addresses on which numbers do."""
    n_different = 0
    for address, texts in here.items():
        before, now = numbers(other[address]), numbers(texts)
        lost, new = before - now, now - before
        if lost or new:
            n_different += 1
            print(f"{address}\n  only there: {dict(lost.most_common(12))}\n  only here:  {dict(new.most_common(12))}")
        if words:
            for text in other[address]:
                if text not in texts:
                    print(f"  - {text[:300]}")
            for text in texts:
                if text not in other[address]:
                    print(f"  + {text[:300]}")
    n_numbers = sum(numbers(texts).total() for texts in here.values())
    print(f"{len(here)} addresses, {n_numbers:,} numbers: {n_different} addresses with other numbers.")
    return n_different


def main() -> int:
    """Draw and compare; exit code 1 when a number differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", type=Path, help="another checkout of this project")
    parser.add_argument("--run", default="demo")
    parser.add_argument("--many", type=int, default=10, help="features and texts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--words", action="store_true", help="print texts that differ")
    parser.add_argument("--keep", type=Path, help="a JSON file that keeps what the other checkout draws")
    parser.add_argument("--draw", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.draw:
        json.dump(draw(json.load(sys.stdin)), sys.stdout)
        return 0
    import featurelib

    features = featurelib.open(ROOT / "data" / chosen.run).ask("select count(*) as n from features")
    texts = featurelib.open(ROOT / "data" / chosen.run).ask("select count(*) as n from texts")
    n_features, n_texts = int(features["n"].iloc[0]), int(texts["n"].iloc[0])
    request = {"run": chosen.run, "pages": addresses(n_features, n_texts, chosen.many, chosen.seed)}
    if chosen.keep and chosen.keep.is_file():
        other = json.loads(chosen.keep.read_text(encoding="utf-8"))
    else:
        other = draw_in(chosen.other.resolve(), request)
        if chosen.keep:
            chosen.keep.write_text(json.dumps(other), encoding="utf-8")
    return 1 if compare(draw_in(ROOT, request), other, chosen.words) else 0


if __name__ == "__main__":
    sys.exit(main())
