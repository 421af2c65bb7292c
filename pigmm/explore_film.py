"""Data of the explorable "training film": fitted parameters, misses, distance and accuracy at every epoch.

One file for each published archive, which the page loads when it is chosen, and one that lists them.  Numbers have
five significant digits, errors three.  The misses of the 348 cubic and quartic predictions, as z and as effect size,
are there to be drawn: :func:`pack` writes each pair in three characters, both to about one per cent.  What the page
counts or says about them is computed here, from the full numbers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import evolution
from .archive import Archive
from .config import EnsembleConfig
from .irreps import Array
from .layout import archived_graphs, featured_layers
from .shelf import load, published, published_config

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BEYOND", "film", "files", "pack", "title", "unpack"]

ALPHABET = "".join(chr(code) for code in range(32, 127) if chr(code) not in '"\\<')
"""The 92 characters that a script needs not escape."""
Z_LEVELS, EFFECT_LEVELS = 440, 881  # (2·440 + 1)·(881 + 1) pairs fit into 92³
EFFECT_UNIT = 1e-3  # effect sizes far above it are rounded on a logarithmic scale
BEYOND = 3.0  # standard errors from which on a miss is counted
DATASETS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR-10", "digits": "digits"}


def files() -> dict[str, str]:
    """Names and texts of the scripts: the list ``data-film.js``, and ``film-NAME.js`` for each published archive."""
    texts, listed = {}, []
    for name in published():
        config = published_config(name)
        if featured_layers(config):
            file, data = f"film-{name}.js", film(load(name))
            listed.append({"name": name, "title": title(config), "file": file})
            texts[file] = f"pigmmExplore.data.film.films[{json.dumps(name)}]={_script(data)};\n"
    predicted = [graph for graph in archived_graphs() if graph.degree > 2]
    index = {
        "archives": listed, "names": [graph.name for graph in predicted], "beyond": BEYOND, "films": {},
        "cubic": sum(graph.degree == 3 for graph in predicted),
        "packing": {"alphabet": ALPHABET, "zLevels": Z_LEVELS, "effectLevels": EFFECT_LEVELS, "unit": EFFECT_UNIT},
    }  # fmt: skip
    return {"data-film.js": f"pigmmExplore.data.film={_script(index)};\n"} | texts


def title(config: EnsembleConfig) -> str:
    """An ensemble in a few words.

    Examples
    --------
    >>> title(published_config("mnist-uniform-l2")), title(published_config("mnist-width-160"))
    ('MNIST, uniform start, weight decay', 'MNIST, Gaussian start, two hidden layers of 160')
    """
    words = [DATASETS[config.dataset], f"{config.init.replace('gaussian', 'Gaussian')} start"]
    if config.weight_decay:
        words.append("weight decay")
    if config.architecture != "mlp":
        words.append(f"{config.architecture} network")
    elif len(config.hidden) == 2:
        words.append(f"two hidden layers of {config.hidden[0]}")
    return ", ".join(words)


def film(archive: Archive) -> dict[str, Any]:
    """All that the page shows of one archive; lists over epochs start at epoch 0."""
    config = archive.template
    parameters, distances, training = map(
        _by_layer, (evolution.parameters(archive), evolution.distances(archive), evolution.training(archive))
    )
    featured = featured_layers(config)
    return {
        "runs": archive.runs, "epochs": archive.epochs,
        "layers": [
            _layer(archive, layer, parameters[evolution.layer_name(layer)], distances[evolution.layer_name(layer)])
            for layer in featured
        ],
        "leftOut": [
            {"name": evolution.layer_name(layer), "shape": list(shape)}
            for layer, shape in enumerate(archive.layers) if layer not in featured
        ],
        "accuracy": {key: _round(training[""][f"accuracy_{key}"], 5) for key in ("low", "median", "high")},
    }  # fmt: skip


def _layer(archive: Archive, layer: int, parameters: pd.DataFrame, distances: pd.DataFrame) -> dict[str, Any]:
    """``f``, ``e``: value and standard error of each parameter; ``w``, ``we``: the squared distance; then the misses.

    ``beyond`` counts |z| above three and ``effect`` has the median effect size, each for the cubic and the quartic
    ones; ``lead`` is the invariant with the largest |z|: its place, z, effect size, mean measured, its error, and
    predicted.
    """
    tables = [archive.comparison(epoch, layer) for epoch in range(archive.epochs + 1)]
    tables = [table[table["degree"] > 2].reset_index(drop=True) for table in tables]
    degrees = [[table[table["degree"] == degree] for degree in (3, 4)] for table in tables]
    tops = [1.0001 * max(table[column].abs().max() for table in tables) for column in ("z", "ratio")]
    z_top, effect_top = (float(f"{top:.6g}") for top in tops)
    fitted = [parameters[parameters["parameter"] == f"f{k}"] for k in range(1, 14)]
    return {
        "name": evolution.layer_name(layer), "shape": list(archive.layers[layer]),
        "paired": archive.template.architecture != "mlp" and layer < len(archive.layers) - 1,
        "start": _round(evolution.initial_law(archive, layer).to_diagonal().parameters, 5),
        "f": [_round(part["value"], 5) for part in fitted], "e": [_round(part["se"], 3) for part in fitted],
        "w": _round(distances["w2_squared"], 5), "we": _round(distances["se"], 3),
        "floor": _round(distances["floor"], 3)[0],
        "beyond": [[int((part["z"].abs() > BEYOND).sum()) for part in parts] for parts in degrees],
        "effect": [_round([part["ratio"].median() for part in parts], 4) for parts in degrees],
        "lead": [_leader(table) for table in tables],
        "top": [z_top, effect_top], "dots": [pack(table["z"], table["ratio"], z_top, effect_top) for table in tables],
    }  # fmt: skip


def _by_layer(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(layer): part for layer, part in table.groupby("layer")} if "layer" in table else {"": table}


def _leader(table: pd.DataFrame) -> list[float]:
    place = int(table["z"].abs().to_numpy().argmax())
    row = table.iloc[place]
    numbers = zip((row["z"], row["ratio"], row["measured"], row["se"], row["predicted"]), (5, 4, 5, 3, 5), strict=True)
    return [place, *(_round([x], digits)[0] for x, digits in numbers)]


def _round(values: ArrayLike, digits: int) -> list[float]:
    return [float(f"{x:.{digits}g}") for x in np.asarray(values, dtype=np.float64)]


def _script(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def pack(z: ArrayLike, effect: ArrayLike, z_top: float, effect_top: float) -> str:
    """Pairs of z and effect size as text, three characters each.

    Both are rounded on scales that end at ``z_top`` and ``effect_top``; a rounded z stays on its side of ±3.

    Examples
    --------
    >>> text = pack([-12.0, 0.0, 2.999], [0.3, 0.0, 0.01], 20.0, 1.0)
    >>> len(text), [part.round(2).tolist() for part in unpack(text, 20.0, 1.0)]
    (9, [[-11.98, 0.0, 2.98], [0.3, 0.0, 0.01]])
    """
    z, effect = np.asarray(z, dtype=np.float64), np.asarray(effect, dtype=np.float64)
    level = np.rint(np.arcsinh(z) / np.arcsinh(z_top) * Z_LEVELS).astype(int)
    beyond = np.abs(np.sinh(level / Z_LEVELS * np.arcsinh(z_top))) > BEYOND
    level += np.sign(level) * (np.where(np.abs(z) > BEYOND, 1, 0) - beyond)
    size = np.rint(np.arcsinh(effect / EFFECT_UNIT) / np.arcsinh(effect_top / EFFECT_UNIT) * EFFECT_LEVELS).astype(int)
    code = (level + Z_LEVELS) * (EFFECT_LEVELS + 1) + size
    base = len(ALPHABET)
    return "".join(ALPHABET[c // base**2] + ALPHABET[c // base % base] + ALPHABET[c % base] for c in code.tolist())


def unpack(text: str, z_top: float, effect_top: float) -> tuple[Array, Array]:
    """z and effect sizes from the text of :func:`pack`, as the page reads it."""
    digits = np.array([ALPHABET.index(character) for character in text]).reshape(-1, 3)
    level, size = np.divmod(digits @ [len(ALPHABET) ** 2, len(ALPHABET), 1], EFFECT_LEVELS + 1)
    effect = EFFECT_UNIT * np.sinh(size / EFFECT_LEVELS * np.arcsinh(effect_top / EFFECT_UNIT))
    return np.sinh((level - Z_LEVELS) / Z_LEVELS * np.arcsinh(z_top)), effect
