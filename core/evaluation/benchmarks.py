"""The benchmarks as functions. Each takes its options and returns a report, which `write_outputs` writes.

options = from_mapping(WiderOptions, {"annotations": "faces.csv", "images": "photos", "model": ["official"]})
report = evaluate_wider(options)
print(report.to_text())
"""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np

from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.evaluation import fddb, groups, landmarks, samples, stages, summaries, summaries_nets, wider, wider_truth
from mtcnn_gluon.evaluation.coverage import cover
from mtcnn_gluon.evaluation.names import THE_ANNOTATIONS, THE_PHOTOS, check_names, file_stems
from mtcnn_gluon.evaluation.options import (
    FddbOptions,
    GroupsOptions,
    LandmarkOptions,
    Output,
    PhotoOptions,
    RecordsOptions,
    StagesOptions,
    WiderOptions,
)
from mtcnn_gluon.evaluation.photos import PhotoSet
from mtcnn_gluon.evaluation.report import Report, json_text, write_report
from mtcnn_gluon.evaluation.result_files import read_results, write_results
from mtcnn_gluon.evaluation.results import Results, ellipse_boxes, results_of_rows
from mtcnn_gluon.evaluation.run import Found, Job, Work, find_faces, run_model
from mtcnn_gluon.evaluation.scale import check_scale
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import printable, whole_file
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.options import to_mapping
from mtcnn_gluon.prepare_data.annotations import Photo, Problems, spread
from mtcnn_gluon.prepare_data.readers import read_annotations
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.sampler import Sampler

logger = logging.getLogger(__name__)

RECORDS_BATCH = 512
LISTS = ("annotations", "list", "landmarks")  # options that name a file of annotations
NO_SIZE = "photos that cannot be read: regions beyond their border are not cut off"


def evaluate_wider(options: WiderOptions) -> Report:
    """Average precision by WIDER FACE's protocol: for the easy, medium and hard faces of its published ground truth, or, in
    any annotated photos, for the faces of at least some heights.

    Raises:
        MtcnnError: as all benchmarks, if files are missing or damaged, a package is not installed, or a model cannot run.
    """
    _check_files(options)
    problems = {}
    if options.annotations is None:
        whole = wider_truth.read_mat(str(options.ground_truth))
        photos = PhotoSet(whole.names, options.images)
    else:
        annotations = read_annotations(options.annotations)
        problems[THE_ANNOTATIONS] = annotations.problems
        photos = PhotoSet((photo.path for photo in annotations.photos), options.images)
        whole = wider_truth.from_annotations(annotations, printable(options.annotations), options.heights)
    truth = replace(whole, photos=spread(whole.photos, options.limit))
    results = _found_faces(options, photos, truth.names)
    problems[THE_PHOTOS] = _check_scale(options, photos, {photo.name: photo.boxes for photo in truth.photos}, results)
    missing, resamples = options.detectors.missing, options.detectors.resamples
    coverage, figures = wider.evaluate(truth, results, missing, resamples, options.overlap)
    if options.write_text:
        write_results(options.write_text, results[0], "wider", truth.names)
    report = summaries.of_wider(truth, coverage, figures, results, options.overlap, problems)
    return replace(report, photo_file=photos.finder)


def evaluate_fddb(options: FddbOptions) -> Report:
    """Discrete and continuous ROC by FDDB's protocol."""
    _check_files(options)
    need("scipy.optimize", "FDDB's matching")
    whole = fddb.read_folds(options.folds)
    photos = PhotoSet(whole.names, options.images)
    folds = replace(whole, photos=spread(whole.photos, options.limit))
    results = _found_faces(options, photos, folds.names)
    ellipses = {photo.name: ellipse_boxes(photo.ellipses) for photo in folds.photos}
    problems = _check_scale(options, photos, ellipses, results)

    def sizes(name: str) -> tuple[int, int] | None:
        size = photos.size(name)
        if options.images and size is None:
            problems.found[NO_SIZE].append(name)
        return size

    missing, resamples = options.detectors.missing, options.detectors.resamples
    coverage, figures = fddb.evaluate(folds, results, options.regions, sizes, missing, resamples)
    if options.write_text:
        write_results(options.write_text, results[0], "fddb", folds.names)
    report = summaries.of_fddb(folds, coverage, figures, results, options.regions, {THE_PHOTOS: problems})
    return replace(report, photo_file=photos.finder)


def evaluate_landmarks(options: LandmarkOptions) -> Report:
    """Errors of the five landmarks, in annotated boxes and on detected faces."""
    _check_files(options)
    for _, model in options.detectors.named_models():
        if "landmark" not in find_bundle(model).manifest["trained"]["onet"]:
            raise ConfigError(f"--model {model} was trained without landmarks, so there is nothing to evaluate")
    annotations = read_annotations(options.list, landmarks=options.landmarks, min_score=options.min_score)
    every = landmarks.annotated(annotations)
    photos = PhotoSet((photo.path for photo in annotations.photos), options.root)
    chosen = spread(every, options.limit)
    problems = {THE_ANNOTATIONS: annotations.problems}
    parts: list[summaries_nets.Part] = []
    for on in ("given", "detected"):
        if options.boxes not in (on, "both") or (on == "given" and not options.detectors.model):
            continue
        if on == "given":
            results = _model_results(options, _jobs(photos, chosen), landmarks.place_landmarks)
        else:
            results = _found_faces(options, photos, [photo.path for photo in chosen])
        problems[THE_PHOTOS] = _check_scale(options, photos, {photo.path: photo.boxes for photo in chosen}, results)
        coverage, figures = landmarks.evaluate(
            chosen, results, on, options.normaliser, options.detectors.missing, options.detectors.resamples, len(every),
            landmarks.other_faces(annotations),
        )  # fmt: skip
        parts.append((coverage, figures, results))
    source = f"{printable(options.list)}, {sum(map(len, every)):,} faces in {len(every):,} photos"
    report = summaries_nets.of_landmarks(parts, options.normaliser, source, problems)
    return replace(report, photo_file=photos.finder)


def evaluate_stages(options: StagesOptions) -> Report:
    """For each stage of a cascade: recall of annotated faces by size against proposals, suggested thresholds, and time."""
    _check_files(options)
    annotations = read_annotations(options.annotations)
    photos = PhotoSet((photo.path for photo in annotations.photos), options.images)
    jobs = _jobs(photos, spread(annotations.photos, options.limit))
    names = [job.name for job in jobs]
    found = dict(_run_models(options, jobs, stages.run_stages))
    results = [results_of_rows(each.rows, names, name, each.about, each.path) for name, each in found.items()]
    marked = {printable(photo.path): photo for photo in annotations.photos}
    problems = {THE_ANNOTATIONS: annotations.problems}
    problems[THE_PHOTOS] = _check_scale(options, photos, {name: marked[name].boxes for name in names}, results)
    coverage = cover(names, results, total=len(annotations.photos))
    kept = [marked[name] for name in coverage.names]
    sides = [(photo.boxes[:, 2:] - photo.boxes[:, :2]).min(1) for photo in kept]
    ignore = [photo.ignore for photo in kept]
    curves, seconds = {}, {}
    for name, model in options.detectors.named_models():
        rows = {row["image"]: row for row in found[name].rows}
        curves[name] = stages.sweep([rows[photo] for photo in coverage.names], sides, ignore, found[name].about)
        seconds[name] = _time(options, model, photos, coverage.names)
    return summaries_nets.of_stages(coverage, curves, seconds, results, problems)


def evaluate_groups(options: GroupsOptions) -> Report:
    """In how many photos of each group of people a detector finds a face."""
    members = groups.read_groups(options.list, options.column)
    _check_files(options)
    every = tuple(members[options.column[0]])
    photos = PhotoSet(every, options.images)
    names = spread(every, options.limit)
    results = _found_faces(options, photos, names, groups.FindInBorder(options.border) if options.border else find_faces)
    coverage = cover(names, results, options.detectors.missing, total=len(every))
    return replace(groups.report(members, coverage, results, options.border), photo_file=photos.finder)


def evaluate_records(options: RecordsOptions) -> Report:
    """One net of each bundle on the same training samples: accuracy of each class, recall at 1 % false positives, errors of
    boxes and landmarks, as in the training log."""
    models = options.detectors.named_models()
    check_names(name for name, _ in models)
    sampler = Sampler(options.records, TrainingOptions(options.net, batch=RECORDS_BATCH))
    figures = {}
    for name, model in models:
        detector = Detector(model, engine=options.runtime.engine, device=options.runtime.device)
        if "cls" not in detector.bundle.manifest["trained"][options.net]:
            logger.warning("model %s: %s is untrained: its parameters are random numbers", name, options.net)
        view, there = detector.settings.views[options.net], sampler.view
        if (view.size, view.context) != (there.size, there.context):
            raise ConfigError(f"model {name}: {options.net} sees {view}, but the samples have {there}")
        figures[name] = samples.measure(detector.engine, sampler, options.net, view)
    counts = {kind: len(pool) for kind, pool in sampler.pools.items()}
    return summaries_nets.of_samples(figures, options.net, counts, printable(options.records))


def write_outputs(report: Report, output: Output) -> None:
    """Write the report's JSON file and folder, if the options name them; JSON for standard output (`-`) is not written.

    Raises:
        ConfigError: if Matplotlib is not installed.
        DataError: if a file cannot be written.
    """
    if output.json and output.json != "-":
        with whole_file(output.json) as file:
            file.write(json_text(report.to_json()))
    if output.report:
        write_report(report, output.report)


# ---- what detectors found


def _check_files(options: PhotoOptions) -> None:
    """Refuse options that cannot work, before any long work begins."""
    if options.photo_folder and not os.path.isdir(options.photo_folder):
        raise ConfigError(f"{options.photo_folder} is not a folder: expected the folder of all photos")
    results, models = options.detectors.named_results(), options.detectors.named_models()
    check_names(name for name, _ in [*results, *models])
    values = to_mapping(options)
    sources = {os.path.realpath(path) for path in [*dict(results).values(), *filter(None, map(values.get, LISTS))]}
    targets = [options.output.json, values.get("write_text"), *map(str, _kept_files(options, find_faces).values())]
    for target in targets:
        if target and target != "-" and os.path.realpath(target) in sources:
            raise ConfigError(f"{target} would be overwritten, but it is an input: give another place for the output")
    if options.output.report:
        need("matplotlib.figure", "drawing curves")


def _found_faces(options: PhotoOptions, photos: PhotoSet, names: Sequence[str], work: Work = find_faces) -> list[Results]:
    """What all detectors found in the photos `names`."""
    read = [read_results(path, names, title=name, others=photos.names) for name, path in options.detectors.named_results()]
    jobs = [Job(name, str(photos.path(name))) for name in names] if options.detectors.model else []
    return read + _model_results(options, jobs, work)


def _model_results(options: PhotoOptions, jobs: Sequence[Job], work: Work) -> list[Results]:
    """What the models find in photos."""
    names, found = [job.name for job in jobs], _run_models(options, jobs, work)
    return [results_of_rows(each.rows, names, name, each.about, each.path) for name, each in found]


def _run_models(options: PhotoOptions, jobs: Sequence[Job], work: Work) -> Iterator[tuple[str, Found]]:
    """Run the models one after the other; yields each one's name in reports, and what it found."""
    running, files = options.running, _kept_files(options, work)
    for name, model in options.detectors.named_models():
        settings = {"model": model, **running.detector_options()}
        yield name, run_model(jobs, work, settings, files.get(name), running.resume, running.workers, running.ray)


def _kept_files(options: PhotoOptions, work: Work) -> dict[str, Path]:
    """The file for each model's rows, if they are kept. Its name shows the kind of work after a `+`, which no stem holds."""
    if not options.running.detections:
        return {}
    suffix = "" if work is find_faces else f"+{work.__name__}"
    stems = file_stems(name for name, _ in options.detectors.named_models())
    return {name: Path(options.running.detections) / f"{stem}{suffix}.jsonl" for name, stem in stems.items()}


def _jobs(photos: PhotoSet, chosen: Sequence[Photo]) -> list[Job]:
    """Photos with the boxes of their annotated faces."""
    names = [printable(photo.path) for photo in chosen]
    boxes = [tuple(tuple(box) for box in photo.boxes.tolist()) for photo in chosen]
    return [Job(name, str(photos.path(name)), each) for name, each in zip(names, boxes)]


def _check_scale(options: PhotoOptions, photos: PhotoSet, boxes: dict[str, np.ndarray], results: Sequence[Results]) -> Problems:
    """See `check_scale`. Photo files are read only if there are result files, which may be of photos of another size."""
    return check_scale(boxes, results, photos.size if options.detectors.named_results() else lambda name: None)


def _time(options: StagesOptions, model: str, photos: PhotoSet, names: Sequence[str]) -> np.ndarray:
    """Seconds (P, 3) of each stage for `options.timed` of the photos."""
    if not options.timed:
        return np.zeros((0, len(stages.STAGES)))
    detector = Detector(model=model, **options.running.detector_options())
    return stages.time_stages(detector, (read_image(photos.path(name)) for name in spread(names, options.timed)))
