"""What a saved result leaves beside weights, metrics and settings: files that the program reads of a run.

``docs/lab.md`` says what they hold.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import _hig
from ._warning import TrainingWarning


def write(result: Any, method: Path) -> None:
    """Writes what a :class:`hig.Result` knows into the folder of its method, and of the run around it."""
    _steps(result.history, method / "steps.csv")
    _warnings(result.warnings, method / "warnings.csv")
    (method / "outcome.toml").write_text(_outcome(result), encoding="utf-8")
    _run(result, method.parent / "run.toml", method.name)


def _table(path: Path, header: str, rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


def _steps(history: Any, path: Path) -> None:
    told = history.diagnostics.items()
    rows = [
        (int(update), name, float(values[i]))
        for i, update in enumerate(history.update)
        for name, values in told
        if not math.isnan(values[i])
    ]
    _table(path, "update,quantity,value", rows)


def _warnings(warnings: Iterable[TrainingWarning], path: Path) -> None:
    rows = [(w.update, w.name, w.message, w.advice) for w in warnings]
    _table(path, "update,name,message,advice", rows)


def _float(value: float) -> str:
    """As TOML writes it: nan and inf as they are, and a point or an exponent in all others."""
    return repr(float(value))


def _losses(losses: Any) -> list[str]:
    lines = [
        f"update = {losses.update}",
        f"train_loss = {_float(losses.train_loss)}",
        f"test_loss = {_float(losses.test_loss)}",
    ]
    if not math.isnan(losses.validation_loss):
        lines.append(f"validation_loss = {_float(losses.validation_loss)}")
    return lines


def _outcome(result: Any) -> str:
    lines = [
        f"updates = {result.updates}",
        f"epochs = {_float(result.epochs)}",
        f"seconds = {_float(result.seconds)}",
        f"train_loss = {_float(result.train_loss)}",
        f"test_loss = {_float(result.test_loss)}",
        f"returned = {result.update}",
        f"stop = {_text(result.stop)}",
        f"ended = {_text(_hig.reason(result.stop))}",
        'consumed = ""',
        f"phases = [[0, {_text(result.method.name)}]]",
        "[last]",
        *_losses(result.last),
    ]
    if result.best is not None:
        lines += ["[best]", *_losses(result.best)]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """A string of TOML, which takes the escapes of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _run(result: Any, path: Path, method: str) -> None:
    if not path.exists():
        # Without methods: they are those that have metrics, and others may come.
        lines = [
            "format = 1",
            f"version = {_text(_version())}",
            f"system = {_text(result.problem.name)}",
            # Beyond what TOML has for numbers, as text.
            f"seed = {result.seed if result.seed < 2**63 else _text(str(result.seed))}",
            'command = "hig.train, in Python"',
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return
    # Of a run of the program, which names its methods.
    text = path.read_text(encoding="utf-8")
    told = re.search(r"^methods = \[(.*)\]$", text, re.M)
    if told and _text(method) not in told[1]:
        names = f"{told[1]}, {_text(method)}" if told[1].strip() else _text(method)
        path.write_text(f"{text[: told.start(1)]}{names}{text[told.end(1) :]}", encoding="utf-8")


def _version() -> str:
    from . import __version__

    return str(__version__)
