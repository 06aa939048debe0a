"""The verb `mtcnn-gluon train`."""

import argparse
import logging
import re
import sys
from pathlib import Path
from typing import Any

from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.training.augment import Augmentation

MAX_CPUS = 1024  # MXNet takes any number, and starts threads for it
CHANCE = {  # what each of `Augmentation` means
    "mirror": "of the samples are mirrored",
    "brightness": "of the whole range by which colours become lighter or darker at most",
    "contrast": "by which contrast is raised or lowered at most",
    "saturation": "by which saturation is raised or lowered at most",
    "blur": "of the samples are blurred",
    "occlusion": "of the samples are covered in part",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `train`."""
    parser.set_defaults(run=train)
    parser.add_argument("--net", required=True, help=f"net to train: {', '.join(NETS)}")
    parser.add_argument("--records", required=True, metavar="DIR", help="training records, from prepare records")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the run: checkpoints, log.csv, curves.png")
    parser.add_argument("--validation", metavar="DIR", help="records to measure the net on after every epoch")
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="how often all samples are seen (20)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in --out, with the same records and options"
    )
    parser.add_argument("--init", metavar="FROM", help="parameters to begin with: a checkpoint, a .params file or a bundle")
    parser.add_argument("--device", default="cpu", help="cpu, gpu or several, such as gpu:0,1")
    parser.add_argument("--tasks", nargs="+", default=["cls", "box", "landmark"], help="some of cls, box and landmark (all)")
    parser.add_argument("--sampling", default="mixed", help="mixed: all kinds in a batch; alternate: one task a batch (mixed)")
    parser.add_argument("--ratio", default="3:1:1:1", metavar="N:P:P:L", help="negative:positive:part:landmark (3:1:1:1)")
    parser.add_argument("--landmarks", action=argparse.BooleanOptionalAction, help="whether the net has a landmark head")
    learning = parser.add_argument_group("learning")
    learning.add_argument("--batch", type=int, help="samples a step (P-Net 384, others 128)")
    learning.add_argument("--optimiser", default="adam", help="adam, muon or sgd (adam)")
    learning.add_argument("--rate", type=float, help="highest learning rate (0.002, O-Net 0.0015)")
    learning.add_argument("--schedule", default="cosine", help="cosine or step (cosine)")
    learning.add_argument("--warm-up", type=int, default=200, metavar="STEPS", help="steps of rising rate (200)")
    learning.add_argument("--decay", type=float, default=0.0, help="weight decay (0)")
    learning.add_argument("--clip", type=float, default=5.0, metavar="LENGTH", help="of the longest gradient, 0: any (5)")
    learning.add_argument("--keep-ratio", type=float, default=0.7, help="share of hard samples to learn classes from (0.7)")
    learning.add_argument("--box-weight", type=float, metavar="W", help="of the boxes in the loss (0.5)")
    learning.add_argument("--landmark-weight", type=float, metavar="W", help="of the landmarks in the loss (0.5, O-Net 1)")
    learning.add_argument(
        "--landmark-faces", action=argparse.BooleanOptionalAction, default=False,
        help="whether samples of landmarks teach the classes as well",
    )  # fmt: skip
    learning.add_argument("--part-faces", type=float, metavar="IOU", help="part samples that overlap so much are faces too")
    learning.add_argument("--overlap-faces", type=float, metavar="IOU", help="samples that overlap less are faces in part only")
    learning.add_argument("--regression", default="squared", help="error of boxes and landmarks: squared or absolute (squared)")
    learning.add_argument("--overlap-weight", type=float, default=0.0, metavar="W", help="of 1 - IoU in the error of boxes (0)")
    learning.add_argument(
        "--listed-landmarks", action=argparse.BooleanOptionalAction, default=False,
        help="whether landmarks are learned from samples of landmarks only, not from photos' faces",
    )  # fmt: skip
    learning.add_argument(
        "--distil", type=float, default=0.0, metavar="SHARE", help="of the net that --init names in what is learned, 0..1 (0)"
    )
    learning.add_argument(
        "--precision", default="float32", help="float32, or bfloat16: faster on processors with AMX, under Linux (float32)"
    )
    learning.add_argument("--average", type=float, default=0.999, help="decay of the averaged weights, 0: none (0.999)")
    learning.add_argument("--seed", type=int, default=0, help="of all chance (0)")
    chance = parser.add_argument_group("augmentation")
    for name, value in vars(Augmentation()).items():
        chance.add_argument(f"--{name}", type=float, default=value, metavar="SHARE", help=f"{CHANCE[name]}, 0..1 ({value:g})")


def train(options: argparse.Namespace) -> int:
    """Train one net on records. The best and the last state are kept in checkpoints, from which --resume goes on exactly."""
    from mtcnn_gluon.training.options import Options
    from mtcnn_gluon.training.runs import read_net
    from mtcnn_gluon.training.trainer import BEST, LAST, Run

    logging.getLogger("mtcnn_gluon").setLevel(logging.INFO)
    names = (
        "net", "epochs", "batch", "optimiser", "rate", "schedule", "warm_up", "decay", "clip", "keep_ratio", "box_weight",
        "landmark_weight", "landmark_faces", "part_faces", "overlap_faces", "regression", "overlap_weight", "listed_landmarks",
        "distil", "precision", "average", "sampling", "ratio", "landmarks", "seed",
    )  # fmt: skip
    augmentation = Augmentation(**{name: getattr(options, name) for name in vars(Augmentation())})
    values: dict[str, Any] = {name: getattr(options, name) for name in names}
    settings = Options(**values, tasks=tuple(options.tasks), augmentation=augmentation)
    initial = None if options.init is None else read_net(options.init, settings.net)
    run = Run(settings, options.records, options.out, options.validation, devices(options.device), initial, options.resume)
    try:
        run.fit()
    except KeyboardInterrupt:
        print(f"mtcnn-gluon: {_interrupted(run.folder / LAST)}", file=sys.stderr)
        return 130
    put_line(f"done: {Path(options.out) / BEST} is the best of {run.epoch} epochs")
    return 0


def _interrupted(last: Path) -> str:
    from mtcnn_gluon.training.checkpoints import read_checkpoint

    if not last.exists():
        return "interrupted in the first epoch: nothing is kept"
    return f"interrupted; --resume goes on after epoch {read_checkpoint(last).about['epoch']}"


def devices(text: str) -> list[Any]:
    """MXNet's contexts from a text such as `cpu`, `gpu` or `gpu:0,1`.

    Raises:
        ConfigError: if it is something else.
    """
    from mtcnn_gluon.mxnet_loader import load_mxnet

    mx = load_mxnet()
    kind, _, numbers = text.partition(":")
    if kind not in ("cpu", "gpu") or (numbers and not re.fullmatch("[0-9]+(,[0-9]+)*", numbers)):
        raise ConfigError(f"device must be cpu, gpu or gpu:N,N..., not {text!r}")
    chosen = [int(number) for number in numbers.split(",") if number] or [0]
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"device {text!r} names one twice")
    if kind == "cpu" and max(chosen) >= MAX_CPUS:
        raise ConfigError(f"device {text!r}: processors are numbered from 0 to {MAX_CPUS - 1}")
    if kind == "gpu" and max(chosen) >= mx.context.num_gpus():
        raise ConfigError(f"device {text!r}: MXNet sees {mx.context.num_gpus()} GPU(s)")
    return [getattr(mx, kind)(number) for number in chosen]
