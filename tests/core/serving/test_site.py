"""What the browser page is made of: every address that its files name exists, and the models are those that can be used."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import write_bundle
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.model import DEFAULT, shipped_bundles
from mtcnn_gluon.serving import site
from mtcnn_gluon.serving.runtime import DIGESTS
from mtcnn_gluon.serving.server import TYPES
from mtcnn_gluon.serving.site import Site, make_site, page_folder

SOURCES = Path(__file__).parents[3] / "example/web"
MENTIONED = re.compile(r"""(?:from|import|href|src|Worker|fetched)[=( ]+["'](?:\./)?([\w./-]+\.\w+)["']""")


def content(made: Site, name: str) -> bytes:
    held = made[name]
    return held.read_bytes() if isinstance(held, Path) else held


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Site:
    runtime = tmp_path_factory.mktemp("runtime")
    for name in DIGESTS:
        (runtime / name).write_text(name)
    return make_site(runtime)


def test_the_page_is_that_of_the_sources(made: Site) -> None:
    names = {path.name for path in SOURCES.iterdir()}
    assert names == {name for name in made if "/" not in name}
    assert all(content(made, name) == (SOURCES / name).read_bytes() for name in names)


def test_every_file_that_the_page_names_is_there(made: Site) -> None:
    named = {name: MENTIONED.findall(content(made, name).decode()) for name in made if "/" not in name}
    assert {"style.css", "main.js", "icon.svg"} == set(named["index.html"])
    assert {"cascade.js", "runtime/ort.wasm.bundle.min.mjs", "models/index.json"} <= set(named["worker.js"])
    assert not {each for names in named.values() for each in names} - set(made)
    assert {Path(name).suffix for name in made} <= {*TYPES, ".onnx"}


def test_the_page_names_no_other_machine(made: Site) -> None:
    for name in made:
        if "/" not in name:
            assert "://" not in content(made, name).decode().replace("http://www.w3.org/2000/svg", "")


def test_models(made: Site) -> None:
    manifests = json.loads(content(made, "models/index.json"))
    assert [each["name"] for each in manifests] == [DEFAULT, *(name for name in shipped_bundles() if name != DEFAULT)]
    for number, manifest in enumerate(manifests):
        bundle = find_bundle(manifest["name"])
        assert {**manifest, "figures": bundle.manifest["figures"]} == bundle.manifest
        for net in ("pnet", "rnet", "onet"):
            assert content(made, f"models/{number}/{net}.onnx") == bundle.file(f"{net}.onnx").read_bytes()


@pytest.mark.parametrize("more, count", [([], 0), (["gluon-4", "default"], 0), (["own"], 1)])
def test_more_models(tmp_path: Path, more: list[str], count: int) -> None:
    source = find_bundle("gluon-4")
    about: dict[str, Any] = {key: value for key, value in source.manifest.items() if key not in ("schema", "files")}

    def write(draft: Path) -> None:
        for net in ("pnet", "rnet", "onet"):
            (draft / f"{net}.onnx").write_bytes(source.file(f"{net}.onnx").read_bytes())

    own = str(write_bundle(tmp_path / "own", {**about, "name": "mine"}, write).path)
    made = make_site(tmp_path, [own if name == "own" else name for name in more])
    names = [each["name"] for each in json.loads(content(made, "models/index.json"))]
    assert len(names) == len(shipped_bundles()) + count and ("mine" in names) == bool(count)


def test_a_model_without_onnx_files_is_named(tmp_path: Path) -> None:
    source = find_bundle("gluon-4")
    about = {key: value for key, value in source.manifest.items() if key not in ("schema", "files")}

    def write(draft: Path) -> None:
        for net in ("pnet", "rnet", "onet"):
            (draft / f"{net}-0000.params").write_bytes(source.file(f"{net}-0000.params").read_bytes())

    own = write_bundle(tmp_path / "own", about, write)
    with pytest.raises(ModelError, match=r"own: the bundle has no pnet\.onnx"):
        make_site(tmp_path, [str(own.path)])


def test_an_installation_without_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (page_folder() / "index.html").is_file()
    monkeypatch.setattr(site, "PAGE", "mtcnn_gluon.no_such_folder")
    with pytest.raises(ModelError, match="page are missing: install mtcnn-gluon again"):
        page_folder()
