"""`detect --out`: millions of photos, with the results as partitions in a folder, by local processes or on Ray."""

import argparse
import logging
import os
import time
from contextlib import closing
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Generator, Literal

from tqdm import tqdm

from mtcnn_gluon.cli.detect_results import no_bar
from mtcnn_gluon.cli.output import put_line, say
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.detection.options import DetectorOptions, VideoOptions
from mtcnn_gluon.errors import ConfigError, WorkerError
from mtcnn_gluon.io.cluster import check_address, gpus_of, on_ray
from mtcnn_gluon.io.images import is_url
from mtcnn_gluon.io.processes import in_processes
from mtcnn_gluon.options import Options, flag, from_arguments, option

if TYPE_CHECKING:
    from mtcnn_gluon.bulk.parts import Part
    from mtcnn_gluon.bulk.run import Result, Run, Work

MINUTE = 60  # seconds between two manifests
ALONE = ("json", "csv", "save", "crops", "hide", "show")  # options that --out excludes


@dataclass(frozen=True)
class BulkOptions(Options):
    """Millions of photos."""

    out: str | None = option(
        None, "write the results as partitions into this folder, a path or a URL for fsspec; PATH may then also be URLs, tar "
        "files of photos, and Parquet files; the same command goes on where it was interrupted", metavar="DIR",
    )  # fmt: skip
    format: Literal["parquet", "jsonl"] = option("parquet", "format of the partitions")
    column: str = option("image", "column with the photos in Parquet files", metavar="NAME")
    prefix: str = option(
        "", "begins the names of the added columns, where the Parquet files have columns of these names", metavar="TEXT"
    )
    ray: str | None = option(
        None, "share the work of --out among the machines of a Ray cluster; without ADDRESS among the processors of this one",
        metavar="ADDRESS", alone="",
    )  # fmt: skip
    part_size: int = option(
        1000, "photos in a partition; a tar file is one, and a Parquet file is cut between its row groups", least=1, metavar="N"
    )


def check_without_out(options: argparse.Namespace) -> None:
    """Refuse the options that need `--out`."""
    given = [each.name for each in fields(BulkOptions) if getattr(options, each.name) != each.default]
    if given:
        raise ConfigError(f"{flag(given[0])} needs --out DIR, the folder for the partitions")


def detect_bulk(options: argparse.Namespace, workers: int | None) -> int:
    """Run `detect --out`; returns the exit status."""
    _check(options)
    from mtcnn_gluon.bulk.run import Work, about_run, begin
    from mtcnn_gluon.bulk.sources import find_sources

    bulk, given = from_arguments(BulkOptions, options), from_arguments(DetectorOptions, options)
    say_more = (lambda _: None) if options.quiet else say
    if options.quiet:
        logging.getLogger("mtcnn_gluon").setLevel(logging.ERROR)
    detector = Detector(**vars(given))
    detector.detect_batch([])  # says what there is to say about the model, once
    model = os.path.abspath(given.model) if os.path.isdir(given.model) else given.model
    known = replace(given, engine=detector.engine.name, model=model)  # so that every worker takes the same
    out = str(bulk.out) if is_url(bulk.out) else os.path.abspath(str(bulk.out))
    work = Work(out, bulk.format, bulk.column, bulk.prefix, known)
    say_more(f"licence of model {detector.bundle.manifest['name']}: {detector.bundle.manifest['licence']}")
    find = partial(find_sources, options.paths, out, say_more)
    run = begin(work, about_run(work, options.paths, detector), find, bulk.part_size)
    if run.done:
        say_more(f"{len(run.done)} of {len(run.parts)} partitions are done already")
    status = _work_off(run, detector, workers, options.ray, options.quiet)
    manifest = run.write_manifest()
    if status == 0 and not options.quiet:
        put_line(
            f"{out}: {manifest['rows']} photos in {len(run.parts)} partitions, {manifest['faces']} faces, "
            f"{manifest['errors']} photos that cannot be read"
        )
    return status or int(manifest["errors"] > 0)


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    for name in ALONE:
        if getattr(options, name) not in (None, False):
            raise ConfigError(f"--out DIR and {f'--{options.hide[0]}' if name == 'hide' else flag(name)} exclude each other")
    if options.resume:
        raise ConfigError("--out DIR needs no --resume: the same command goes on where it was interrupted")
    for each in fields(VideoOptions):
        if getattr(options, each.name) != each.default:
            raise ConfigError(f"--out DIR is for photos, and {flag(each.name)} for videos")
    check_address(options.ray or "")
    if not options.paths:
        raise ConfigError("--out DIR needs at least one PATH")
    if not options.out:
        raise ConfigError("--out must be a folder, not ''")


def _work_off(run: "Run", detector: Detector, workers: int | None, ray: str | None, is_quiet: bool) -> int:
    """Do the parts that are left; returns the exit status."""
    from mtcnn_gluon.bulk.run import Failure

    results = _results(run, detector, workers, ray)
    failed, written = 0, time.monotonic()
    bar = tqdm(total=len(run.parts), initial=len(run.done), unit="part", disable=no_bar(is_quiet))
    try:
        with closing(results), bar:
            for result in results:
                bar.update()
                if isinstance(result, Failure):
                    say(f"{result.name}: {result.error}")
                    failed += 1
                    continue
                run.done[result.name] = result
                if time.monotonic() > written + MINUTE:  # so that a run that goes on need not read what is there
                    run.write_manifest()
                    written = time.monotonic()
    except (KeyboardInterrupt, WorkerError) as error:
        status, why = (2, str(error)) if isinstance(error, WorkerError) else (130, "interrupted")
        say(f"{why}; {len(run.done)} of {len(run.parts)} partitions are done, and the same command goes on from there")
        return status
    if failed:
        say(f"{failed} of {len(run.parts)} partitions could not be made; the same command tries them again")
    return 2 if failed else 0


def _results(run: "Run", detector: Detector, workers: int | None, ray: str | None) -> Generator["Result", None, None]:
    """What comes of the parts that are left, in any order."""
    work, count = run.work, workers or 1
    if not run.left:
        return
    if ray is not None:
        cpus, gpus = work.options.threads or 1, gpus_of(work.options.device)
        folders = () if is_url(work.out) else (work.out,)
        make = partial(_start, work, cpus)
        yield from on_ray(
            _do, run.left, make, ray, workers, _name, ordered=False, threads=cpus, gpus=gpus, folders=folders
        )  # fmt: skip
        return
    threads = work.options.threads or (None if count == 1 else 1)
    start = partial(_start, work, threads) if min(count, len(run.left)) > 1 else lambda: (work, detector)
    yield from in_processes(_do, run.left, start, count, _name, ordered=False, threads=threads)


def _start(work: "Work", threads: int | None) -> tuple["Work", Detector]:
    """The state of a worker process."""
    logging.getLogger("mtcnn_gluon").setLevel(logging.ERROR)  # the main process warns, once
    return work, Detector(**vars(replace(work.options, threads=threads)))


def _do(state: tuple["Work", Detector], part: "Part") -> "Result":
    work, detector = state
    return work.do(detector, part)


def _name(part: "Part") -> str:
    return f"part {part.number}, which begins with {part.paths[0]}"
