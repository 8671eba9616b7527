"""Runs tensors: `load` turns a model file into an engine, `available` says which runtimes this machine has, and
`integer_products` how these compute INT8."""

from watchline.engines.load import available, integer_products, load

__all__ = ["available", "integer_products", "load"]
