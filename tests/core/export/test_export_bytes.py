"""The files of bundles stay what they are, byte for byte: digests that were taken once."""

from pathlib import Path

import pytest

from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import Bundle, sha256
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.bundles.trained import as_trained
from mtcnn_gluon.export.bundle_files import export_bundle, make_bundle

pytest.importorskip("onnx")

SYMBOLS = {
    "pnet-symbol.json": "2c273a7b1bfce4de842d279fdb3869282febac95eb716dfbffe47735f3cf30a9",
    "rnet-symbol.json": "0e22b83826df8a0e9f8f375c2c9fcd0ad20e6db639c1325b69e9cf7564256922",
    "onet-symbol.json": "3b32415fde24723638403eaaaf39f726e8ed54b2fc47992d21466f066a553469",
}
EXPORTED = {
    "official": {
        **SYMBOLS,
        "pnet-0000.params": "27f15a0737bee986fb87efa586ef0584bf75ba94c257116fe754d7a0059eb0cf",
        "rnet-0000.params": "701c46d10ea5fcd81fcf372627bcff71e6a4101e2c9bd91d3ecfaed492548312",
        "onet-0000.params": "dc10f95119a784ba64a86c515c604aed12ba4d1372cb7a8beff4fcb736f41222",
        "pnet.onnx": "6c507065c8f5d953e8e77bcd656d7d1283e816b46e14ad2a96a1bb376bd81b02",
        "rnet.onnx": "262bccfa5cb820c441db022cf0d33f4402fb88fe9f4788a3c2f5ae7f0fa01ae9",
        "onet.onnx": "2a2d46a66004bad0832a076e9608a1054999eeb50244f57dd569357f9fe6d297",
        "mtcnn.onnx": "84064c7e11a53923ae367a4a958f6c57ff8c6ea2cbb961ad75b1bad6105dca63",
        "manifest.json": "9525ee8e05be15d2cfc182c8da2db62a5326e38ac8b63a310ecf109c4b0c2049",
    },
    "gluon-4": {
        **SYMBOLS,
        "pnet-0000.params": "a5eb3182d46b737b6e78966d13fd3a6aaed50e4a7bdfbbb79e08a6c8b7b3abd0",
        "rnet-0000.params": "72533e01190387076db01081a0b6bdf5fbcf8167278ffd6d73b1e7718dd48849",
        "onet-0000.params": "a6ada18e3773cb0df778373537b747d5f59e43a80115b026d5ed430b748076f5",
        "pnet.onnx": "b541d2294e5c5dd8057900160f5937affd9b1bd87be6f18d4e8b0724f4fc618d",
        "rnet.onnx": "2fa190633db9c5408eca2a94a137b6a08c5f9a5eba90dd729d1018e288715e29",
        "onet.onnx": "998b886d2a0c7216e4aae341f5f03bdea35b70719af95a5761ec9a2765ad885a",
        "mtcnn.onnx": "8300778bef422f9ed6c24edb6d2df361a54b8378c29da7903d9cc22adb0d85f9",
        "manifest.json": "902e09a2e6ab50470fc1764097f909d43315106f8a97ed5854e66640164c071a",
    },
}
MADE = {
    "pnet-0000.params": "27f15a0737bee986fb87efa586ef0584bf75ba94c257116fe754d7a0059eb0cf",
    "rnet-0000.params": "285b17d59ca6ec02f7c44d1073944b1c931ad11da5aa23c05dda7bcbd800c726",
    "onet-0000.params": "ca71c2388b3400d306f279d7de822a69fd1cc0514d5ffc260c839e5483f524ea",
    "mtcnn.onnx": "a722f0e2929ccf66e6547eb21fe32835708cc8fa4ad3ec5b81d20cbc680f99bf",
    "manifest.json": "1768c3fbba12b2ea9061bc79130887bc785d9477ee198df24e3c6f5abc091c43",
}


def digests(bundle: Bundle) -> dict[str, str]:
    return {path.name: sha256(path) for path in bundle.path.iterdir()}


@pytest.mark.parametrize("model", EXPORTED)
def test_export(tmp_path: Path, model: str) -> None:
    assert digests(export_bundle(find_bundle(model), tmp_path / "x", ("symbol", "onnx", "onefile"))) == EXPORTED[model]


def test_a_bundle_with_untrained_nets(tmp_path: Path) -> None:
    """Random parameters, other heads and the other box convention."""
    pnet = as_trained(bundle_parameters(find_bundle("official")))["pnet"]
    made = make_bundle(tmp_path / "x", {"pnet": pnet}, "name", "data", "licence", formats=("params", "onefile"), min_face=30)
    assert digests(made) == MADE
