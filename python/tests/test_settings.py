"""Systems, methods and training settings against the library's own lists."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import hig
from hig import _hig, _stubs
from hig._settings import class_name, field_name

LISTED = [
    *((hig.methods, name, told) for name, _, told in _hig.methods()),
    *((hig.systems, name, told) for name, _, told in _hig.systems()),
]


@pytest.mark.parametrize(("module", "name", "told"), LISTED, ids=[name for _, name, _ in LISTED])
def test_every_listed_name_is_a_class_with_its_settings(module, name, told):
    made = getattr(module, class_name(name))
    assert made is module.ALL[name] and made.name == name and made.__name__ in module.__all__
    fields = {field.name: field.default for field in dataclasses.fields(made)}
    assert fields == {field_name(setting): default for setting, default, *_ in told}
    for setting, _, allowed, *_ in told:
        assert f"\n{field_name(setting)} : " in made.__doc__
        assert allowed.split()[0] in made.__doc__
    assert dataclasses.replace(made()) == made()


def test_the_names_of_the_documents():
    assert hig.methods.HalfInverse(learning_rate=1.0, cutoff=1e-6).exponent == 0.5
    assert hig.methods.GaussNewton().exponent == 1.0
    assert hig.methods.GradientDescent().exponent == -1.0
    assert hig.systems.NonlinearOscillators(masses=3).masses == 3
    assert hig.systems.Toy(lambda_=0.01).lambda_ == 0.01
    assert {"Adam", "LevenbergMarquardt", "ScaleInvariant"} <= set(hig.methods.__all__)


def test_values_are_typed_by_the_library():
    assert hig.systems.LinearOscillators(hidden=[7, 8]).hidden == (7, 8)
    assert hig.systems.LinearOscillators(hidden=[]).hidden == ()
    cutoff = hig.methods.HalfInverse(cutoff="1e-5").cutoff
    assert cutoff == 1e-5 and isinstance(cutoff, float)
    rate = hig.methods.Adam(learning_rate=1).learning_rate
    assert rate == 1.0 and isinstance(rate, float)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: hig.methods.HalfInverse(cutoff=2.0),
            "cutoff = 2.0 is not possible: it must be at least 0 and below 1",
        ),
        (
            lambda: hig.methods.Adam(learning_rate=-1e-3),
            "learning_rate = -0.001 is not possible: it must be a finite",
        ),
        (lambda: hig.methods.Adam(learning_rate=1j), "learning_rate = 1j is not possible"),
        (
            lambda: hig.systems.LinearOscillators(masses=2.5),
            "masses = 2.5 is not possible: it must be a whole number",
        ),
        (
            lambda: hig.systems.LinearOscillators(hidden=[0]),
            "hidden = 0 is not possible: it must be whole numbers",
        ),
        (
            lambda: hig.Training(order="random"),
            "order = random is not possible: it must be shuffled, fixed or fresh",
        ),
        (lambda: hig.methods.by_name("hgi"), "unknown method `hgi` .did you mean `hig`"),
        (
            lambda: hig.train(hig.systems.Toy(), "hig", btach=3),
            "unknown setting `btach` .did you mean `batch`",
        ),
    ],
)
def test_what_is_not_possible_is_said_in_the_librarys_words(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_unknown_settings_are_refused():
    with pytest.raises(TypeError, match="cutof"):
        hig.methods.HalfInverse(cutof=1e-5)


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        hig.methods.Adam().learning_rate = 1.0


def test_a_system_recommends():
    system = hig.systems.LinearOscillators()
    assert system.method("hig") == hig.methods.HalfInverse(cutoff=1e-10)
    assert system.method("hig", cutoff=1e-4) == hig.methods.HalfInverse(cutoff=1e-4)
    assert system.training("adam").batch == 256 and system.training("hig").batch == 32
    # Without a recommendation, that of a method that asks for as much.
    assert system.training("lm").batch == 32 and system.training("momentum").batch == 256
    assert system.budget == (None, None, 15.0)


@pytest.mark.parametrize("name", _stubs.stubs())
def test_the_stubs_are_up_to_date(name):
    written = Path(_stubs.__file__).with_name(name).read_text()
    assert written == _stubs.stubs()[name], "run: python -m hig._stubs python/hig"
