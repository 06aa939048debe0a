"""Check what a GPU gives: what is there, whether it finds the CPU's faces, and how fast it is.

    python example/gpu_check.py --device gpu
    python example/gpu_check.py --device gpu --out report.md photos/*.jpg
    python example/gpu_check.py --device cpu --sizes 320x240 --batches 1 4 --seconds 0.2

prints a report in Markdown, with a row for each engine and way of using it:

    | engine | faces of both | agree | largest difference of scores | of landmarks |

Engines that cannot be used are named with the reason. If facenet-pytorch is installed, its speed is there too. Without photos
the portrait beside this file is used. The exit status is 1 if an engine finds other faces than the CPU.
"""

import argparse
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from mtcnn_gluon import Detector, Faces, boxes, read_image
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.engines import check_names
from mtcnn_gluon.errors import MtcnnError, last_line

ENGINES = ("torch", "torch-fp16", "onnx", "mxnet")
EXACT = {"torch": 0.999, "onnx": 0.999, "mxnet": 0.999}  # least share of faces that must agree; half precision may differ
PACKAGES = ("mtcnn-gluon", "torch", "onnxruntime-gpu", "onnxruntime", "mxnet-cu112", "mxnet", "facenet-pytorch", "numpy")
OVERLAP, SCORE = 0.95, 0.01  # faces agree from this intersection over union on, and up to this difference of scores
GRAPHS_SWITCH = "MTCNN_GLUON_CUDA_GRAPHS"
Find = Callable[[list[np.ndarray]], Any]


def main() -> int:
    """Print or write the report; 1 if an engine finds other faces than the CPU."""
    options = arguments()
    paths = options.photos or [Path(__file__).with_name("portrait.jpg")]
    try:
        check_names("auto", options.device)
        photos = [read_image(path) for path in paths]
        reference = Detector(options.model)
    except MtcnnError as error:
        sys.exit(f"gpu_check.py: {error}")
    detectors, missing = usable(options.model, options.device, options.engines)
    lines = ["# GPU check", "", *what_is_there(options, reference)]
    rows, is_right = agreement(reference, detectors, pictures(photos))
    lines += ["", "## Agreement with the CPU", "", *(f"{line}\n" for line in missing), *rows]
    lines += ["", "## Speed", "", *speed(detectors, photos, options)]
    text = "\n".join(lines) + "\n"
    if options.out:
        options.out.write_text(text, "utf-8")
    else:
        print(text, end="")
    return 0 if is_right else 1


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--device", default="gpu", help="gpu, gpu:N, cuda:N, mps or cpu (gpu)")
    parser.add_argument("--model", default="default", help="see Detector (default)")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), metavar="E", help=f"({' '.join(ENGINES)})")
    parser.add_argument("--sizes", nargs="+", type=size, default=[(640, 480), (1920, 1080)], metavar="WxH")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64], metavar="N")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (2)")
    parser.add_argument("--out", type=Path, help="file to write instead of printing")
    return parser.parse_args()


def size(text: str) -> tuple[int, int]:
    """Width and height from a text such as 640x480."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"must be of the form 640x480, not {text!r}")
    return int(width), int(height)


def usable(model: str, device: str, names: Sequence[str]) -> tuple[dict[str, Detector], list[str]]:
    """The detectors by name, and a line for each engine that cannot be used."""
    found, missing = dict[str, Detector](), list[str]()
    for name in names:
        try:
            found[name] = Detector(model, name, device)
            if name == "torch" and found[name].engine.device.type == "cuda":  # type: ignore[attr-defined]
                os.environ[GRAPHS_SWITCH] = "1"
                found["torch, CUDA graphs"] = Detector(model, name, device)
                del os.environ[GRAPHS_SWITCH]
        except MtcnnError as error:
            missing.append(f"- {name} is left out: {error}")
    return found, missing


# ---- what is there


def what_is_there(options: argparse.Namespace, reference: Detector) -> Iterator[str]:
    """Lines that name the machine and the packages."""
    yield f"- device `{options.device}`: {card(options.device)}"
    yield f"- {platform.platform()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    yield f"- {', '.join(f'{name} {number}' for name, number in versions())}"
    manifest = reference.bundle.manifest
    yield f"- model {manifest['name']}, compared with the engine {reference.engine.name} on the CPU"


def versions() -> Iterator[tuple[str, str]]:
    """The packages that are installed."""
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def card(device: str) -> str:
    """What PyTorch says about a GPU, if it is installed."""
    try:
        import torch
    except Exception as error:  # a damaged library may raise anything
        return f"PyTorch cannot tell ({last_line(error)})"
    if device in ("cpu", "mps"):
        return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads of PyTorch"
    if not torch.cuda.is_available():
        return "PyTorch finds no GPU that can be used"
    found = torch.cuda.get_device_properties(int(device.partition(":")[2] or 0))
    build = torch.version.cuda or getattr(torch.version, "hip", None)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB, {found.major}.{found.minor}; PyTorch built for {build}"


# ---- agreement


def pictures(photos: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The photos, and their mirror images, halves and cuts, so that sizes differ."""
    return [part for photo in photos for part in (photo, photo[:, ::-1], photo[::2, ::2], photo[: -(len(photo) // 5 or 1)])]


def agreement(reference: Detector, detectors: dict[str, Detector], images: list[np.ndarray]) -> tuple[list[str], bool]:
    """A table of how far each detector finds the faces of `reference`, one by one and in batches; and whether it does."""
    images = [np.ascontiguousarray(image) for image in images]
    expected = [reference.detect(image) for image in images]
    lines = ["| engine | faces of both | agree | largest difference of scores | of landmarks |", "|---|---|---|---|---|"]
    is_right = True
    for name, detector in detectors.items():
        for how, found in (
            ("one by one", [detector.detect(image) for image in images]),
            ("batch", detector.detect_batch(images)),
        ):
            pairs, total = [pair for a, b in zip(expected, found) for pair in matches(a, b)], sum(map(len, [*expected, *found]))
            share = 2 * len(pairs) / total if total else 1.0
            scores, points = (max((pair[i] for pair in pairs), default=0.0) for i in (0, 1))
            lines.append(f"| {name}, {how} | {total} | {100 * share:.2f} % | {scores:.6f} | {points:.3f} px |")
            is_right &= share >= EXACT.get(name.partition(",")[0], 0)
    return lines, is_right


def matches(first: Faces, second: Faces) -> Iterator[tuple[float, float]]:
    """Differences of scores, and of landmarks in pixels, of the faces that agree."""
    overlap, free = boxes.iou(first.boxes, second.boxes), set(range(len(second)))
    for i, row in enumerate(overlap):
        j = int(row.argmax()) if len(row) else -1
        if j in free and row[j] >= OVERLAP and abs(first.scores[i] - second.scores[j]) <= SCORE:
            free.remove(j)
            points = 0.0
            if first.landmarks is not None and second.landmarks is not None:
                points = float(np.abs(first.landmarks[i] - second.landmarks[j]).max())
            yield abs(float(first.scores[i] - second.scores[j])), points


# ---- speed


def speed(detectors: dict[str, Detector], photos: Sequence[np.ndarray], options: argparse.Namespace) -> Iterator[str]:
    """Tables of photos a second, decoding apart, and of the time of each stage in the largest batch."""
    programs: dict[str, Find] = {
        name: lambda images, detector=detector: detector.detect_batch(images, len(images))  # type: ignore[misc]
        for name, detector in detectors.items()
    }
    programs |= peer(options.device)
    yield f"Photos a second, the median of at least {options.seconds:g} s, decoding apart; smallest face 20 px:"
    yield ""
    yield f"| engine | {' | '.join(f'{w} x {h}, {n} together' for w, h in options.sizes for n in options.batches)} |"
    yield f"|{'---|' * (1 + len(options.sizes) * len(options.batches))}"
    for name, find in programs.items():
        cells = [
            rate(find, [fitted(photos[i % len(photos)], *side, i) for i in range(count)], options.seconds)
            for side in options.sizes
            for count in options.batches
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield f"Milliseconds a photo of each stage, {max(options.batches)} together: photos to the device; P-Net; R-Net; O-Net:"
    yield ""
    for name, detector in detectors.items():
        for width, height in options.sizes:
            images = [fitted(photos[i % len(photos)], width, height, i) for i in range(max(options.batches))]
            times = "; ".join(f"{1e3 * each / len(images):.3f}" for each in stages(detector, images))
            yield f"- {name}, {width} x {height}: {times}"


def fitted(photo: np.ndarray, width: int, height: int, turn: int) -> np.ndarray:
    """A photo of another size: repeated, from another row and column each time, so that no two of a batch are alike."""
    repeats = -(-height // photo.shape[0]) + 1, -(-width // photo.shape[1]) + 1, 1
    y, x = 37 * turn % photo.shape[0], 53 * turn % photo.shape[1]
    return np.ascontiguousarray(np.tile(photo, repeats)[y : y + height, x : x + width])


def rate(find: Find, images: list[np.ndarray], seconds: float) -> str:
    """Photos a second, or why there is no such number."""
    try:
        for _ in range(4):  # runtimes plan, and make graphs
            find(images)
        times, end = list[float](), time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            find(images)
            times.append(time.perf_counter() - start)
    except Exception as error:  # a full memory, say: the other numbers are wanted all the same
        return f"{type(error).__name__}: {last_line(error)}".replace("|", "/")[:80]
    return f"{len(images) / float(np.median(times)):.1f}"


def stages(detector: Detector, images: list[np.ndarray]) -> np.ndarray:
    """The best of three times in seconds: photos to the device, and each of the three stages."""
    engine, settings, rounds = detector.engine, detector.settings, []
    for _ in range(4):
        moments = [time.perf_counter()]
        photos = cascade.take_in(images, engine, settings)
        moments.append(time.perf_counter())
        candidates = cascade.propose(photos, engine, settings)
        moments.append(time.perf_counter())
        candidates = cascade.refine(photos, candidates, engine, settings)
        moments.append(time.perf_counter())
        cascade.output(photos, candidates, engine, settings)
        rounds.append(np.diff([*moments, time.perf_counter()]))
    return np.min(rounds[1:], axis=0)


def peer(device: str) -> dict[str, Find]:
    """facenet-pytorch on the same device, if it is installed."""
    try:
        from facenet_pytorch import MTCNN

        net = MTCNN(keep_all=True, min_face_size=20, device=device.replace("gpu", "cuda"))
    except Exception:  # it is optional, and may fail in many ways
        return {}
    return {"facenet-pytorch": lambda images: net.detect(np.stack(images), landmarks=True)}


if __name__ == "__main__":
    sys.exit(main())
