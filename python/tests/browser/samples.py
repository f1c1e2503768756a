"""Data as runs write them, made up: every kind of content that the page can show, from closed forms,
so that tests know what must be seen."""

from __future__ import annotations

import math
from random import Random

CONFIG = """[run]
system = "toy"
seed = 0
methods = ["adam", "gn", "hig"]

[budget]
updates = 300
"""


def curve(updates: int, start: float, end: float, seed: int, noise: float = 0.08) -> list[float]:
    """Falls from start to end, quickly at first, with noise in the logarithm."""
    random = Random(seed)
    ratio = math.log(end / start)
    shape = [1 - math.exp(-4 * k / updates) for k in range(updates + 1)]
    return [
        start * math.exp(ratio * s / shape[-1] + noise * random.gauss(0, 1) * min(1, k / 5))
        for k, s in enumerate(shape)
    ]


def metrics(losses: list[float | None], pace: float, batches: int = 2) -> dict:
    updates = list(range(len(losses)))
    return {
        "update": updates,
        "epoch": [u / batches for u in updates],
        "seconds": [round(u * pace, 6) for u in updates],
        "train_loss": [v and 0.9 * v for v in losses],
        "test_loss": losses,
    }


def spectrum(updates: int, rank: int, decay: float) -> list[dict]:
    """Singular values that fall geometrically, flatter as the training goes on."""
    index = sorted({round(rank ** (k / 40)) - 1 for k in range(41)})
    groups = []
    for k in range(20):
        flat = decay * (1 - 0.4 * k / 19)
        groups.append(
            {
                "update": round(updates * k / 19),
                "index": index,
                "value": [30 * math.exp(-flat * (i**0.6)) for i in index],
            }
        )
    return groups


def method(name: str, losses: list[float | None], pace: float, **more) -> dict:
    table = metrics(losses, pace)
    n = len(losses)
    last = losses[-1]
    angle = [8 * k / n for k in range(n)]
    way = [math.exp(-3 * k / n) for k in range(n)]
    turn = sum(map(ord, name)) % 7
    return {
        "name": name,
        "state": "finished",
        "outcome": {
            "updates": n - 1,
            "epochs": (n - 1) / 2,
            "seconds": table["seconds"][-1],
            "train_loss": last and 0.9 * last,
            "test_loss": last,
            "stop": "budget used",
            "ended": "budget",
            "consumed": "Gram matrix, 512 x 30",
            "phases": [[0, name]],
        },
        "metrics": table,
        "diagnostics": {
            "update": table["update"],
            "seconds": table["seconds"],
            "activation_mean": [
                0.2 + 0.3 * (1 - math.exp(-3 * k / n)) + 0.02 * turn for k in range(n)
            ],
            "activation_deviation": [0.1 + 0.05 * k / n for k in range(n)],
            "rank": [None] * n,
            "l1_distance": [math.sqrt(v) if v else None for v in losses],
            "y1": [1 - w * math.cos(a + turn) for a, w in zip(angle, way)],
            "y2": [0.5 - 0.6 * w * math.sin(a + turn) for a, w in zip(angle, way)],
        },
        "steps": {},
        "spectrum": [],
        "timing": {},
        "warnings": [],
        "phases": [[0, name]],
        "pictures": None,
    } | more


def told(updates: int, **quantities) -> dict:
    return {
        name: {
            "update": list(range(1, updates + 1)),
            "value": [f(k / updates) for k in range(1, updates + 1)],
        }
        for name, f in quantities.items()
    }


def timing(updates: int, **seconds) -> dict:
    return {
        part: {"update": [0, updates // 2, updates], "seconds": [0, total / 2, total]}
        for part, total in seconds.items()
    }


def bump(x: float, y: float, sign: float) -> float:
    return math.exp(-12 * ((x - 0.3) ** 2 + (y - 0.6) ** 2)) + sign * 0.8 * math.exp(
        -20 * ((x - 0.7) ** 2 + (y - 0.3) ** 2)
    )


def pictures(shift: float) -> dict:
    grid = [k / 31 for k in range(32)]
    field = {"kind": "field", "x": "x", "y": "y", "x_range": [0, 1], "y_range": [0, 1]}
    time = [k / 60 for k in range(61)]
    return {
        "update": 300,
        "sample": 0,
        "pictures": [
            field
            | {
                "title": "prediction",
                "quantity": "u",
                "values": [[bump(x + shift, y, -1) for x in grid] for y in grid],
            },
            field
            | {
                "title": "density",
                "quantity": "|ψ|²",
                "values": [[bump(x, y + shift, 1) for x in grid] for y in grid],
            },
            {
                "kind": "lines",
                "title": "motion",
                "x": "time",
                "y": "position",
                "lines": [
                    {
                        "label": "mass 1",
                        "x": time,
                        "y": [math.cos(6 * t + shift) * math.exp(-2 * t) for t in time],
                    },
                    {
                        "label": "mass 2",
                        "x": time,
                        "y": [math.sin(6 * t + shift) * math.exp(-2 * t) for t in time],
                    },
                ],
                "points": [{"label": "target", "x": 1.0, "y": 0.0}],
            },
        ],
    }


def settings(cutoff: float = 1e-5, lam: float = 1.0, seed: int = 0) -> dict:
    return {
        "run.version": "0.1.0",
        "run.system": "toy",
        "run.seed": seed,
        "run.methods": ["adam", "gn", "hig"],
        "budget.updates": 300,
        "system.lambda": lam,
        "system.samples": 256,
        "system.hidden": [7],
        "system.activation": "tanh",
        "method.adam.learning_rate": 0.01,
        "method.adam.batch": 256,
        "method.adam.beta1": 0.9,
        "method.gn.learning_rate": 1.0,
        "method.gn.cutoff": 1e-6,
        "method.gn.batch": 256,
        "method.hig.learning_rate": 1.0,
        "method.hig.cutoff": cutoff,
        "method.hig.batch": 256,
    }


def run(name: str, methods: list[dict], **more) -> dict:
    about = {
        "format": 1,
        "version": "0.1.0",
        "commit": "0db5c5f",
        "started": "2026-11-24T04:40:12Z",
        "system": "toy",
        "seed": 0,
        "methods": [m["name"] for m in methods],
        "command": f"hig run toy --updates 300 --out runs/{name}",
        "machine": "2 cores, linux x86_64",
        "threads": 2,
    }
    return {
        "name": name,
        "path": f"runs/{name}",
        "about": about,
        "config": CONFIG,
        "settings": settings(),
        "methods": methods,
        "target": [1.0, 0.5],
    } | more


def toy_methods() -> list[dict]:
    n = 300
    lost = curve(120, 0.5, 3e3, 2, 0.4) + [None] * 20
    gn = method(
        "gn",
        lost,
        4e-4,
        state="diverged",
        steps=told(120, rank=lambda s: 24 - int(9 * s)),
        spectrum=spectrum(120, 512, 1.1),
        timing=timing(
            120,
            forward=0.004,
            gram=0.012,
            decompose=0.028,
            direction=0.003,
            step=0.001,
            evaluate=0.009,
            record=0.002,
        ),
        warnings=[
            {
                "update": u,
                "name": "rank_collapse",
                "message": f"The truncation keeps {r} of 512 singular values.",
                "advice": "Lower the cutoff, or take a larger batch.",
            }
            for u, r in [(12, 9), (30, 7), (77, 5)]
        ]
        + [
            {
                "update": 120,
                "name": "diverged",
                "message": "The loss is not finite since update 121.",
                "advice": "Lower learning_rate, or use lm or adaptive-hig.",
            }
        ],
    )
    gn["outcome"] |= {
        "stop": "loss not finite at update 121",
        "ended": "diverged",
        "train_loss": None,
        "test_loss": None,
    }
    return [
        method(
            "adam",
            curve(n, 0.5, 0.06, 1),
            1.2e-4,
            timing=timing(
                n, forward=0.012, direction=0.008, step=0.003, evaluate=0.02, record=0.003
            ),
            pictures=pictures(0.15),
        ),
        gn,
        method(
            "hig",
            curve(n, 0.5, 8e-4, 3),
            3.5e-4,
            steps=told(n, rank=lambda s: 12 + int(9 * s)),
            spectrum=spectrum(n, 512, 0.9),
            timing=timing(
                n,
                forward=0.012,
                gram=0.03,
                decompose=0.05,
                direction=0.008,
                step=0.002,
                evaluate=0.02,
                record=0.004,
            ),
            pictures=pictures(0.03),
        ),
        method(
            "adaptive-hig",
            curve(n, 0.5, 4e-6, 4, 0.15),
            2.6e-4,
            steps=told(
                n,
                rank=lambda s: 4 + 12 * s,
                kappa=lambda s: 0.5 + 0.4 * s * abs(math.sin(9 * s)),
                step_length=lambda s: 0.2 + 0.8 * s,
                cutoff=lambda s: 10 ** (-2 - 4 * s),
                gain_ratio=lambda s: 1 - 0.3 * math.sin(20 * s),
                momentum=lambda s: 0.9 * s,
                candidates=lambda s: 3 + (1 if s > 0.5 else 0),
                averaged=lambda s: 40 * s,
            ),
            spectrum=spectrum(n, 512, 0.7),
            timing=timing(
                n,
                forward=0.011,
                gram=0.022,
                decompose=0.018,
                direction=0.012,
                step=0.006,
                evaluate=0.019,
                record=0.004,
            ),
            warnings=[
                {
                    "update": 40,
                    "name": "saturation",
                    "message": "More than half of the neurons are saturated.",
                    "advice": "Smaller initial weights keep them in the middle.",
                }
            ],
            pictures=pictures(0.0),
        ),
        method(
            "adam:60+hig",
            curve(60, 0.5, 0.2, 5) + curve(n - 61, 0.2, 2e-3, 6),
            2.2e-4,
            phases=[[0, "adam"], [60, "hig"]],
            steps=told(n, rank=lambda s: 10 + int(11 * s)),
            timing=timing(n, forward=0.01, gram=0.02, decompose=0.03, evaluate=0.02),
        ),
    ]


def data(*runs: dict, live: bool = False) -> dict:
    return {
        "format": 1,
        "live": live,
        "generated": "2026-11-24T05:00:00Z",
        "version": "hig 0.1.0",
        "runs": list(runs),
    }


def toy() -> dict:
    """One run, everything in it."""
    return data(run("toy-1", toy_methods()))


def compared() -> dict:
    """Three runs of the same methods with other settings."""
    runs = []
    for k, cutoff in enumerate([1e-3, 1e-5, 1e-7]):
        methods = [
            method("adam", curve(200, 0.5, 0.06, k), 1e-4),
            method(
                "hig",
                curve(200, 0.5, 1e-4 * 10**-k, 10 + k),
                3e-4,
                steps=told(200, rank=lambda s, k=k: 5 + 4 * k + 3 * s),
            ),
        ]
        runs.append(run(f"toy-{k + 1}", methods, settings=settings(cutoff, seed=k)))
    return data(*runs)


def large(points: int = 2000, methods: int = 20) -> dict:
    """As much as a live page must bear."""
    made = [
        method(
            f"method-{k}",
            curve(points, 1, 10 ** -(k / 4 + 1), k, 0.3),
            1e-3,
            state="running",
            outcome=None,
            steps=told(
                points,
                rank=lambda s: 10 + 5 * s,
                step_length=lambda s: 1 - s / 2,
                damping=lambda s: 10 ** (-6 * s),
            ),
        )
        for k in range(methods)
    ]
    return data(run("large", made), live=True)


def broken() -> dict:
    """Whatever may be missing or wrong."""
    return data(
        {"name": "bare"},
        {
            "name": "odd",
            "methods": [
                {},
                {"name": "a"},
                {"name": "b", "metrics": {"update": [0, 1], "test_loss": [None, None]}},
                None,
            ],
        },
        run(
            "nulls",
            [
                {
                    "name": "c",
                    "state": "running",
                    "outcome": None,
                    "metrics": None,
                    "diagnostics": None,
                    "steps": None,
                    "spectrum": None,
                    "timing": None,
                    "warnings": None,
                    "phases": None,
                    "pictures": None,
                },
                {
                    "name": "d",
                    "state": "running",
                    "metrics": {
                        "update": [0],
                        "epoch": [0],
                        "seconds": [0],
                        "train_loss": [1.0],
                        "test_loss": [1.0],
                    },
                    "steps": {"rank": {"update": [1, 2], "value": [3]}},
                    "spectrum": [{"update": 1, "index": [0], "value": [None]}, {"update": 2}],
                    "timing": {"forward": {}},
                    "warnings": [{}],
                    "phases": [[3]],
                    "pictures": {"pictures": [{}, {"kind": "field"}, {"kind": "lines"}]},
                },
            ],
            settings={},
            about={},
            target=[None, 1],
            config=None,
        ),
        None,
    )
