"""Code out of the documentation's pages, so that tests can run it."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def code_blocks(page: str) -> dict[str, str]:
    """The Python blocks of a page that have a title, by it. page: path below docs/."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return dict(re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', text, re.M | re.S))
