"""Bars as SVG that can be read on light and on dark pages."""

from xml.sax.saxutils import escape

WIDTH = 760
LABEL = 210
VALUE = 120
ROW = 22
BAR = 14
PANEL_GAP = 22
TOP = 54

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f; }
  .title { font-weight: 600; font-size: 15px; }
  .panel { font-weight: 600; }
  .note { font-size: 11px; fill: #57606a; }
  .bar { fill: #8c959f; }
  .own { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note { fill: #9198a1; }
    .bar { fill: #6e7681; }
    .own { fill: #4493f8; }
  }
"""


def bars(title, note, panels):
    """`panels`: pairs of a heading and rows of label, value, text beside the bar, is-ours."""
    parts = [text(0, 18, title, "title"), text(0, 36, note, "note")]
    y = TOP
    for heading, rows in panels:
        y += 14
        parts.append(text(0, y, heading, "panel"))
        y += 8
        longest = max(value for _, value, _, _ in rows)
        for label, value, beside, is_ours in rows:
            width = max(1.0, (WIDTH - LABEL - VALUE) * value / longest)
            kind = "bar own" if is_ours else "bar"
            parts.append(text(LABEL - 8, y + BAR - 2, label, anchor="end"))
            parts.append(f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>')
            parts.append(text(LABEL + width + 6, y + BAR - 2, beside))
            y += ROW
        y += PANEL_GAP - 8
    body = "\n  ".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">\n'
        f"  <title>{escape(title)}</title>\n  <style>{STYLE}  </style>\n  {body}\n</svg>\n"
    )


def text(x, y, words, kind="", anchor="start"):
    """One line of text."""
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
