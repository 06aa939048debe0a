"""Model bundles that ship with the package, a folder each; MODEL_CARD.md in the folder says what one is and what it may be
used for.
"""

from pathlib import Path

DEFAULT = "wide-1"  # the model that is used unless another is asked for
OTHER_NAMES = {"default": DEFAULT, "open": "open-3"}  # names that stay when a better model takes another's place


def shipped_bundles() -> dict[str, Path]:
    """The folder of each bundle that ships, by name."""
    return {path.parent.name: path.parent for path in sorted(Path(__file__).parent.glob("*/manifest.json"))}
