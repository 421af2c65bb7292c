"""All benchmarks in one run, so that their times can be compared: ``make bench`` or ``python -m benchmarks``."""

from benchmarks import mathematics, training


def main() -> None:
    """Print a line for each piece of work, with its wall time."""
    for module in (mathematics, training):
        print(f"\n{(module.__doc__ or '').splitlines()[0]}")
        for label, seconds in module.rows():
            print(f"{label:<78s} {1e3 * seconds:>12.3f} ms", flush=True)


if __name__ == "__main__":
    main()
