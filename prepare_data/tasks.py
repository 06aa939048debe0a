"""The verbs of `mtcnn-gluon prepare` as functions of options, for the command line and the pipeline.

Functions that make samples return the report, see `generate`.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.cluster import ONE_OR_CLUSTER, RAY
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.options import Options, option
from mtcnn_gluon.prepare_data import merge
from mtcnn_gluon.prepare_data.annotations import Annotations, spread
from mtcnn_gluon.prepare_data.generate import SampleSource, generate, read_report
from mtcnn_gluon.prepare_data.readers import read_annotations, why_no_landmarks
from mtcnn_gluon.prepare_data.sampling import SamplingOptions, learnable
from mtcnn_gluon.prepare_data.sources import FaceSource, LandmarkSource, MinedSource, MiningOptions
from mtcnn_gluon.records.files import check
from mtcnn_gluon.records.info import REPORT, Net
from mtcnn_gluon.records.samples import KIND_NAMES

EXAMPLES = 3  # problems of each kind that `summary` shows


@dataclass(frozen=True, kw_only=True)
class SampleOptions(Options):
    """Options of all verbs that cut samples out of photos."""

    landmarks: str | None = option(None, "list of the landmarks, if it is a file of its own", metavar="FILE")
    min_score: float = option(
        0.0, "smallest score of detected landmarks, or of faces in a csv with scores", least=0, most=1, metavar="S"
    )
    out: str = option(..., "folder for the samples", metavar="DIR")
    limit: int | None = option(None, "number of photos to use, evenly spread", least=1, metavar="N", usual="all")
    seed: int = option(0, "random seed", least=0, metavar="N")
    workers: int | None = option(None, "worker processes", least=1, metavar="N", usual=ONE_OR_CLUSTER)
    ray: str | None = option(None, RAY, metavar="ADDRESS", alone="")
    sampling: SamplingOptions = field(default_factory=SamplingOptions)


@dataclass(frozen=True, kw_only=True)
class FaceSampleOptions(SampleOptions):
    """Options of `prepare wider`."""

    net: Net = option(..., "net that the samples are for")
    images: str = option(..., "folder of the photos", metavar="DIR")
    annotations: str = option(..., "list of faces: WIDER FACE, CelebA or csv", metavar="FILE")


@dataclass(frozen=True, kw_only=True)
class LandmarkSampleOptions(SampleOptions):
    """Options of `prepare landmarks`."""

    net: Net = option(..., "net that the samples are for")
    root: str = option(..., "folder of the photos", metavar="DIR")
    list: str = option(..., "list of faces with landmarks: CNN_FacePoint, CelebA, csv", metavar="FILE")


@dataclass(frozen=True, kw_only=True)
class MinedSampleOptions(MiningOptions, SampleOptions):
    """Options of `prepare mine`."""

    images: str = option(..., "folder of the photos", metavar="DIR")
    annotations: str = option(..., "list of faces: WIDER FACE, CelebA or csv", metavar="FILE")


def prepare_faces(options: FaceSampleOptions) -> dict[str, Any]:
    """Cut crops for classes and boxes out of photos with annotated faces."""
    annotations = read_annotations(options.annotations, landmarks=options.landmarks, min_score=options.min_score)
    source = FaceSource(options.images, options.net, options.sampling, options.seed)
    return _generate(source, annotations, options)


def prepare_landmarks(options: LandmarkSampleOptions) -> dict[str, Any]:
    """Cut crops with landmarks out of photos, rotated and mirrored as well."""
    annotations = read_annotations(options.list, landmarks=options.landmarks, min_score=options.min_score)
    check_landmarks(annotations, options)
    return _generate(LandmarkSource(options.root, options.net, options.sampling, options.seed), annotations, options)


def check_landmarks(annotations: Annotations, options: LandmarkSampleOptions) -> None:
    """Raises DataError if a list has no landmarks to learn from. No photo is read."""
    if not any(photo.has_landmarks.any() for photo in annotations.photos):
        reason = why_no_landmarks(options.list, options.landmarks, options.min_score)
        wrong = "".join(f"; {count} {kind}" for kind, count in annotations.problems.counts.items())
        raise DataError(printable(f"{options.list} has no face with landmarks: {reason}{wrong}"))
    photos = spread(annotations.photos, options.limit)
    if not any((photo.has_landmarks & learnable(photo, options.sampling)).any() for photo in photos):
        limit = " in the photos that --limit leaves" if options.limit else ""
        small = (
            f"its short side must be {options.sampling.min_face:g} pixels (--min-face), and the list must not call it invalid"
        )
        raise DataError(printable(f"{options.list}: no face with landmarks{limit} can be learned from: {small}"))


def prepare_mined(options: MinedSampleOptions) -> dict[str, Any]:
    """Run trained nets on photos, and cut out what they propose as samples for the next net."""
    annotations = read_annotations(options.annotations, landmarks=options.landmarks, min_score=options.min_score)
    report = _generate(MinedSource(options.images, options, options.sampling, options.seed), annotations, options)
    merge.warn_if_starved(report["counts"])
    return report


def _generate(source: SampleSource, annotations: Annotations, options: SampleOptions) -> dict[str, Any]:
    chosen = replace(annotations, photos=[*spread(annotations.photos, options.limit)])
    return generate(source, chosen, options.out, options.workers, options.ray)


def summary(report: dict[str, Any]) -> str:
    """The report of a folder of samples as text: counts, recall of the proposals, and the first problems."""
    figures, counts = report["figures"], report["counts"]
    lines = [f"{report['photos']} photos, {figures.get('faces', 0):.0f} faces learned from"]
    lines += ["samples: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)]
    if "proposals" in figures:
        faces = figures["faces"]
        recall = f"{100 * figures['faces found'] / faces:.1f} %" if faces else "no faces"
        lines += [f"proposals a photo: {figures['proposals'] / max(1, report['photos']):.1f}; faces found by one: {recall}"]
    for kind, problems in report["problems"].items():
        lines += [f"{len(problems)} {kind}:", *(f"  {line}" for line in problems[:EXAMPLES])]
    return "\n".join([*lines, f"the whole report is in {REPORT}"])


def check_records(folder: str | Path) -> list[str]:
    """Read every record of a folder and compare it with its counts, ranges and digests; returns a line about each.

    Raises:
        DataError: if something differs.
    """
    total, lines = dict.fromkeys(KIND_NAMES, 0), []
    for name in merge.kinds_of(folder):
        report = check(Path(folder) / name)
        total = {kind: count + report.info.counts[kind] for kind, count in total.items()}
        counts = ", ".join(f"{report.info.counts[kind]} {kind}" for kind in KIND_NAMES if report.info.counts[kind])
        heads = f"{report.with_box} with a box, {report.with_landmarks} with landmarks"
        lines.append(f"{name}: {counts}; {heads}, of {report.photos} photos")
    whole = read_report(folder)
    if whole is None:
        raise DataError(f"{folder} has no {REPORT}: what makes it was not finished")
    if whole.get("counts") != total:
        raise DataError(f"{folder}: expected {whole.get('counts')}, as {REPORT} says, got {total}")
    return lines
