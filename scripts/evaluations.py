"""It is called `scripts/sample_efficiency.py` now, and says so."""

from nas_lightning.__main__ import refuse
from nas_lightning.commands.script import in_one_line

if __name__ == "__main__":
    in_one_line(lambda: refuse("evaluations"))
