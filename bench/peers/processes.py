"""The processes that are measured, each answering a line with a line."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Failed(Exception):
    pass


class Process:
    def __init__(self, command, threads):
        # The threads of BLAS and LAPACK; XLA and rayon have their own, one a core.
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
        environment = {**os.environ, **{name: str(threads) for name in names}}
        self.name = " ".join(Path(str(word)).name for word in command[-3:])
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def line(self, text):
        try:
            self.process.stdin.write(text + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.name} ended; its message is above") from None
        answer = self.process.stdout.readline()
        if not answer:
            raise Failed(f"{self.name} ended at `{text[:60]}`; its message is above")
        return answer.strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours(Process):
    """The example `peer`."""

    def __init__(self, program, system):
        super().__init__([program, system], 1)

    def numbers(self, text):
        return [float(word) for word in self.line(text).split()]


class Python(Process):
    """worker.py, dense.py or torch_worker.py."""

    def __init__(self, script, arguments, threads, python=sys.executable):
        super().__init__([python, HERE / script, *arguments], threads)

    def ask(self, **asked):
        answer = json.loads(self.line(json.dumps(asked, default=str)))
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["value"]
