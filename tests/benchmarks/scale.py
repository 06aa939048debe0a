"""What bulk detection costs: processor time and bytes for each photo by size, and a long run with faults.

    python tests/benchmarks/scale.py photos DATA/wider_train/images [--limit 25]
    python tests/benchmarks/scale.py run [--photos 20000] [--part-size 1000] [--workers 2] [--kills 3] [--ray]

`photos` scales photos to several sizes, stores them as JPEG files of quality 90, and prints for each size the processor time of
one thread (not the time on the clock, so that other programs matter less), the bytes read, and the bytes of the Parquet rows.
`run` detects in many small photos, of which every hundredth is damaged, kills workers at random moments, starts again what
ended, and prints what came of it, with the largest memory of all processes together.
"""

import argparse
import io
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import psutil
from PIL import Image

from mtcnn_gluon import Detector, read_image
from mtcnn_gluon.bulk.arrow import pa
from mtcnn_gluon.bulk.run import as_parquet
from mtcnn_gluon.bulk.table import detect_table

SIZES = {"0.2 MP": 480, "0.3 MP": 640, "0.8 MP": 1024, "2 MP": 1920}  # length of the longer side
PORTRAIT = Path(__file__).parents[1] / "portrait.jpg"
EVERY = 100  # one photo of so many is damaged


def main() -> None:
    """Run one of the two measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    photos = kinds.add_parser("photos")
    photos.add_argument("folder", type=Path)
    photos.add_argument("--limit", type=int, default=25)
    run = kinds.add_parser("run")
    run.add_argument("--photos", type=int, default=20_000)
    run.add_argument("--part-size", type=int, default=1000)
    run.add_argument("--workers", type=int, default=2)
    run.add_argument("--kills", type=int, default=3)
    run.add_argument("--ray", action="store_true")
    options = parser.parse_args()
    if options.kind == "photos":
        measure_photos(sorted(path for path in options.folder.rglob("*") if path.is_file()), options.limit)
    else:
        with tempfile.TemporaryDirectory() as folder:
            measure_run(Path(folder), options)


def measure_photos(paths: list[Path], limit: int) -> None:
    """Print a row for each size."""
    chosen = paths[:: max(1, len(paths) // limit)][:limit]
    begin = time.process_time()
    detector = Detector(threads=1)
    detector.detect(np.zeros((480, 640, 3), np.uint8))
    print(f"{len(chosen)} photos, engine {detector.engine.name}, which starts in {time.process_time() - begin:.2f} s")
    print("| size | decode, ms | detect, ms | bytes in | bytes out |\n|---|---|---|---|---|")
    for name, side in SIZES.items():
        files = [scaled(path, side) for path in chosen]
        decode, detect = [], []
        for data in files:
            times = [time.process_time()]
            image = read_image(data)
            times.append(time.process_time())
            detector.detect(image)
            times.append(time.process_time())
            decode.append(times[1] - times[0])
            detect.append(times[2] - times[1])
        table = pa.table({"image": [f"photos/{index:06}.jpg" for index in range(len(files))], "data": files})
        (found,) = detect_table([table], column="data")
        out = len(as_parquet(found.drop_columns(["data"]))) / len(files)
        means = f"{statistics.mean(decode) * 1e3:.1f} | {statistics.mean(detect) * 1e3:.1f}"
        print(f"| {name} | {means} | {statistics.mean(map(len, files)):,.0f} | {out:,.0f} |")


def scaled(path: Path, side: int) -> bytes:
    """A photo as a JPEG file whose longer side is `side`."""
    image = Image.fromarray(read_image(path))
    factor = side / max(image.size)
    buffer = io.BytesIO()
    image.resize((round(image.width * factor), round(image.height * factor))).save(buffer, "jpeg", quality=90)
    return buffer.getvalue()


def measure_run(folder: Path, options: argparse.Namespace) -> None:
    """Detect in many photos while workers are killed."""
    files = small_photos()
    (folder / "in").mkdir()
    for index in range(options.photos):
        data = files[index % len(files)]
        (folder / f"in/{index:06}.jpg").write_bytes(data[: len(data) // 2] if index % EVERY == 7 else data)
    command = [sys.executable, "-m", "mtcnn_gluon", "detect", "in", "--out", "out", "--min-face", "32", "--quiet"]
    command += ["--part-size", str(options.part_size)]
    command += ["--workers", str(options.workers), *(["--ray=local"] if options.ray else [])]
    parts = -(-options.photos // options.part_size)
    moments = sorted(random.Random(0).sample(range(parts), min(options.kills, parts)))
    begin, starts, most, status = time.monotonic(), 0, 0, None
    while status not in (0, 1):
        starts += 1
        process = subprocess.Popen(command, cwd=folder)
        while (status := process.poll()) is None:
            most = max(most, memory(process.pid))
            if moments and len(list((folder / "out").glob("part-*"))) > moments[0]:
                for worker in list(workers_of(process.pid))[:1]:
                    worker.send_signal(signal.SIGKILL)
                    moments.pop(0)
            time.sleep(0.5)
    manifest = json.loads((folder / "out/_manifest.json").read_text())
    names = read_names(folder / "out")
    print(
        f"{options.photos} photos in {parts} partitions, {options.kills} workers killed, {starts} starts, "
        f"{time.monotonic() - begin:.0f} s: {manifest['rows']} rows, {len(set(names))} different, {manifest['errors']} errors, "
        f"{manifest['faces']} faces; at most {most / 2**20:.0f} MB in all processes"
    )


def small_photos() -> list[bytes]:
    """Some photos with and without a face, a tenth of a megapixel."""
    portrait = Image.open(PORTRAIT).convert("RGB")
    images = [portrait.rotate(angle) for angle in (-8, 0, 8)]
    noise = np.random.default_rng(0).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    images += [Image.fromarray(np.roll(noise, shift, 0)).resize((320, 240)) for shift in range(4)]
    files = []
    for image in images:
        image.save(buffer := io.BytesIO(), "jpeg")
        files.append(buffer.getvalue())
    return files


def workers_of(process: int) -> Iterator[Any]:
    """Those processes that detect."""
    for each in psutil.Process(process).children(recursive=True):
        try:
            if any(mark in " ".join(each.cmdline()) for mark in ("spawn_main", "ray::_do")):
                yield each
        except psutil.Error:
            continue


def memory(process: int) -> int:
    """Bytes that a process and those below it hold alone, and share once."""
    total = 0
    try:
        for each in (main := psutil.Process(process), *main.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.Error:
        pass
    return total


def read_names(folder: Path) -> list[str]:
    """The names of all rows."""
    paths = sorted(folder.glob("part-*"))
    return [name for path in paths for name in pa.parquet.read_table(path, columns=["image"])["image"].to_pylist()]


if __name__ == "__main__":
    main()
