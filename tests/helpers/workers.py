"""Processes that run at the same time, some of them as the workers of one cluster."""

import json
import os
import pathlib
import socket
import subprocess

ROOT = pathlib.Path(__file__).parents[2]


def free_ports(number):
    """So many ports of this machine that are free at the moment."""
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def tf_configs(number):
    """The `TF_CONFIG` of each of so many workers on the loopback interface."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(number)]}
    return [
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(number)
    ]


def run_together(commands, environments, seconds, cwd=ROOT):
    """Run processes at the same time; none of them outlives the call.

    Args:
        commands: Lists of arguments, one a process.
        environments: Dicts of what each has in its environment besides this process's.
        seconds: How long they may take, all together.
        cwd: Where they start: one folder, or one each.

    Returns:
        The status, output and errors of each.

    Raises:
        subprocess.TimeoutExpired: If they take longer.
    """
    folders = cwd if isinstance(cwd, list) else [cwd] * len(commands)
    processes = []
    try:
        for command, environment, folder in zip(commands, environments, folders, strict=True):
            processes.append(
                subprocess.Popen(
                    command,
                    cwd=folder,
                    env={
                        **os.environ,
                        "PYTHONPATH": str(ROOT),
                        "TF_CPP_MIN_LOG_LEVEL": "3",
                        "CUDA_VISIBLE_DEVICES": "-1",
                        **environment,
                    },
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        outcomes = [process.communicate(timeout=seconds) for process in processes]
        return [(process.returncode, *each) for process, each in zip(processes, outcomes)]
    finally:
        for process in processes:
            process.kill()
            process.wait()
