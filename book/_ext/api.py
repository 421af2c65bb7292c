"""The reference, made from the docstrings.

A page under ``book/api`` names modules, ``.. api:: models``; every name in the ``__all__`` of such a module appears by
itself.  What ``pigmm`` offers directly stands under that shorter name, ``pigmm.expectation``, and both names can be
linked to.  Modules and names that only serve other modules are listed here, once; the tests see to it that each module
is either on exactly one page or in that list.  No inventory of another project is read: the build needs no network.
"""

import builtins
import importlib
import inspect
import re

from sphinx.ext.napoleon import Config, NumpyDocstring
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import pigmm

# Machinery of the trainers, of archives on disk, and of single chapters and pages.
INTERNAL = set("""
    archive_files atlas_page beyond_figures builder checkpoint_files chunks compact contest contraction decay
    decay_figures evidence evolution fast figures heldout_figures independence joint_cumulants kernel labelled
    labelled_rungs launching layout listing measured_cumulants misfits network neurons neurons_figures
    replacements report_figures report_layer report_pages report_words response rungs rungs_figures scaling
    scaling_figures sheets state_dicts storage streams style tables trajectories transplant transplant_figures
    transplant_study whole_networks width_effects workers
""".split())
# Names that modules share with each other, but which nobody else needs.
HELPERS = {
    "atlas": "Graph leaders scores shifts starts",
    "audit": "Audit correlations features matrix_features run_order same_law",
    "calibration": "table",
    "clusters": "trained_on_dask",
    "datasets": "require torchvision_datasets",
    "ensemble": "chosen_backend default_chunk split_runs",
    "existence": "refuse_growth",
    "gaussianity": "Confrontation bootstrap_z comparison_table confront",
    "graphs": "Edges as_graphs name_of pairs",
    "joint": "two_sided_moments",
    "laws": "BlockParameters matrix_root",
    "memory": "fit_memory",
    "mixtures": "log_density set_partitions",
    "orbits": "orbit_test_from_moments",
    "report": "LayerReport checked_output",
    "scoreboard": "in_order main unspoken",
    "shapes": "shaped squares",
    "symmetry": "CONTRAST_MATRIX randomised_contrasts symmetry_from_moments",
}
# Arguments that mean the same wherever they stand.
CONVENTIONS = {
    "W": "weight matrices, an array (R, M, N); `W[r, i, j]` is the weight from neuron j to neuron i in network r",
    "R": "number of matrices, that is of networks",
    "graph, graphs": "an invariant, or several: names such as `01.12`, or objects of class `InvariantGraph`",
    "law, p, q": "a Gaussian law: an object of one of the classes in `pigmm.models`",
    "shape": "(M, N), rows and columns of the matrices",
    "dim": "D, the side of square matrices",
    "archive, archives": "statistics of one trained ensemble, class `Archive`; several of them, by name or as a list",
    "config": "what an ensemble is, class `EnsembleConfig`",
    "epoch, epochs": "0 is initialisation; negative numbers count from the end",
    "layer": "0 joins the first two hidden layers; −1 is the input layer where it is allowed",
    "runs": "in questions to an archive: all networks (`all`), or those in which no layer died (`alive`)",
    "init": "how the weights start: `gaussian` or `uniform`",
    "alpha": "level of a test: the probability with which it rejects what is true",
    "seed": "a non-negative integer; the same seed gives the same random numbers",
    "progress": "whether to show a progress bar",
    "path": "a file, as text or as a `Path`",
    "exercise, answer, expected, rtol, atol, hint": "of the checks of exercises: as in `check_number`",
}
OUTSIDE = {"np", "numpy", "pd", "pandas", "matplotlib", "torch", "os", "dask", "distributed", "optional"}
OUTSIDE |= {"Figure", "Axes", "DataFrame", "array_like", "ndarray"}
NUMPYDOC = Config(
    napoleon_google_docstring=False, napoleon_use_param=False, napoleon_use_rtype=False,
    napoleon_custom_sections=[("Attributes", "params_style")],
)  # fmt: skip


def internal(module):
    """Whether a module only serves others; so do all that draw explorables."""
    return module in INTERNAL or module.startswith("explore_")


def shown(module):
    """The names of a module that its page shows."""
    names = importlib.import_module(f"pigmm.{module}").__all__
    return [name for name in names if name not in HELPERS.get(module, "").split()]


def public_name(module, name):
    """Where readers import it from: ``pigmm`` itself if it is there."""
    return f"pigmm.{name}" if pigmm._HOME.get(name) == module else f"pigmm.{module}.{name}"


def first_sentence(thing):
    """What stands in the first paragraph of a docstring, up to its first full stop or colon."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[a-z)’`.])[.:](?=\s|$)", text)[0].replace("|", r"\|").replace("*", r"\*")


class Api(SphinxDirective):
    """What one module offers."""

    required_arguments = 1

    def run(self):
        module = self.arguments[0]
        lines = [f".. automodule:: pigmm.{module}", ""]
        for name in shown(module):
            thing = getattr(importlib.import_module(f"pigmm.{module}"), name)
            kind = "class" if inspect.isclass(thing) else "function" if callable(thing) else "data"
            lines += [f".. auto{kind}:: {public_name(module, name)}"]
            if kind == "class":
                lines += ["   :members:", "   :member-order: bysource"]
                lines += ["   :show-inheritance:"] if thing.__base__.__module__.startswith("pigmm") else []
            if kind == "data":
                lines += ["   :no-value:"]
            lines += [""]
        return self.parse_text_to_nodes("\n".join(lines))


class Names(SphinxDirective):
    """What ``pigmm`` offers directly, one line each."""

    def run(self):
        lines = []
        for name in sorted(pigmm._HOME, key=str.lower):
            lines += [f":py:obj:`pigmm.{name}`", f"   {first_sentence(getattr(pigmm, name))}", ""]
        return self.parse_text_to_nodes("\n".join(lines))


class Conventions(SphinxDirective):
    """Arguments that mean the same everywhere."""

    def run(self):
        lines = []
        for names, meaning in CONVENTIONS.items():
            lines += [", ".join(f"``{n}``" for n in names.split(", ")), f"   {meaning.replace('`', '``')}", ""]
        return self.parse_text_to_nodes("\n".join(lines))


class Docstring(NumpyDocstring):
    """Types stay in the words of the docstring, and are no references."""

    def _format_field(self, _name, _type, _desc):
        name = f"**{_name}**" if _name else ""
        head = " : ".join(part for part in (name, _type) if part)
        first, *rest = _desc or [""]
        if first.startswith("- "):
            return [head, "", *_desc, ""]
        return [f"{head} — {first}" if first else head, *rest]


def read_docstring(app, what, name, thing, options, lines):
    """From plain numpydoc to what Sphinx reads; a ``|`` outside code or formulas is just that sign."""
    code = False
    for k, line in enumerate(lines):
        code = line.lstrip().startswith((">>>", ".. math::")) or (code and bool(line.strip()))
        if not code:
            pieces = re.split(r"(``.*?``|:math:`.*?`|`.*?`)", line)
            lines[k] = "".join(p if p.startswith(("`", ":math:")) else p.replace("|", r"\|") for p in pieces)
    lines[:] = Docstring("\n".join(lines), NUMPYDOC).lines()


def short_signature(app, what, name, thing, options, signature, returns):
    """Annotations as they are written, with short names, and not as they are evaluated."""
    function = thing.__init__ if inspect.isclass(thing) else getattr(thing, "__func__", thing)
    if signature is None or not callable(inspect.unwrap(function)):
        return None
    try:
        found = inspect.signature(inspect.unwrap(function))
    except (TypeError, ValueError):
        return None
    wanted = [p for p in found.parameters.values() if p.name not in ("self", "cls")]
    text = str(found.replace(parameters=wanted, return_annotation=found.empty)).replace("'", "§")
    text = re.sub(r": §([^§]*)§", r": \1", text).replace("§", "'")
    back = found.return_annotation
    return text, None if inspect.isclass(thing) or back is found.empty else str(back)


def resolve(app, env, node, contnode):
    """Names that Python knows but this reference does not show stay plain text; any other is a warning."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    domain = env.get_domain("py")
    places = {(e.docname, e.node_id): e for key, e in domain.objects.items() if f".{key}".endswith(f".{target}")}
    if len(places) == 1:
        (place,) = places.values()
        return make_refnode(app.builder, node["refdoc"], place.docname, place.node_id, contnode, target)
    return contnode if known(target) else None


def known(target):
    """Whether a name is one of Python's, of a package that we use, or of pigmm."""
    first, *rest = target.split(".")
    if first in OUTSIDE or hasattr(builtins, first):
        return True
    if first == "pigmm":
        thing = pigmm
        for part in rest:
            thing = getattr(thing, part, None)
        return thing is not None
    outside = ("typing", "types", "collections.abc", "pathlib", "numpy.typing")
    homes = [importlib.import_module(name) for name in outside]
    modules = [importlib.import_module(f"pigmm.{name}") for name in sorted(pigmm._MODULES - {"kernel", "fast"})]
    return any(hasattr(home, first) for home in homes + modules)


def configure(app, config):
    """Settings of Sphinx for these pages."""
    config.autodoc_inherit_docstrings = False  # what only repeats a base class is shown there
    config.autodoc_class_signature = "mixed"
    config.toc_object_entries_show_parents = "hide"
    config.copybutton_prompt_text, config.copybutton_prompt_is_regexp = r">>> |\.\.\. ", True


def setup(app):
    """Autodoc, which is a part of Sphinx, and three directives."""
    app.setup_extension("sphinx.ext.autodoc")
    app.add_css_file("api.css")
    app.add_directive("api", Api)
    app.add_directive("api-names", Names)
    app.add_directive("api-conventions", Conventions)
    app.connect("config-inited", configure)
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("autodoc-process-signature", short_signature)
    app.connect("missing-reference", resolve)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
