"""The part of the samples that one of several workers takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Every `count`-th sample, beginning with number `rank`. The shares of all ranks are all samples, each once.

    Attributes:
        rank: 0 to count - 1.
        count: number of shares, 1 or more.
    """

    rank: int = 0
    count: int = 1

    def of(self, first: int, stop: int) -> slice:
        """The samples of this share among those from `first` to before `stop`."""
        return slice(first + (self.rank - first) % self.count, stop, self.count)

    def place(self, number: int) -> int | None:
        """The place of sample `number` in this share, from 0; None if the sample is in another one."""
        place, rank = divmod(number, self.count)
        return place if rank == self.rank else None


WHOLE = Share()
