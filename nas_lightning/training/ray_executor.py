"""Children on Ray: on this machine, or on every machine of a cluster."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import torch

from nas_lightning.errors import Remedy, UserError, require_number
from nas_lightning.training.child_training import ChildResult
from nas_lightning.training.executors import ChildJob, Executor, Group, attempt

try:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
except ImportError as error:
    raise UserError("Ray is not installed; pip install 'nas-lightning[ray]'") from error

LONGEST_SOCKET = 107
"""Bytes in the name of a socket on Linux."""

SOCKET = "/ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""How Ray goes on from its temporary folder, at its longest."""


class RayExecutor(Executor):
    """One Ray task for each group of children.

    Args:
        address: A running cluster, `auto` or `host:port`; None starts one on this machine.
        cpus: CPUs that a task reserves, also its threads.
        gpus: GPUs that a task reserves, and trains its children on; may be a fraction.
        child_timeout: Seconds that a group of children may take; None for no limit.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    died = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError)

    def __init__(
        self, *, address: str | None, cpus: float, gpus: float, child_timeout: float | None
    ) -> None:
        super().__init__(child_timeout=child_timeout)
        require_number("cpus", cpus, above=0)
        require_number("gpus", gpus, at_least=0)
        self.address = address
        self.cpus = cpus
        self.gpus = gpus
        self._job: Any = None
        self._task: Any = None
        self._needed: Sequence[str] = ()
        if address is None:
            refuse_long_folder()
        elif address != "auto":
            probe(str(address))

    def submit(self, job: ChildJob, group: Group) -> Future[list[ChildResult]]:
        """Give a group to the cluster; see the base class."""
        if self._job is None:
            self._connect()
            self._job = ray.put(job)
            # Once: its code goes to the head, and one that has gone would be waited for.
            remote = ray.remote(max_retries=0, num_cpus=self.cpus, num_gpus=self.gpus)
            self._task = remote(_train)
        threads = max(1, int(self.cpus))
        future: Future[list[ChildResult]] = Future()
        self._task.remote(self._job, group, threads, self.child_timeout).future().add_done_callback(
            lambda done: _hand_over(done, future)
        )
        return future

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._job is not None:
            ray.shutdown()
            self._job, self._needed = None, ()

    def _connect(self) -> None:
        terminate, state = signal.getsignal(signal.SIGTERM), random.getstate()
        try:
            ray.init(
                # Without an address Ray would first look for the cluster started last, and for
                # minutes wait for one that was killed.
                address=self.address or "local",
                include_dashboard=False if self.address is None else None,
                configure_logging=False,
                log_to_driver=False,
            )
        except ConnectionError as error:
            raise UserError(
                f"address={self.address}: no running Ray cluster found that lets us in; start one "
                "with `ray start --head`; if it asks for a token, set RAY_AUTH_MODE=token",
                Remedy.ANOTHER_CLUSTER,
            ) from error
        # Ray's own handler would kill this process before it has put an end to its workers.
        signal.signal(signal.SIGTERM, terminate or signal.SIG_DFL)
        random.setstate(state)  # Ray draws from the global generator, which belongs to the user
        self._refuse_too_much()
        self._needed = needed_of(self.address)

    def lost(self) -> str | None:
        """Whether the cluster's head, or Ray on this machine, has gone; see the base class.

        Ray would try for a minute to find it again, and then end this process without a word of
        how to go on.
        """
        for address in self._needed:
            if not answers(address):
                return (
                    f"nothing answers at {address} any more, where Ray was; finished "
                    "children are kept: see that Ray runs, and repeat the command"
                )
        return None

    def _refuse_too_much(self) -> None:
        """Raise UserError if no machine has what a child reserves; Ray would wait for ever."""
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        machines = [node["Resources"] for node in nodes if node["Alive"]]
        for name, asked in (("cpus", self.cpus), ("gpus", self.gpus)):
            most = max(machine.get(name[:-1].upper(), 0) for machine in machines)
            if asked > most:
                ray.shutdown()
                raise UserError(
                    f"{name}={asked}: no machine of the Ray cluster has so many; the largest has "
                    f"{most:g}",
                    Remedy.LESS_A_CHILD,
                )


def refuse_long_folder() -> None:
    """Raise UserError if the sockets of a Ray started here would have longer names than may be."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    if name is None:
        return
    folder = os.environ[name]
    room = LONGEST_SOCKET - len(SOCKET)
    if len(os.fsencode(folder)) > room:
        raise UserError(
            f"{name}={folder}: too long for Ray, whose sockets lie below it; at most {room} bytes "
            "are allowed: set RAY_TMPDIR to a short one, such as RAY_TMPDIR=/tmp"
        )


def probe(address: str) -> None:
    """Check that something listens at `host:port`; Ray itself would wait for minutes.

    Raises:
        UserError: If nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"address={address}: cannot be reached ({' '.join(str(error).split())})",
            Remedy.ANOTHER_CLUSTER,
        ) from error


def needed_of(address: str | None) -> list[str]:
    """Where Ray must answer, as host:port: the cluster's head, and what we reach it through."""
    if address is not None and address.startswith("ray://"):
        return [address.removeprefix("ray://")]
    context = ray.get_runtime_context()
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    (here,) = (node for node in nodes if node["NodeID"] == context.get_node_id())
    return [context.gcs_address, f"{here['NodeManagerAddress']}:{here['NodeManagerPort']}"]


def answers(address: str) -> bool:
    """Whether something listens at `host:port`; three tries, for networks have weak moments."""
    host, _, port = address.rpartition(":")
    for seconds in (0, 1, 3):
        time.sleep(seconds)
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            continue
        return True
    return False


def _train(job: ChildJob, group: Group, threads: int, timeout: float | None) -> list[ChildResult]:
    """Train a group inside a Ray task, which runs in its process's main thread."""
    torch.set_num_threads(threads)
    device = "cuda" if ray.get_gpu_ids() else "cpu"  # Ray shows a task the GPUs that it reserved
    signal.signal(signal.SIGALRM, _over_time)
    # Again and again: where Python ignores exceptions, as in a destructor, one would be lost.
    signal.setitimer(signal.ITIMER_REAL, timeout or 0, 1.0)
    try:
        return attempt(job, group, device)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _over_time(*_: object) -> None:
    raise TimeoutError


def _hand_over(done: Future[list[ChildResult]], future: Future[list[ChildResult]]) -> None:
    """Pass on a result, or what went wrong as Python has it, without Ray's wrapping."""
    error = done.exception()
    if future.cancelled():
        return
    if error is None:
        future.set_result(done.result())
    elif isinstance(error, ray.exceptions.OutOfMemoryError):
        future.set_exception(MemoryError())
    else:
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        future.set_exception(cause)
