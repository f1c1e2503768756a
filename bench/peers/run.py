#!/usr/bin/env python3
"""Measures this library beside its peers: `python3 bench/peers/run.py [--help]`.

Needs Python 3.11 or newer, pip's package index and cargo. Makes a virtual environment beside this
file, builds the example `peer`, and hands over to measure.py.
"""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
THREADS = 2


def fail(message):
    sys.exit(f"run.py: {message}")


def environment(name, requirements, size):
    """The Python of a virtual environment that has what a file of requirements asks for."""
    folder, wanted = HERE / name, (HERE / requirements).read_text()
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    if sys.version_info < (3, 11):
        fail(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    print(f"making the virtual environment {name} (about {size}) ...", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*command, "-r", HERE / requirements]).returncode != 0:
        fail(f"pip could not install bench/peers/{requirements}; its message is above")
    stamp.write_text(wanted)
    return python


def example(name):
    """The path of a built example."""
    print("building the example ...", flush=True)
    command = ["cargo", "build", "--release", "-p", "hig", "--example", name]
    command.append("--message-format=json-render-diagnostics")
    try:
        built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        fail("cargo is not there; install a Rust toolchain")
    if built.returncode != 0:
        fail("cargo could not build the example; its message is above")
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in reversed(messages) if m.get("executable"))


def main():
    arguments, script = sys.argv[1:], ["measure.py", "--peer"]
    python, peer = environment(".venv", "requirements.txt", "800 MB"), "peer"
    fields = arguments[:1] == ["--fields"]
    if fields:
        arguments, script = arguments[1:], ["fields.py"]
    if not {"-h", "--help"} & set(arguments):
        peer = example("field_peer" if fields else "peer")
        if "--torch" in arguments:
            other = environment(".venv-torch", "requirements-torch.txt", "5 GB")
            arguments[arguments.index("--torch")] = f"--torch={other}"
    threads = 1 if fields else THREADS
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    os.environ["JAX_PLATFORMS"] = "cpu"
    script[0] = str(HERE / script[0])
    os.execv(python, [str(python), *script, str(peer), *arguments])


if __name__ == "__main__":
    main()
