"""The verb `mtcnn-gluon evaluate`."""

import argparse
import sys
from functools import partial
from typing import Any, Callable

from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.evaluation import benchmarks
from mtcnn_gluon.evaluation.options import (
    FddbOptions,
    GroupsOptions,
    LandmarkOptions,
    RecordsOptions,
    StagesOptions,
    WiderOptions,
)
from mtcnn_gluon.evaluation.report import Report, json_text
from mtcnn_gluon.options import add_arguments, from_arguments

Evaluate = Callable[[Any], Report]
BENCHMARKS: dict[str, tuple[str, Evaluate, type]] = {
    "wider": ("average precision by WIDER FACE's protocol", benchmarks.evaluate_wider, WiderOptions),
    "fddb": ("ROC by FDDB's protocol", benchmarks.evaluate_fddb, FddbOptions),
    "landmarks": ("errors of the five landmarks", benchmarks.evaluate_landmarks, LandmarkOptions),
    "groups": ("share of photos with a face found, by group of people", benchmarks.evaluate_groups, GroupsOptions),
    "stages": ("recall, proposals, thresholds and time of each stage", benchmarks.evaluate_stages, StagesOptions),
    "records": ("a net on training samples", benchmarks.evaluate_records, RecordsOptions),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the benchmarks and their options."""
    verbs = parser.add_subparsers(required=True, metavar="BENCHMARK")
    for name, (text, evaluate, options) in BENCHMARKS.items():
        description = str(evaluate.__doc__).partition("\n\n")[0]
        verb = verbs.add_parser(name, help=text, description=description)
        add_arguments(verb, options)
        verb.set_defaults(run=partial(_run, evaluate, options))


def _run(evaluate: Evaluate, kind: type, arguments: argparse.Namespace) -> int:
    """Print and write the report; returns the exit status."""
    options: Any = from_arguments(kind, arguments)
    report = evaluate(options)
    if options.output.json == "-":
        sys.stdout.write(json_text(report.to_json()))
    else:
        put_line(report.to_text())
    for name, problems in report.problems.items():
        if problems:
            print(f"mtcnn-gluon: problems with {name}:\n{problems.summary()}", file=sys.stderr)
    benchmarks.write_outputs(report, options.output)
    return 1 if report.has_faults else 0
