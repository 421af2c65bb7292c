"""The command line: ``pigmm train | report | reproduce | audit | transplant | run | calibrate | list | show``.

Whatever is wrong with an input is said in one line on standard error, with exit code 2; Ctrl-C ends with 130.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pigmm import __version__
from pigmm.errors import PigmmError, nearest

if TYPE_CHECKING:
    from pigmm.archive import Archive
    from pigmm.config import EnsembleConfig

__all__ = ["main"]

PARAMETERS = (
    "f1  mean of x1", "f2  mean of x2", "f3  cov x1 x1", "f4  cov x1 x2", "f5  cov x2 x2",
    "f6  T11 (columns)", "f7  T12", "f8  T13", "f9  T22 (rows)", "f10 T23", "f11 T33 (diagonal)",
    "f12 symmetric", "f13 antisymmetric",
)  # fmt: skip
HELP = {
    "dataset": "digits come with the package; others:",
    "hidden": "widths of the hidden layers, separated by commas",
    "init": "gaussian or uniform",
    "weight_decay": "L2 coefficient",
    "runs": "number of networks",
    "epochs": "passes over the training images",
    "batch_size": "images per step",
    "learning_rate": "step size of Adam",
    "seed": "seed of the whole ensemble",
    "first_run": "number of the first network, to continue an ensemble",
    "architecture": "mlp, recurrent or residual (the last two need equal widths, such as 10,10)",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : the words after ``pigmm``; those of this process when left out

    Examples
    --------
    >>> main(["show", "no-such-archive"])          # says on standard error what is allowed
    2
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        if sys.stdout is not None:  # closed, as in `pigmm list >&-`
            sys.stdout.flush()
    except KeyboardInterrupt as stop:
        print(": ".join(["pigmm: interrupted", *map(str, stop.args)]), file=sys.stderr)  # training says what is kept
        return 130
    except BrokenPipeError:  # the reader of our output left, as in `pigmm list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (PigmmError, OSError, MemoryError) as error:
        text = " ".join(str(error).split()) or "out of memory"
        print("pigmm:", text, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    from pigmm.config import DATASETS, EnsembleConfig

    words = {**HELP, "dataset": f"{HELP['dataset']} {', '.join(name for name in DATASETS if name != 'digits')}"}
    parser = argparse.ArgumentParser(prog="pigmm", description="Gaussian laws for ensembles of neural networks.")
    parser.add_argument("--version", action="version", version=f"pigmm {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    train = commands.add_parser("train", help="train an ensemble and write its archive")
    for name in HELP:
        value = getattr(EnsembleConfig(), name)
        shown = ",".join(map(str, value)) if name == "hidden" else value
        train.add_argument(
            "--" + name.replace("_", "-"), dest=name, metavar=name.upper(), default=value,
            type=_widths if name == "hidden" else type(value), help=f"{words[name]} (default: {shown})",
        )  # fmt: skip
    train.add_argument("--device", default="cpu", help="cpu, cuda, or several such as cuda:0,cuda:1 (default: cpu)")
    train.add_argument("--workers", type=int, help="processes (default: one for each core)")
    train.add_argument("--memory", help="budget for all processes together, such as 4GB (default: none)")
    train.add_argument("--backend", default="auto", help="auto, torch or compiled (default: auto)")
    train.add_argument("--chunk", type=int, help="networks trained together in one process")
    train.add_argument("--checkpoint-dir", metavar="FOLDER", help="keeps unfinished work (default: the cache folder)")
    train.add_argument("--wait", action="store_true", help="wait where another process trains the same ensemble")
    train.add_argument("--no-resume", action="store_true", help="train anew, even where finished parts are kept")
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    train.add_argument("--output", metavar="FILE.npz", help="where to write (default: named after the ensemble)")
    train.set_defaults(command=_train)

    reproduce = commands.add_parser("reproduce", help="train the published archives again, all or some")
    reproduce.add_argument("archives", nargs="*", metavar="archive", help="names, see pigmm list (default: all)")
    reproduce.add_argument("--folder", default="archives", help="where they go (default: archives)")
    reproduce.add_argument("--dry-run", action="store_true", help="only say how long it would take")
    reproduce.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    reproduce.add_argument("--workers", type=int, help="processes (default: one for each core)")
    reproduce.add_argument("--backend", default="auto", help="auto, torch or compiled (default: auto)")
    reproduce.add_argument("--memory", help="budget for all processes together, such as 4GB")
    reproduce.add_argument("--checkpoint-dir", metavar="FOLDER", help="keeps unfinished work (default: cache folder)")
    reproduce.add_argument("--quiet", action="store_true", help="no progress bar")
    reproduce.set_defaults(command=_reproduce)

    run = commands.add_parser("run", help="execute a notebook with parameters of your own")
    run.add_argument("notebook", help="name in the folder notebooks/, or path")
    run.add_argument("parameters", nargs="*", metavar="key=value", help="values of the notebook's parameters cell")
    run.add_argument("--output", metavar="FOLDER", default="runs", help="results go to FOLDER/<notebook>/<digest>/")
    run.add_argument("--quiet", action="store_true", help="no progress bar")
    run.set_defaults(command=_run)

    calibrate = commands.add_parser("calibrate", help="how often the tests reject, on ensembles of known laws")
    calibrate.add_argument("ensembles", nargs="*", metavar="ensemble", help="names, quoted (default: all)")
    calibrate.add_argument("--runs", type=int, nargs="+", default=[100, 1000], help="matrices in an ensemble, R")
    calibrate.add_argument("--repeats", type=int, default=400, help="ensembles of each kind (default: 400)")
    calibrate.add_argument("--dim", type=int, default=10, help="size of the matrices, D (default: 10)")
    calibrate.add_argument("--seed", type=int, default=0, help="seed of the study (default: 0)")
    calibrate.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    calibrate.add_argument("--output", metavar="FILE.json", help="kept after every cell, and continued if it exists")
    calibrate.add_argument("--quiet", action="store_true", help="no progress bar")
    calibrate.set_defaults(command=_calibrate)

    report = commands.add_parser("report", help="what can be said about weights of your own")
    report.add_argument("source", help="folder of checkpoints, 'pattern', NPZ or NPY file, or archive")
    report.add_argument("--layer", metavar="NAME", help="this layer alone (default: all matrices)")
    report.add_argument("--labelled", metavar="NAME", help="the layer whose rows carry names, such as classes")
    report.add_argument(
        "--against", metavar="SOURCE", help="other weights to compare with, or gaussian or uniform: a start"
    )
    report.add_argument("--alpha", type=float, default=0.05, help="level of the tests (default: 0.05)")
    report.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    report.add_argument("--output", metavar="FILE", help="write .html, .md, .json or .txt instead of printing")
    report.set_defaults(command=_report)

    audit = commands.add_parser("audit", help="are the runs of an archive independent and of one law?")
    audit.add_argument("archive", help="published name, or path of an archive")
    audit.set_defaults(command=_audit)

    transplant = commands.add_parser("transplant", help="sampled matrices in trained networks: the study of chapter 70")
    transplant.add_argument("archives", nargs="*", metavar="archive", help="(default: mnist-gaussian mnist-uniform)")
    transplant.add_argument("--output", default="transplant.json", metavar="FILE.json", help="results, by ensemble")
    transplant.add_argument("--folder", default="transplant", help="of finished parts (default: transplant)")
    transplant.add_argument("--workers", type=int, default=1, help="processes for training (default: 1)")
    transplant.add_argument("--quiet", action="store_true", help="no progress bar")
    transplant.set_defaults(command=_transplant)

    lists = commands.add_parser("list", help="the archives that come with the package")
    lists.set_defaults(command=_list)

    show = commands.add_parser("show", help="an archive's configuration, provenance and fitted parameters")
    show.add_argument("archive", help="published name, or path of an archive")
    show.set_defaults(command=_show)
    return parser


def _widths(text: str) -> tuple[int, ...]:
    return tuple(int(width) for width in text.split(","))


_widths.__name__ = "list of widths"  # argparse names the type when a value does not parse


def _train(options: argparse.Namespace) -> None:
    import pigmm

    config = pigmm.EnsembleConfig(**{name: getattr(options, name) for name in HELP})
    output = Path(options.output or f"{config.dataset}-{config.init}-{config.digest()}.npz")
    if output.suffix != ".npz" or not output.parent.is_dir():  # said now, not after hours
        raise PigmmError.of("--output", got=str(output), allowed="a file name ending in .npz in an existing folder")
    archive = pigmm.train(
        config, device=options.device, workers=options.workers, chunk=options.chunk,
        progress=not options.quiet, resume=not options.no_resume, checkpoint_dir=options.checkpoint_dir,
        output=output, backend=options.backend, memory=options.memory, wait=options.wait,
    )  # fmt: skip
    print(f"{output}: {_summary(archive.config)}; test accuracy {archive.accuracy.mean():.3f}")


def _run(options: argparse.Namespace) -> None:
    try:
        import papermill
    except ModuleNotFoundError as missing:
        raise PigmmError(f"run needs papermill ({missing}). Install it with: pip install 'pigmm[book]'") from None
    path = _notebook(options.notebook)
    try:
        known = papermill.inspect_notebook(str(path))
    except Exception as error:  # nbformat, jsonschema and json each have their own
        text = str(error).splitlines()[0][:200]
        raise PigmmError.of(str(path), got=text, allowed="a notebook with a Python kernel") from None
    given = _parameters(known, options.parameters)
    code = [cell.source for cell in papermill.iorw.load_notebook_node(str(path)).cells if cell.cell_type == "code"]
    key = json.dumps([__version__, code, given], sort_keys=True)
    folder = Path(options.output, path.stem, hashlib.sha256(key.encode()).hexdigest()[:16])
    folder.mkdir(parents=True, exist_ok=True)
    executed = folder / path.name
    # Where the notebook writes its results, provenance and figures; absolute, since its working folder is its own.
    os.environ["PIGMM_OUTPUT"] = str(folder.absolute())
    try:
        papermill.execute_notebook(
            str(path), str(executed), given, kernel_name="python3", progress_bar=not options.quiet
        )
    except papermill.PapermillExecutionError as error:
        where = f"{path.name}, cell {error.exec_count}"
        raise PigmmError(f"{where}: {error.ename}: {error.evalue} [see {executed}]") from None
    except Exception as error:  # a kernel that dies, a file that is no notebook: one line, not papermill's pages
        raise PigmmError(f"{path.name}: {type(error).__name__}: {str(error).splitlines()[0][:200]}") from None
    finally:
        del os.environ["PIGMM_OUTPUT"]
    print(folder)


def _calibrate(options: argparse.Namespace) -> None:
    from pigmm import calibration
    from pigmm.tables import require_pandas

    require_pandas()  # said now, not after the work
    result = calibration.study(
        options.ensembles or tuple(calibration.ENSEMBLES), options.runs, options.repeats, dim=options.dim,
        seed=options.seed, workers=options.workers, output=options.output, progress=not options.quiet,
    )  # fmt: skip
    print("share of ensembles in which a test rejects at 5 %, and the median published ratio")
    columns = {
        "13 z": "single |z|, 13", "5 z": "single |z|, 5", "13 family": "family, 348", "5 family": "family, 43",
        "symmetry exact": "symmetry", "13 ratio": "ratio",
    }  # fmt: skip
    print(calibration.table(result, columns).to_string(index=False))


def _notebook(name: str) -> Path:
    """The notebook meant by a name or a path."""
    folders = [Path("notebooks"), Path(__file__).parents[1] / "notebooks"]
    for path in [Path(name), Path(f"{name}.ipynb"), *(folder / f"{name}.ipynb" for folder in folders)]:
        if path.suffix == ".ipynb" and path.is_file():
            return path
    known = sorted({path.stem for folder in folders for path in folder.glob("*.ipynb")})
    allowed = ", ".join([*known, "the path of an .ipynb file"])
    raise PigmmError.of("notebook", got=name, allowed=allowed, fix=nearest(name, known) or None)


def _parameters(known: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Checked values of a notebook's parameters, as its parameters cell declares them."""
    given: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise PigmmError.of("parameter", got=assignment, allowed="key=value")
        if name not in known:
            allowed = ", ".join(known) or "none: the notebook has no parameters cell"
            raise PigmmError.of("parameter", got=name, allowed=allowed, fix=nearest(name, known) or None)
        given[name] = _value(name, text, known[name]["default"])
    return given


def _reproduce(options: argparse.Namespace) -> None:
    from pigmm.recipes import forecast, reproduce

    where = {"workers": options.workers, "device": options.device, "backend": options.backend}
    plan = forecast(options.archives, options.folder, **where)
    rows = [("archive", "networks", "runs", "epochs", "backend", "ms/run/epoch", "time left")]
    for item in plan:
        config = item.config
        cost, left = (f"{1e3 * item.run_epoch:.1f}", _duration(item.seconds)) if not item.done else ("", "done")
        rows.append((item.name, config.networks, str(config.runs), str(config.epochs), item.backend, cost, left))
    _print_table(rows)
    if not all(item.done for item in plan):
        print(f"all: {_duration(sum(item.seconds for item in plan))}, by what a few steps of each took just now")
    if options.dry_run:
        return
    for item in plan:
        if not item.done:
            print(f"{item.name}: {_summary(item.config)}", flush=True)
            extra = {"memory": options.memory, "checkpoint_dir": options.checkpoint_dir}
            [path] = reproduce(item.name, options.folder, progress=not options.quiet, **where, **extra)
            print(f"{path} is written", flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widest = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widest, strict=True)).rstrip())


def _value(name: str, text: str, default: str) -> Any:
    """The text as a value of the default's type."""
    with contextlib.suppress(ValueError, SyntaxError):
        kind = type(ast.literal_eval(default))
        if kind is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind in (int, float, str):
            return kind(text)
    raise PigmmError.of(name, got=text, allowed=f"a value like its default, {default}")


def _transplant(options: argparse.Namespace) -> None:
    from pigmm.shelf import published_config
    from pigmm.transplant_study import study

    configs = [published_config(name) for name in options.archives or ("mnist-gaussian", "mnist-uniform")]
    found = study(
        configs, workers=options.workers, folder=options.folder, output=options.output, progress=not options.quiet
    )
    print(f"{options.output}: {', '.join(found['ensembles'])}")


def _audit(options: argparse.Namespace) -> None:
    from pigmm.audit import audit
    from pigmm.shelf import load
    from pigmm.tables import require_pandas

    require_pandas()  # said now, not after the work
    report = audit(load(options.archive))
    print(report.table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    print(f"all of them: p = {report.pvalue:.3g} (Bonferroni)")


def _report(options: argparse.Namespace) -> None:
    from pigmm.report import checked_output, report

    output = checked_output(options.output) if options.output is not None else None  # said now, not after the work
    found = report(
        options.source, layer=options.layer, labelled=options.labelled, against=options.against, alpha=options.alpha,
        seed=options.seed,
    )  # fmt: skip
    if output is None:
        print(found.text(), end="")
        return
    found.write(output)
    layers, runs, warnings = len(found.layers), len(found.runs), len(found.warnings)
    print(f"{output}: layers {layers}, runs {runs}, warnings {warnings}")


def _list(options: argparse.Namespace) -> None:
    from pigmm.shelf import published, published_config

    rows = [("name", "dataset", "hidden", "runs", "epochs")]
    for name in published():
        config = published_config(name)
        widths = ",".join(map(str, config.hidden))
        rows.append((name, config.dataset, widths, str(config.runs), str(config.epochs)))
    _print_table(rows)


def _show(options: argparse.Namespace) -> None:
    import numpy as np

    from pigmm.shelf import load

    archive = load(options.archive)
    print(_summary(archive.config))
    provenance = {name: value for name, value in archive.provenance.items() if name != "config"}
    for title, values in [("configuration", archive.config.to_dict()), ("provenance", provenance)]:
        print(f"\n{title}")
        for name, value in values.items():
            print(f"  {name:<18} {value if isinstance(value, str) else json.dumps(value, default=str)}")
    lowest, middle, highest = np.quantile(archive.accuracy, [0, 0.5, 1])
    print(f"\ntest accuracy of the networks: lowest {lowest:.3f}, median {middle:.3f}, highest {highest:.3f}")
    for layer in range(len(archive.layers)):
        try:
            _print_fit(archive, layer)
        except PigmmError as error:  # two networks, or a layer of one neuron
            print(f"\nL{layer + 1}: no fit; {error}")


def _print_fit(archive: Archive, layer: int) -> None:
    rows, columns = archive.layers[layer]
    square = rows == columns >= 4
    model = archive.model(archive.epochs, layer) if square else archive.two_sided(archive.epochs, layer)
    errors = model.parameter_errors(archive.runs)
    print(f"\nL{layer + 1} ({rows} x {columns}) after epoch {archive.epochs}: parameter, standard error")
    names = PARAMETERS if square else ("m", "v00", "vr", "vc", "vrc")
    for name, value, error in zip(names, model.parameters, errors, strict=True):
        print(f"  {name:<18} {value: .6f}  {error:.6f}")


def _summary(config: EnsembleConfig) -> str:
    return f"{config.runs} {config.networks} on {config.dataset}, {config.init}, {config.epochs} epochs"


if __name__ == "__main__":
    sys.exit(main())
