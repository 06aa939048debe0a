"""example/ as a tour: short files of one idea that open with their command and with what it prints, and the notebook runs."""

import ast
import json
import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from markdown_pages import ROOT
from mtcnn_gluon.io.video_writer import VideoWriter

LONGEST, LARGEST = 60, 400_000  # lines of a script; bytes of the notebook
FOLDER = ROOT / "example"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.name not in ("open_data.py", "open_points.py", "gpu_check.py"))
TOUR = FOLDER / "tour.ipynb"
each = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


def opening(path: Path) -> list[str]:
    """The paragraphs of a script's docstring."""
    return re.split(r"\n\n+", (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").strip())


@each
def test_scripts_are_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) < LONGEST


@each
def test_scripts_open_with_their_command_and_what_it_prints(path: Path) -> None:
    first, command, prints, shown, *_ = opening(path)
    assert "\n" not in first and first.endswith(".")
    assert all(line.startswith(f"    python example/{path.name} ") for line in command.splitlines())
    assert prints.startswith("prints ") and prints.endswith(":") and shown.startswith("    ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """photo.jpg and a.jpg, which show a face, b.png, which shows none, and clip.mp4, where it comes with the third frame."""
    photo = Image.open(ROOT / "tests/portrait.jpg").convert("RGB")
    photo.save(tmp_path / "photo.jpg")
    photo.save(tmp_path / "a.jpg")
    Image.new("RGB", photo.size).save(tmp_path / "b.png")
    clip = VideoWriter(tmp_path / "clip.mp4", 25)
    for number in range(4):
        clip.add(np.array(photo) if number > 1 else np.zeros_like(photo))
    clip.close()
    return tmp_path


@pytest.mark.parametrize(
    "name, words, printed",
    [
        ("detect", "photo.jpg out.jpg", r"\{'box': \[.*\], 'score': 0\.99\d+, 'landmarks': \{'left_eye': \[.*\}\}"),
        ("align", "photo.jpg faces", r"faces.0\.png: score 0\.99\d, the eyes tilt by [34] degrees"),
        ("batch", "a.jpg b.png", r"a\.jpg: \d( \d\d)+\nb\.png: 0"),
        ("video", "clip.mp4", r"0\.00 s: \d faces?\n\d\.\d8 s: \d faces?"),
    ],
)
def test_scripts_print_what_they_say(folder: Path, name: str, words: str, printed: str) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), *words.split()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert re.fullmatch(printed, done.stdout.strip()), done.stdout + done.stderr
    shown = textwrap.dedent(opening(FOLDER / f"{name}.py")[3].strip("\n"))
    assert re.fullmatch(printed, shown)
    assert all((folder / file).is_file() for file in {"detect": ["out.jpg"], "align": ["faces/0.png"]}.get(name, []))
    alone = subprocess.run(command[:2], cwd=folder, capture_output=True, text=True, timeout=120)
    assert alone.returncode == 1 and f"python example/{name}.py" in alone.stderr


def test_the_gpu_check_on_the_cpu(folder: Path) -> None:
    """Engines that cannot be used are named; the others find the CPU's faces."""
    words = "--device cpu --model gluon-4 --engines native tensorflow onnx --sizes 64x48 --batches 1 2 --seconds 0.01"
    command = [sys.executable, str(FOLDER / "gpu_check.py"), *words.split(), "--out", "report.md", "photo.jpg"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    report = (folder / "report.md").read_text("utf-8")
    assert "- tensorflow is left out: engine must be one of auto" in report
    assert re.search(r"\| native, batch \| \d+ \| 100\.00 % \| 0\.0", report)
    assert re.search(r"\| native \| \d+\.\d \| \d+\.\d \|\n", report)
    wrong = subprocess.run([*command, "--device", "tpu"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert wrong.returncode == 1 and "gpu_check.py: device must be cpu, gpu" in wrong.stderr


# ---- the notebook


def outputs(notebook: dict[str, Any]) -> list[list[str]]:
    """What each cell of code shows: kinds of content, or `text`."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [sorted({kind for each in cell["outputs"] for kind in each.get("data", {"text": 0})}) for cell in cells]


def text(notebook: dict[str, Any]) -> str:
    """What its cells print."""
    every = [each for cell in notebook["cells"] if cell["cell_type"] == "code" for each in cell["outputs"]]
    return "".join("".join(each.get("text", "")) for each in every)


def test_the_notebook_as_it_is() -> None:
    content = TOUR.read_text("utf-8")
    assert len(content) < LARGEST and not re.search(r"(?<![\w.}])/(work|root|home|tmp)/", content)
    assert sum("image/jpeg" in kinds for kinds in outputs(json.loads(content))) == 4
    links = re.findall(r"\]\(([^)#\s]+)", content)
    assert links and all((FOLDER / link).exists() for link in links)


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := [name for name in ("nbclient", "ipykernel", "mxnet", "skimage") if find_spec(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}: pip install '.[cpu,demo,dev]'")
    import nbclient
    import nbformat

    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # other tests run beside it
    for variable in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    notebook = nbformat.read(TOUR, as_version=4)
    before = outputs(notebook)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", coalesce_streams=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert outputs(notebook) == before
    printed = text(notebook)
    assert "faces in each photo:" + 15 * " 1" in printed and "frame 7, 0.28 s: 1 face at x = " in printed
    assert "done: own/bundle is the model, own/report says how good it is" in printed
