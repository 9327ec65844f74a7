"""Free ports. Every start on this machine takes them here, so that two at the same moment take different ones."""
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

from problems import Failed

# Below the range that the system lends out to clients, so that a node that is down finds its port free again.
RANGE = os.environ.get("SERVICES_PORTS", "19000-19999")

CLAIMS = Path(tempfile.gettempdir()) / f"services-ports.{os.getuid()}"
held = []


def claim(port):
    """Keeps others from taking it for as long as this process lives; None if somebody has."""
    CLAIMS.mkdir(mode=0o700, exist_ok=True)
    claim = open(CLAIMS / str(port), "w")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        claim.close()
        return None
    held.append(claim)
    return port


def is_free(port, hosts):
    try:
        for host in hosts:
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((host, port))
        return True
    except OSError:
        return False


def any_port(hosts):
    """A port that is free on all these addresses."""
    low, high = map(int, RANGE.split("-"))
    for port in random.sample(range(low, high + 1), high - low + 1):
        if is_free(port, hosts) and claim(port):
            return port
    raise Failed(f"no port of {RANGE} is free; give another range with SERVICES_PORTS")


def this_port(port, hosts):
    """This port and no other."""
    if is_free(port, hosts) and claim(port):
        return port
    raise Failed(f"port {port} is in use: stop what has it, or start without --usual-ports")
