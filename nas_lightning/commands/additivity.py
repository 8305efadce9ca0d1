"""The command `python scripts/additivity.py`: how much of a table single decisions explain.

    python scripts/additivity.py                               the 128 recurrent cells
    python scripts/additivity.py experiment=nas_bench_201      the 15,625 cells of NAS-Bench-201
    python scripts/additivity.py experiment=table estimator.path=FILE.csv KEY=VALUE …

What they explain one by one a policy that does not remember can learn, too; the rest, of which
pairs are the first part, says whether conditioning a decision on those before it can pay at all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir

from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.make import make
from nas_lightning.commands.script import helped, in_one_line
from nas_lightning.errors import UserError


def explained(arguments: Sequence[str]) -> str:
    """What the decisions of a table's space explain, in words.

    Raises:
        UserError: If the table cannot be read, or some decisions close options of others.
    """
    from nas_lightning.analysis.additivity import additivity
    from nas_lightning.estimators.table_file import SHIPPED, read_table
    from nas_lightning.search_spaces.child import LOSS, PERPLEXITY

    chosen = [] if any(a.startswith("experiment=") for a in arguments) else ["experiment=table"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [*chosen, *arguments])
    given = cfg.estimator
    if "shipped" not in given:
        raise UserError("estimator: looks nothing up; choose experiment=table, or nas_bench_201")
    space = make(cfg, "search_space")
    path = SHIPPED[given.shipped] if given.path is None else Path(given.path).expanduser()
    objective = LOSS.name if given.objective == PERPLEXITY.name else given.objective
    try:
        file = read_table(path, space)
        column = file.column(objective, given.data_set, given.budget)
        values = file.means(column).double()
        found = additivity(column.metric.sign * values, space.num_choices)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"estimator: {str(error).splitlines()[0]}") from error
    best = float((column.metric.sign * values).max()) * column.metric.sign
    additive = found.best * column.metric.sign
    return "\n".join(
        [
            f"{column.named(with_data=True).label()} of all {len(values):,} architectures",
            f"main effects explain         {found.main:.2f} of its variance (R²)",
            f"with all pairs               {found.pairs:.2f}",
            f"the best by main effects     {additive:.4g}",
            f"the best                     {best:.4g}",
        ]
    )


def main() -> None:
    """The command `python scripts/additivity.py …`."""
    if not helped(str(__doc__)):
        in_one_line(lambda: print(explained(sys.argv[1:])))
