"""The three nets as MXNet Gluon `HybridBlock`s: `PNet`, `RNet`, `ONet`. Importing one of them imports MXNet."""

from typing import Any

_MODULES = {"PNet": "pnet", "RNet": "rnet", "ONet": "onet", "CascadeNet": "blocks", "FaceProbability": "blocks"}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
