"""Times of enumerating, evaluating and predicting invariants.  Run: python -m benchmarks.mathematics"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from pigmm import evaluate, expectation, graphs, invariants, wick


def rows() -> list[tuple[str, float]]:
    """(label, seconds) of each piece; one-off costs are measured from empty caches, the rest is the best of a few."""
    out = []

    def once(label: str, work: Callable[[], object]) -> None:
        for module in (graphs, invariants, wick):
            for thing in vars(module).values():
                getattr(thing, "cache_clear", lambda: None)()
        start = time.perf_counter()
        work()
        out.append((label, time.perf_counter() - start))

    def best(label: str, work: Callable[[], object], repeats: int = 5) -> None:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        out.append((label, min(times)))

    once("enumerate degrees 1 to 4", lambda: [graphs.invariant_graphs(k) for k in (1, 2, 3, 4)])
    once("enumerate degree 5", lambda: graphs.invariant_graphs(5))
    chosen = graphs.invariant_graphs(3) + graphs.invariant_graphs(4)
    law = SimpleNamespace(parameters=np.array([0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1.0]) / 10, dim=10)
    once("table of 348 predictions, first call", lambda: expectation(chosen, law))
    expectation(chosen, law)
    best("348 predictions of one law", lambda: expectation(chosen, law), 50)
    best("Jacobian of 348 predictions", lambda: wick.jacobian(chosen, law), 50)
    many = np.tile(law.parameters, (1000, 1))
    best("348 predictions of 1000 laws", lambda: wick.predict(chosen, many, 10))
    paper = graphs.as_graphs(graphs.PAPER)
    for runs, dim in ((1000, 10), (1000, 40), (100, 160), (10, 640)):
        W = np.random.default_rng(0).normal(0, dim**-0.5, size=(runs, dim, dim))
        best(f"348 invariants of {runs} {dim}x{dim} matrices", lambda W=W: evaluate(chosen, W), 3)
        best(f"the paper's 52 of {runs} {dim}x{dim} matrices", lambda W=W: evaluate(paper, W), 3)
    return out


def main() -> None:
    for label, seconds in rows():
        print(f"{label:45s} {1e3 * seconds:10.3f} ms")


if __name__ == "__main__":
    main()
