"""The page as the lab builds it: template, style, scripts and data in one file."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PARTS = ROOT / "crates/hig-lab/src/page"


def build(data: object) -> str:
    """The page with data, by the order of scripts that ``mod.rs`` states."""
    order = re.findall(r'include_str!\("(\w+\.js)"\)', (PARTS / "mod.rs").read_text())
    assert len(order) > 10
    parts = {
        "style": (PARTS / "style.css").read_text(),
        "script": "".join((PARTS / name).read_text() for name in order),
        "data": json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
    }
    template = (PARTS / "page.html").read_text()
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)
