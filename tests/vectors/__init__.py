"""
Recorded answers of the Rust crates, and how tests go through them: every case of a file is either checked or left out by
name, so that none is forgotten. See README.md for where they come from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

Case = dict[str, Any]
"""
One case as it stands in the file. It has a C{name} at least.
"""

HERE = Path(__file__).parent


def load(name: str) -> list[Case]:
    """
    @param name: Of the file, without suffix; C{live/...} for recorded sessions.

    @return: Its cases.
    """
    cases: list[Case] = json.loads((HERE / f"{name}.json").read_text("utf-8"))["cases"]
    return cases


def of_kind(name: str, kind: str) -> list[Case]:
    """
    @return: The cases of one kind of the file C{name}.
    """
    return [case for case in load(name) if case.get("kind") == kind]


def check_each(test: SynchronousTestCase, cases: Iterable[Case], check: Callable[[Case], object]) -> None:
    """
    Check all cases and tell all that fail, by name.

    @param check: Raises if a case is not as it should be.
    """
    failed = {}
    for case in cases:
        try:
            check(case)
        except Exception as error:
            failed[case["name"]] = f"{type(error).__name__}: {error}"
    test.assertEqual(failed, {})


def check_complete(
    test: SynchronousTestCase, cases: Iterable[Case], checked: Mapping[str | None, int], left_out: Mapping[str, str]
) -> None:
    """
    Check that nobody was forgotten: names are unique, and each kind is either checked, all of its cases, or left out.

    @param checked: How many cases there are of each kind that is checked (C{None}: of no kind).
    @param left_out: For each kind that is not, where it is looked at instead.
    """
    cases = list(cases)
    names = Counter(case["name"] for case in cases)
    test.assertEqual([name for name, count in names.items() if count > 1], [])
    counts = Counter(case.get("kind") for case in cases)
    test.assertEqual({kind: count for kind, count in counts.items() if kind not in left_out}, dict(checked))
    test.assertEqual([kind for kind in left_out if kind not in counts], [])


def check_differences(test: SynchronousTestCase, differences: Mapping[str, str], found: Iterable[str]) -> None:
    """
    Check and print where we differ from Rust on purpose.

    @param differences: Name of the case, and why.
    @param found: Names of the cases in which our verdict is another one.
    """
    for name, reason in differences.items():
        print(f"Unlike Rust: {name}: {reason}")  # noqa: T201  # who runs the tests is meant to see it
    test.assertEqual(sorted(found), sorted(differences))
