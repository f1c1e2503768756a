"""Writes the stubs of the modules whose classes come from the library's lists.

``python -m hig._stubs python/hig`` rewrites them after a system, a method or a setting was added in
Rust and the package installed again; the tests hold them against the running package.
"""

from __future__ import annotations

import sys
from pathlib import Path

from . import _hig
from ._settings import Told, annotation, class_name, field_name

_HEADER = "# Written by `python -m hig._stubs FOLDER`.\n"


def stubs() -> dict[str, str]:
    """The text of each file."""
    return {
        "methods.pyi": _classes(
            _hig.methods(), "Method", "from ._settings import Settings", _METHOD
        )
        + "\ndef by_name(name: str) -> Method: ...\n",
        "systems.pyi": _classes(_hig.systems(), "System", "from ._system import System", ""),
        "training.pyi": _training(_hig.training_settings()),
    }


_METHOD = "\nclass Method(Settings): ...\n"
_IMPORTS = "from dataclasses import dataclass\n"


def _classes(listed: list[tuple[str, str, list[Told]]], base: str, imports: str, first: str) -> str:
    classes = [_class(class_name(name), base, told) for name, _, told in listed]
    names = ["ALL", base, *(class_name(name) for name, *_ in listed)]
    if first:
        names.append("by_name")
    exported = f"\n__all__ = [{', '.join(map(repr, names))}]\n"
    head = f"{_HEADER}{_IMPORTS}\n{imports}\n{exported}{first}"
    return head + f"\nALL: dict[str, type[{base}]]\n" + "".join(classes)


def _class(name: str, base: str, told: list[Told]) -> str:
    fields = "".join(
        f"    {field_name(s)}: {annotation(d, a, w)} = ...\n" for s, d, a, _, w in told
    )
    return f"\n@dataclass(frozen=True, kw_only=True)\nclass {name}({base}):\n{fields}"


def _training(told: list[Told]) -> str:
    keywords = "".join(f"    {field_name(s)}: {annotation(d, a, w)}\n" for s, d, a, _, w in told)
    return (
        f"{_HEADER}{_IMPORTS}from typing import TypedDict\n\nfrom ._settings import Settings\n"
        "\n__all__ = ['Training']\n\nclass _Training(Settings): ...\n"
        + _class("Training", "_Training", told)
        + f"\nclass _TrainingSettings(TypedDict, total=False):\n{keywords}"
    )


def main() -> None:
    """Writes them into the folder that is named."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("python -m hig._stubs FOLDER: expected the folder of the package's sources")
    for name, text in stubs().items():
        (Path(sys.argv[1]) / name).write_text(text)


if __name__ == "__main__":
    main()
