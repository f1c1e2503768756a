"""Run folders as the data of the page, read without the lab."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    tomllib = None


def number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def table(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def columns(path: Path) -> dict[str, list[float | None]]:
    rows = table(path)
    return {name: [number(row[name]) for row in rows] for name in rows[0]} if rows else {}


def flat(config: dict, prefix: str = "") -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[prefix + key] = value
    return result


def toml(path: Path) -> dict:
    return tomllib.loads(path.read_text()) if path.exists() and tomllib else {}


def method(folder: Path, name: str, summary: dict[str, dict[str, str]]) -> dict:
    steps: dict[str, dict[str, list]] = defaultdict(lambda: {"update": [], "value": []})
    for row in table(folder / "steps.csv"):
        steps[row["quantity"]]["update"].append(number(row["update"]))
        steps[row["quantity"]]["value"].append(number(row["value"]))
    timing: dict[str, dict[str, list]] = defaultdict(lambda: {"update": [], "seconds": []})
    for row in table(folder / "timing.csv"):
        timing[row["part"]]["update"].append(number(row["update"]))
        timing[row["part"]]["seconds"].append(number(row["seconds"]))
    groups: dict[str, dict] = {}
    for row in table(folder / "spectrum.csv"):
        group = groups.setdefault(
            row["update"], {"update": int(row["update"]), "index": [], "value": []}
        )
        group["index"].append(int(row["index"]))
        group["value"].append(number(row["singular_value"]))
    end = summary.get(name)
    outcome = None
    if end:
        outcome = {
            key: number(end[key]) for key in ["updates", "seconds", "train_loss", "test_loss"]
        }
        outcome |= {"stop": end["stop"], "consumed": end["consumes"], "ended": "budget"}
    pictures = folder / "pictures.json"
    return {
        "name": name,
        "state": "finished" if end else "running",
        "outcome": outcome,
        "metrics": columns(folder / "metrics.csv"),
        "diagnostics": columns(folder / "diagnostics.csv"),
        "steps": dict(steps),
        "spectrum": list(groups.values())[:: max(1, len(groups) // 39)],
        "timing": dict(timing),
        "warnings": [
            row | {"update": number(row["update"])} for row in table(folder / "warnings.csv")
        ],
        "phases": [],
        "pictures": json.loads(pictures.read_text()) if pictures.exists() else None,
    }


def run(folder: Path) -> dict:
    config = toml(folder / "config.toml")
    settings = flat(config)
    about = toml(folder / "run.toml") or {
        "version": settings.get("run.version"),
        "system": settings.get("run.system"),
        "seed": settings.get("run.seed"),
    }
    summary = {row["method"]: row for row in table(folder / "summary.csv")}
    names = settings.get("run.methods") or [
        m.name for m in folder.iterdir() if (m / "metrics.csv").exists()
    ]
    methods = [method(folder / name.replace(":", "-"), name, summary) for name in names]
    return {
        "name": folder.name,
        "path": str(folder),
        "about": about,
        "config": (folder / "config.toml").read_text(),
        "settings": settings,
        "methods": methods,
        "target": None,
    }


def data(*folders: Path) -> dict:
    """The whole of what the page shows."""
    return {
        "format": 1,
        "live": False,
        "generated": "2026-11-24T05:00:00Z",
        "version": "hig 0.1.0",
        "runs": [run(Path(folder)) for folder in folders],
    }
