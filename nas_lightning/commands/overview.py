"""What `--help` of a search says, without Hydra.

Hydra would compose the whole configuration, and copy it for every group, of which there are many.
"""

from __future__ import annotations

from string import Template

from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.configuration import CONF


def overview() -> str:
    """The text of `hydra.help` in conf/config.yaml, with every group and its options."""
    config = OmegaConf.load(CONF / "config.yaml")
    assert isinstance(config, DictConfig)
    return Template(config.hydra.help.template).substitute(APP_CONFIG_GROUPS=groups())


def groups() -> str:
    """A line for every group: its name, its options."""
    found: dict[str, list[str]] = {}
    for path in sorted(CONF.glob("*/**/*.yaml")):
        found.setdefault(path.parent.relative_to(CONF).as_posix(), []).append(path.stem)
    return "".join(
        f"{group}: {', '.join(sorted(options))}\n"
        for group, options in sorted(found.items())
        if not group.startswith("hydra/")
    )
