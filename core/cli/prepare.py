"""The verb `mtcnn-gluon prepare`: training data from annotated photos."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.io.files import write_picture
from mtcnn_gluon.options import Options, add_arguments, from_arguments, option
from mtcnn_gluon.prepare_data import tasks
from mtcnn_gluon.prepare_data.generate import UNREADABLE, read_report
from mtcnn_gluon.prepare_data.merge import MergeOptions, kinds_of, make_records
from mtcnn_gluon.prepare_data.scenes import LIST, SceneOptions, prepare_scenes


@dataclass(frozen=True)
class ShowOptions(Options):
    """Options of `prepare show`."""

    out: str = option(..., "file of the summary; the sheet of each kind has the kind added to its name", metavar="PNG")
    count: int = option(160, "samples of each kind", least=1, metavar="N")
    seed: int = option(0, "random seed of the choice of samples", least=0, metavar="N")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs of `prepare` and their options."""
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    cuts: tuple[tuple[str, str, type[tasks.SampleOptions], Callable[[Any], dict[str, Any]]], ...] = (
        ("wider", "crops for classes and boxes from annotated faces", tasks.FaceSampleOptions, tasks.prepare_faces),
        ("landmarks", "crops with landmarks", tasks.LandmarkSampleOptions, tasks.prepare_landmarks),
        ("mine", "proposals of a net, as samples for the next one", tasks.MinedSampleOptions, tasks.prepare_mined),
    )
    for name, text, options, make in cuts:
        _add(verbs, name, text, options, _cut(options, make))
    _add(verbs, "scenes", "compose photos of scenes from crops of faces", SceneOptions, scenes)
    parser = _add(verbs, "records", "merge samples into training records", MergeOptions, records)
    parser.add_argument("--in", required=True, nargs="+", dest="folders", metavar="DIR", help="folders of samples")
    for parser in (
        _add(verbs, "show", "draw samples and statistics", ShowOptions, show),
        _add(verbs, "check", "read every record and verify it", Options, check_records),
    ):
        parser.add_argument("folder", metavar="DIR", help="folder of samples or records")


def _add(verbs: Any, name: str, text: str, options: type[Options], run: Callable[[argparse.Namespace], int]) -> Any:
    parser = verbs.add_parser(name, help=text, description=run.__doc__)
    parser.set_defaults(run=run)
    add_arguments(parser, options, leave_out=("folders",))
    return parser


def _cut(options: type[tasks.SampleOptions], make: Callable[[Any], dict[str, Any]]) -> Callable[[argparse.Namespace], int]:
    """The function behind a verb that cuts samples."""

    def run(arguments: argparse.Namespace) -> int:
        report = make(from_arguments(options, arguments))
        put_line(tasks.summary(report))
        return 1 if UNREADABLE in report["problems"] else 0

    run.__doc__ = str(make.__doc__).partition("\n")[0]
    return run


def scenes(arguments: argparse.Namespace) -> int:
    """Compose photos of scenes from portraits or crops of faces and photos without people, with a list of their faces."""
    counts = prepare_scenes(from_arguments(SceneOptions, arguments))["counts"]
    put_line(f"{counts['portraits']} portraits; {counts['left out']} left out: a face without landmarks, or several close up")
    put_line(f"{counts['scenes']} scenes with {counts['faces']} faces: {Path(arguments.out) / LIST}")
    return 0


def records(arguments: argparse.Namespace) -> int:
    """Merge samples into training records: for P-Net one record with the kinds in a ratio, otherwise one record per kind."""
    report = make_records(from_arguments(MergeOptions, arguments))
    put_line("records of " + ", ".join(f"{count} {kind}" for kind, count in report["counts"].items() if count))
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Draw samples with their targets on one sheet per kind, and a page of counts and histograms."""
    from mtcnn_gluon.prepare_data.show import sheets, summary

    options = from_arguments(ShowOptions, arguments)
    readers, page = kinds_of(arguments.folder), Path(options.out)
    pictures = {page: summary(readers, read_report(arguments.folder))}
    for kind, picture in sheets(readers, options.count, options.seed).items():
        pictures[page.with_name(f"{page.stem}-{kind}{page.suffix}")] = picture
    for path, picture in pictures.items():
        write_picture(path, picture)
        put_line(path)
    return 0


def check_records(arguments: argparse.Namespace) -> int:
    """Read every record of a folder, and compare it with its counts, ranges and digests."""
    for line in tasks.check_records(arguments.folder):
        put_line(line)
    return 0
