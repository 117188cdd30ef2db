"""
Read what trial printed: which tests were skipped, whether they may be, and how many passed.

    report.py check LOG WHEN...     complain about failures and about skips that .ci/skips does not allow here
    report.py count LOG             print "N passed, N failed, N skipped"
"""

import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

SUMMARY = re.compile(r"^(?:PASSED|FAILED)(?: \((.*)\))?$", re.MULTILINE)
RULE = "=" * 79


def counts(log: str) -> dict[str, int]:
    """
    @return: The numbers of trial's last summary, or nothing if there is none.
    """
    summaries = SUMMARY.findall(log)
    if not summaries:
        return {}
    pairs = (part.split("=") for part in summaries[-1].split(", ") if part)
    return {name: int(number) for name, number in pairs}


def skipped(log: str) -> list[tuple[str, str]]:
    """
    @return: Test id and reason of each skip.
    """
    found = []
    for section in log.split(RULE)[1:]:
        lines = section.split("\n-----")[0].strip().splitlines()
        if lines and lines[0] == "[SKIPPED]":
            ids = [line for line in lines if re.fullmatch(r"tests(\.\w+)+", line)]
            reason = " ".join(line for line in lines[1:] if line and line not in ids)
            found += [(test, reason) for test in ids]
    return found


def allowed(test: str, when: list[str]) -> bool:
    """
    @return: Whether a line of C{.ci/skips} allows this skip.
    """
    for line in Path(__file__).with_name("skips").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern, condition, _ = (part.strip() for part in line.split("|"))
            if fnmatchcase(test, pattern) and condition in ["always", *when]:
                return True
    return False


def check(log: str, when: list[str]) -> int:
    """
    @return: The exit code.
    """
    numbers = counts(log)
    wrong = []
    if not numbers:
        wrong.append("trial came to no end")
    if any(numbers.get(kind) for kind in ("failures", "errors", "unexpectedSuccesses")):
        wrong.append("tests failed")
    skips = skipped(log)
    if len(skips) != numbers.get("skips", 0):
        wrong.append(f"{numbers.get('skips', 0)} skips were counted, but {len(skips)} were told")
    wrong += [f"skipped, but not on the list: {test} ({reason})" for test, reason in skips if not allowed(test, when)]
    for sentence in wrong:
        print(f"  {sentence}")
    return 1 if wrong else 0


def count(log: str) -> int:
    """
    Print the last line of the run.
    """
    numbers = counts(log) or {"errors": 1}
    passed = numbers.get("successes", 0) + numbers.get("expectedFailures", 0)
    failed = sum(numbers.get(kind, 0) for kind in ("failures", "errors", "unexpectedSuccesses"))
    print(f"{passed} passed, {failed} failed, {numbers.get('skips', 0)} skipped")
    return 0


if __name__ == "__main__":
    path = Path(sys.argv[2])
    text = path.read_text("utf-8", "replace") if path.exists() else ""
    sys.exit(check(text, sys.argv[3:]) if sys.argv[1] == "check" else count(text))
