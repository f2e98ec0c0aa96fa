"""Registers checks and runs them one by one, each in an account of its own.

A check is a function decorated with `@check(ROW, GRADE, CLAIM)`: the row's id in the register of behaviours, the grade of the
evidence (- the emulator's own surface, D documented by AWS, S said by its support or a maintainer, O observed on AWS by others,
I inferred from long-lived clients, U our belief) and what AWS does. It gets a `Session` and fails by raising; it says nothing
when it passes.
"""

import traceback

CHECKS = []


class Check:
    def __init__(self, row, grade, claim, function):
        self.row, self.grade, self.claim, self.function = row, grade, claim, function


def check(row, grade, claim):
    def register(function):
        assert all(row != other.row for other in CHECKS), f"two checks are called {row}"
        CHECKS.append(Check(row, grade, claim, function))
        return function

    return register


class Result:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def record(self, row, grade, claim, problem):
        """One line for each failed check; nothing for the others."""
        if problem is None:
            self.passed += 1
            return
        self.failed += 1
        print(f"FAILED {row} [{grade}] {claim}: {problem}", flush=True)

    def run(self, check, session, verbose):
        problem = None
        try:
            check.function(session)
        except AssertionError as error:
            problem = str(error) or where(error)
        except Exception as error:  # whatever a client raises is the check's outcome, not the end of the suite
            problem = f"{type(error).__name__}: {error} {where(error)}"
        self.record(check.row, check.grade, check.claim, problem)
        if verbose and problem is None:
            print(f"passed {check.row} [{check.grade}] {check.claim}", flush=True)


def where(error):
    """The line of the check that raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/checks/" in frame.filename]
    return f"(line {frames[-1].lineno}: {frames[-1].line})" if frames else ""


def same(got, wanted, what):
    assert got == wanted, f"{what}: got {got!r}, wanted {wanted!r}"
