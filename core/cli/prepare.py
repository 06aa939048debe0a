"""The verb `mtcnn-gluon prepare`: training data from annotated photos."""

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Callable

from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.io.files import printable, write_picture
from mtcnn_gluon.prepare_data import merge
from mtcnn_gluon.prepare_data.annotations import Annotations, spread
from mtcnn_gluon.prepare_data.generate import UNREADABLE, SampleSource, generate, read_report
from mtcnn_gluon.prepare_data.readers import read_annotations, why_no_landmarks
from mtcnn_gluon.prepare_data.sampling import Options, learnable
from mtcnn_gluon.prepare_data.sources import NEXT_NET, FaceSource, LandmarkSource, MinedSource
from mtcnn_gluon.records.files import check
from mtcnn_gluon.records.info import REPORT, check_seed
from mtcnn_gluon.records.samples import KIND_NAMES, RATIO, parse_ratio

EXAMPLES = 3  # problems of each kind that are printed
DRAWING = {  # what stands for the value of each of `sampling.Options`, and what it means
    "positive": ("IOU", "overlap with a face, 0..1, from which on a crop is a positive sample"),
    "part": ("IOU", "overlap from which on it is part of a face"),
    "negative": ("IOU", "overlap below which it is negative"),
    "square_faces": ("", "whether overlaps are those with the square around a face, instead of with the face as annotated"),
    "min_face": ("PIXELS", "short side of the smallest face to learn from"),
    "jitters": ("N", "crops near every face, most of them positive or part"),
    "jitters_large": ("N", "so many more near faces of --large-face or more"),
    "large_face": ("PIXELS", "short side from which a face counts as large"),
    "scale_low": ("FACTOR", "smallest side of a crop near a face, as a multiple of the face's short side"),
    "scale_high": ("FACTOR", "largest side of a crop near a face, as a multiple of the face's long side"),
    "shift": ("SHARE", "of a face's width and height by which a crop near it is moved at most"),
    "negatives": ("N", "negative crops anywhere in a photo"),
    "negatives_near": ("N", "negative crops for every face that touch it"),
    "negatives_mined": ("N", "prepare mine: negative crops a photo that a net took for faces, at most"),
    "landmark_jitters": ("N", "prepare landmarks: crops for every face"),
    "rotation": ("DEGREES", "prepare landmarks: by which every second crop is turned at most, 0..90"),
    "mirror": ("", "prepare landmarks: whether each crop is mirrored as well"),
}


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs of `prepare` and their options."""
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add(verbs, wider, "crops for classes and boxes from annotated faces", _faces_options)
    _add(verbs, landmarks, "crops with landmarks", _landmark_options)
    _add(verbs, mine, "what a net lets through, as samples for the next one", _mine_options)
    _add(verbs, records, "put samples together for training", _records_options)
    _add(verbs, show, "draw samples and statistics", _show_options)
    _add(verbs, check_records, "read every record and verify it", lambda parser: None, name="check")


def _add(verbs: Any, run: Callable[[argparse.Namespace], int], text: str, options: Callable, name: str | None = None) -> None:
    parser = verbs.add_parser(name or run.__name__, help=text, description=run.__doc__)
    parser.set_defaults(run=run)
    options(parser)
    if name == "check":
        parser.add_argument("folder", metavar="DIR", help="folder of samples or records")


def _common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the samples")
    parser.add_argument("--limit", type=int, metavar="N", help="use N photos only, evenly spread")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all random numbers (0)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that work on photos (1)")
    drawing = parser.add_argument_group("how samples are drawn")
    for option in fields(Options):
        flag = "--" + option.name.replace("_", "-")
        unit, meaning = DRAWING[option.name]
        if option.type is bool:
            usual = "yes" if option.default else "no"
            action = argparse.BooleanOptionalAction
            drawing.add_argument(flag, action=action, default=option.default, help=f"{meaning} ({usual})")
        else:
            text = f"{meaning} ({option.default})"
            drawing.add_argument(flag, type=option.type, default=option.default, metavar=unit, help=text)


def _annotation_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of the photos")
    parser.add_argument("--annotations", required=True, metavar="FILE", help="list of faces: WIDER FACE, CelebA or csv")
    parser.add_argument("--landmarks", metavar="FILE", help="list of the landmarks of those faces, if there is one")
    parser.add_argument(
        "--min-score", type=float, default=0.0, metavar="S", help="smallest score, 0..1, of landmarks that a program found (0)"
    )


def _faces_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--net", required=True, help=f"net that the samples are for: {', '.join(NETS)}")
    _annotation_options(parser)
    _common_options(parser)


def _landmark_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--net", required=True, help=f"net that the samples are for: {', '.join(NETS)}")
    parser.add_argument("--root", required=True, metavar="DIR", help="folder of the photos")
    parser.add_argument(
        "--list", required=True, metavar="FILE", help="list of faces with landmarks: CNN_FacePoint, CelebA, csv"
    )
    parser.add_argument("--landmarks", metavar="FILE", help="list of the landmarks, if it is another file")
    parser.add_argument(
        "--min-score", type=float, default=0.0, metavar="S", help="smallest score, 0..1, of landmarks that a program found (0)"
    )
    _common_options(parser)


def _mine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="whose nets propose: a model that info lists, or a bundle folder")
    parser.add_argument("--stage", required=True, help=f"last net that proposes: {', '.join(NEXT_NET)}")
    parser.add_argument(
        "--thresholds",
        type=float,
        nargs=2,
        metavar=("P", "R"),
        help="face probability, 0..1, that P- and R-Net must give (the model's)",
    )
    parser.add_argument("--top-up", type=int, default=0, metavar="N", help="near-face negatives to add for every face (0)")
    parser.add_argument(
        "--again", action=argparse.BooleanOptionalAction, default=False,
        help="a second round: first the negatives that the next net, as it is in the model, takes for faces",
    )  # fmt: skip
    parser.add_argument("--find-from", type=float, default=20, metavar="N", help="smallest face in pixels to look for (20)")
    _annotation_options(parser)
    _common_options(parser)


def _records_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--net", required=True, help=f"net that the samples are for: {', '.join(NETS)}")
    parser.add_argument("--in", required=True, nargs="+", dest="folders", metavar="DIR", help="folders of samples")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the records")
    ratio = ":".join(f"{share:g}" for share in RATIO.values())
    parser.add_argument("--ratio", default=ratio, metavar="N:P:P:L", help=f"negative:positive:part:landmark of P-Net ({ratio})")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the order, and of the choice for P-Net (0)")
    parser.add_argument("--encoding", default="raw", help="of crops in the records: raw, png, jpeg or webp (raw)")
    parser.add_argument("--quality", type=int, metavar="N", help="of jpeg and webp, 1..100 (95)")


def _show_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder of samples or records")
    parser.add_argument("--out", required=True, metavar="PNG", help="the summary; sheets of each kind get its name added")
    parser.add_argument("--count", type=int, default=160, metavar="N", help="samples of each kind (160)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice of samples (0)")


def wider(options: argparse.Namespace) -> int:
    """Cut crops for classes and boxes out of photos with annotated faces; `--net` says for which net."""
    annotations = read_annotations(options.annotations, landmarks=options.landmarks, min_score=options.min_score)
    source = FaceSource(options.images, options.net, _drawing(options), options.seed)
    return _generate(source, annotations, options)


def landmarks(options: argparse.Namespace) -> int:
    """Cut crops with landmarks out of photos, turned and mirrored as well."""
    annotations = read_annotations(options.list, landmarks=options.landmarks, min_score=options.min_score)
    source = LandmarkSource(options.root, options.net, _drawing(options), options.seed)
    _check_landmarks(annotations, options)
    return _generate(source, annotations, options)


def _check_landmarks(annotations: Annotations, options: argparse.Namespace) -> None:
    """Raises DataError, before a photo is read, if there are no landmarks to learn."""
    if not any(photo.has_landmarks.any() for photo in annotations.photos):
        reason = why_no_landmarks(options.list, options.landmarks, options.min_score)
        wrong = "".join(f"; {count} {kind}" for kind, count in annotations.problems.counts.items())
        raise DataError(printable(f"{options.list} has no face with landmarks: {reason}{wrong}"))
    photos = spread(annotations.photos, options.limit)
    drawing = _drawing(options)
    if not any((photo.has_landmarks & learnable(photo, drawing)).any() for photo in photos):
        limit = " in the photos that --limit leaves" if options.limit else ""
        small = f"its short side must be {drawing.min_face:g} pixels (--min-face), and the list must not call it invalid"
        raise DataError(printable(f"{options.list}: no face with landmarks{limit} can be learned from: {small}"))


def mine(options: argparse.Namespace) -> int:
    """Run the nets trained so far over photos, and cut out what they take for faces: samples for the next net."""
    annotations = read_annotations(options.annotations, landmarks=options.landmarks, min_score=options.min_score)
    thresholds = None if options.thresholds is None else tuple(options.thresholds)
    where = (options.images, options.model, options.stage)
    more = {name: getattr(options, name) for name in ("find_from", "top_up", "again", "seed")}
    source = MinedSource(*where, thresholds, options=_drawing(options), **more)
    return _generate(source, annotations, options)


def _drawing(options: argparse.Namespace) -> Options:
    return Options(**{option.name: getattr(options, option.name) for option in fields(Options)})


def _generate(source: SampleSource, annotations: Annotations, options: argparse.Namespace) -> int:
    annotations = replace(annotations, photos=list(spread(annotations.photos, options.limit)))
    report = generate(source, annotations, options.out, options.workers)
    _print_report(report)
    return 1 if UNREADABLE in report["problems"] else 0


def _print_report(report: dict[str, Any]) -> None:
    figures, counts = report["figures"], report["counts"]
    put_line(f"{report['photos']} photos, {figures.get('faces', 0):.0f} faces learned from")
    put_line("samples: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count))
    if "proposals" in figures:
        faces = figures["faces"]
        recall = f"{100 * figures['faces found'] / faces:.1f} %" if faces else "none there"
        put_line(f"proposals a photo: {figures['proposals'] / max(1, report['photos']):.1f}; faces found by one: {recall}")
        merge.warn_if_starved(counts)
    for kind, lines in report["problems"].items():
        put_line(f"{len(lines)} {kind}:")
        for line in lines[:EXAMPLES]:
            put_line(f"  {line}")
    put_line("the whole report is in report.json")


def records(options: argparse.Namespace) -> int:
    """Put samples together for training: for P-Net one record with the kinds in a ratio, else one record a kind."""
    ratio = parse_ratio(options.ratio)
    report = merge.make_records(
        options.folders, options.net, options.out, ratio, options.seed, options.encoding, options.quality
    )
    put_line("records of " + ", ".join(f"{count} {kind}" for kind, count in report["counts"].items() if count))
    return 0


def show(options: argparse.Namespace) -> int:
    """Draw samples with their targets, a sheet for each kind, and a page of counts and histograms."""
    from mtcnn_gluon.prepare_data.show import sheets, summary

    if options.count < 1:
        raise ConfigError(f"count must be 1 or more, not {options.count}")
    check_seed(options.seed)
    readers, page = merge.kinds_of(options.folder), Path(options.out)
    pictures = {page: summary(readers, read_report(options.folder))}
    for kind, picture in sheets(readers, options.count, options.seed).items():
        pictures[page.with_name(f"{page.stem}-{kind}{page.suffix}")] = picture
    for path, picture in pictures.items():
        write_picture(path, picture)
        put_line(path)
    return 0


def check_records(options: argparse.Namespace) -> int:
    """Read every record of a folder, and compare it with its counts, ranges and digests."""
    total = dict.fromkeys(KIND_NAMES, 0)
    for name in merge.kinds_of(options.folder):
        report = check(Path(options.folder) / name)
        total = {kind: count + report.info.counts[kind] for kind, count in total.items()}
        counts = ", ".join(f"{report.info.counts[kind]} {kind}" for kind in KIND_NAMES if report.info.counts[kind])
        put_line(
            f"{name}: {counts}; {report.with_box} with a box, {report.with_landmarks} with landmarks, of {report.photos} photos"
        )
    whole = read_report(options.folder)
    if whole is None:
        raise DataError(f"{options.folder} has no {REPORT}: what makes it was not finished")
    if whole.get("counts") != total:
        raise DataError(f"{options.folder}: expected {whole.get('counts')}, as {REPORT} says, got {total}")
    return 0
