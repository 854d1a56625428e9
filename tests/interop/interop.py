#!/usr/bin/env python3
"""Interoperation with real phones and proxies, each case on ports and in a folder of its own.

Prints one line a case and, at the end, `N passed, N failed`. Exit code 0 when all passed. Names of
cases run these alone; INTEROP_AT_ONCE (2) says how many run beside each other.
"""

import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed

import agents
import carriers
import keys
import parties
import secure
import wideband
from rig import Case

CASES = [*agents.CASES, *wideband.CASES, *secure.CASES, *parties.CASES, *keys.CASES,
         *carriers.CASES]
AT_ONCE = int(os.environ.get("INTEROP_AT_ONCE", "2"))


def attempt(run):
    """Runs a case; gives whether it passed, and what to print of it."""
    begun = time.monotonic()
    case = Case(run.__name__)
    try:
        said = run(case)
    except Exception:
        trace = traceback.format_exc()
        case.end(keep=True)
        return False, f"FAILED {run.__name__}\n{trace}\n{case.logs()}"
    case.end(keep=False)
    return True, f"ok     {run.__name__} ({time.monotonic() - begun:.0f} s): {said}"


def main():
    wanted = sys.argv[1:]
    cases = [run for run in CASES if not wanted or run.__name__ in wanted]
    unknown = set(wanted) - {run.__name__ for run in cases}
    if unknown:
        sys.exit(f"no such case: {', '.join(sorted(unknown))}")
    passed = failed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in as_completed([pool.submit(attempt, run) for run in cases]):
            good, text = done.result()
            passed, failed = passed + good, failed + (not good)
            print(text, flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
