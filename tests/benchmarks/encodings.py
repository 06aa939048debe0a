"""What each way to store O-Net's crops costs: bytes, decoding time, and accuracy of the official O-Net on them.

    python tests/benchmarks/encodings.py RECORDS [RECORDS ...]

RECORDS are records of O-Net stored raw, such as `onet/validation/mined/positive`, `.../negative` and
`.../landmarks/landmark`. Crops are encoded, decoded, and shown to the net. Printed are bytes a crop; crops decoded a second, in
one thread; recall of positive crops above the threshold that 1 % of the negative raw ones exceed; the mean distance of
landmarks from where they are, in sides of the crop; and by how much scores differ from those of the raw crops, on average.
"""

import argparse
import time

import numpy as np

from mtcnn_gluon import Detector
from mtcnn_gluon.records.crop_files import decode_crops, encode_crops
from mtcnn_gluon.records.files import Reader
from mtcnn_gluon.records.info import Encoding
from mtcnn_gluon.records.samples import Kind, Samples

WAYS: list[tuple[Encoding, int]] = [
    ("raw", 0), ("png", 0), ("jpeg", 98), ("jpeg", 95), ("jpeg", 90), ("webp", 95), ("webp", 90), ("webp", 80)
]  # fmt: skip


def main() -> None:
    """Compare all ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="+")
    parser.add_argument("--count", type=int, default=4000, help="samples of each record at most (4000)")
    options = parser.parse_args()
    readers = [Reader(path) for path in options.records]
    chosen = [np.linspace(0, len(reader) - 1, min(len(reader), options.count)).astype(int) for reader in readers]
    samples = Samples.concatenate([reader[rows] for reader, rows in zip(readers, chosen)])
    engine = Detector("official").engine
    print("| stored as | bytes a crop | decoded a second | recall at 1 % | landmark error | scores differ |")
    print("|---|---|---|---|---|---|")
    raw: np.ndarray | None = None
    for encoding, quality in WAYS:
        crops, size, rate = stored(samples.crops, encoding, quality)
        scores, landmarks = look(engine, crops)
        raw = scores if raw is None else raw
        threshold = np.quantile(raw[samples.kinds == Kind.NEGATIVE], 0.99)
        recall = (scores[samples.kinds == Kind.POSITIVE] > threshold).mean()
        known = samples.has_landmarks
        error = np.linalg.norm(landmarks[known] - samples.landmarks[known], axis=2).mean()
        name = encoding if not quality else f"{encoding} {quality}"
        print(f"| {name} | {size:,.0f} | {rate:,.0f} | {recall:.4f} | {error:.5f} | {np.abs(scores - raw).mean():.5f} |")


def stored(crops: np.ndarray, encoding: Encoding, quality: int) -> tuple[np.ndarray, float, float]:
    """Crops as they come back, bytes a crop, and crops decoded a second."""
    if encoding == "raw":
        start = time.perf_counter()
        copies = crops.copy()
        return copies, crops[0].nbytes, len(crops) / (time.perf_counter() - start)
    files = [np.frombuffer(file, np.uint8) for file in encode_crops(crops, encoding, quality or 95)]
    start = time.perf_counter()
    decoded, _ = decode_crops(files, crops.shape[1], threads=1)
    return decoded, sum(map(len, files)) / len(files), len(crops) / (time.perf_counter() - start)


def look(engine: object, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N,) and landmarks (N, 5, 2) in 0..1 of the crops."""
    inputs = (crops.transpose(0, 3, 1, 2).astype(np.float32) - np.float32(127.5)) / np.float32(128)
    scores, _, landmarks = engine.onet(np.ascontiguousarray(inputs))  # type: ignore[attr-defined]
    return scores, landmarks.reshape(-1, 5, 2)


if __name__ == "__main__":
    main()
