"""A folder with the page's modules and the scripts of this folder, and npm's packages beside them."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = Path(sys.prefix) / "web/node_modules"  # which `make test-web` installs


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("node"):
        pytest.skip("needs node: install Node.js")
    if not PACKAGES.is_dir():
        pytest.skip("needs packages of npm: make test-web installs them")
    folder = tmp_path_factory.mktemp("web")
    (folder / "node_modules").symlink_to(PACKAGES)
    shutil.copytree(ROOT / "example/web", folder / "page")
    (folder / "page/package.json").write_text('{"type": "module"}')  # for Node.js, which otherwise may not take .js for modules
    for path in (ROOT / "tests/web").glob("*.mjs"):
        shutil.copy(path, folder)
    return folder
