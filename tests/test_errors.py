"""Every error that is raised for the user has one root, and is also the builtin that fits."""

import builtins
import importlib
import inspect
from pathlib import Path

import pytest
from cli.shell import within

import watchline
from watchline.errors import WatchlineError
from watchline.pipeline import config

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(file.parent.name for file in ROOT.glob("*/errors.py") if file.parent.name != "watchline")


def test_every_folder_that_raises_has_its_errors():
    assert FOLDERS == ["engines", "export", "measure", "models", "ops", "pipeline", "streams"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folders_errors_have_one_class_of_its_own_below_the_root(folder):
    module = importlib.import_module(f"watchline.{folder}.errors")
    own = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module.__name__]
    [root] = [kind for kind in own if WatchlineError in kind.__bases__]
    assert all(issubclass(kind, root) for kind in own), own
    plain = [kind.__name__ for kind in own if not fitting(kind)]
    assert set(plain) <= {root.__name__}  # it is never raised itself where no builtin fits


def fitting(kind):
    """The builtin exceptions that a class also is, those that say nothing aside."""
    return {base for base in kind.__mro__ if base.__module__ == builtins.__name__} - {object, BaseException, Exception}


def test_the_root_is_in_the_api():
    assert watchline.WatchlineError is WatchlineError
    with pytest.raises(watchline.WatchlineError) as caught:
        watchline.detect("nowhere.mp4")
    assert isinstance(caught.value, FileNotFoundError)


def test_the_command_line_knows_an_error_that_nobody_listed(tmp_path, monkeypatch):
    class Brandnew(WatchlineError):
        pass

    def load(*_):
        raise Brandnew("the moon is too near: expected it elsewhere; wait")

    monkeypatch.setattr(config, "load", load)
    done = within(tmp_path, "annotate", "a.mp4")
    assert (done.code, done.err) == (2, ["watchline: the moon is too near: expected it elsewhere; wait"])


def test_a_defect_keeps_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "load", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        within(tmp_path, "annotate", "a.mp4")
