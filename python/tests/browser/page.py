"""The page as the lab builds it: template, style, scripts and data in one file."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PARTS = ROOT / "crates/hig-lab/src/page"
LIBRARY = ROOT / "crates/hig/src"


def diagnostics() -> list[dict[str, str]]:
    """The library's list of what steps tell, as the page is given it."""
    fields = r"\s*".join(rf'{name}: "([^"]*)",' for name in ["name", "title", "unit", "meaning"])
    found = re.findall(fields, (LIBRARY / "diagnostics.rs").read_text(encoding="utf-8"))
    assert len(found) > 10
    return [dict(zip(["name", "title", "unit", "meaning"], each)) for each in found]


def looks() -> str:
    """Dashes and symbols of the figures, as the page is given them."""
    palette = (PARTS / "../figures/chart/palette.rs").read_text(encoding="utf-8")
    dashes = re.findall(r'"([^"]*)"', palette.split("DASHES: [&str; 8] = [")[1].split("];")[0])
    symbols = re.findall(r"Symbol::new\(([^)]*)\),", palette)
    assert len(dashes) == len(symbols) == 8
    numbers = [[float(number) for number in symbol.split(",")] for symbol in symbols]
    return f"const DASHES = {json.dumps(dashes)};\nconst SYMBOLS = {json.dumps(numbers)};\n"


def build(data: object) -> str:
    """The page with data, by the order of scripts that ``mod.rs`` states."""
    order = re.findall(r'include_str!\("(\w+\.js)"\)', (PARTS / "mod.rs").read_text())
    assert len(order) > 10
    parts = {
        "style": (PARTS / "style.css").read_text(),
        "script": f"const DIAGNOSTICS = {json.dumps(diagnostics())};\n"
        + looks()
        + "".join((PARTS / name).read_text() for name in order),
        "data": json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
    }
    template = (PARTS / "page.html").read_text()
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)
