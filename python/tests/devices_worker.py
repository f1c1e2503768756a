"""A training whose samples lie on several devices, as a program of its own.

    python devices_worker.py FOLDER DEVICES [PROCESS ADDRESS [KILL]]

DEVICES of one process, or two processes that each have one and meet at ADDRESS; the weights of every method are left in
FOLDER. With KILL the process is killed within a training that keeps a checkpoint.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

UPDATES = 8


def methods(hig):
    return {
        "hig": hig.methods.HalfInverse(cutoff=1e-3),
        "lanczos": hig.methods.HalfInverse(
            treatment="damp", damping=1e-2, route="lanczos", tolerance=1e-12
        ),
        "adaptive-hig": "adaptive-hig",
    }


def main() -> None:
    folder, devices = Path(sys.argv[1]), int(sys.argv[2])
    process = sys.argv[3] if len(sys.argv) > 3 else None
    jax.config.update("jax_enable_x64", True)
    if process is not None:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(sys.argv[4], 2, int(process))
    killed = len(sys.argv) > 5

    import optax
    from test_jax import loss, predict, start

    import hig
    import hig.jax

    assert len(jax.devices()) == devices
    parameters, batch = start(np.float64, 16)
    parameters = jax.tree.map(np.asarray, parameters)
    mesh = Mesh(np.array(jax.devices()), ("devices",))
    spread = NamedSharding(mesh, PartitionSpec("devices"))
    sharding = spread if devices > 1 else None
    objective = hig.jax.objective(predict, loss, parameters, batch, sharding=sharding)
    name = f"{devices}-{process or 0}"

    def listen(evaluation) -> None:
        if evaluation.update == UPDATES // 2:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = {"updates": UPDATES, "batch": 8, "returned": "last", "evaluate_every": 1}
    kept = {"checkpoint": folder / "kept.safetensors", "checkpoint_every": 0}
    for method, chosen in methods(hig).items():
        more = dict(kept) if method == "adaptive-hig" and process else {}
        if more and killed and process == "1":
            more["callbacks"] = listen
        result = hig.train(objective, chosen, **settings, **more)
        np.save(folder / f"{method}-{name}.npy", result.weights)
    # The optimizer, from plain Python.
    everywhere = NamedSharding(mesh, PartitionSpec())
    theta = jax.tree.map(lambda leaf: jax.device_put(leaf, everywhere), parameters)
    samples = jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf), spread), batch)
    for matrix in ("auto", "jacobian"):
        optimizer, trained = hig.jax.half_inverse(predict, loss, cutoff=1e-3, matrix=matrix), theta
        state = optimizer.init(trained)
        for _ in range(4):
            updates, state = optimizer.update(None, state, trained, batch=samples)
            trained = optax.apply_updates(trained, updates)
        assert np.isfinite(float(state.loss))
        flat = np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(trained)])
        np.save(folder / f"optimizer-{matrix}-{name}.npy", flat)


if __name__ == "__main__":
    main()
