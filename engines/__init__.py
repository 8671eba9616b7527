"""Runs tensors: `load` turns a model file into an engine, `available` says which runtimes this machine has."""

from watchline.engines.load import available, load

__all__ = ["available", "load"]
