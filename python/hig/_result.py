"""What a training leaves."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import Array
from ._html import page
from ._optional import needing
from ._problem import Problem
from ._run_folder import write
from ._warning import TrainingWarning
from .methods import Method
from .training import Training

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: What ``Result.save`` writes, and what else ``hig run`` leaves of a training.
_SAVED = (
    "weights.safetensors",
    "metrics.csv",
    "settings.json",
    "steps.csv",
    "warnings.csv",
    "outcome.toml",
)
_FILES_OF_A_TRAINING = (
    "diagnostics.csv",
    "spectrum.csv",
    "timing.csv",
    "pictures.json",
    "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
    "checkpoint.new",
)


@dataclass(frozen=True, eq=False)
class History:
    """The evaluations of a training, one entry each, the first before any update.

    ``validation_loss`` is NaN where no samples are held out; ``seconds`` counts the updates alone; ``diagnostics`` holds what the steps told, NaN where they
    told nothing.
    """

    update: NDArray[np.int64]
    epoch: Array
    seconds: Array
    train_loss: Array
    validation_loss: Array
    test_loss: Array
    diagnostics: dict[str, Array]

    @classmethod
    def _of(cls, evaluations: list[dict[str, Any]]) -> History:
        def column(name: str) -> Array:
            return np.array([e[name] for e in evaluations], dtype=np.float64)

        told = [e["diagnostics"] for e in evaluations]
        names = {name: None for each in told for name in each}
        return cls(
            update=np.array([e["update"] for e in evaluations], dtype=np.int64),
            epoch=column("epoch"),
            seconds=column("seconds"),
            train_loss=column("train_loss"),
            validation_loss=column("validation_loss"),
            test_loss=column("test_loss"),
            diagnostics={n: np.array([each.get(n, np.nan) for each in told]) for n in names},
        )

    def __len__(self) -> int:
        return len(self.update)


@dataclass(frozen=True)
class Losses:
    """The mean losses of weights that stood after ``update`` updates; ``validation_loss`` is NaN where no
    samples are held out, all are NaN where nobody has evaluated them."""

    update: int
    train_loss: float
    validation_loss: float
    test_loss: float


@dataclass(frozen=True, eq=False)
class Result:
    """The weights that a training found, and how it went.

    ``weights`` are those that the setting ``returned`` of the training asks for, the best or the last;
    they stood after ``update`` of all ``updates``, and ``train_loss`` and ``test_loss`` are theirs.
    ``last_weights`` are those of the last update whatever is returned, also where it failed before they were
    evaluated. ``best`` and ``last`` have the losses of both; ``best`` is None where no loss was finite. Best is by
    the loss of held-out samples, or else of the training samples, never by that of the test samples.
    ``seconds`` is the time of the updates alone, ``stop`` why it ended, ``warnings`` what the training was warned of.
    """

    weights: Array
    update: int
    updates: int
    epochs: float
    seconds: float
    train_loss: float
    test_loss: float
    best: Losses | None
    last: Losses
    last_weights: Array
    stop: str
    history: History
    problem: Problem
    method: Method
    training: Training
    seed: int
    warnings: tuple[TrainingWarning, ...]

    @classmethod
    def _of(
        cls,
        left: dict[str, Any],
        problem: Problem,
        method: Method,
        training: Training,
        seed: int,
        warned: list[TrainingWarning],
    ) -> Result:
        return cls(
            weights=left["parameters"],
            update=left["update"],
            updates=left["updates"],
            epochs=left["epochs"],
            seconds=left["seconds"],
            train_loss=left["train_loss"],
            test_loss=left["test_loss"],
            best=None if left["best"] is None else Losses(*left["best"]),
            last=Losses(*left["last"]),
            last_weights=left["last_parameters"],
            stop=left["stop"],
            history=History._of(left["evaluations"]),
            problem=problem,
            method=method,
            training=training,
            seed=seed,
            warnings=tuple(warned),
        )

    @property
    def parameters(self) -> Any:
        """``weights`` as the arrays that they are: of an :class:`Objective` in the form of the parameters that
        it was given, otherwise a dictionary by name."""
        return self.problem.parameters(self.weights)

    def predict(self, input: Any) -> Any:
        """Output of the trained network (samples, control) for inputs (samples, inputs); of an
        :class:`Objective`, what its model answers for a batch."""
        return self.problem.predict(self.weights, input)

    def simulate(self, input: ArrayLike, state: ArrayLike | None = None) -> Array:
        """Output of the physics under the trained network; without ``state`` the input is it."""
        return self.problem.simulate(self.weights, input, state)

    def motion(self, input: ArrayLike, state: ArrayLike) -> tuple[Array, Array]:
        """States and controls at all times under the trained network, where it is called in the time steps of a
        simulation, as :meth:`Problem.motion` has them."""
        return self.problem.motion(self.weights, input, state)

    def plot(self, ax: Axes | None = None, against: str = "seconds") -> Axes:
        """Draws the losses over ``"seconds"``, ``"update"`` or ``"epoch"``; needs matplotlib."""
        if against not in ("seconds", "update", "epoch"):
            raise ValueError(
                f"against = {against} is not possible: it must be seconds, update or epoch"
            )
        with needing("Result.plot", "matplotlib"):
            from matplotlib import pyplot

        if ax is None:
            _, ax = pyplot.subplots()
        (line,) = ax.plot(
            getattr(self.history, against),
            self.history.test_loss,
            label=f"{self.method.name}, test",
        )
        ax.plot(
            getattr(self.history, against),
            self.history.train_loss,
            color=line.get_color(),
            linestyle=":",
            label=f"{self.method.name}, training",
        )
        ax.set(xlabel=against, ylabel="loss", yscale="log")
        ax.legend()
        return ax

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Writes weights, evaluations, settings, warnings, how it ended and what the steps told, and returns
        where: the method's folder in ``folder``, which thereby is a run as ``hig run`` leaves one, for
        ``hig watch``, ``compare``, ``report`` and ``export``. The weights can be given to ``hig run --weights``
        and :meth:`Problem.load_weights`.

        Other methods' folders beside it stay as they are, so that several results make one run.

        Raises
        ------
        FileExistsError
            The method's folder has files of another training, of whatever program. One with the same
            settings and weights is no other, so that a script may run again. ``overwrite=True`` replaces the files of a
            training, its checkpoints included, and leaves all others alone.
        """
        path = Path(folder) / self.method.name
        path.mkdir(parents=True, exist_ok=True)
        if not overwrite:
            self._check_place(path)
        for name in (*_SAVED, *_FILES_OF_A_TRAINING):
            (path / name).unlink(missing_ok=True)
        self.problem.save_weights(self.weights, path / "weights.safetensors")
        names = ("update", "epoch", "seconds", "train_loss", "test_loss")
        with (path / "metrics.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            writer.writerows(zip(*(getattr(self.history, name).tolist() for name in names)))
        (path / "settings.json").write_text(json.dumps(self._settings(), indent=2) + "\n")
        write(self, path)
        return path

    def _check_place(self, path: Path) -> None:
        """Refuses a folder with files of another training."""
        found = [name for name in (*_SAVED, *_FILES_OF_A_TRAINING) if (path / name).exists()]
        if not found:
            return
        if set(found) <= set(_SAVED):
            # The same training, saved again, takes nothing away.
            try:
                settings = json.loads((path / "settings.json").read_text())
                weights = self.problem.load_weights(path / "weights.safetensors")
                timeless = {**settings, "seconds": self.seconds}
            except (OSError, ValueError, TypeError):
                pass
            else:
                same = timeless == json.loads(json.dumps(self._settings()))
                if same and np.array_equal(weights, self.weights):
                    return
        raise FileExistsError(
            f"{path} has files of another training ({', '.join(found)}): choose another folder, or "
            "replace them with overwrite=True"
        )

    def _settings(self) -> dict[str, Any]:
        return {
            "method": {"name": self.method.name, **dataclasses.asdict(self.method)},  # type: ignore[call-overload]
            "training": dataclasses.asdict(self.training),
            "seed": self.seed,
            "update": self.update,
            "updates": self.updates,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "stop": self.stop,
        }

    def __repr__(self) -> str:
        return (
            f"Result({self.method.name}: test loss {self.test_loss:.3e}, training loss "
            f"{self.train_loss:.3e} after {self._place()} in {self.seconds:.2f} s; {self.stop})"
        )

    def _place(self) -> str:
        earlier = f"{self.update} of " if self.update != self.updates else ""
        return f"{earlier}{self.updates} updates"

    def _repr_html_(self) -> str:
        rows = {
            "method": repr(self.method),
            "test loss": f"{self.test_loss:.4e}",
            "training loss": f"{self.train_loss:.4e}",
            "after": self._place(),
            "last test loss": f"{self.last.test_loss:.4e}",
            "epochs": f"{self.epochs:.4g}",
            "seconds": f"{self.seconds:.3g}",
            "ended": self.stop,
        }
        return page(rows, self.history.update, self.history.test_loss)
