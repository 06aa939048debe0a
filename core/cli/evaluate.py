"""The verb `mtcnn-gluon evaluate`."""

import argparse
import logging
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Callable, Sequence

import numpy as np

from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.cli.evaluate_results import (
    DETECTOR_OPTIONS,
    PhotoSet,
    check_options,
    check_scales,
    file_of,
    found_faces,
    jobs_of,
    landmark_results,
    named_paths,
    photo_set,
    run_models,
    seen_photos,
)
from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.config import FACTOR, NETS
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.evaluation import fddb, landmarks, samples, stages, summaries, summaries_nets, wider, wider_truth
from mtcnn_gluon.evaluation.coverage import cover
from mtcnn_gluon.evaluation.names import THE_ANNOTATIONS, THE_PHOTOS, check_names
from mtcnn_gluon.evaluation.report import Report, json_text, write_report
from mtcnn_gluon.evaluation.results import ellipse_boxes, write_results
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import printable, whole_file
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.io.json_lines import read_rows
from mtcnn_gluon.prepare_data.annotations import spread
from mtcnn_gluon.prepare_data.readers import read_annotations
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.sampler import Sampler

logger = logging.getLogger(__name__)

RESAMPLES = 1000
TIMED_PHOTOS = 50
RECORDS_BATCH = 512
BENCHMARK_THRESHOLDS = (0.5, 0.5, 0.3)  # low, so that curves reach far
NO_SIZE = "photos that cannot be read: what lies beyond their border is not cut off"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the benchmarks and their options."""
    benchmarks = parser.add_subparsers(required=True, metavar="BENCHMARK")
    _add_wider(
        benchmarks.add_parser("wider", help="average precision by WIDER FACE's protocol", description=evaluate_wider.__doc__)
    )
    _add_fddb(benchmarks.add_parser("fddb", help="ROC by FDDB's protocol", description=evaluate_fddb.__doc__))
    _add_landmarks(
        benchmarks.add_parser("landmarks", help="errors of the five landmarks", description=evaluate_landmarks.__doc__)
    )
    _add_stages(
        benchmarks.add_parser(
            "stages", help="recall, proposals, thresholds and time of each stage", description=evaluate_stages.__doc__
        )
    )
    _add_records(benchmarks.add_parser("records", help="a net on training samples", description=evaluate_records.__doc__))


def _add_wider(parser: argparse.ArgumentParser) -> None:
    truth = parser.add_argument_group("annotated faces").add_mutually_exclusive_group(required=True)
    truth.add_argument("--ground-truth", metavar="DIR", help="the folder of wider_face_val.mat, wider_easy_val.mat ...")
    truth.add_argument("--annotations", metavar="FILE", help="a list of faces: sets are made by height")
    parser.add_argument(
        "--heights", type=float, nargs="+", default=wider_truth.HEIGHTS, metavar="PX", help="of faces, at least"
    )
    parser.add_argument("--overlap", type=float, default=wider.IOU, metavar="IOU", help="from which a face is found (0.5)")
    _add_common(parser, evaluate_wider, min_face=10, thresholds=BENCHMARK_THRESHOLDS)
    parser.add_argument("--write-text", metavar="DIR", help="write what was found as WIDER FACE's text files too")


def _add_fddb(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folds", metavar="DIR", required=True, help="the folder of FDDB-fold-01-ellipseList.txt ...")
    parser.add_argument("--regions", default="ellipse", choices=("ellipse", "box"), help="what annotated faces are (ellipse)")
    _add_common(parser, evaluate_fddb, thresholds=BENCHMARK_THRESHOLDS)
    parser.add_argument("--write-text", metavar="FILE", help="write what was found as FDDB's text too")


def _add_landmarks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--list", metavar="FILE", required=True, help="CNN_FacePoint or CelebA list, CSV, or WIDER FACE list")
    parser.add_argument("--landmarks", metavar="FILE", help="the list of landmarks, where --list holds boxes only")
    parser.add_argument("--min-score", type=float, default=0.0, metavar="S", help="of the landmarks of a WIDER FACE list")
    parser.add_argument("--normaliser", default="eyes", choices=("eyes", "box"), help="what errors are a share of (eyes)")
    parser.add_argument("--boxes", default="both", choices=("given", "detected", "both"), help="where landmarks are looked for")
    _add_common(parser, evaluate_landmarks, images="--root")


def _add_stages(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--annotations", metavar="FILE", required=True, help="a list of faces")
    parser.add_argument("--timed", type=int, default=TIMED_PHOTOS, metavar="N", help=f"photos to time ({TIMED_PHOTOS})")
    _add_common(parser, evaluate_stages, results=False)


def _add_records(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=evaluate_records)
    parser.add_argument("--records", metavar="DIR", required=True, help="samples of the net, from prepare records")
    parser.add_argument("--net", required=True, help=f"net to measure: {', '.join(NETS)}")
    parser.add_argument(
        "--model", action="append", metavar="[NAME=]MODEL", help="a model that info lists, or a bundle folder; several times"
    )
    parser.add_argument("--engine", default="auto", help=f"auto, {', '.join(ENGINES)}")
    parser.add_argument("--device", default="cpu", help="cpu, gpu or gpu:N")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - for standard output")
    parser.add_argument("--report", metavar="DIR", help="write Markdown and JSON")


def _add_common(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    images: str = "--images",
    results: bool = True,
    min_face: float = 20,
    thresholds: Sequence[float] | None = None,
) -> None:
    parser.set_defaults(run=run, results=[])
    tested = parser.add_argument_group("detectors, each may be given several times")
    tested.add_argument(
        "--model", action="append", default=[], metavar="[NAME=]MODEL", help="a model that info lists, or a bundle folder"
    )
    if results:
        text = "what a detector found: JSON Lines, a folder of WIDER FACE's text files, or FDDB's text"
        tested.add_argument("--results", action="append", metavar="[NAME=]PATH", help=text)
        missing = "photos without results: left out for all detectors, or without faces (leave-out)"
        tested.add_argument("--missing", default="leave-out", choices=("leave-out", "no-faces"), help=missing)
    photos = "the folder of all photos"
    parser.add_argument(images, dest="images", metavar="DIR", required=images == "--root" or not results, help=photos)
    parser.add_argument("--limit", type=int, metavar="N", help="use N photos only, evenly spread")
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write the figures as JSON; - for standard output")
    output.add_argument("--report", metavar="DIR", help="write Markdown, JSON, curves and pictures of errors")
    if results:
        output.add_argument(
            "--resamples", type=int, default=RESAMPLES, metavar="N", help=f"for intervals ({RESAMPLES}); 0: none"
        )
    running = parser.add_argument_group("running models")
    running.add_argument("--detections", metavar="DIR", help="keep what models find there, as NAME.jsonl")
    running.add_argument("--resume", action="store_true", help="skip the photos that an earlier run wrote to --detections")
    running.add_argument("--workers", type=int, metavar="N", help="processes (as many as processors)")
    running.add_argument("--engine", default="auto", help=f"auto, {', '.join(ENGINES)}")
    running.add_argument("--device", default="cpu", help="cpu, gpu or gpu:N")
    running.add_argument("--min-face", type=float, default=min_face, metavar="N", help=f"smallest face in pixels ({min_face})")
    running.add_argument("--factor", type=float, default=FACTOR, help=f"scale between pyramid levels ({FACTOR})")
    own = " ".join(map(str, thresholds)) if thresholds else "the bundle's own"
    running.add_argument(
        "--thresholds", type=float, nargs=3, default=thresholds, metavar=("P", "R", "O"), help=f"face probabilities ({own})"
    )
    running.add_argument("--nms", type=float, nargs=4, metavar=("LEVEL", "P", "R", "O"), help="overlaps allowed, in 0..1")
    running.add_argument("--max-faces", type=int, metavar="N", help="keep only the N best faces of an image")


# ---- benchmarks


def evaluate_wider(options: argparse.Namespace) -> int:
    """Average precision by WIDER FACE's protocol: for the easy, medium and hard faces of its published ground truth, or for
    faces of at least some heights of any annotated photos."""
    check_options(options)
    wider.check_overlap(options.overlap)
    problems = {}
    if options.ground_truth:
        whole = wider_truth.read_mat(options.ground_truth)
        photos = photo_set(options, whole.names)
    else:
        annotations = read_annotations(options.annotations)
        problems[THE_ANNOTATIONS] = annotations.problems
        photos = photo_set(options, [photo.path for photo in annotations.photos])
        whole = wider_truth.from_annotations(annotations, printable(options.annotations), options.heights)
    truth = replace(whole, photos=spread(whole.photos, options.limit))
    results = found_faces(options, photos, truth.names)
    problems[THE_PHOTOS] = check_scales(options, photos, {photo.name: photo.boxes for photo in truth.photos}, results)
    coverage, outcomes = wider.evaluate(truth, results, options.missing, options.resamples, options.overlap)
    if options.write_text:
        write_results(options.write_text, results[0], "wider", truth.names)
    return _finish(summaries.of_wider(truth, coverage, outcomes, results, options.overlap, problems), options, photos)


def evaluate_fddb(options: argparse.Namespace) -> int:
    """Discrete and continuous ROC by FDDB's protocol."""
    check_options(options)
    need("scipy.optimize", "FDDB's matching")
    whole = fddb.read_folds(options.folds)
    photos = photo_set(options, whole.names)
    folds = replace(whole, photos=spread(whole.photos, options.limit))
    results = found_faces(options, photos, folds.names)
    ellipses = {photo.name: ellipse_boxes(photo.ellipses) for photo in folds.photos}
    problems = check_scales(options, photos, ellipses, results)

    def sizes(name: str) -> tuple[int, int] | None:
        size = photos.size(name)
        if photos.files and size is None:
            problems.found[NO_SIZE].append(name)
        return size

    coverage, outcomes = fddb.evaluate(folds, results, options.regions, sizes, options.missing, options.resamples)
    if options.write_text:
        write_results(options.write_text, results[0], "fddb", folds.names)
    report = summaries.of_fddb(folds, coverage, outcomes, results, options.regions, {THE_PHOTOS: problems})
    return _finish(report, options, photos)


def evaluate_landmarks(options: argparse.Namespace) -> int:
    """Errors of the five landmarks on annotated boxes, which a model looks into, and on the faces it detects."""
    check_options(options)
    for _, model in named_paths(options.model):
        if "landmark" not in find_bundle(model).manifest["trained"]["onet"]:
            raise ConfigError(f"--model {model}: it was trained without landmarks, so there is nothing to evaluate")
    annotations = read_annotations(options.list, landmarks=options.landmarks, min_score=options.min_score)
    every = landmarks.annotated(annotations)
    photos = photo_set(options, [photo.path for photo in annotations.photos])
    chosen = spread(every, options.limit)
    problems = {THE_ANNOTATIONS: annotations.problems}
    parts: list[summaries_nets.Part] = []
    for on in ("given", "detected"):
        if options.boxes not in (on, "both") or (on == "given" and options.results and not options.model):
            continue
        results = landmark_results(options, photos, chosen, on)
        problems[THE_PHOTOS] = check_scales(options, photos, {photo.path: photo.boxes for photo in chosen}, results)
        coverage, outcomes = landmarks.evaluate(
            chosen, results, on, options.normaliser, options.missing, options.resamples, len(every),
            landmarks.other_faces(annotations),
        )  # fmt: skip
        parts.append((coverage, outcomes, results))
    if not parts:
        raise ConfigError("--boxes given needs --model: result files hold faces that were detected")
    source = f"{printable(options.list)}, {sum(map(len, every)):,} faces in {len(every):,} photos"
    return _finish(summaries_nets.of_landmarks(parts, options.normaliser, source, problems), options, photos)


def evaluate_stages(options: argparse.Namespace) -> int:
    """For each stage of a cascade: recall of annotated faces by size against proposals, thresholds to use, and time."""
    options.model = options.model or ["default"]
    check_options(options)
    annotations = read_annotations(options.annotations)
    photos = photo_set(options, [photo.path for photo in annotations.photos])
    jobs = jobs_of(photos, spread(annotations.photos, options.limit))
    rows: list[dict[str, dict[str, Any]]] = []
    results = []
    with ExitStack() as stack:
        for name, path, about in run_models(options, jobs, stages.look_at_stages, stack):
            found = {row["image"]: row for row in read_rows(path, ("image",), "one result of mtcnn-gluon evaluate stages")}
            results.append(seen_photos(name, found, about))
            rows.append(found)
    marked = {printable(photo.path): photo for photo in annotations.photos}
    problems = {THE_ANNOTATIONS: annotations.problems}
    problems[THE_PHOTOS] = check_scales(options, photos, {job.name: marked[job.name].boxes for job in jobs}, results)
    coverage = cover([job.name for job in jobs], results, total=len(annotations.photos))
    kept = [marked[name] for name in coverage.names]
    sides = [(photo.boxes[:, 2:] - photo.boxes[:, :2]).min(1) for photo in kept]
    ignore = [photo.ignore for photo in kept]
    curves, seconds = {}, {}
    for made, found, (_, model) in zip(results, rows, named_paths(options.model)):
        curves[made.name] = stages.sweep([found[name] for name in coverage.names], sides, ignore, made.about)
        seconds[made.name] = _time(options, model, photos, coverage.names)
    return _finish(summaries_nets.of_stages(coverage, curves, seconds, results, problems), options, photos)


def evaluate_records(options: argparse.Namespace) -> int:
    """One net of each bundle on the same training samples: accuracy of the classes, recall at 1 % false positives, errors of
    boxes and landmarks, as training logs them."""
    models = named_paths(options.model or ["default"])
    check_names(name for name, _ in models)
    taken = Sampler(options.records, TrainingOptions(options.net, batch=RECORDS_BATCH))
    figures = {}
    for name, model in models:
        detector = Detector(model, engine=options.engine, device=options.device)
        if "cls" not in detector.bundle.manifest["trained"][options.net]:
            logger.warning("model %s: %s is not trained but random numbers", name, options.net)
        figures[name] = samples.measure(detector.engine, taken, options.net)
    counts = {kind: len(pool) for kind, pool in taken.pools.items()}
    return _finish(summaries_nets.of_samples(figures, options.net, counts, printable(options.records)), options)


def _time(options: argparse.Namespace, model: str, photos: PhotoSet, names: Sequence[str]) -> np.ndarray:
    """Seconds (P, 3) of each stage for a few of the photos."""
    if options.timed < 1:
        return np.zeros((0, len(stages.STAGES)))
    detector = Detector(model=model, **{key: getattr(options, key) for key in DETECTOR_OPTIONS})
    chosen = spread(names, options.timed)
    images = (read_image(file_of(photos, name)) for name in chosen)
    return np.concatenate([stages.time_stages(detector, [image]) for image in images])


# ---- output


def _finish(report: Report, options: argparse.Namespace, photos: PhotoSet | None = None) -> int:
    """Print and write the report; returns the exit status."""
    if options.json == "-":
        sys.stdout.write(json_text(report.to_json()))
    else:
        put_line(report.to_text())
    for name, problems in report.problems.items():
        if problems:
            print(f"mtcnn-gluon: problems with {name}:\n{problems.summary()}", file=sys.stderr)
    if options.json and options.json != "-":
        with whole_file(options.json) as file:
            file.write(json_text(report.to_json()))
    if options.report:
        write_report(report, options.report, photos.files.path if photos and photos.files else None)
    return 1 if report.has_faults else 0
