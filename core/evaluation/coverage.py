"""Which photos of a set are evaluated."""

from dataclasses import dataclass
from typing import Generic, Literal, Protocol, Sequence, TypeVar

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.evaluation.results import MISSING, Results
from mtcnn_gluon.options import Meaning, checked

Missing = Literal["leave-out", "no-faces"]


class AnnotatedPhoto(Protocol):
    """A photo with a name and annotated faces."""

    @property
    def name(self) -> str:
        """Name of the photo in its set."""


Photo = TypeVar("Photo", bound=AnnotatedPhoto)


@dataclass(frozen=True, eq=False)
class AnnotatedSet(Generic[Photo]):
    """A set of annotated photos."""

    photos: tuple[Photo, ...]  # the photos to evaluate, in their order
    total: int  # number of photos in the whole set
    remarks: tuple[str, ...]  # unexpected differences from the published set
    source: str  # where the annotations were read

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the photos to evaluate."""
        return tuple(photo.name for photo in self.photos)

    def covered(self, coverage: "Coverage") -> list[Photo]:
        """The photos of a coverage."""
        kept = set(coverage.names)
        return [photo for photo in self.photos if photo.name in kept]


@dataclass(frozen=True)
class Coverage:
    """Which photos of a set are evaluated."""

    names: tuple[str, ...]  # the photos, in the order of the set
    total: int  # number of photos in the whole set
    counts: tuple[int, ...]  # for each detector, the number of photos with usable results
    remarks: tuple[str, ...] = ()  # as in `AnnotatedSet`

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
        names: names of the photos to evaluate.
        results: results of the detectors.
        missing: leave photos without results out for all detectors, or count them as photos in which the detector found no
            face, as the published programs do. Photos with damaged results are always left out.
        remarks, total: see `Coverage`; without `total`, `names` are the whole set.

    Raises:
        ConfigError: if `missing` has another value.
        DataError: if no photo is left.
    """
    checked("missing", missing, Missing, Meaning(""))
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
        detectors = " and from ".join(each.name for each in results)
        problems = [f"problems with {each.name}:\n{each.problems.summary()}" for each in results if each.problems]
        reason = f"none of the {len(names)} photos, such as {names[0]}, has usable results from {detectors}"
        raise DataError("\n".join([reason, *problems]))
    return Coverage(kept, len(names) if total is None else total, tuple(counts), tuple(remarks))
