"""All benchmarks in one run, so that their times can be compared: ``make bench`` or ``python -m benchmarks``."""

from benchmarks import mathematics, training


def main() -> None:
    """The mathematics with its wall times, then training beside the plain ways of doing it."""
    for module in (mathematics, training):
        print(f"\n{(module.__doc__ or '').splitlines()[0]}", flush=True)
        module.main()


if __name__ == "__main__":
    main()
