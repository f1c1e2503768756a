"""Measures the library and its peers in turn and prints the tables. Started by run.py."""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

import table
from packages import PACKAGES
from processes import HERE, Failed, Ours, Python
from ways import BEST

SYSTEMS = ["linear-oscillators", "nonlinear-oscillators", "quantum-dipole", "poisson"]
# How many times faster than the best JAX, and than the paper's way, an update is meant to be.
GOALS = {
    "linear-oscillators": (4, 25),
    "nonlinear-oscillators": (4, 40),
    "quantum-dipole": (6, 60),
    "poisson": (6, 100),
}
# Mean loss of the training samples to reach, and the updates between two looks at it.
LOSSES = {
    "linear-oscillators": (5e-6, 8),
    "nonlinear-oscillators": (0.0175, 4),
    "quantum-dipole": (0.1, 8),
    "poisson": (100.0, 2),
}
OUTPUTS_AGREE = 1e-10
STEPS_AGREE = 1e-3
DAMPING = 1e-4  # in units of the largest eigenvalue of K
# J J^T as one product costs n*n*p multiplications; beyond this only layer factors are tried.
PRODUCT_LIMIT = 10**9
PAUSE = 0.05  # after which threads that wait busily have gone to sleep
VISIT = 0.25  # seconds that one contender is measured in a round, if one update is not longer


def say(*words):
    print(*words, flush=True)


def relative(step, exact):
    error = np.linalg.norm(step - exact) / np.linalg.norm(exact)
    return float(error) if np.isfinite(error) else float("inf")


class Contender:
    """Something that can be timed again and again; `measure(count)` answers milliseconds."""

    def __init__(self, label, measure, **facts):
        self.label, self.measure, self.facts = label, measure, facts
        once = self.measure(1)[0]
        # The first call is slower than the rest.
        self.once = min(once, self.measure(1)[0]) if once < 5000 else once
        self.rounds = {}

    def visit(self, number):
        time.sleep(PAUSE)
        count = max(1, min(100, int(1e3 * VISIT / self.once)))
        self.rounds[number] = float(np.median(self.measure(count)))


def in_turn(contenders, rounds):
    """Every contender in every round, those that take seconds in the first few only."""
    for number in range(rounds):
        for contender in contenders:
            slow = contender.once > 1500
            if number < (2 if contender.once > 10000 else 3 if slow else rounds):
                contender.visit(number)
    reference = contenders[0].rounds
    answers = []
    for contender in contenders:
        ratios = [ms / reference[number] for number, ms in contender.rounds.items()]
        answers.append(
            {
                "label": contender.label,
                "ms": spread(list(contender.rounds.values())),
                "ratio": spread(ratios),
                **contender.facts,
            }
        )
    return answers


def spread(values):
    return [float(np.median(values)), float(min(values)), float(max(values))]


class Measurement:
    """One system."""

    def __init__(self, name, options, folder):
        self.name, self.folder, self.quick = name, folder, options.quick
        self.rounds = 3 if options.quick else 9
        self.ours = Ours(options.peer, name)
        self.described = json.loads(self.ours.line("describe"))
        (folder / f"{name}.json").write_text(json.dumps(self.described))
        self.ours.line(f"export {folder / name}.safetensors")
        self.n = self.described["batch"] * self.described["outputs"]
        self.p = self.described["parameters"]
        self.workers = {}

    def close(self):
        for process in [self.ours, *self.workers.values()]:
            process.close()

    def worker(self, precision, threads):
        key = precision, threads
        if key not in self.workers:
            arguments = [self.name, precision, self.folder]
            self.workers[key] = Python("worker.py", arguments, threads)
        return self.workers[key]

    def check(self):
        """Ends the run unless the systems written here are the library's."""
        errors = self.worker("64", 2).ask(do="check")
        worst = max(errors.values())
        say(f"  y, g and losses differ by at most {worst:.0e}")
        if not worst < OUTPUTS_AGREE:
            raise Failed(f"{self.name}: the JAX system is not the library's: {errors}")

    def referee(self):
        say("  NumPy's SVD of the dense J in f64, as referee ...")
        file = self.folder / f"{self.name}.npz"
        facts = self.worker("64", 2).ask(do="referee", file=file, damping=DAMPING)
        self.exact = np.load(file)
        self.damping = facts["damping"]
        say(f"    rank {facts['rank']} of {self.n}, smallest kept {facts['smallest']:.0e} of the largest")
        return facts

    def error(self, worker, way, exact):
        file = self.folder / "step.npy"
        worker.ask(do="step", way=way, file=file)
        return relative(np.load(file), exact)

    def our_error(self, command, exact):
        file = self.folder / "step.safetensors"
        self.ours.line(f"{command} {file}")
        return relative(load_file(file)["delta"], exact)

    def python(self, way, precision, exact, label=None, **more):
        """A way in JAX with two threads in LAPACK, or one where that is faster."""
        tried = []
        for threads in (2, 1):
            worker = self.worker(precision, threads)
            first = worker.ask(do="prepare", way=way, **more)

            def measure(count, worker=worker):
                return worker.ask(do="time", way=way, count=count)

            contender = Contender(label or way, measure, threads=threads, first=first)
            contender.worker, contender.way = worker, way
            if not tried:
                contender.facts["error"] = self.error(worker, way, exact)
            tried.append(contender)
            if contender.once > 300:
                break
        for contender in tried:
            contender.facts["error"] = tried[0].facts["error"]
            # The best of a few, without the first.
            if len(tried) > 1:
                contender.once = min(contender.measure(5))
        best = min(tried, key=lambda c: c.once)
        say(
            f"    {best.label}: {best.once:.3g} ms with {best.facts['threads']} thread(s) in LAPACK,"
            f" error {best.facts['error']:.0e}, first call {best.facts['first']:.1f} s"
        )
        return best

    def updates(self):
        """Half-inverse updates: ours, the best JAX, the paper's way."""
        exact = self.exact["step"]
        ours = Contender("this library", lambda count: self.ours.numbers(f"update {count}"))
        ours.facts["error"] = self.our_error("step", exact)
        say(f"  half-inverse updates\n    this library: {ours.once:.3g} ms, error {ours.facts['error']:.0e}")
        good = []
        for way in BEST:
            costly = way == "K = J J^T, eigh" and self.n**2 * self.p > PRODUCT_LIMIT
            # The ways without K are slower, and needed only where K is not accurate enough.
            needless = good and "eigh" not in way and (self.quick or self.n > 256)
            if costly or needless:
                continue
            candidate = self.python(way, "64", exact, f"JAX f64: {way}")
            if candidate.facts["error"] < STEPS_AGREE:
                good.append(candidate)
        if not good:
            raise Failed(f"{self.name}: no way in JAX is within {STEPS_AGREE} of the referee")
        self.best = min(good, key=lambda c: c.once)
        self.best.facts["goal"], paper_goal = GOALS[self.name]
        contenders = [ours, self.best]
        self.paper = None
        if not (self.quick and self.n > 512):
            self.paper = self.python("paper", "32", exact, "JAX f32, the paper's way: SVD of J")
            self.paper.facts["goal"] = paper_goal
            contenders.append(self.paper)
        say(f"    in turn, {self.rounds} rounds ...")
        return in_turn(contenders, self.rounds)

    def damped(self):
        """Damped Gauss-Newton updates: ours and published packages."""
        say("  damped Gauss-Newton updates")
        exact, damping = self.exact["damped"], self.damping
        ours = Contender(
            "this library", lambda count: self.ours.numbers(f"damped {damping!r} {count}")
        )
        ours.facts["error"] = self.our_error(f"damped-step {damping!r}", exact)
        say(f"    this library: {ours.once:.3g} ms, error {ours.facts['error']:.0e}")
        contenders = [ours]
        for package, (_, most) in PACKAGES.items():
            if self.p > most or self.quick and self.n > 512:
                continue
            try:
                label = f"{package} {version(package)}"
                contenders.append(self.python(package, "64", exact, label, damping=damping))
            except Failed as failure:
                say(f"    {package} failed: {failure}")
        return in_turn(contenders, min(self.rounds, 5))

    def decompositions(self):
        """Our decomposition alone and our update against an eigendecomposition of K by LAPACK."""
        file = self.folder / f"{self.name}.npz"

        def decomposition(count):
            return self.ours.numbers(f"decompose {count}")[1::2]

        contenders = [
            Contender("decomposition alone", decomposition),
            Contender("whole update", lambda count: self.ours.numbers(f"update {count}")),
        ]
        from dense import WAYS

        processes = [Python("dense.py", [file], threads) for threads in (2, 1)]
        for way in WAYS:
            tried = []
            for threads, process in zip((2, 1), processes):

                def measure(count, process=process):
                    return process.ask(way=way, count=count)

                contender = Contender(way, measure, threads=threads)
                contender.once = min(contender.measure(3))
                tried.append(contender)
            contenders.append(min(tried, key=lambda c: c.once))
        say("  decomposition of K against LAPACK's ...")
        answers = in_turn(contenders, self.rounds)
        for process in processes:
            process.close()
        return answers

    def training(self):
        """Seconds of training to a loss, from the same weights over the same batches."""
        loss, every = LOSSES[self.name]
        runs = 1 if self.quick else 3
        say(f"  training to a loss of {loss:g}, {runs} time(s) in turn ...")
        answers = {"this library": [], self.best.label: []}
        for _ in range(runs):
            time.sleep(PAUSE)
            reached, seconds, updates = self.ours.numbers(f"train {loss} {every} 2000")
            answers["this library"].append(dict(loss=reached, seconds=seconds, updates=int(updates)))
            time.sleep(PAUSE)
            asked = dict(do="train", loss=loss, every=every, most=2000, seconds=60.0)
            answers[self.best.label].append(self.best.worker.ask(way=self.best.way, **asked))
        ours = answers["this library"]
        # The paper's way once, for as many updates as it may need, where that is half a minute.
        most = 2 * ours[0]["updates"]
        if self.paper and self.paper.once * ours[0]["updates"] < 30e3 and not self.quick:
            asked = dict(do="train", loss=loss, every=every, most=most, seconds=30.0)
            answers[self.paper.label] = [self.paper.worker.ask(way=self.paper.way, **asked)]
        best = zip(answers[self.best.label], ours)
        ratios = [b["seconds"] / a["seconds"] for b, a in best]
        lines = []
        for label, trainings in answers.items():
            seconds = spread([t["seconds"] for t in trainings])
            line = {"label": label, "goal": loss, **trainings[0], "seconds": seconds}
            reached = trainings[0]["loss"] <= loss
            if reached and label == self.best.label:
                line["ratio"] = spread(ratios)
            elif reached and label != "this library":
                line["ratio"] = [seconds[0] / spread([t["seconds"] for t in ours])[0]] * 3
            lines.append(line)
        return lines

    def all(self):
        say(f"{self.name}: n = {self.n}, p = {self.p}")
        self.check()
        return {
            "n": self.n,
            "p": self.p,
            "batch": self.described["batch"],
            "cutoff": self.described["method"]["cutoff"],
            **self.referee(),
            "updates": self.updates(),
            "decompositions": self.decompositions(),
            "training": self.training(),
            "damped": self.damped(),
        }


def machine():
    """What the numbers belong to, without names of hosts or paths."""
    processor = platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        processor = models[0] if models else processor
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=HERE, capture_output=True, text=True).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "numpy", "scipy"))
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{processor}, {threads} cores",
        "commit": commit,
        "versions": packages,
        "load": os.getloadavg()[0],
    }


def options():
    parser = argparse.ArgumentParser(
        prog="run.py", description="Measures the library beside its peers in one run."
    )
    parser.add_argument("--peer", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="few repeats, slow peers left out")
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS, metavar="SYSTEM", help=f"of {', '.join(SYSTEMS)}"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="writes the tables, between <!-- peers --> and <!-- /peers --> if FILE has those lines"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all numbers")
    return parser.parse_args()


def main():
    chosen = options()
    folder = HERE / ".work"
    folder.mkdir(exist_ok=True)
    results = {"about": machine(), "quick": chosen.quick, "systems": {}}
    say(f"load average at the start: {results['about']['load']:.2f}")
    clock = time.perf_counter()
    for name in chosen.systems:
        measurement = None
        try:
            measurement = Measurement(name, chosen, folder)
            results["systems"][name] = measurement.all()
        except Failed as failure:
            sys.exit(f"run.py: {failure}")
        finally:
            if measurement:
                measurement.close()
    results["about"]["minutes"] = (time.perf_counter() - clock) / 60
    text = table.tables(results)
    say("\n" + text)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1) + "\n")
    if chosen.out:
        table.insert(text, chosen.out)


if __name__ == "__main__":
    main()
