"""Measures the library and its peers in turn and prints the tables. Started by run.py."""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

import table
from dense import WAYS
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
SLOW = 1500  # ms, from which on an update is measured a few times only
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
        # The first calls are slower than the rest, under load many times.
        self.once = measure(1)[0]
        if self.once < SLOW:
            self.once = min(measure(5 if self.once < 200 else 2))
        self.rounds = {}

    def visit(self, number):
        time.sleep(PAUSE)
        count = max(1, min(100, int(1e3 * VISIT / self.once)))
        self.rounds[number] = float(np.median(self.measure(count)))

    def median(self):
        return float(np.median(list(self.rounds.values())))


def in_turn(groups, rounds):
    """Every contender in every round, slow ones in the first few only. A group is one contender
    with several numbers of threads, of which the fastest counts; the first group is ours."""
    for number in range(rounds):
        for contender in [contender for group in groups for contender in group]:
            few = 2 if contender.once > 5 * SLOW else 3
            if number < (few if contender.once > SLOW else rounds):
                contender.visit(number)
    fastest = [min(group, key=Contender.median) for group in groups]
    reference, answers = fastest[0].rounds, []
    for contender in fastest:
        ratios = [ms / reference[number] for number, ms in contender.rounds.items()]
        times = spread(list(contender.rounds.values()))
        answer = {"label": contender.label, "ms": times, "ratio": spread(ratios)}
        answers.append({**answer, **contender.facts})
    return answers


def spread(values):
    return [float(np.median(values)), float(min(values)), float(max(values))]


class Measurement:
    """One system."""

    def __init__(self, name, options, folder, threads=2):
        self.name, self.folder, self.quick = name, folder, options.quick
        # Those of LAPACK that are tried, the most first.
        self.threads = sorted({threads, 1}, reverse=True)
        self.rounds = 3 if options.quick else 9
        self.torch = options.torch
        self.with_papers = not options.threads
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
        """JAX in a precision, or PyTorch."""
        key = precision, threads
        if key not in self.workers and precision == "torch":
            arguments = [self.name, self.folder]
            self.workers[key] = Python("torch_worker.py", arguments, threads, self.torch)
        elif key not in self.workers:
            arguments = [self.name, precision, self.folder]
            self.workers[key] = Python("worker.py", arguments, threads)
        return self.workers[key]

    def check(self):
        """Ends the run unless the systems written here are the library's."""
        errors = self.worker("64", self.threads[0]).ask(do="check")
        worst = max(errors.values())
        say(f"  y, g and losses differ by at most {worst:.0e}")
        if not worst < OUTPUTS_AGREE:
            raise Failed(f"{self.name}: the JAX system is not the library's: {errors}")

    def referee(self):
        say("  NumPy's SVD of the dense J in f64, as referee ...")
        file = self.folder / f"{self.name}.npz"
        facts = self.worker("64", self.threads[0]).ask(do="referee", file=file, damping=DAMPING)
        self.exact = np.load(file)
        self.damping = facts["damping"]
        say(f"    rank {facts['rank']} of {self.n}, down to {facts['smallest']:.0e} of the largest")
        return facts

    def error(self, worker, way, exact):
        file = self.folder / "step.npy"
        worker.ask(do="step", way=way, file=file)
        return relative(np.load(file), exact)

    def our_error(self, command, exact):
        file = self.folder / "step.safetensors"
        self.ours.line(f"{command} {file}")
        return relative(load_file(file)["delta"], exact)

    def python(self, way, precision, exact, label, **more):
        """A way in Python with all threads in LAPACK and, unless it is large and slow, with one."""
        group = []
        for threads in self.threads:
            worker = self.worker(precision, threads)
            first = worker.ask(do="prepare", way=way, **more)

            def measure(count, worker=worker):
                return worker.ask(do="time", way=way, count=count)

            contender = Contender(label, measure, threads=threads, first=first)
            contender.train = partial(worker.ask, do="train", way=way)
            group.append(contender)
            if contender.once > SLOW and self.n > 512:
                break
        error = self.error(self.worker(precision, self.threads[0]), way, exact)
        for contender in group:
            contender.facts["error"] = error
        times = " or ".join(f"{c.once:.3g} ms ({c.facts['threads']} in LAPACK)" for c in group)
        say(f"    {label}: {times}, error {error:.0e}, first call {group[0].facts['first']:.1f} s")
        return group

    def updates(self):
        """Half-inverse updates: ours, the best JAX, the paper's way."""
        exact = self.exact["step"]
        ours = Contender("this library", lambda count: self.ours.numbers(f"update {count}"))
        ours.facts["error"] = self.our_error("step", exact)
        say("  half-inverse updates")
        say(f"    this library: {ours.once:.3g} ms, error {ours.facts['error']:.0e}")
        good = []
        for way in BEST:
            costly = way == "K = J J^T, eigh" and self.n**2 * self.p > PRODUCT_LIMIT
            # The ways without K are slower, and needed only where K is not accurate enough.
            needless = good and "eigh" not in way and (self.quick or self.n > 256)
            if costly or needless:
                continue
            group = self.python(way, "64", exact, f"JAX f64: {way}")
            if group[0].facts["error"] < STEPS_AGREE:
                good.append(group)
        if not good:
            raise Failed(f"{self.name}: no way in JAX is within {STEPS_AGREE} of the referee")
        best_goal, paper_goal = GOALS[self.name]
        self.best = min(good, key=lambda group: min(c.once for c in group))
        self.paper = None
        if self.with_papers and not (self.quick and self.n > 512):
            label = "JAX f32, the paper's way: SVD of J"
            self.paper = self.python("paper", "32", exact, label)
        say(f"    in turn, {self.rounds} rounds ...")
        answers = in_turn([[ours], self.best, *([self.paper] if self.paper else [])], self.rounds)
        for answer, goal in zip(answers[1:], (best_goal, paper_goal)):
            answer["goal"] = goal
        return answers

    def damped(self):
        """Damped Gauss-Newton updates: ours and published packages."""
        say("  damped Gauss-Newton updates")
        exact, damping = self.exact["damped"], self.damping
        ours = Contender(
            "this library", lambda count: self.ours.numbers(f"damped {damping!r} {count}")
        )
        ours.facts["error"] = self.our_error(f"damped-step {damping!r}", exact)
        say(f"    this library: {ours.once:.3g} ms, error {ours.facts['error']:.0e}")
        groups = [[ours]]
        for package, (_, most) in PACKAGES.items():
            if self.p > most or self.quick and self.n > 512:
                continue
            try:
                label = f"{package} {version(package)}"
                groups.append(self.python(package, "64", exact, label, damping=damping))
            except Failed as failure:
                say(f"    {package} failed: {failure}")
        if self.torch and self.name != "quantum-dipole":
            label = "torch-levenberg-marquardt"
            groups.append(self.python(label, "torch", exact, label, damping=damping))
        return in_turn(groups, min(self.rounds, 5))

    def decompositions(self):
        """Our decomposition alone and our update against an eigendecomposition of K by LAPACK."""
        file = self.folder / f"{self.name}.npz"

        def decomposition(count):
            return self.ours.numbers(f"decompose {count}")[1::2]

        groups = [
            [Contender("decomposition alone", decomposition)],
            [Contender("whole update", lambda count: self.ours.numbers(f"update {count}"))],
        ]
        processes = [Python("dense.py", [file], threads) for threads in self.threads]
        for way in WAYS:
            group = []
            for threads, process in zip(self.threads, processes):

                def measure(count, way=way, process=process):
                    return process.ask(way=way, count=count)

                group.append(Contender(way, measure, threads=threads))
            groups.append(group)
        say("  decomposition of K against LAPACK's ...")
        answers = in_turn(groups, self.rounds)
        for process in processes:
            process.close()
        return answers

    def training(self):
        """Seconds of training to a loss, from the same weights over the same batches."""
        loss, every = LOSSES[self.name]
        runs = 1 if self.quick else 3
        say(f"  training to a loss of {loss:g}, {runs} time(s) in turn ...")
        asked = {"loss": loss, "every": every}
        ours, theirs = [], [[] for _ in self.best]
        for _ in range(runs):
            time.sleep(PAUSE)
            reached, seconds, updates = self.ours.numbers(f"train {loss} {every} 2000")
            ours.append({"loss": reached, "seconds": seconds, "updates": int(updates)})
            for contender, done in zip(self.best, theirs):
                time.sleep(PAUSE)
                done.append(contender.train(most=2000, seconds=60.0, **asked))
        median = lambda done: spread([training["seconds"] for training in done])[0]
        trainings = {"this library": ours, self.best[0].label: min(theirs, key=median)}
        # The paper's way once, for at most twice our updates, where they take half a minute.
        if self.paper and not self.quick:
            paper = min(self.paper, key=Contender.median)
            if paper.median() * ours[0]["updates"] < 30e3:
                most = 2 * ours[0]["updates"]
                trainings[paper.label] = [paper.train(most=most, seconds=45.0, **asked)]
        answers = []
        for label, done in trainings.items():
            seconds = [training["seconds"] for training in done]
            answer = {"label": label, "goal": loss, **done[0], "seconds": spread(seconds)}
            if done[0]["loss"] <= loss and label != "this library":
                answer["ratio"] = spread([s / o["seconds"] for s, o in zip(seconds, ours)])
            answers.append(answer)
        return answers

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


def by_threads(chosen, folder):
    """For each number of threads and each system: updates of ours and of the best JAX, and the
    decompositions. All processes have as many cores as threads."""
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("run.py: --threads needs a system that binds processes to cores")
    cores, answers = sorted(os.sched_getaffinity(0)), {}
    for threads in chosen.threads:
        if threads > len(cores):
            sys.exit(f"run.py: {threads} threads are more than the {len(cores)} cores")
        os.sched_setaffinity(0, cores[:threads])
        os.environ["RAYON_NUM_THREADS"] = str(threads)
        for name in chosen.systems:
            say(f"{threads} thread(s)")
            measurement = Measurement(name, chosen, folder, threads)
            try:
                measurement.check()
                measurement.referee()
                ours, best, *_ = measurement.updates()
                alone, _, *peers = measurement.decompositions()
            finally:
                measurement.close()
            eigh = min(peers, key=lambda peer: peer["ms"][0])
            entry = {"n": measurement.n, "p": measurement.p, "ours": ours, "best": best}
            answers.setdefault(name, {})[threads] = {**entry, "alone": alone, "eigh": eigh}
    os.sched_setaffinity(0, cores)
    return answers


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


def busy():
    """Seconds that the cores have worked for anybody, and for this run."""
    seconds = 0.0
    if Path("/proc/stat").exists():
        tick, cores = os.sysconf("SC_CLK_TCK"), os.sched_getaffinity(0)
        for line in Path("/proc/stat").read_text().splitlines():
            name, *numbers = line.split()
            if name in {f"cpu{core}" for core in cores}:
                user, nice, system, _, _, irq, softirq, steal = map(int, numbers[:8])
                seconds += (user + nice + system + irq + softirq + steal) / tick
    return seconds, sum(os.times()[:4])


def options():
    parser = argparse.ArgumentParser(
        prog="run.py", description="Measures the library beside its peers in one run."
    )
    parser.add_argument("--peer", required=True, help=argparse.SUPPRESS)
    torch = "also torch-levenberg-marquardt, which installs 5 GB"
    parser.add_argument("--torch", nargs="?", const="", metavar="", help=torch)
    parser.add_argument("--quick", action="store_true", help="few repeats, slow peers left out")
    known = f"some of {', '.join(SYSTEMS)}"
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS, metavar="SYSTEM", help=known
    )
    threads = "instead: our updates and the best JAX's with each of these numbers of threads"
    parser.add_argument("--threads", nargs="+", type=int, metavar="N", help=threads)
    out = "writes the tables, between <!-- peers --> and <!-- /peers --> (or <!-- threads -->) where FILE has those marks"
    parser.add_argument("--out", type=Path, metavar="FILE", help=out)
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all numbers")
    return parser.parse_args()


def main():
    chosen = options()
    folder = HERE / ".work"
    folder.mkdir(exist_ok=True)
    results = {"about": machine(), "quick": chosen.quick, "systems": {}}
    say(f"load average at the start: {results['about']['load']:.2f}")
    clock, (all_before, own_before) = time.perf_counter(), busy()
    try:
        results["threads"] = by_threads(chosen, folder) if chosen.threads else None
    except Failed as failure:
        sys.exit(f"run.py: {failure}")
    for name in [] if chosen.threads else chosen.systems:
        measurement = None
        try:
            measurement = Measurement(name, chosen, folder)
            results["systems"][name] = measurement.all()
        except Failed as failure:
            sys.exit(f"run.py: {failure}")
        finally:
            if measurement:
                measurement.close()
    seconds, (all_after, own_after) = time.perf_counter() - clock, busy()
    others = (all_after - all_before) - (own_after - own_before)
    results["about"].update(minutes=seconds / 60, others=max(0.0, others / seconds))
    text = table.of_threads(results) if chosen.threads else table.tables(results)
    say("\n" + text)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1) + "\n")
    if chosen.out:
        table.insert(text, chosen.out, "threads" if chosen.threads else "peers")


if __name__ == "__main__":
    main()
