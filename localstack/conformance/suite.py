"""Registers checks and runs them one by one, each in an account of its own.

A check is a function decorated with `@check(ROW, GRADE, CLAIM, SOURCE)`: the row's id in the register of behaviours, the grade of the
evidence (- the emulator's own surface, D documented by AWS, S said by its support or a maintainer, O observed on AWS by others,
I inferred from long-lived clients, U our belief), what AWS does, and where that is written in a few words (the register refuses a check without): a page of AWS's reference,
an issue, a row of the reference. It gets a `Session` and fails by raising; it says nothing when it passes. Where the server under test
lacks what the check needs to look at AWS's behaviour at all, it is skipped (`Lacks`), never passed.
"""

import sys
import traceback

CHECKS = []


class Lacks(Exception):
    """The server under test has no such thing as the check works with."""


class Check:
    def __init__(self, row, grade, claim, source, function):
        self.row, self.grade, self.claim, self.source, self.function = row, grade, claim, source, function
        self.module = function.__module__.rpartition(".")[2]
        # The first words of the module's docstring.
        self.title = sys.modules[function.__module__].__doc__.partition(" (")[0].partition(".")[0]


def check(row, grade, claim, source=""):
    def register(function):
        assert all(row != other.row for other in CHECKS), f"two checks are called {row}"
        CHECKS.append(Check(row, grade, claim, source, function))
        return function

    return register


class Result:
    def __init__(self, quiet=False):
        self.quiet, self.passed, self.failures, self.skipped = quiet, 0, {}, {}

    @property
    def failed(self):
        return len(self.failures)

    def not_green(self):
        return self.failures.keys() | self.skipped.keys()

    def say(self, line):
        if not self.quiet:
            print(line, flush=True)

    def record(self, row, grade, claim, problem):
        """One line for each failed check; nothing for the others."""
        if problem is None:
            self.passed += 1
            return
        self.failures[row] = problem
        self.say(f"FAILED {row} [{grade}] {claim}: {problem}")

    def run(self, check, session, verbose):
        problem = None
        try:
            check.function(session)
        except Lacks as lacks:
            self.skipped[check.row] = str(lacks)
            return
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
