"""Training records, in random order, from folders of samples.

P-Net is trained on one record of all kinds in a fixed ratio, R- and O-Net on one record for each kind.
"""

import json
import logging
import os
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.io.files import remove, remove_drafts, whole_file
from mtcnn_gluon.layers import View
from mtcnn_gluon.options import Options, option
from mtcnn_gluon.prepare_data.generate import read_report
from mtcnn_gluon.records.files import Reader, RecordWriter
from mtcnn_gluon.records.info import LOSSY, REPORT, Encoding, Net, check_options, record_files
from mtcnn_gluon.records.samples import KIND_NAMES, Samples, parse_ratio

BLOCK_BYTES = 64 << 20  # of crops in memory at a time
WRITING = ("net", "encoding", "quality", "seed")  # options of `RecordWriter`
STARVED = 1.0  # fewer negatives for each positive make a net find too many faces

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MergeOptions(Options):
    """Options of `prepare records`."""

    net: Net = option(..., "net that the samples are for")
    folders: tuple[str, ...] = option(..., "folders of samples", metavar="DIR")
    out: str = option(..., "folder for the records", metavar="DIR")
    ratio: str = option("3:1:1:1", "P-Net: shares of negative:positive:part:landmark samples", metavar="N:P:P:L")
    seed: int = option(0, "random seed", least=0, metavar="N")
    encoding: Encoding = option("raw", "encoding of the crops")
    quality: int | None = option(None, "quality of jpeg and webp", least=1, most=100, metavar="N", usual="95")

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_ratio(self.ratio)
        if self.encoding not in LOSSY:
            check_options(self.net, self.encoding, self.quality)


def make_records(options: MergeOptions) -> dict[str, Any]:
    """Put the samples of several folders together for training; returns the content of `out/report.json`.

    For P-Net `out/pnet.rec` holds as many samples as `mixture` allows. For the others `out/positive.rec` and so on hold all.
    Records that an earlier call made in `out` are replaced.

    Raises:
        ConfigError: if `out` holds samples, or two folders hold the same.
        DataError: if a folder holds no samples of this net, a record is damaged, or the ratio leaves nothing.
    """
    folders, net, out = options.folders, options.net, Path(options.out)
    ratio, writing = parse_ratio(options.ratio), {name: getattr(options, name) for name in WRITING}
    _check_out(out, folders)
    reports = [_read_samples(folder) for folder in folders]
    _check_twice(folders, reports)
    readers = {kind: _open(folders, reports, kind, net) for kind in KIND_NAMES}
    counts = {kind: sum(map(len, each)) for kind, each in readers.items()}
    if not sum(counts.values()):
        raise DataError(f"there are no samples in {', '.join(map(str, folders))}: mtcnn-gluon prepare wider makes some")
    warn_if_starved(counts)
    generator = np.random.default_rng(options.seed)
    wanted = mixture(counts, ratio) if net == "pnet" else counts
    chosen = {kind: generator.permutation(counts[kind])[: wanted[kind]] for kind in KIND_NAMES}
    if not sum(wanted.values()):
        raise DataError(f"the ratio {options.ratio} leaves nothing of {counts}")
    records = {kind: (readers[kind], rows) for kind, rows in chosen.items() if len(rows)}
    if net == "pnet":
        starts = np.cumsum([0, *counts.values()])  # of each kind in the concatenated readers
        rows = np.concatenate([start + chosen[kind] for start, kind in zip(starts, KIND_NAMES)])
        records = {net: (list(chain(*readers.values())), rows[generator.permutation(len(rows))])}
    remove_drafts(out)
    remove(out / REPORT)
    view = _same_view(readers)
    for name, (parts, rows) in records.items():
        _write(out / name, {**writing, "view": view}, parts, rows)
    for name in {"pnet", *KIND_NAMES} - set(records):  # left by an earlier call
        for path in reversed(record_files(out / name)):
            remove(path)
    figures = Counter[str]()
    for each in reports:
        figures.update(each.get("figures", {}))
    made_from = {"samples": "records", "digests": [each.get("digest") for each in reports], **writing}
    report = {"made from": made_from, "counts": wanted, "figures": figures}
    with whole_file(out / REPORT) as file:
        json.dump(report, file, indent=1)
    return report


def mixture(counts: Mapping[str, int], ratio: Mapping[str, float]) -> dict[str, int]:
    """The largest number of samples of each kind at the ratio. Kinds without samples are left out of it.

    Landmark samples do not limit the other kinds: there may be fewer of them than the ratio asks for.
    """
    there = [kind for kind in counts if counts[kind] and ratio.get(kind, 0) > 0]
    limits = [counts[kind] / ratio[kind] for kind in there if kind != "landmark"] or [float(counts["landmark"])]
    unit = min(limits)
    return {kind: min(counts[kind], int(unit * ratio[kind] + 1e-6)) if kind in there else 0 for kind in counts}


def _check_out(out: Path, folders: Sequence[str]) -> None:
    report = read_report(out)
    is_ours = report is None or (report.get("made from") or {}).get("samples") == "records"
    if out.resolve() in [Path(folder).resolve() for folder in folders] or not is_ours:
        raise ConfigError(f"out must be another folder than {out}, which holds samples")


def _read_samples(folder: str) -> dict[str, Any]:
    """The report of a folder of samples. Raises DataError if it holds none."""
    report = read_report(folder)
    if report is None:
        makers = "mtcnn-gluon prepare wider, landmarks or mine makes it"
        raise DataError(f"{folder} holds no samples: it has no {REPORT}; {makers}")
    return report


def _check_twice(folders: Sequence[str], reports: Sequence[Mapping[str, Any]]) -> None:
    """Raises ConfigError if two folders hold the same samples: the same folder, a copy, or the records made of a folder."""
    seen: dict[Any, str] = {}
    for folder, report in zip(folders, reports):
        about = report.get("made from")
        digests = [report.get("digest"), *(about.get("digests") or [] if isinstance(about, dict) else [])]
        for key in {Path(folder).resolve(), *(digest for digest in digests if isinstance(digest, str))}:
            if key in seen:
                raise ConfigError(f"{seen[key]} and {folder} hold the same samples, which would count twice")
            seen[key] = folder


def _open(folders: Sequence[str], reports: Sequence[Mapping[str, Any]], kind: str, net: str) -> list[Reader]:
    """The records of one kind."""
    readers = []
    for folder, report in zip(folders, reports):
        if report.get("counts", {}).get(kind):
            readers.append(Reader(Path(folder) / kind))
            if readers[-1].info.net != net:
                raise DataError(f"{readers[-1].files.rec} holds samples for {readers[-1].info.net}, not for {net}")
            readers[-1].check_digest()  # else the new record of damaged samples would have a valid digest
    return readers


def _same_view(readers: Mapping[str, Sequence[Reader]]) -> View:
    """What all crops show. Raises DataError if they differ."""
    first, *others = chain(*readers.values())
    for reader in others:
        if reader.info.view != first.info.view:
            crops = [f"{each.files.rec} has crops of {each.info.view}" for each in (first, reader)]
            raise DataError("; ".join(crops))
    return first.info.view


def warn_if_starved(counts: Mapping[str, int]) -> None:
    """Log a warning for kinds with too few samples, and what helps."""
    if counts["negative"] < STARVED * counts["positive"]:
        logger.warning(
            "only %d negative samples for %d positive ones: mine with lower thresholds, such as --thresholds 0.5 0.5, "
            "or add near-face negatives with --top-up 5", counts["negative"], counts["positive"],
        )  # fmt: skip
    for kind in ("positive", "part", "negative"):
        if not counts[kind]:
            logger.warning("there are no samples of kind %s", kind)


def _write(path: Path, options: Mapping[str, Any], readers: Sequence[Reader], rows: np.ndarray) -> None:
    """Write samples `rows` (N,) of the concatenated readers."""
    with RecordWriter(path, **options) as writer:
        step = max(1, BLOCK_BYTES // (3 * readers[0].info.size ** 2))
        for start in range(0, len(rows), step):
            writer.write(_gather(readers, rows[start : start + step]))


def _gather(readers: Sequence[Reader], rows: np.ndarray) -> Samples:
    """Samples `rows` (n,) of the concatenated readers, in that order. Each reader is read once, in its own order."""
    parts, places, first = [], [], 0
    for reader in readers:
        here = np.flatnonzero((rows >= first) & (rows < first + len(reader)))
        places.append(here[np.argsort(rows[here], kind="stable")])
        parts.append(reader[rows[places[-1]] - first])
        first += len(reader)
    return Samples.concatenate(parts)[np.argsort(np.concatenate(places))]


def kinds_of(folder: str | os.PathLike) -> dict[str, Reader]:
    """The records in a folder, by name. Raises DataError if there are none."""
    names = [name for name in ("pnet", *KIND_NAMES) if (Path(folder) / f"{name}.json").exists()]
    if not names:
        raise DataError(f"{folder} holds no records: mtcnn-gluon prepare makes them")
    return {name: Reader(Path(folder) / name) for name in names}
