"""The verb `mtcnn-gluon train`."""

import argparse
import logging
import sys
from pathlib import Path

from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.options import add_arguments, from_arguments
from mtcnn_gluon.training.checkpoints import BEST, LAST, read_checkpoint
from mtcnn_gluon.training.options import TrainingOptions


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `train`."""
    parser.set_defaults(run=train)
    parser.add_argument("--records", required=True, metavar="DIR", help="training records, from prepare records")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the run: checkpoints, log.csv, curves.png")
    parser.add_argument("--validation", metavar="DIR", help="records to measure the net on after every epoch")
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint in --out with the same options"
    )
    parser.add_argument("--init", metavar="FROM", help="initial parameters: a checkpoint, a .params file or a bundle")
    parser.add_argument(
        "--teacher", metavar="FROM", help="net that --distil learns from, named as for --init (the initial net)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, gpu or several, such as gpu:0,1 (cpu)")
    parser.add_argument(
        "--kvstore", help="what sums gradients: local or device, of several devices; dist_sync, of the processes of launch, "
        "where each takes its share of every batch (device, under launch dist_sync)",
    )  # fmt: skip
    add_arguments(parser, TrainingOptions)


def train(options: argparse.Namespace) -> int:
    """Train one net on records. The best and the last state are kept as checkpoints; --resume continues exactly from the
    last one."""
    from mtcnn_gluon.training import trainer

    logging.getLogger("mtcnn_gluon").setLevel(logging.INFO)
    try:
        run = trainer.train(
            from_arguments(TrainingOptions, options), options.records, options.out, options.validation, options.device,
            options.init, options.resume, options.kvstore, options.teacher,
        )  # fmt: skip
    except KeyboardInterrupt:
        last, text = Path(options.out) / LAST, " in the first epoch: there is no checkpoint"
        if last.exists():
            text = f"; --resume goes on after epoch {read_checkpoint(last).about['epoch']}"
        print(f"mtcnn-gluon: interrupted{text}", file=sys.stderr)
        return 130
    if run.workers.is_first:
        put_line(f"done: {Path(options.out) / BEST} is the best of {run.epoch} epochs")
    return 0
