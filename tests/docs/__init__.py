"""
The pages below C{docs/} say what is true.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
"""
The checkout, if the tests lie in one.
"""

WHY_NOT = (
    None if (ROOT / "docs").is_dir() and (ROOT / "README.md").is_file() else "These tests need a checkout around them."
)
"""
Why the pages cannot be read, or C{None}.
"""


def pages() -> list[Path]:
    """
    @return: Every page, the README first.
    """
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
