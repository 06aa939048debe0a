"""Which photos of a set are evaluated."""

from dataclasses import dataclass
from typing import Generic, Literal, Protocol, Sequence, TypeVar, get_args

from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.evaluation.results import MISSING, Results

Missing = Literal["leave-out", "no-faces"]


class AnnotatedPhoto(Protocol):
    """A photo with a name and annotated faces."""

    @property
    def name(self) -> str:
        """Of the photo in its set."""


Photo = TypeVar("Photo", bound=AnnotatedPhoto)


@dataclass(frozen=True, eq=False)
class AnnotatedSet(Generic[Photo]):
    """A set of annotated photos.

    Attributes:
        photos: those to evaluate, in their order.
        total: number of photos in the set.
        remarks: how it differs from the published set, if it should not.
        source: where it was read.
    """

    photos: tuple[Photo, ...]
    total: int
    remarks: tuple[str, ...]
    source: str

    @property
    def names(self) -> tuple[str, ...]:
        """Of the photos to evaluate."""
        return tuple(photo.name for photo in self.photos)

    def covered(self, coverage: "Coverage") -> list[Photo]:
        """The photos of a coverage."""
        kept = set(coverage.names)
        return [photo for photo in self.photos if photo.name in kept]


@dataclass(frozen=True)
class Coverage:
    """Which photos of a set are evaluated.

    Attributes:
        names: the photos, in the order of the set.
        total: number of photos in the set.
        counts: for each detector, in how many photos of the set it has usable results.
        remarks: how the set differs from the published one, if there is such.
    """

    names: tuple[str, ...]
    total: int
    counts: tuple[int, ...]
    remarks: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether all photos of the set, and all of the published set, are evaluated."""
        return len(self.names) == self.total and not self.remarks

    def sentence(self) -> str:
        """Such as `all 3,226 photos` or `120 of 3,226 photos`, with the remarks."""
        used = "all" if len(self.names) == self.total else f"{len(self.names):,} of"
        return "; ".join([f"{used} {self.total:,} photos", *self.remarks])


def cover(
    names: Sequence[str],
    results: Sequence[Results],
    missing: Missing = "leave-out",
    remarks: Sequence[str] = (),
    total: int | None = None,
) -> Coverage:
    """The photos that all detectors can be compared on. Photos without results are added to each detector's problems.

    Args:
        names: of the photos to evaluate.
        results: of the detectors.
        missing: whether photos without results are left out for all detectors, or count as photos in which the detector found
            nothing, as in the published programs. Photos with damaged results are always left out.
        remarks: see `Coverage`.
        total: number of photos in the set, if `names` are not all of them.

    Raises:
        ConfigError: if `missing` is neither.
        DataError: if no photo is left.
    """
    if missing not in get_args(Missing):
        raise ConfigError(f"missing must be one of {', '.join(get_args(Missing))}, not {shown(missing)}")
    usable, counts = set(names), []
    for each in results:
        absent = [name for name in names if name not in each.photos and name not in each.unusable]
        if absent:
            each.problems.found[MISSING] = [f"{each.name}: {name}" for name in absent]
        counts.append(sum(name in each.photos for name in names))
        usable -= each.unusable
        if missing == "leave-out":
            usable -= set(absent)
    kept = tuple(name for name in names if name in usable)
    if not names:
        raise DataError("the list of annotations holds no photo")
    if not kept:
        whole = f"none of the {len(names)} photos, such as {names[0]}, has usable results from "
        problems = "\n".join(f"problems with {each.name}:\n{each.problems.summary()}" for each in results if each.problems)
        raise DataError("\n".join([whole + " and from ".join(each.name for each in results), problems]))
    return Coverage(kept, len(names) if total is None else total, tuple(counts), tuple(remarks))
