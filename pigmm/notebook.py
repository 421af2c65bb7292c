"""What the notebooks share: checked parameters, the right archive for them, and results written beside figures.

A notebook has one ``parameters`` cell of plain values; 0, -1 or "" mean "as in the profile".  The next cell calls
:func:`settings`, which refuses unknown injected names (papermill alone only warns), and :func:`ensembles`, which loads
the published archive when the configuration is a published one and otherwise trains, caching by the configuration's
digest.  It always says which of the two happened.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from .archive import Archive
from .claims import CLAIMS, Claim
from .config import INITS, EnsembleConfig
from .errors import PigmmError, nearest
from .shelf import load, published, published_config
from .storage import write_whole

__all__ = [
    "PROFILES", "Settings", "collection", "ensemble", "ensembles", "finish", "open_archive", "provenance_lines",
    "settings", "tell",
]  # fmt: skip

PROFILES = {
    "paper": "the published MNIST archives",
    "laptop": {"dataset": "mnist", "runs": 100, "epochs": 5},
    "class": {"dataset": "digits", "runs": 100, "epochs": 10},
}
"""Named sets of defaults; ``paper`` is whatever the published archive of the scheme was trained with."""

FIELDS = (
    "profile", "dataset", "init", "runs", "epochs", "batch_size", "learning_rate", "weight_decay", "seed", "workers",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The checked parameters of a notebook: one configuration per initialisation scheme, and the extras.

    Examples
    --------
    >>> chosen = settings({"profile": "class", "init": "uniform", "runs": 20, "epochs": 2})
    >>> chosen.profile, list(chosen.configs), chosen.extras
    ('class', ['uniform'], {})
    """

    profile: str
    configs: dict[str, EnsembleConfig]
    workers: int | None
    extras: dict[str, Any]


def settings(namespace: Mapping[str, Any], extras: Iterable[str] = ()) -> Settings:
    """Read and check the parameters of a notebook from its ``globals()``.

    Parameters
    ----------
    namespace : mapping
        The notebook's ``globals()``; must hold ``profile`` and may hold the other names of ``FIELDS``.
    extras : names
        Parameters of this notebook alone, returned unchanged in ``Settings.extras``.

    Raises
    ------
    PigmmError
        For a name injected by papermill that the notebook does not have, an unknown profile or scheme, or a value
        that :class:`pigmm.EnsembleConfig` refuses.

    Examples
    --------
    >>> chosen = settings({"profile": "class", "init": "uniform", "runs": 20, "epochs": 0})
    >>> chosen.configs["uniform"].runs, chosen.configs["uniform"].epochs
    (20, 10)
    """
    extras = tuple(extras)
    known = [name for name in FIELDS if name in namespace] + list(extras)
    for name in _injected(namespace):
        if name not in known:
            raise PigmmError.of(
                "parameter", got=name, allowed=", ".join(known), fix=nearest(name, known) or None
            )
    profile = namespace.get("profile", "paper")
    if profile not in PROFILES:
        fix = nearest(profile, PROFILES) or None
        raise PigmmError.of("profile", got=profile, allowed=", ".join(PROFILES), fix=fix)
    init = namespace.get("init", "both") or "both"
    if init not in (*INITS, "both"):
        raise PigmmError.of(
            "init", got=init, allowed=", ".join((*INITS, "both")), fix=nearest(init, (*INITS, "both")) or None
        )
    configs = {}
    for scheme in INITS if init == "both" else (init,):
        base = _base(profile, scheme)
        given: dict[str, Any] = {}
        for name, unset in (("dataset", ""), ("runs", 0), ("epochs", 0), ("batch_size", 0), ("learning_rate", 0.0)):
            if name in namespace and namespace[name] != unset:
                given[name] = namespace[name]
        for name in ("seed", "weight_decay"):
            if name in namespace and not (name == "seed" and namespace[name] == -1):
                given[name] = namespace[name]
        configs[scheme] = replace(base, **given)
    workers = namespace.get("workers", 0)
    return Settings(profile, configs, workers or None, {name: namespace[name] for name in extras})


def _base(profile: str, scheme: str) -> EnsembleConfig:
    defaults = PROFILES[profile]
    if isinstance(defaults, dict):
        return EnsembleConfig.from_dict({**defaults, "init": scheme})
    return published_config(f"mnist-{scheme}")


def _injected(namespace: Mapping[str, Any]) -> list[str]:
    """Names assigned in papermill's injected cell, read from IPython's history."""
    names = []
    for source in namespace.get("In", ()):
        if re.match(r"# Parameters\s*\n", source):
            for node in ast.parse(source).body:
                if isinstance(node, ast.Assign):
                    names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


def ensembles(chosen: Settings) -> dict[str, Archive]:
    """The archive of each scheme of the ``chosen`` settings, published or trained now, announced in one line each.

    Examples
    --------
    >>> archives = ensembles(settings({"profile": "paper", "init": "uniform"}))
    uniform start: published archive mnist-uniform
    ...
    >>> list(archives)
    ['uniform']
    """
    archives = {}
    for scheme, config in chosen.configs.items():
        archives[scheme] = open_archive(config, workers=chosen.workers)
    return archives


def collection(chosen: Settings, configs: Mapping[str, EnsembleConfig]) -> dict[str, Archive]:
    """Several archives by label, such as "width 40": each published, or trained with the chosen number of workers.

    ``configs`` maps labels to configurations; ``chosen`` is what :func:`settings` gave.

    Examples
    --------
    >>> from pigmm import load
    >>> archives = collection(settings({"profile": "paper"}), {"on digits": load("digits").config})
    on digits: published archive digits
    ...
    """
    return {label: open_archive(config, workers=chosen.workers, label=label) for label, config in configs.items()}


def ensemble(namespace: Mapping[str, Any], extras: Iterable[str] = ()) -> Archive:
    """The one archive that a notebook's parameters describe; with ``init`` left at "both", the Gaussian one.

    ``namespace`` and ``extras`` as in :func:`settings`.

    Examples
    --------
    >>> ensemble({"profile": "paper", "init": "uniform"}).config.init
    uniform start: published archive mnist-uniform
    ...
    'uniform'
    """
    chosen = settings(namespace, extras)
    return open_archive(next(iter(chosen.configs.values())), workers=chosen.workers)


def open_archive(
    config: EnsembleConfig, *, workers: int | None = None, announce: bool = True, label: str = ""
) -> Archive:
    """The published archive with exactly this configuration, else one from the cache, else train it and cache it.

    Parameters
    ----------
    config : EnsembleConfig
    workers : int, optional
        Processes, if it must be trained: see :func:`pigmm.train`.
    announce : bool
        Whether to print which of the three it was, after ``label``.
    label : str

    Examples
    --------
    >>> from pigmm import load
    >>> open_archive(load("digits").config, announce=False).runs
    200
    """
    for name in published():
        if published_config(name) == config:
            archive, source = load(name), f"published archive {name}"
            break
    else:
        from .datasets import cache_folder

        path = cache_folder() / "archives" / f"{config.digest()}.npz"
        cached = _cached(path, config)
        if cached is not None:
            archive, source = cached, "trained earlier on this machine"
        else:
            from .ensemble import train

            archive, source = train(config, workers=workers, output=path), "trained just now"
    if announce:
        print(f"{label or f'{config.init} start'}: {source}\n  {provenance_lines(archive)}")
    return archive


def _cached(path: Path, config: EnsembleConfig) -> Archive | None:
    """An archive trained earlier by this version of the package, if it is there and whole."""
    from . import __version__

    try:
        archive = Archive.load(path)
    except PigmmError:
        return None
    same = archive.config == config and archive.provenance.get("package_version") == __version__
    return archive if same else None


def provenance_lines(archive: Archive) -> str:
    """Three short lines that say what an archive holds and where it comes from.

    Examples
    --------
    >>> from pigmm import load
    >>> provenance_lines(load("digits")).split(",")[0]
    '200 networks 64-10-10-10-10 on digits'
    """
    c, p = archive.config, archive.provenance
    return "\n  ".join([
        f"{archive.runs} {c.networks} on {c.dataset}, {archive.epochs} epochs",
        f"seed {c.seed}, weight decay {c.weight_decay:g}, {archive.alive.sum()} of {archive.runs} alive at the end",
        f"trained {str(p.get('date', 'at an unknown date'))[:10]} with pigmm {p.get('package_version', '?')}",
    ])  # fmt: skip


def tell(claims: Iterable[Claim]) -> None:
    """Display what was found about each of ``claims``: the claim, the numbers, the verdict and the check behind it.

    Examples
    --------
    >>> from pigmm.claims import Claim
    >>> tell([Claim("c", "It rises in every epoch.", "reproduced", True, "no epoch falls")])
    <IPython.core.display.Markdown object>
    """
    from IPython.display import Markdown, display

    for claim in claims:
        name = f"Claim ({claim.key}). " if len(claim.key) == 1 else ""
        seen = "it holds" if claim.holds else "**it fails in this run**"
        numbers = "".join(f"<li>{escape(measure.text)}</li>" for measure in (*claim.effect, *claim.test))
        folded = f"<details><summary>the numbers</summary><ul>{numbers}</ul></details>" if numbers else ""
        display(Markdown(
            f"**{name}{CLAIMS[claim.key]}** {claim.found} Verdict: **{claim.verdict}**. "
            f"(The check: {claim.check}; {seen}.)\n\n{folded}"
        ))  # fmt: skip


def finish(
    results: Mapping[str, Any], archives: Mapping[str, Archive], *, chapter: str = "", claims: Iterable[Claim] = ()
) -> None:
    """Write ``results.json`` and ``provenance.json``.

    They go into the folder named by PIGMM_OUTPUT, if it is set (``pigmm run`` does); and into a folder named after the
    chapter in the one named by PIGMM_RESULTS, if that is set (the book's build does; its scoreboard reads them there).

    Parameters
    ----------
    results : numbers, by name; may be nested
    archives : the ensembles they come from, by label
    chapter : name of the notebook, without its ending
    claims : what was found about the paper's claims

    Examples
    --------
    >>> from pigmm import load
    >>> finish({"largest z": 3.2}, {"digits": load("digits")})       # nothing is written where no folder is named
    """
    folders = []
    if output := os.environ.get("PIGMM_OUTPUT"):
        folders.append(Path(output))
    if chapter and (shared := os.environ.get("PIGMM_RESULTS")):
        folders.append(Path(shared) / chapter)
    found = {**results, "chapter": chapter, "claims": [claim.to_dict() for claim in claims]}
    sources = {
        name: {"config": archive.config.to_dict(), "provenance": archive.provenance}
        for name, archive in archives.items()
    }
    for folder in folders:
        for name, content in (("results", found), ("provenance", sources)):
            text = json.dumps(content, indent=1, sort_keys=True, default=float) + "\n"
            write_whole(folder / f"{name}.json", text.encode())
