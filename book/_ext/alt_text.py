"""Every figure of the book carries a description.

A code cell gives it with its output, ``display(SVG(...), metadata={"image/svg+xml": {"alt": "..."}})``. The renderer of
notebook cells keeps only width and height of that metadata; here the description reaches the page too, whether the cell
was run just now or comes from the execution cache. An image without one is a warning, which fails the build.
"""

from myst_nb.core.render import NbElementRenderer

_render_image = NbElementRenderer.render_image


def render_image(self, data):
    """The image nodes of one output, with their description."""
    options = self.renderer.get_cell_level_config("render_image_options", data.cell_metadata, line=data.line)
    alt = str(data.output_metadata.get(data.mime_type, {}).get("alt") or options.get("alt") or "").strip()
    images = _render_image(self, data)
    for image in images:
        image["alt"] = alt
        if data.mime_type == "image/svg+xml":
            # Our drawings are transparent with mid-grey ink: the theme must not put white paper behind them.
            image["classes"].append("dark-light")
    if not alt:
        cell = "" if data.cell_index is None else f" of cell {data.cell_index + 1}"
        self.logger.warning(f"{data.mime_type} output{cell} has no alt text", subtype="alt", line=data.line)
    return images


def setup(app):
    """Put the renderer above in place of the stock one."""
    NbElementRenderer.render_image = render_image
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
