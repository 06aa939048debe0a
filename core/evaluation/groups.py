"""Whom a detector misses: in how many photos of each group of people it finds a face."""

import csv
import io
from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np

from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.evaluation.bootstrap import Interval
from mtcnn_gluon.evaluation.coverage import Coverage
from mtcnn_gluon.evaluation.report import Report, Table, percent
from mtcnn_gluon.evaluation.results import Detections, Results
from mtcnn_gluon.evaluation.run import Job
from mtcnn_gluon.evaluation.summaries import how
from mtcnn_gluon.io.files import printable, read_text

Z = 1.96  # of the middle 95 % of a normal distribution
MOST_GROUPS = 100  # of a column; more are rather a number or a name than a group
NO_GROUP = "(empty)"
EVERYBODY = "all"  # the group of all photos, and its key in the JSON report

Groups = dict[str, dict[str, str]]  # for each column, the group of each photo


def read_groups(path: str, columns: Sequence[str]) -> Groups:
    """Read a csv with a row for each photo: `file` and the columns that name its group; other columns are ignored.

    Raises:
        ConfigError: if a column is not there, is named twice, or has more than 100 different values.
        DataError: if the file cannot be read, is no csv, or has a photo or a column twice.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        rows, header = list(reader), [name.strip() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise DataError(printable(f"{path}:{reader.line_num}: expected csv: {error}")) from error
    if "file" not in header or not rows:
        raise DataError(printable(f"{path}: expected a csv with a column file and a row for each photo, got {shown(header)}"))
    if twice := [name for name in header if header.count(name) > 1]:
        raise DataError(printable(f"{path} has two columns {twice[0]}: which is meant?"))
    for column in columns:
        if column == EVERYBODY:
            raise ConfigError(f"a column cannot be called {EVERYBODY}, which is the row of all photos: rename it")
        if column not in header:
            raise ConfigError(printable(f"{path} has no column {column}; it has {', '.join(header)}"))
        if columns.count(column) > 1:
            raise ConfigError(f"the column {column} is named twice")
    keys = dict(zip(header, rows[0]))  # names as written, perhaps with spaces around
    groups: Groups = {column: {} for column in columns}
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise DataError(printable(f"{path}: row {number}: expected {len(header)} cells"))
        name = printable(row[keys["file"]].strip().replace("\\", "/"))
        for column in columns:
            if name in groups[column]:
                raise DataError(f"{path}: row {number}: {name} is there twice")
            groups[column][name] = row[keys[column]].strip() or NO_GROUP
    for column, of_photo in groups.items():
        count = len(set(of_photo.values()))
        if count > MOST_GROUPS:
            raise ConfigError(f"the column {column} of {path} has {count} different values, more than {MOST_GROUPS} groups")
    return groups


@dataclass(frozen=True)
class FindInBorder:
    """Work for `run_model`: what a detector finds in a photo with a border of black pixels, in the photo's coordinates."""

    border: int

    @property
    def __name__(self) -> str:
        return f"find_faces_border_{self.border}"

    def __call__(self, detector: Detector, image: np.ndarray, job: Job) -> dict[str, Any]:
        """As `run.find_faces`."""
        framed = np.pad(image, [(self.border,) * 2, (self.border,) * 2, (0, 0)])
        rows = detector.detect(framed).to_dicts()
        for row in rows:
            row["box"] = [number - self.border for number in row["box"]]
            if row.get("landmarks"):
                row["landmarks"] = {
                    name: [number - self.border for number in point] for name, point in row["landmarks"].items()
                }
        return {"faces": rows}


def wilson(found: int, count: int) -> Interval | None:
    """The middle 95 % of a share (Wilson, 1927), which is right near 0 and 1 too; None if there is nothing to count."""
    if not count:
        return None
    share, spread = found / count, Z * Z / count
    middle = (share + spread / 2) / (1 + spread)
    half = (spread * (share * (1 - share) + spread / 4)) ** 0.5 / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def report(groups: Groups, coverage: Coverage, results: Sequence[Results], border: int) -> Report:
    """In how many photos of each group each detector found a face or more.

    Args:
        groups: the group of each photo, by column.
        coverage: the photos that count.
        results: what each detector found.
        border: width in pixels of the border that the photos had, for the notes.
    """
    has_face = {
        each.name: {name: len(each.photos.get(name, Detections.NONE)) > 0 for name in coverage.names} for each in results
    }
    tables: list[Table] = []
    summary: dict[str, Any] = {}
    names = [each.name for each in results]
    every = {EVERYBODY: dict.fromkeys(coverage.names, EVERYBODY)}
    for column, of_photo in {**every, **groups}.items():
        members: dict[str, list[str]] = {}
        for name in coverage.names:
            members.setdefault(of_photo[name], []).append(name)
        rows = []
        for group in sorted(members, key=_order):
            photos = members[group]
            counts = {name: sum(has_face[name][photo] for photo in photos) for name in names}
            cells = (percent(counts[name] / len(photos), wilson(counts[name], len(photos))) for name in names)
            rows.append((group, f"{len(photos):,}", *cells))
            figures = {name: {"found": count, "interval": wilson(count, len(photos))} for name, count in counts.items()}
            summary.setdefault(column, {})[group] = {"photos": len(photos), **figures}
        by = "" if column == EVERYBODY else f", by {column}"
        tables.append(Table(f"Photos with a face found{by}", ("group", "photos", *names), tuple(rows)))
    frame = f"The photos had a border of {border} black pixels. " if border else ""
    return Report(
        headline=f"{'' if coverage.is_complete else 'PARTIAL: '}Groups: where a face is found, on {coverage.sentence()}",
        is_complete=coverage.is_complete,
        tables=tuple(tables),
        notes=(f"{frame}In brackets: the middle 95 % of the share (Wilson).", *how(results)),
        problems={each.name: each.problems for each in results},
        summary={"benchmark": "groups", "border": border, "groups": summary},
    )


def _order(group: str) -> tuple[float, str]:
    """Ages such as 0-2, 3-9, 10-19 in the order of their numbers, all others by the alphabet."""
    digits = group.partition("-")[0].strip()
    return (float(digits), group) if digits.isascii() and digits.isdigit() else (float("inf"), group)
