"""The command `python scripts/export.py RUN`: the network that was found, for other programs.

python scripts/export.py RUN                                    network.pt2, by torch.export
python scripts/export.py RUN format=onnx                        network.onnx
python scripts/export.py RUN format=code weights=shared         network.py, its weights beside it

Files for torch and ONNX hold a recurrent network as one time step, of any number of texts, from
`tokens (B, 1)` and `state (B, H)`. They are loaded again and compared with the network at once.
"""

from __future__ import annotations

import inspect
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from nas_lightning.api import load
from nas_lightning.commands.script import script
from nas_lightning.errors import UserError, require_one_of
from nas_lightning.files import whole_file, write, write_json
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    from torch import Tensor, nn

OPTIONS = {"run": "???", "format": "torch", "weights": "retrained", "to": None}

Example = tuple["Tensor", ...]
"""Inputs with which a network is traced, a batch of two."""

CLOSE = 1e-4
"""How far a number may be from the network's own, relative to the largest."""


def export(cfg: DictConfig) -> None:
    """Write the network of a run.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    try:
        require_one_of("format", cfg.format, tuple(FORMATS))
    except ValueError as error:
        raise UserError(str(error)) from None
    for library in ("onnx", "onnxscript") if cfg.format == "onnx" else ():
        if not find_spec(library):
            raise UserError(f"format=onnx: {library} is missing; pip install 'nas-lightning[onnx]'")
    run = load(str(cfg.run))
    network = run.network(cfg.weights)
    folder = Path(str(cfg.to)).expanduser() if cfg.to else run.folder / "export"
    folder.mkdir(parents=True, exist_ok=True)
    final = run.final if cfg.weights == "retrained" else None
    drawing = run.draw(final["actions"] if final else None)
    known = run.example(cfg.weights)
    for path in FORMATS[cfg.format](network, folder, drawing, known):
        print(f"written  {shown(path)}")


def as_program(network: nn.Module, folder: Path, drawing: str, known: Example | None) -> list[Path]:
    """Write `network.pt2`, which `torch.export.load` reads."""
    import torch

    inputs = inputs_of(network, "torch", known)
    path = folder / "network.pt2"
    with quiet():
        program = torch.export.export(network, inputs, dynamic_shapes=any_number(inputs))
        with whole_file(path) as file:
            torch.export.save(program, file)
        loaded = torch.export.load(path).module()
    compare(network, lambda *given: loaded(*given), inputs, path)
    return [path, *prepared(network, folder)]


def as_onnx(network: nn.Module, folder: Path, drawing: str, known: Example | None) -> list[Path]:
    """Write `network.onnx`; compared where onnxruntime is installed."""
    import torch

    inputs = inputs_of(network, "onnx", known)
    path = folder / "network.onnx"
    names = [*inspect.signature(network.forward).parameters][: len(inputs)]
    with quiet():
        torch.onnx.export(
            network,
            inputs,
            str(path),
            input_names=names,
            dynamic_shapes=any_number(inputs),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if find_spec("onnxruntime") is None:
        print("note: not compared with the network: onnxruntime is missing", file=sys.stderr)
        return [path, *prepared(network, folder)]
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def loaded(*given: Tensor) -> tuple[Tensor, ...]:
        fed = {name: x.numpy() for name, x in zip(names, given, strict=True)}
        return tuple(map(torch.from_numpy, session.run(None, fed)))

    compare(network, loaded, inputs, path)
    return [path, *prepared(network, folder)]


def as_code(network: nn.Module, folder: Path, drawing: str, known: Example | None) -> list[Path]:
    """Write `network.py`, which imports torch alone, and its weights, `network.pt`."""
    import torch

    arguments = getattr(network, "arguments", None)
    if arguments is None:
        raise UserError(
            f"format=code: {type(network).__name__} is not one of this package's networks; your "
            "own code is its code already, and format=torch writes its weights with it"
        )
    path, weights = folder / "network.py", folder / "network.pt"
    write(path, code_of(network, arguments, drawing))
    with whole_file(weights) as file:
        torch.save({"weights": network.state_dict(), "preparation": network.preparation}, file)
    return [path, weights]


FORMATS: dict[str, Callable[[nn.Module, Path, str, Example | None], list[Path]]] = {
    "torch": as_program,
    "onnx": as_onnx,
    "code": as_code,
}


def prepared(network: nn.Module, folder: Path) -> list[Path]:
    """Write how raw inputs become the network's, where it knows it: `preparation.json`."""
    preparation = getattr(network, "preparation", None)
    if not preparation:
        return []
    path = folder / "preparation.json"
    write_json(path, preparation)
    return [path]


def code_of(network: nn.Module, arguments: dict[str, Any], drawing: str) -> str:
    """The module that the network's class stands in, with the architecture below it."""
    source = inspect.getsource(sys.modules[type(network).__module__])
    _, _, body = re.split(r'"""', source, maxsplit=2)
    name = type(network).__name__
    given = "".join(f"        {key}={value!r},\n" for key, value in arguments.items())
    indented = drawing.replace("\n", "\n    ")
    head = (
        f'"""The network that a search has found, with its weights in network.pt.\n\n'
        "    from network import load\n\n    network = load()\n\n"
        f'The architecture:\n\n    {indented}\n"""'
    )
    return (
        f"{head}{body.rstrip()}\n\n\n"
        f'def load(weights: str | Path = Path(__file__).with_name("network.pt")) -> {name}:\n'
        '    """The network that was found, in evaluation mode."""\n'
        "    saved = torch.load(weights, weights_only=True)\n"
        f"    network = {name}(\n{given}    )\n"
        '    network.load_state_dict(saved["weights"])\n'
        '    network.prepare(**saved["preparation"])\n'
        "    return network.eval()\n"
    ).replace("\n\nimport torch\n", "\nfrom pathlib import Path\n\nimport torch\n", 1)


def inputs_of(network: nn.Module, format: str, known: Example | None) -> Example:
    """The inputs with which a network is traced: its own, or such as it was trained on.

    Raises:
        UserError: If it says none, and the run is too old to know them.
    """
    example = getattr(network, "example_inputs", None)
    inputs: Example | None = example() if callable(example) else known
    if inputs is None:
        raise UserError(
            f"format={format}: {type(network).__name__} does not say what its inputs are; give it "
            "a method example_inputs that returns a tuple of tensors, of a batch of two"
        )
    return inputs


def any_number(inputs: Iterable[Tensor]) -> tuple[dict[int, Any], ...]:
    """The batch of every input may be of any size."""
    import torch

    batch = torch.export.Dim("batch")
    return tuple({0: batch} for _ in inputs)


def compare(
    network: nn.Module,
    loaded: Callable[..., Any],
    inputs: Iterable[Tensor],
    path: Path,
) -> None:
    """Raise UserError if what was written does not give the network's numbers, on three inputs."""
    import torch

    generator = torch.Generator().manual_seed(0)
    given = [
        torch.rand(3, *x.shape[1:], generator=generator).to(x.dtype)  # of token ids the first
        for x in inputs
    ]
    with torch.no_grad():
        pairs = zip(*(_several(of(*given)) for of in (network, loaded)), strict=True)
        for own, other in pairs:
            if (own - other).abs().max() > CLOSE * own.abs().max():
                path.unlink()
                raise UserError(
                    f"{shown(path)}: does not give the numbers of the network, and was deleted; "
                    "take another format"
                )


def _several(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


@contextmanager
def quiet() -> Iterator[None]:
    """What torch says of its own parts while it traces is nothing that a user can mend."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def main() -> None:
    """The command `python scripts/export.py …`."""
    sys.argv[1:] = [a if re.match(r"-|\w+=", a) else f"run={a}" for a in sys.argv[1:]]
    script(export, OPTIONS)


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.export import main as imported

    imported()
