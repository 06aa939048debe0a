"""Writing ONNX graphs like numpy code: `Value`s stand for tensors, and Python's operators on them add nodes.

    g = GraphBuilder()
    x = g.input("x", np.float32, ["n", 2])
    g.output("y", (x[:, 1:] - x[:, :1]).clip(0, 1), ["n", 1])
    model = g.model("difference", opset=17, ir_version=8, metadata={})

Values know their element type but not their shape. Numbers and arrays combined with a value become constants of its type; equal
constants are stored once. Only standard operators are used, and the same calls always give the same graph.
"""

from typing import Any, Callable, Mapping, Sequence, Union

import numpy as np

from mtcnn_gluon.bundles.onnx_nets import finish_model, load_onnx

Number = Union["Value", float, int]
Index = Union[slice, "Value", int, None]


def _method(operator: str, dtype: Any = None) -> Callable[..., "Value"]:
    """A method of `Value` that adds one operator; see `Value.op`."""
    return lambda value, *others: value.op(operator, *others, dtype=dtype)


class Value:
    """A tensor with element type `dtype` in the graph of `graph`; see the module. Shapes broadcast as in numpy."""

    def __init__(self, graph: "GraphBuilder", name: str, dtype: Any) -> None:
        self.graph, self.name, self.dtype = graph, name, np.dtype(dtype)

    def op(self, operator: str, *others: Any, dtype: Any = None, **attributes: Any) -> "Value":
        """The first output of an operator on this value and `others`; its type is `dtype`, or by default this value's type."""
        return self.graph.op(operator, self, *others, dtype=dtype, **attributes)

    __add__, __sub__, __mul__, __truediv__ = _method("Add"), _method("Sub"), _method("Mul"), _method("Div")
    __floordiv__, __mod__ = _method("Div"), _method("Mod")  # of whole numbers that are not negative
    __rmul__ = __mul__
    __matmul__, __and__, __invert__ = _method("MatMul"), _method("And"), _method("Not")
    __lt__, __gt__, __ge__ = _method("Less", bool), _method("Greater", bool), _method("GreaterOrEqual", bool)
    maximum, minimum, clip = _method("Max"), _method("Min"), _method("Clip")  # element by element

    def to(self, dtype: Any) -> "Value":
        """This value with another element type."""
        code = self.graph.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self if self.dtype == np.dtype(dtype) else self.op("Cast", dtype=dtype, to=code)

    def __getitem__(self, index: Union[Index, tuple[Index, ...]]) -> "Value":
        """Slices (whose ends may be values), whole numbers or scalar values, and None for a new axis."""
        parts = index if isinstance(index, tuple) else (index,)
        axes = dict(enumerate(part for part in parts if part is not None))
        result = self._sliced({axis: part for axis, part in axes.items() if isinstance(part, slice) and part != slice(None)})
        for axis in sorted((axis for axis, part in axes.items() if not isinstance(part, slice)), reverse=True):
            result = result.take(self.graph.whole(axes[axis]), axis)
        kept = [part for part in parts if part is None or isinstance(part, slice)]
        new = [axis for axis, part in enumerate(kept) if part is None]
        return result.op("Unsqueeze", self.graph.integers(new)) if new else result

    def _sliced(self, slices: Mapping[int, slice]) -> "Value":
        if not slices:
            return self
        starts = [0 if part.start is None else part.start for part in slices.values()]
        stops = [np.iinfo(np.int64).max if part.stop is None else part.stop for part in slices.values()]
        steps = [part.step or 1 for part in slices.values()]
        return self.op("Slice", *(self.graph.integers(each) for each in (starts, stops, list(slices), steps)))

    def take(self, indices: "Value", axis: int = 0) -> "Value":
        """The slices at `indices` of an axis; the axes of `indices` replace that axis."""
        return self.op("Gather", indices, axis=axis)

    def keep(self, mask: "Value") -> "Value":
        """The slices of the first axis for which `mask` (N,) is true."""
        return self.op("Compress", mask, axis=0)

    def size(self, axis: int) -> "Value":
        """The length of an axis, an int64 scalar."""
        return self.op("Shape", dtype=np.int64)[axis]

    def reshape(self, *shape: Number) -> "Value":
        """This value in another shape; -1 stands for the remaining size."""
        return self.op("Reshape", self.graph.integers(shape))

    def transpose(self, *order: int) -> "Value":
        """This value with its axes in another order."""
        return self.op("Transpose", perm=list(order))

    def all(self, axis: int) -> "Value":
        """Whether all elements along an axis are true."""
        return self.to(np.int32).op("ReduceMin", axes=[axis], keepdims=0) > 0


class GraphBuilder:
    """A graph under construction. New nodes are added to the innermost open loop or branch.

    Raises:
        ModelError: if `onnx` is not installed.
    """

    def __init__(self) -> None:
        self.onnx = load_onnx()
        self._scopes: list[list[Any]] = [[]]  # nodes of the graph and of the subgraphs that are open
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._initializers: dict[str, Any] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._count = 0

    def input(self, name: str, dtype: Any, shape: Sequence[Any], default: Any = None) -> Value:
        """An input; it is optional if it has a `default`."""
        self._inputs.append(self._info(name, dtype, shape))
        if default is not None:
            value = np.asarray(default, dtype)
            self._initializers[name] = self.onnx.numpy_helper.from_array(value, name)
        return Value(self, name, dtype)

    def output(self, name: str, value: Value, shape: Sequence[Any]) -> None:
        """Make a value an output of the graph."""
        self._add("Identity", [value.name], [name])
        self._outputs.append(self._info(name, value.dtype, shape))

    def op(self, operator: str, *inputs: Any, dtype: Any = None, **attributes: Any) -> Value:
        """The first output of an operator. Inputs that are not `Value`s become constants with the type of the first `Value`."""
        like = next(value for value in inputs if isinstance(value, Value))
        names = [(value if isinstance(value, Value) else self.constant(value, like.dtype)).name for value in inputs]
        name = self._name()
        self._add(operator, names, [name], **attributes)
        return Value(self, name, like.dtype if dtype is None else dtype)

    def top(self, values: Value, count: Value, largest: bool) -> Value:
        """Indices (count,) of the largest or smallest of `values` (N,), in order; among equals the lower index comes first."""
        names = [self._name(), self._name()]
        self._add("TopK", [values.name, count.reshape(1).name], names, largest=int(largest))
        return Value(self, names[1], np.int64)

    def constant(self, value: Any, dtype: Any) -> Value:
        """A constant array or scalar."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant{len(self._constants)}"
            self._initializers[name] = self.onnx.numpy_helper.from_array(array, name)
            self._constants[key] = Value(self, name, dtype)
        return self._constants[key]

    def whole(self, value: Any) -> Value:
        """A whole number as an int64 scalar; a value is returned as it is."""
        return value if isinstance(value, Value) else self.constant(value, np.int64)

    def integers(self, values: Sequence[Any]) -> Value:
        """Whole numbers and int64 scalars as one int64 vector."""
        if not any(isinstance(value, Value) for value in values):
            return self.constant(values, np.int64)
        one = self.constant([1], np.int64)
        return self.concat([self.whole(value).op("Reshape", one) for value in values])

    def arange(self, count: Value) -> Value:
        """0, 1 .. count - 1 as int64."""
        return self.op("Range", self.whole(0), count, self.whole(1))

    def concat(self, values: Sequence[Value], axis: int = 0) -> Value:
        """Join values along an axis."""
        return self.op("Concat", *values, axis=axis)

    def empty(self, *shape: int) -> Value:
        """A float32 constant without elements."""
        return self.constant(np.zeros(shape), np.float32)

    def choose(self, condition: Value, yes: Callable[[], Value], no: Callable[[], Value]) -> Value:
        """The value built by `yes` if the scalar `condition` is true when the graph runs, otherwise the one built by `no`."""
        yes_graph, (value,) = self._subgraph(lambda: [yes()])
        no_graph, _ = self._subgraph(lambda: [no()])
        name = self._name()
        self._add("If", [condition.name], [name], then_branch=yes_graph, else_branch=no_graph)
        return Value(self, name, value.dtype)

    def repeat(
        self, start: Sequence[Value], condition: Callable[..., Value], body: Callable[..., Sequence[Value]]
    ) -> list[Value]:
        """`while condition(*state): state = body(*state)`, beginning with the state `start`. Returns the last state.

        Shapes may change from round to round, element types may not.
        """
        state = [Value(self, self._name(), value.dtype) for value in start]
        inputs = [self._info(self._name(), np.int64, []), self._info(self._name(), bool, [])]
        inputs += [self._info(value.name, value.dtype, None) for value in state]

        def one_round() -> list[Value]:
            after = list(body(*state))
            return [condition(*after), *after]

        subgraph, _ = self._subgraph(one_round, inputs)
        names = [self._name() for _ in start]
        self._add("Loop", ["", condition(*start).name, *(value.name for value in start)], names, body=subgraph)
        return [Value(self, name, value.dtype) for name, value in zip(names, start)]

    def embed(self, nodes: Sequence[Any], initializers: Sequence[Any]) -> None:
        """Add existing nodes; an initializer replaces an earlier one of the same name."""
        self._scopes[-1].extend(nodes)
        self._initializers.update({each.name: each for each in initializers})

    def model(self, name: str, opset: int, ir_version: int, metadata: Mapping[str, str]) -> Any:
        """The `ModelProto`, after a check that includes shapes."""
        (nodes,) = self._scopes
        values = list(self._initializers.values())
        graph = self.onnx.helper.make_graph(nodes, name, self._inputs, self._outputs, values)
        model = finish_model(graph, opset, ir_version, metadata)
        self.onnx.checker.check_model(model, full_check=True)
        return model

    def _subgraph(self, build: Callable[[], Sequence[Value]], inputs: Sequence[Any] = ()) -> tuple[Any, list[Value]]:
        """The graph of the nodes that `build` adds, and the values that it returns."""
        self._scopes.append([])
        results = [value.op("Identity") for value in build()]  # an output must be made by the subgraph itself
        nodes = self._scopes.pop()
        outputs = [self._info(value.name, value.dtype, None) for value in results]
        return self.onnx.helper.make_graph(nodes, self._name(), list(inputs), outputs), results

    def _add(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        self._scopes[-1].append(self.onnx.helper.make_node(operator, inputs, outputs, outputs[0], **attributes))

    def _info(self, name: str, dtype: Any, shape: Sequence[Any] | None) -> Any:
        code = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, code, shape)

    def _name(self) -> str:
        self._count += 1
        return f"value{self._count}"
