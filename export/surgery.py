"""ONNX graphs written as NumPy reads: `(x - mean) / std` adds two nodes, `x[..., :4]` one.

    graph = Graph()
    images = graph.input("images", np.uint8, ("batch", 416, 416, 3))
    outputs = graph.call(network, {"input": images.cast(np.float32).transpose(0, 3, 1, 2)})
    graph.output("boxes", outputs["dets"][..., :4], ("batch", 3549, 4))
    model = graph.build()

Only operators whose meaning is the same from opset 17 on are used, and none whose output's shape hangs on values.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import DTypeLike, NDArray
from onnx import helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # the one that came with opset 17; older runtimes refuse newer ones without need
OURS = "watchline/"  # how names of our tensors begin
RESERVED = ("images", "boxes", "scores")  # what a detector's input and outputs are called
TO_THE_END = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of a graph under construction. Numbers and arrays beside it take its dtype.

    Attributes:
        graph: that it belongs to.
        name: of the tensor.
        dtype: of its elements.
    """

    graph: "Graph"
    name: str
    dtype: np.dtype[Any]

    def __add__(self, other: "Value | float | NDArray[Any]") -> "Value":
        return self._with("Add", other)

    def __sub__(self, other: "Value | float | NDArray[Any]") -> "Value":
        return self._with("Sub", other)

    def __mul__(self, other: "Value | float | NDArray[Any]") -> "Value":
        return self._with("Mul", other)

    def __truediv__(self, other: "Value | float | NDArray[Any]") -> "Value":
        return self._with("Div", other)

    def __floordiv__(self, other: "Value | float | NDArray[Any]") -> "Value":
        """Of whole numbers that are not negative."""
        return self._with("Div", other)

    def __getitem__(self, key: Any) -> "Value":
        """Slices from the first axis on, or up to the last one after `...`; a number takes one row of the first."""
        if isinstance(key, int):
            return self.graph.add("Gather", self, np.array(key), axis=0)
        parts = key if isinstance(key, tuple) else (key,)
        first = 0
        if parts[0] is Ellipsis:
            parts, first = parts[1:], 1 - len(parts)
        cuts = [(axis, part) for axis, part in enumerate(parts, first) if part != slice(None)]
        starts = np.array([part.start or 0 for _, part in cuts])
        ends = np.array([TO_THE_END if part.stop is None else part.stop for _, part in cuts])
        return self.graph.add("Slice", self, starts, ends, np.array([axis for axis, _ in cuts]))

    def equals(self, other: "Value | float | NDArray[Any]") -> "Value":
        """1 where both are the same, else 0; in this value's dtype."""
        return self._with("Equal", other, np.dtype(bool)).cast(self.dtype)

    def cast(self, dtype: DTypeLike) -> "Value":
        """The same numbers as another dtype; nothing is added where it has that one."""
        wanted = np.dtype(dtype)
        if wanted == self.dtype:
            return self
        return self.graph.add("Cast", self, dtype=wanted, to=helper.np_dtype_to_tensor_dtype(wanted))

    def reshape(self, *shape: int) -> "Value":
        """0 keeps the size of the axis at that place, -1 is worked out."""
        return self.graph.add("Reshape", self, np.array(shape, np.int64))

    def transpose(self, *order: int) -> "Value":
        """The axes in that order."""
        return self.graph.add("Transpose", self, perm=order)

    def take(self, rows: list[int], axis: int) -> "Value":
        """These rows of an axis, in that order."""
        return self.graph.add("Gather", self, np.array(rows), axis=axis)

    def split(self, **sizes: int) -> list["Value"]:
        """Parts of the last axis, by name and size."""
        return self.graph.split(self, sizes)

    def named(self, name: str) -> "Value":
        """The same tensor under this name. It must be the newest one of its graph, so that no node reads it yet."""
        return self.graph.rename_last(self, name)

    def sigmoid(self) -> "Value":
        """1 / (1 + exp(-x))."""
        return self.graph.add("Sigmoid", self)

    def exp(self) -> "Value":
        """e to the power of it."""
        return self.graph.add("Exp", self)

    def softmax(self) -> "Value":
        """Over the last axis."""
        return self.graph.add("Softmax", self, axis=-1)

    def sum(self) -> "Value":
        """Over the last axis, which goes."""
        return self.graph.add("ReduceSum", self, np.array([-1]), keepdims=0)

    def shape(self, start: int, end: int) -> "Value":
        """Sizes of the axes start..end - 1, (end - start,) int64."""
        return self.graph.add("Shape", self, dtype=np.dtype(np.int64), start=start, end=end)

    def _with(self, kind: str, other: "Value | float | NDArray[Any]", dtype: np.dtype[Any] | None = None) -> "Value":
        if not isinstance(other, Value):
            other = np.asarray(other, self.dtype)
        return self.graph.add(kind, self, other, dtype=dtype)


class Graph:
    """Nodes in the order in which they are asked for, so that the result needs no sorting.

    Everything is written directly into the model, so there is one copy of large weights.
    """

    def __init__(self) -> None:
        self._model = onnx.ModelProto(ir_version=IR_VERSION)
        self._graph = self._model.graph
        self._graph.name = "watchline"
        self._opsets = {"": OPSET}
        self._prefix = OURS

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """The names of nodes and constants that are added in the block begin with this name."""
        before, self._prefix = self._prefix, f"{name}/"
        yield
        self._prefix = before

    def input(self, name: str, dtype: DTypeLike, shape: tuple[int | str, ...]) -> Value:
        """An input of the model; names in the shape are free dimensions."""
        code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._graph.input.append(helper.make_tensor_value_info(name, code, shape))
        return Value(self, name, np.dtype(dtype))

    def output(self, name: str, value: Value, shape: tuple[int | str, ...]) -> None:
        """An output of the model: the value, by that name."""
        self._graph.node.append(helper.make_node("Identity", [value.name], [name]))
        code = helper.np_dtype_to_tensor_dtype(value.dtype)
        self._graph.output.append(helper.make_tensor_value_info(name, code, shape))

    def constant(self, array: NDArray[Any], name: str | None = None) -> Value:
        """An array that is part of the model."""
        name = name or f"{self._prefix}constant_{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return Value(self, name, array.dtype)

    def add(
        self, kind: str, *inputs: Value | NDArray[Any] | None, dtype: np.dtype[Any] | None = None, **attributes: Any
    ) -> Value:
        """One node of one output, whose dtype is the first input's unless said; None leaves an input out."""
        values = [self.constant(given) if isinstance(given, np.ndarray) else given for given in inputs]
        name = f"{self._prefix}{kind.lower()}_{len(self._graph.node)}"
        names = [value.name if value else "" for value in values]
        self._graph.node.append(helper.make_node(kind, names, [name], name, **attributes))
        first = values[0]
        assert first, "an operator's first input is never left out"
        return Value(self, name, dtype or first.dtype)

    def split(self, value: Value, sizes: Mapping[str, int]) -> list[Value]:
        """Parts of the last axis of a value, by name and size."""
        parts = self.constant(np.array(list(sizes.values()), np.int64))
        names = [f"{self._prefix}{name}" for name in sizes]
        self._graph.node.append(helper.make_node("Split", [value.name, parts.name], names, names[0], axis=-1))
        return [Value(self, name, value.dtype) for name in names]

    def rename_last(self, value: Value, name: str) -> Value:
        """The output of the last node, renamed."""
        node = self._graph.node[-1]
        assert list(node.output) == [value.name], "it is the newest, and has no siblings"
        node.name = node.output[0] = name
        return Value(self, name, value.dtype)

    def arange(self, count: Value) -> Value:
        """0, 1, … count - 1 (count,) int64, of a whole number in the graph."""
        return self.add("Range", np.array(0), count, np.array(1))

    def ones(self, shape: Value) -> Value:
        """1 everywhere, int64, in a shape that is in the graph."""
        one = numpy_helper.from_array(np.ones(1, np.int64))
        return self.add("ConstantOfShape", shape, dtype=np.dtype(np.int64), value=one)

    def concat(self, values: list[Value], axis: int) -> Value:
        """The values one after the other along an axis."""
        return self.add("Concat", *values, axis=axis)

    def call(self, model: onnx.ModelProto, feeds: Mapping[str, Value]) -> dict[str, Value]:
        """All of another model, its inputs fed by values of this graph. Returns: its outputs by name.

        What is called as ours are gets another name; the rest keep theirs, which reports name layers by. Once a
        graph, as a second model's names could clash.
        """
        inner = onnx.ModelProto()
        inner.CopyFrom(model)
        names = set(_tensors(inner.graph))
        taken = {name for name in names if name in RESERVED or name.startswith(OURS)}
        suffix = "_of_network"
        while any(name + suffix in names for name in taken):
            suffix += "_inside"
        rename(inner.graph, {name: name + suffix for name in taken})
        for node in inner.graph.node:
            if node.name.startswith(OURS):
                node.name += suffix
        for ours, theirs in zip(model.graph.input, inner.graph.input, strict=True):
            self._graph.node.append(helper.make_node("Identity", [feeds[ours.name].name], [theirs.name]))
        self._graph.node.extend(inner.graph.node)
        self._graph.initializer.extend(inner.graph.initializer)
        self._graph.sparse_initializer.extend(inner.graph.sparse_initializer)
        self._model.functions.extend(inner.functions)
        self._model.ir_version = max(self._model.ir_version, inner.ir_version)
        for opset in inner.opset_import:
            self._opsets[opset.domain] = max(opset.version, self._opsets.get(opset.domain, 0))
        return {
            ours.name: Value(self, theirs.name, helper.tensor_dtype_to_np_dtype(theirs.type.tensor_type.elem_type))
            for ours, theirs in zip(model.graph.output, inner.graph.output, strict=True)
        }

    def build(self) -> onnx.ModelProto:
        """The model, checked by ONNX's own checker."""
        del self._model.opset_import[:]
        self._model.opset_import.extend(helper.make_opsetid(*opset) for opset in self._opsets.items())
        onnx.checker.check_model(self._model)
        return self._model


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Give tensors of a graph, and of the graphs inside it, other names, in place."""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in _inside(node):
            rename(inner, names)


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put every node after those it reads from, in place and otherwise in the old order; some exporters do not.

    A node that reads from itself, through whatever others, comes where it was met: checkers and runtimes refuse it.
    """
    nodes = list(graph.node)
    maker = {name: number for number, node in enumerate(nodes) for name in node.output}
    order: dict[int, None] = {}  # numbers of nodes, in the order in which they are done
    seen: set[int] = set()
    for first in range(len(nodes)):
        waiting = [first]
        while waiting:
            number = waiting[-1]
            before = [maker[name] for name in _reads(nodes[number]) if name in maker and maker[name] not in seen]
            if number in seen or not before:
                order.setdefault(waiting.pop())
            else:
                waiting.extend(reversed(before))
            seen.add(number)
    del graph.node[:]
    graph.node.extend(nodes[number] for number in order)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names of tensors that a node takes, those that graphs inside it take from outside included."""
    yield from node.input
    for inner in _inside(node):
        for further in inner.node:
            yield from _reads(further)


def _tensors(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in (*graph.input, *graph.initializer))
    for node in graph.node:
        yield from node.output
        for inner in _inside(node):
            yield from _tensors(inner)


def _inside(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs
