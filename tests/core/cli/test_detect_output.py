"""What `detect` writes about the portrait stays the same, to the letter, on every instruction set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtcnn_gluon.operators.native import kernels

JSON = {
    "official": '{"image": "portrait.jpg", "width": 340, "height": 320, "faces": [{"box": [117.77, 58.44, 207.47, 171.17], '
    '"score": 0.999997, "landmarks": {"left_eye": [144.11, 100.98], "right_eye": [186.86, 104.19], "nose": [164.42, 128.49], '
    '"left_mouth": [140.99, 138.23], "right_mouth": [184.8, 140.99]}}]}\n',
    "gluon-4": '{"image": "portrait.jpg", "width": 340, "height": 320, "faces": [{"box": [117.81, 64.42, 207.59, 176.68], '
    '"score": 0.964767, "landmarks": {"left_eye": [143.85, 100.88], "right_eye": [185.44, 103.14], "nose": [164.61, 128.89], '
    '"left_mouth": [140.39, 138.14], "right_mouth": [185.62, 141.1]}}]}\n',
}
CSV_HEAD = (
    "image,frame,time,width,height,face,x1,y1,x2,y2,score,left_eye_x,left_eye_y,right_eye_x,right_eye_y,nose_x,nose_y,"
    "left_mouth_x,left_mouth_y,right_mouth_x,right_mouth_y,error\r\n"
)
CSV_ROW = {
    "official": "portrait.jpg,,,340,320,0,117.77,58.44,207.47,171.17,0.999997,144.11,100.98,186.86,104.19,164.42,128.49,"
    "140.99,138.23,184.8,140.99,\r\n",
    "gluon-4": "portrait.jpg,,,340,320,0,117.81,64.42,207.59,176.68,0.964767,143.85,100.88,185.44,103.14,164.61,128.89,"
    "140.39,138.14,185.62,141.1,\r\n",
}


@pytest.mark.skipif(kernels() is None, reason="needs the package's own kernels")
@pytest.mark.parametrize("instruction_set", ["baseline", "avx2", ""])
@pytest.mark.parametrize("model", ["official", "gluon-4"])
def test_json_and_csv_to_the_letter(model: str, instruction_set: str, tmp_path: Path) -> None:
    tables = {"json": tmp_path / "faces.jsonl", "csv": tmp_path / "faces.csv"}
    outputs = [word for name, path in tables.items() for word in (f"--{name}", str(path))]
    command = [sys.executable, "-m", "mtcnn_gluon", "detect", "portrait.jpg", "--engine", "native", "--model", model, *outputs]
    environment = {**os.environ, "MTCNN_GLUON_ISA": instruction_set}
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2], env=environment, timeout=120)
    assert tables["json"].read_bytes().decode() == JSON[model]
    assert tables["csv"].read_bytes().decode() == CSV_HEAD + CSV_ROW[model]
