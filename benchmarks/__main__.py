"""All benchmarks in one run, so that their times can be compared: ``make bench`` or ``python -m benchmarks``."""

import subprocess
import sys


def main() -> None:
    """The mathematics with its wall times, then training beside the plain ways of doing it.

    Each is a process of its own: a child's peak memory starts from that of its parent.
    """
    for name in ("mathematics", "training"):
        print(f"\n{name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
