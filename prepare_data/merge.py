"""From folders of samples to the records that a net is trained on.

P-Net trains on one record in which the kinds are mixed in a fixed ratio; R- and O-Net on one record for each kind, from which
the sampler takes fixed numbers for every batch. Either way the order is random.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.io.files import remove, remove_drafts, whole_file
from mtcnn_gluon.prepare_data.generate import read_report
from mtcnn_gluon.records.files import Reader, RecordWriter
from mtcnn_gluon.records.info import REPORT, Encoding, check_seed, record_files
from mtcnn_gluon.records.samples import KIND_NAMES, RATIO, Samples, check_ratio

BLOCK_BYTES = 64 << 20  # of crops that are held in memory at a time
STARVED = 1.0  # negatives for every positive, below which a net learns to say face too often

logger = logging.getLogger(__name__)


def make_records(
    folders: Sequence[str | os.PathLike], net: str, out: str | os.PathLike, ratio: Mapping[str, float] = RATIO, seed: int = 0,
    encoding: Encoding = "raw", quality: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Put the samples of several folders together for training; returns what `out/report.json` then holds.

    For P-Net `out/pnet.rec` holds as many samples as the ratio allows with what there is, see `mixture`; a kind of which there
    is none is left out. For the others `out/positive.rec` and so on hold everything.

    Args:
        folders: made by `generate`.
        net: pnet, rnet or onet.
        out: folder for the records; those that an earlier call made there are replaced.
        ratio: for P-Net, shares by name of kind, 0 or more.
        seed: of the order, and of the choice.
        encoding, quality: how crops are stored, see `records`.

    Raises:
        ConfigError: if an option is out of range, `out` holds samples, or two folders hold the same.
        DataError: if a folder holds no samples of this net, a record is damaged, or the ratio leaves nothing.
    """
    out = Path(out)
    options: dict[str, Any] = dict(net=net, encoding=encoding, quality=quality, seed=seed)
    check_ratio(ratio)
    check_seed(seed)
    RecordWriter(out / net, **options)  # checks the others
    _check_out(out, folders)
    _check_twice(folders)
    readers = {kind: _open(folders, kind, net) for kind in KIND_NAMES}
    counts = {kind: sum(map(len, each)) for kind, each in readers.items()}
    if not sum(counts.values()):
        raise DataError(f"there are no samples in {', '.join(map(str, folders))}: mtcnn-gluon prepare wider makes some")
    warn_if_starved(counts)
    generator = np.random.default_rng(seed)
    wanted = mixture(counts, ratio) if net == "pnet" else counts
    chosen = {kind: generator.permutation(counts[kind])[: wanted[kind]] for kind in KIND_NAMES}
    if not sum(wanted.values()):
        raise DataError(f"the ratio {shown(dict(ratio))} leaves nothing of {counts}")
    remove_drafts(out)
    remove(out / REPORT)
    if net == "pnet":
        kinds = np.repeat(np.arange(len(KIND_NAMES)), [len(chosen[kind]) for kind in KIND_NAMES])
        rows = np.concatenate([chosen[kind] for kind in KIND_NAMES])
        order = generator.permutation(len(rows))
        _write(out / net, options, [readers[kind] for kind in KIND_NAMES], kinds[order], rows[order])
    for kind, rows in chosen.items():
        if net != "pnet" and len(rows):
            _write(out / kind, options, [readers[kind]], np.zeros(len(rows), np.int64), rows)
    _remove_others(out, [net] if net == "pnet" else [kind for kind in KIND_NAMES if wanted[kind]])
    report = _report(folders, wanted, options)
    with whole_file(out / REPORT) as file:
        json.dump(report, file, indent=1)
    return report


def mixture(counts: Mapping[str, int], ratio: Mapping[str, float]) -> dict[str, int]:
    """How many samples of each kind keep the ratio, as many as there are of the scarcest.

    Landmarks, which come from other photos, are taken as far as they go: too few of them do not cost samples of other kinds.
    """
    there = [kind for kind in counts if counts[kind] and ratio.get(kind, 0) > 0]
    limits = [counts[kind] / ratio[kind] for kind in there if kind != "landmark"] or [float(counts["landmark"])]
    unit = min(limits)
    return {kind: min(counts[kind], int(unit * ratio[kind] + 1e-6)) if kind in there else 0 for kind in counts}


def _check_out(out: Path, folders: Sequence[str | os.PathLike]) -> None:
    report = read_report(out)
    is_ours = report is None or (report.get("made from") or {}).get("samples") == "records"
    if out.resolve() in [Path(folder).resolve() for folder in folders] or not is_ours:
        raise ConfigError(f"out must be another folder than {out}, which holds samples")


def _check_twice(folders: Sequence[str | os.PathLike]) -> None:
    """Refuse folders that hold the same samples: one folder by two names, a copy, or records that were made of another one."""
    seen: dict[Any, str | os.PathLike] = {}
    for folder in folders:
        report = read_report(folder) or {}
        about = report.get("made from")
        digests = [report.get("digest"), *(about.get("digests") or [] if isinstance(about, dict) else [])]
        for key in {Path(folder).resolve(), *(digest for digest in digests if isinstance(digest, str))}:
            if key in seen:
                raise ConfigError(f"{seen[key]} and {folder} hold the same samples, which would count twice")
            seen[key] = folder


def _remove_others(out: Path, names: Sequence[str]) -> None:
    """Remove the records that an earlier call made, of kinds that there are no more."""
    for name in {"pnet", *KIND_NAMES} - set(names):
        for file in reversed(record_files(out / name)):
            remove(file)


def _open(folders: Sequence[str | os.PathLike], kind: str, net: str) -> list[Reader]:
    readers = []
    for folder in folders:
        report = read_report(folder)
        if report is None:
            raise DataError(
                f"{folder} holds no samples: it has no {REPORT}; mtcnn-gluon prepare wider, landmarks or mine makes it"
            )
        if report.get("counts", {}).get(kind):
            readers.append(Reader(Path(folder) / kind))
            if readers[-1].info.net != net:
                raise DataError(f"{readers[-1].files.rec} holds samples for {readers[-1].info.net}, not for {net}")
            readers[-1].check_digest()  # or damage would get a digest of its own
    return readers


def warn_if_starved(counts: Mapping[str, int]) -> None:
    """Say which kind there is too little of, and what helps."""
    if counts["negative"] < STARVED * counts["positive"]:
        logger.warning(
            "only %d negative samples for %d positive ones: mine with lower thresholds, such as --thresholds 0.5 0.5, "
            "or add near-face negatives with --top-up 5", counts["negative"], counts["positive"],
        )  # fmt: skip
    for kind in ("positive", "part", "negative"):
        if not counts[kind]:
            logger.warning("there are no samples of kind %s", kind)


def _write(
    path: Path, options: Mapping[str, Any], sources: Sequence[Sequence[Reader]], kinds: np.ndarray, rows: np.ndarray
) -> None:
    """Write the samples `rows` (N,) of `sources[kinds]`, each of which counts through its readers."""
    with RecordWriter(path, **options) as writer:
        size = next(reader.info.size for each in sources for reader in each)
        step = max(1, BLOCK_BYTES // (3 * size**2))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            writer.write(_gather(sources, kinds[part], rows[part], size))


def _gather(sources: Sequence[Sequence[Reader]], kinds: np.ndarray, rows: np.ndarray, size: int) -> Samples:
    parts, places = [Samples.empty(size)], []
    for kind, readers in enumerate(sources):
        first = 0
        for reader in readers:
            is_here = np.flatnonzero((kinds == kind) & (rows >= first) & (rows < first + len(reader)))
            in_file = is_here[np.argsort(rows[is_here], kind="stable")]
            parts.append(reader[rows[in_file] - first])
            places.append(in_file)
            first += len(reader)
    order = np.empty(len(rows), np.int64)
    order[np.concatenate(places)] = np.arange(len(rows))
    return Samples.concatenate(parts)[order]


def _report(folders: Sequence[str | os.PathLike], counts: Mapping[str, int], options: Mapping[str, Any]) -> dict[str, Any]:
    """What the records are made of; figures of all folders added up."""
    figures: dict[str, float] = {}
    digests = []
    for folder in folders:
        report = read_report(folder) or {}
        digests.append(report.get("digest"))
        for name, value in report.get("figures", {}).items():
            figures[name] = figures.get(name, 0) + value
    return {"made from": {"samples": "records", "digests": digests, **options}, "counts": dict(counts), "figures": figures}


def kinds_of(folder: str | os.PathLike) -> dict[str, Reader]:
    """The records in a folder, by name.

    Raises:
        DataError: if there are none.
    """
    names = [name for name in ("pnet", *KIND_NAMES) if (Path(folder) / f"{name}.json").exists()]
    if not names:
        raise DataError(f"{folder} holds no records: mtcnn-gluon prepare makes them")
    return {name: Reader(Path(folder) / name) for name in names}
