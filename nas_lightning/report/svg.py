"""Pictures as part of the page's own text: they take its colours, dark or light, and no network."""

from __future__ import annotations

import base64
import csv
import io
import re
from pathlib import Path

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from nas_lightning.report.charts import Chart


def inline(figure: Figure, *, name: str, alt: str) -> Markup:
    """A figure as an `svg` element whose black is the colour of the text around it.

    Args:
        figure: What was drawn; colours other than black stay as they are.
        name: Unique in the page; it keeps the names within several figures apart.
        alt: What a reader who cannot see it has to know.
    """
    buffer = io.StringIO()
    # Text stays text, in the page's font; and the same data gives the same bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nas-lightning"}):
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    text = buffer.getvalue()
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'id="marks-(\d+)"', r'data-marks="\1"', body)
    body = re.sub(r'id="', f'id="{name}-', body)
    body = body.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    body = _shorter(body.replace("#000000", "currentColor"))
    box = re.search(r'viewBox="([^"]+)"', body)
    assert box is not None
    width = float(box[1].split()[2])
    inside = body[body.index(">") + 1 :]
    return Markup(f"{_opening(box[1], width, alt)}{_numbers(figure)}{inside}")


def _numbers(figure: Figure) -> Markup:
    """The numbers of a figure as CSV within it, for who points at it or saves them."""
    if not isinstance(figure, Chart):
        return Markup()
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(figure.head)
    table.writerows([f"{v:.6g}" if isinstance(v, float) else v for v in r] for r in figure.rows)
    return Markup("<metadata>{}</metadata>").format(lines.getvalue())


def _shorter(svg: str) -> str:
    """The same picture without indents, a list of fonts at every text, and names nobody uses."""
    svg = re.sub(r"\s*\n\s*", " ", svg).replace("> <", "><")
    svg = re.sub(r"font-family: [^;\"]*; ", "", svg)
    used = {name for pair in re.findall(r'"#([^"]+)"|url\(#([^)]+)\)', svg) for name in pair}
    svg = re.sub(r' id="([^"]+)"', lambda name: name[0] if name[1] in used else "", svg)
    return re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)


def picture(path: Path, *, alt: str) -> Markup:
    """A PNG as an `img` element that holds its own data."""
    data = base64.b64encode(path.read_bytes()).decode()
    return Markup(f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}">')


def canvas(width: float, height: float, alt: str, inside: Markup) -> Markup:
    """An `svg` element around what is drawn by hand, one unit a pixel."""
    box = f"0 0 {width:g} {height:g}"
    return Markup(f"{_opening(box, width, alt)}{inside}</svg>")


def _opening(box: str, width: float, alt: str) -> str:
    return (
        f'<svg viewBox="{box}" role="img" aria-label="{escape(alt)}" fill="currentColor" '
        f'style="max-width:{1.6 * width:.0f}px">'
    )
