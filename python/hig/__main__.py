"""The program ``hig``, also as ``python -m hig``."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from . import _hig


def main() -> NoReturn:
    """Does what the command line asks for, and ends the process with the program's exit code."""
    # The program has its own way with Ctrl-C, and where it has none the signal ends it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_hig.program([sys.executable, "-m", "hig"], sys.argv[1:]))


if __name__ == "__main__":
    main()
