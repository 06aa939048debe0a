"""Imports point one way, functions stay short, and `import mtcnn_gluon` loads no framework."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Iterator

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"core": "mtcnn_gluon", **{name: f"mtcnn_gluon.{name}" for name in ("symbol", "prepare_data", "model")}}
ROOMS = [  # from the bottom up: a room may import those before it, and itself
    ["root", "model"],
    ["io"],
    ["records", "operators", "bundles"],
    ["symbol"],
    ["engines"],
    ["detection"],
    ["mtcnn_gluon"],  # the public names
    ["prepare_data", "export", "compat", "bulk"],
    ["training", "ray"],
    ["evaluation"],
    ["pipeline"],
    ["bench", "serving", "launching"],
    ["cli"],
    ["scripts"],
]
RANKS = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}
LONGEST = 60  # lines of a function
FRAMEWORKS = (
    "mxnet", "onnxruntime", "openvino", "onnx", "matplotlib", "scipy", "yaml", "gluoncv", "skimage", "torch", "pyarrow", "ray",
    "fsspec",
)  # fmt: skip


def trees() -> dict[str, ast.Module]:
    """The syntax tree of every module by name; a folder's `__init__` has the folder's name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join([package, *path.relative_to(ROOT / folder).with_suffix("").parts])
            found[name.removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
    return found


MODULES = trees()


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree, but those that only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")):
            yield node
            yield from nodes(node)


def imported(tree: ast.Module) -> set[str]:
    """Modules of the package that a module imports, wherever in it. A name from a module that is none means that module."""
    names = set()
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names.update(name if name in MODULES else str(node.module) for name in inner)
    return names & set(MODULES)


def room(module: str) -> str:
    """The room of a module: its folder, or `root` for what lies beside the folders."""
    parts = module.split(".")
    if module == "mtcnn_gluon.__main__" or parts[-1].startswith("gen_"):
        return "scripts"
    return parts[0] if len(parts) == 1 else parts[1] if parts[1] in RANKS else "root"


IMPORTS = {module: imported(tree) for module, tree in MODULES.items()}


def test_every_folder_is_a_room() -> None:
    folders = {module.split(".")[1] for module in MODULES if module.count(".") > 1}
    assert folders <= set(RANKS), "which rooms may the new one import? say so in ROOMS"


def test_imports_point_one_way() -> None:
    wrong = []
    for module, names in IMPORTS.items():
        for name in sorted(names):
            own, other = room(module), room(name)
            if own != other and RANKS[own] <= RANKS[other]:
                wrong.append(f"{module} -> {name}")
    assert not wrong, "these imports point up or aside, see ROOMS:\n" + "\n".join(wrong)


def test_modules_do_not_import_one_another() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def test_test_files_have_different_names() -> None:
    """A process that a test starts would import the other file of its name."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert [name for name in set(names) if names.count(name) > 1] == []


def test_functions_are_short() -> None:
    long = [
        f"{module}.{node.name}: {length} lines"
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST
    ]
    assert not long, f"functions of more than {LONGEST} lines:\n" + "\n".join(long)


def test_the_package_loads_no_framework() -> None:
    code = f"import sys, mtcnn_gluon; print(*(name for name in {FRAMEWORKS} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip(), f"import mtcnn_gluon loads {done.stdout.strip()}"
