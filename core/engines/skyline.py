"""Placing rectangles side by side, so that a net sees many of them in one input."""


class Skyline:
    """A strip on which rectangles are placed, each as high up as it fits under those before it.

    The state is a skyline: the first free row of every `unit` columns.

    Args:
        width, height: size of the strip in pixels; a height of None has no end.
        unit: all sides are multiples of it.
    """

    def __init__(self, width: int, height: int | None, unit: int) -> None:
        self._free = [0] * (width // unit)
        self._height, self._unit = height, unit

    @property
    def used(self) -> int:
        """Rows in use."""
        return max(self._free)

    def take(self, height: int, width: int) -> tuple[int, int] | None:
        """Row and column of the place for a rectangle, which is then taken; None if there is none."""
        count = width // self._unit
        free = self._free
        starts = [i for i in range(len(free) - count + 1) if i == 0 or free[i] != free[i - 1]]
        if not starts:
            return None
        y, column = min((max(free[i : i + count]), i) for i in starts)
        if self._height is not None and y + height > self._height:
            return None
        free[column : column + count] = [y + height] * count
        return y, self._unit * column
