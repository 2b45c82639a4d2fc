"""Real processes for tests that kill or connect them: forked from a server that has imported Lightning once."""

import multiprocessing
import os
import signal
import socket

import torch

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["canonsim.lightning"])

LIMIT = 90  # seconds after which a process that hangs ends itself


def start(target, *args, environment=None):
    """Start ``target(*args)`` in a process of its own."""
    process = CONTEXT.Process(target=_run, args=(target, args, environment or {}))
    process.start()
    return process


def start_ranks(target, *args, ranks=2):
    """Start ``target(*args)`` on ranks that a Trainer with ``strategy="ddp"`` finds already launched."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks), "NODE_RANK": "0"}
    return [start(target, *args, environment={**shared, "LOCAL_RANK": str(rank)}) for rank in range(ranks)]


def exit_codes(*processes):
    """Wait for processes; their exit codes, -9 for one that was killed."""
    for process in processes:
        process.join(LIMIT + 30)
    return [process.exitcode for process in processes]


def kill_myself():
    """End this process as the kernel or a scheduler would: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def _run(target, args, environment):
    signal.alarm(LIMIT)
    os.environ.update(environment)
    torch.set_num_threads(1)
    target(*args)
