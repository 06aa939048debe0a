"""The digest of the C++ sources. `setup.py` runs this file before the package is installed, so it imports nothing of it."""

import hashlib
from pathlib import Path

SOURCES = Path(__file__).parent / "src"


def source_digest() -> str:
    """Changes with the C++ sources; `setup.py` compiles it into the library, which is refused beside other sources."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.h")) + sorted(SOURCES.glob("*.cc")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
