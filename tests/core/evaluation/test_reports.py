"""Reports of the benchmarks on made-up results stay as they are: figures, tables, notes and the order of all."""

import json
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.config import LANDMARK_NAMES

EXPECTED = Path(__file__).parent / "expected"
BOX, FAR = [60, 30, 110, 90], [0, 0, 20, 20]
POINTS = np.array([[75, 50], [95, 50], [85, 60], [77, 75], [93, 75]], float)
REPORTS = {
    "wider": "wider --annotations list.txt --results A=good.jsonl --results B|x=bad.jsonl --images photos --heights 50 70",
    "fddb": "fddb --folds folds --results good.jsonl --results bad.jsonl --results ell.txt --images photos",
    "landmarks": "landmarks --list faces.csv --results near=points.jsonl --results far=shifted.jsonl --root photos",
}


def row(index: int, box: list[int], score: float, points: np.ndarray | None = None) -> str:
    face: dict[str, Any] = {"box": box, "score": score}
    if points is not None:
        face["landmarks"] = dict(zip(LANDMARK_NAMES, points.tolist()))
    return json.dumps({"image": f"{index}.png", "width": 200, "height": 150, "faces": [face]}) + "\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six photos, the last without an annotated face, and what detectors found in them."""
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "folds"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    header = "file,x1,y1,x2,y2," + ",".join(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy")
    annotated = ",".join(map(str, [*BOX, *POINTS.ravel().tolist()]))
    for index in range(6):
        Image.fromarray(rng.integers(0, 255, (150, 200, 3), np.uint8)).save(f"photos/{index}.png")
    texts = {
        "list.txt": [*(f"{index}.png\n1\n60 30 50 60\n" for index in range(5)), "5.png\n0\n"],
        "folds/FDDB-fold-01-ellipseList.txt": [*(f"{index}\n1\n30 25 1.5708 85 60 1\n" for index in range(5)), "5\n0\n"],
        "good.jsonl": [*(row(index, BOX, 0.9 - index / 20) for index in range(4)), row(4, FAR, 0.8), row(5, FAR, 0.1)],
        "bad.jsonl": [json.dumps({"image": f"{i}.png", "width": 200, "height": 150, "faces": []}) + "\n" for i in range(6)],
        "ell.txt": [
            *(f"{i}\n2\n28 25 1.4 {85 + i} 60 0.{i + 3}\n10 8 0.1 20 20 0.2\n" for i in range(4)),
            "4\n1\n30 25 1.5 85 65 0.7\n5\n0\n",
        ],
        "faces.csv": [f"{header}\n", *(f"{index}.png,{annotated}\n" for index in range(5))],
        "points.jsonl": [row(index, BOX, 0.9, POINTS + index / 2) for index in range(4)] + [row(4, FAR, 0.8, POINTS)],
        "shifted.jsonl": [row(index, BOX, 0.9, POINTS * 1.02) for index in range(5)],
    }  # fmt: skip
    for name, lines in texts.items():
        (tmp_path / name).write_text("".join(lines))
    return tmp_path


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """All values of nested JSON, with where they stand."""
    if isinstance(value, (dict, list)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(each, f"{place}/{key}")
    yield place, len(value) if isinstance(value, (dict, list)) else value


@pytest.mark.parametrize("name", list(REPORTS))
def test_reports_stay_as_they_are(here: Path, name: str) -> None:
    pytest.importorskip("scipy"), pytest.importorskip("matplotlib")  # type: ignore[func-returns-value]
    assert cli.main(["evaluate", *REPORTS[name].split(), "--json", "out.json", "--report", "out"]) == 0
    assert (here / "out/report.md").read_text() == (EXPECTED / f"{name}.md").read_text()
    found, expected = (list(leaves(json.loads(path.read_text()))) for path in (here / "out.json", EXPECTED / f"{name}.json"))
    assert [place for place, _ in found] == [place for place, _ in expected]
    for (place, value), (_, before) in zip(found, expected):
        assert value == (pytest.approx(before) if isinstance(before, float) else before), place
