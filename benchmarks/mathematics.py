"""Times of enumerating, evaluating and predicting invariants.  Run: python -m benchmarks.mathematics [--degree-6]"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np

from pigmm import TwoSidedGaussian, contraction, cumulants, evaluate, expectation, graphs, invariants, wick

ALONE = """
import resource, time
from pigmm import *
from pigmm import cumulants, wick
square, oblong = SimpleGaussian(0.1, 0.1, 10).to_diagonal(), TwoSidedGaussian([0.1, 0.2, 0.3, 0.4, 0.5], (10, 784))
up_to = lambda list_of, k: sum((list_of(n) for n in range(1, k + 1)), ())
graphs = {graphs}
start = time.perf_counter()
{work}
first = time.perf_counter()
{work}
again = time.perf_counter()
print(first - start, again - first, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def rows() -> list[tuple[str, float]]:
    """(label, seconds) of each piece; one-off costs are measured from empty caches, the rest is the best of a few."""
    out = []

    def once(label: str, work: Callable[[], object]) -> None:
        for module in (graphs, invariants, contraction, cumulants, wick):
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
    rectangular = graphs.bipartite_graphs(3) + graphs.bipartite_graphs(4)
    two_sided = TwoSidedGaussian([0.1, 0.2, 0.3, 0.4, 0.5], (10, 784))
    once("table of 43 two-sided predictions, first call", lambda: expectation(rectangular, two_sided))
    best("43 predictions of one two-sided law", lambda: expectation(rectangular, two_sided), 50)
    paper = graphs.as_graphs(graphs.PAPER)
    for runs, dim in ((1000, 10), (1000, 40), (100, 160), (10, 640)):
        W = np.random.default_rng(0).normal(0, dim**-0.5, size=(runs, dim, dim))
        best(f"348 invariants of {runs} {dim}x{dim} matrices", lambda W=W: evaluate(chosen, W), 3)
        best(f"the paper's 52 of {runs} {dim}x{dim} matrices", lambda W=W: evaluate(paper, W), 3)
    W = np.random.default_rng(0).normal(0, 784**-0.5, size=(200, 10, 784))
    best("43 bipartite invariants of 200 10x784 matrices", lambda: evaluate(rectangular, W), 3)
    return out


def large(degree_6: bool) -> list[tuple[str, float, float, float]]:
    """(label, seconds of the first call, of the second, peak memory in MB), each piece in a process of its own."""
    predict, both = "expectation(graphs, {law})", "cumulants.covariance(graphs, {law})"
    pieces = [
        ("bipartite_graphs(5)", "predict 91 bipartite, degree 5", predict, "oblong"),
        ("bipartite_graphs(6)", "predict 298 bipartite, degree 6", predict, "oblong"),
        ("invariant_graphs(5)", "predict 1,724 of degree 5", predict, "square"),
        ("up_to(invariant_graphs, 4)", "connected cumulants of 361", "cumulants.cumulant(graphs, {law})", "square"),
        ("up_to(bipartite_graphs, 4)", "covariance of 48 bipartite", both, "oblong"),
        ("up_to(invariant_graphs, 2)", "covariance of 13", both, "square"),
        ("up_to(invariant_graphs, 3)", "covariance of 65", both, "square"),
    ]
    if degree_6:
        pieces.append(("invariant_graphs(6)", "predict 11,060 of degree 6", predict, "square"))
    out = []
    for chosen, label, work, law in pieces:
        code = ALONE.format(graphs=chosen, work=work.format(law=law))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        first, again, memory = map(float, done.stdout.split())
        out.append((label, first, again, memory))
    return out


def main(arguments: Sequence[str] = ()) -> None:
    """Prints both tables; ``--degree-6`` adds the one row that takes half a minute and gigabytes."""
    print(f"{'in a process of its own':34s} {'first call':>11s} {'then':>12s} {'peak':>9s}")
    for label, first, again, memory in large("--degree-6" in arguments):  # first: children inherit a parent's peak
        print(f"{label:34s} {first:9.2f} s {1e3 * again:9.2f} ms {memory:6.0f} MB", flush=True)
    print()
    for label, seconds in rows():
        print(f"{label:48s} {1e3 * seconds:10.3f} ms")


if __name__ == "__main__":
    main(sys.argv[1:])
