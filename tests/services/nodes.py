"""Nodes as processes: planned once, started, asked, stopped by their process ids.

Each has a folder SERVICE/nI below ROOT with its configuration, data, log and pid file. The pid file also holds when the
process was born, so that a process that got an old pid is never signalled.
"""
import contextlib
import ctypes
import http.client
import json
import os
import random
import re
import signal
import struct
import subprocess
import time
from pathlib import Path
from string import Template

import downloads
import ports
from kinds import KINDS
from problems import Failed

ROOT = Path(os.environ.get("SERVICES_DIR", downloads.PROJECT / ".services/run")).resolve()
START_LIMIT, STOP_LIMIT = 180, 15  # seconds
LOG_LINES = 25  # that are shown of a node that does not start
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None)


def load(service):
    path = ROOT / service / "state.json"
    return json.loads(path.read_text()) if path.exists() else None


def save(service, state):
    (ROOT / service).mkdir(parents=True, exist_ok=True)
    (ROOT / service / "state.json").write_text(json.dumps(state, indent=1) + "\n")


def plan(service, count, usual_ports):
    """Names the nodes and takes ports for them."""
    cluster = f"{service}-{random.randrange(16**8):08x}"  # so that a stale node never joins another's cluster
    nodes = [{"id": i + 1, "host": f"127.0.0.{i + 1}" if service == "cassandra" else "127.0.0.1", "cluster": cluster}
             for i in range(count)]
    hosts = {n["host"] for n in nodes}
    for kind, usual in KINDS[service].ports.items():
        shared = service == "cassandra" and kind != "jmx"
        port = None
        for index, node in enumerate(nodes):
            if port is None or not shared:
                port = ports.this_port(usual + index, hosts) if usual_ports else ports.any_port(hosts)
            node[kind] = port
    return {"nodes": nodes, "set": {}}


def birth(pid):
    """When the process began, or None if it has ended: a pid alone may have gone to another process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # Its first thread may be over while others still hold its ports.
        ended = fields[0] == "Z" and len(os.listdir(f"/proc/{pid}/task")) == 1
        return None if ended else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def pid_of(service, node):
    """The pid of the node as it was started, if it still runs."""
    try:
        pid, born = (ROOT / service / f"n{node['id']}" / "pid").read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if birth(pid) == born else None


def tie():
    """In the new process: the kernel ends it when the one that started it ends, however that comes."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def launch(service, state, node, lib, tied):
    kind = KINDS[service]
    folder = ROOT / service / f"n{node['id']}"
    (folder / "data").mkdir(parents=True, exist_ok=True)
    conf = folder / kind.config
    text = Template((downloads.HERE / service / kind.config).read_text())
    text = text.substitute(node, dir=folder, **kind.values(state["nodes"]))
    for key, value in state["set"].items():
        value = Template(value).safe_substitute(node)
        text = re.sub(rf"(?m)^{re.escape(key + kind.separator)}.*\n", "", text)
        text += f"{key}{kind.separator}{value}\n" if value else ""
    conf.write_text(text)
    command = kind.command(lib, node, folder, conf)
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True, preexec_fn=tie if tied else None,
                                   env={**os.environ, "MALLOC_ARENA_MAX": "2"})
    (folder / "pid").write_text(f"{process.pid} {birth(process.pid)}\n")


def known(service, node):
    """Live nodes that this node knows, itself included; 0 while it does not answer."""
    try:
        return KINDS[service].knows(node) if pid_of(service, node) else 0
    except (OSError, http.client.HTTPException, struct.error, IndexError):
        return 0


def start(service, count=None, only=None, settings=(), usual_ports=False, tied=False):
    lib = downloads.jars(service)
    state = load(service) or plan(service, count or 1, usual_ports)
    if count and count != len(state["nodes"]):
        raise Failed(f"{service} has {len(state['nodes'])} nodes in {ROOT}: remove its folder to start with {count}")
    state["set"].update(settings)
    save(service, state)
    begun = [n for n in state["nodes"] if only in (None, n["id"]) and not pid_of(service, n)]
    for node in begun:
        launch(service, state, node, lib, tied)
    running = [n for n in state["nodes"] if pid_of(service, n) or n in begun]
    need = len(running) if KINDS[service].is_cluster else 1
    end = time.monotonic() + START_LIMIT
    while any(known(service, n) < need for n in running):
        dead = [n["id"] for n in running if not pid_of(service, n)]
        if dead or time.monotonic() > end:
            which = dead[0] if dead else running[0]["id"]
            log = ROOT / service / f"n{which}" / "log"
            lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            raise Failed("\n".join([f"{service} node {which} {'died' if dead else 'is not ready'}; end of {log}:", *lines]))
        time.sleep(0.2)
    for node in begun:
        KINDS[service].settle(node)


def stop(service, only=None, how=signal.SIGTERM):
    state = load(service) or {"nodes": []}
    nodes = [n for n in state["nodes"] if only in (None, n["id"])]
    for sig in (how, signal.SIGKILL):
        for node in nodes:
            if pid := pid_of(service, node):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sig)
        end = time.monotonic() + STOP_LIMIT
        while any(pid_of(service, n) for n in nodes) and time.monotonic() < end:
            time.sleep(0.05)
    for node in nodes:
        (ROOT / service / f"n{node['id']}" / "pid").unlink(missing_ok=True)


def env(services):
    """Where the services are, as variables."""
    found = ((s, load(s)) for s in services)
    return {k: v for s, state in found if state for k, v in KINDS[s].env(state["nodes"]).items()}


def health(service):
    """Prints a line for each node. False unless all are up."""
    state = load(service) or {"nodes": []}
    ok = bool(state["nodes"])
    if not ok:
        print(f"{service} was never started")
    for node in state["nodes"]:
        knows = known(service, node)
        ok &= knows > 0
        print(f"{service} n{node['id']} {node['host']}:{node['client']} pid {pid_of(service, node) or '-'} "
              + (f"up, knows {knows}" if knows else "down"))
    return ok
