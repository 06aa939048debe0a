"""CUDA graphs: the kernels of a function of one input shape, started all at once.

They save the time that Python takes to start hundreds of small kernels, which matters for single photos and frames. A graph is
used only after its result was compared with that of the function itself; whatever fails, the function goes on without.
"""

import logging
import threading
from collections import Counter
from typing import Any, Callable, Hashable

import torch

logger = logging.getLogger(__name__)

GRAPHS = 8  # largest number of graphs in memory; each keeps the buffers of its function
SEEN = 2  # calls before the graph is made, so that a shape that comes once costs nothing
KEYS = 1000  # largest number of keys that are counted

Function = Callable[[torch.Tensor], torch.Tensor]


class Graphs:
    """Runs functions of one tensor, and those that come again as CUDA graphs.

    Args:
        is_on: whether to make graphs at all.
    """

    def __init__(self, is_on: bool) -> None:
        self._is_on = is_on
        self._seen: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, _Graph] = {}
        self._lock = threading.Lock()  # a graph has one set of buffers

    def run(self, key: Hashable, function: Function, values: torch.Tensor) -> torch.Tensor:
        """`function(values)`.

        Args:
            key: names the function; while a graph is in memory, so is its function.
            function: only starts kernels, which read nothing but `values` and what stays the same. It is kept.
            values: its input.
        """
        if not self._is_on:
            return function(values)
        key = key, values.shape, values.dtype
        with self._lock:
            if len(self._seen) > KEYS:
                self._seen.clear()
            self._seen[key] += 1
            graph = self._graphs.get(key)
            if graph is None and self._seen[key] > SEEN and self._is_on:
                graph = self._made(key, function, values)
            return function(values) if graph is None else graph(values)

    def _made(self, key: Hashable, function: Function, values: torch.Tensor) -> "_Graph | None":
        try:
            graph = _Graph(function, values)
            if not torch.equal(graph(values), function(values)):
                raise RuntimeError("the result differs")
        except RuntimeError as error:
            logger.warning("CUDA graphs are not used: %s", error)
            self._is_on = False
            return None
        self._graphs[key] = graph
        if len(self._graphs) > GRAPHS:
            self._graphs.pop(next(iter(self._graphs)))
        return graph


class _Graph:
    """The kernels of `function` for inputs of the shape and type of `values`."""

    def __init__(self, function: Function, values: torch.Tensor) -> None:
        self._function = function  # whose tensors the kernels read
        self._input, self._graph, device = values.clone(), torch.cuda.CUDAGraph(), values.device
        with torch.cuda.device(device):
            side: Any = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side):
                function(self._input)  # libraries plan and take memory here
            torch.cuda.current_stream(device).wait_stream(side)
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):  # other threads may go on
                self._output = function(self._input)

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        self._input.copy_(values)
        self._graph.replay()
        return self._output.clone()  # the next call overwrites it
