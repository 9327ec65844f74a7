#!/usr/bin/env python3
"""Real Kafka, Cassandra and a schema registry as ordinary processes on loopback, to test with and to try things out.

  services.py fetch NAME...                  download what a service needs, once; NAME may also be `clients` or
                                             `java`: what other people's clients are run with
  services.py start SERVICE[=NODES]... [--usual-ports] [--node I] [--set KEY=VALUE]...
                                             start what is down and wait until it answers; ports, data and settings of
                                             an earlier start are kept; an empty VALUE removes the key, and
                                             $client in it is the node's own port
  services.py health SERVICE...              a line for each node; fails unless all are up
  services.py env SERVICE...                 NAME=VALUE lines for clients
  services.py kill SERVICE --node I          SIGKILL one node
  services.py stop SERVICE... [--node I]     SIGTERM, then SIGKILL for what is left
  services.py run SERVICE[=NODES]... -- COMMAND
                                             start, run COMMAND with the env, stop and forget everything
  services.py hold                           take these commands from standard input, a line each, answer each with its
                                             output and `= done` or `= failed`; at the end of the input stop and
                                             forget everything

SERVICE is kafka, cassandra or registry. Settings come from the environment:
  SERVICES_DIR    configuration, data, logs, pid files   (.services/run in the project)
  SERVICES_CACHE  downloads                              (.services/downloads in the project)
  SERVICES_PORTS  range that new ports are taken from    (19000-19999)
  SERVICES_JAVA   a Java command, version 17             ($JAVA_HOME/bin/java, or java)
  SERVICES_JAVA_REGISTRY (_KAFKA, _CASSANDRA)            another one for that service
"""
import argparse
import contextlib
import io
import os
import shlex
import shutil
import signal
import subprocess
import sys

import downloads
import nodes
from kinds import KINDS
from problems import Failed


class Parser(argparse.ArgumentParser):
    """Wrong usage is a failure like others: `hold` goes on after it."""

    def error(self, message):
        raise Failed(f"{message}; see services.py --help")


def parse(words):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["fetch", "start", "health", "env", "kill", "stop", "run", "hold"])
    parser.add_argument("service", nargs="*")
    parser.add_argument("--usual-ports", action="store_true")
    parser.add_argument("--node", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args(words)
    if not args.service and args.verb != "hold":
        parser.error(f"{args.verb} of what?")
    if args.verb == "kill" and args.node is None:
        parser.error("kill needs --node")
    known = [*KINDS, *downloads.CLIENTS] if args.verb == "fetch" else [*KINDS]
    counts = {}
    for word in args.service:
        name, _, count = word.partition("=")
        if name not in known or (count and not count.isdigit()):
            parser.error(f"`{word}` is none of {', '.join(known)}")
        counts[name] = int(count) if count else None
    return args, counts


def obey(words, tied=False):
    """Does one command. Nodes that are `tied` die with this process."""
    args, counts = parse(words)
    names = list(counts)
    if args.verb == "fetch":
        for name in names:
            print(downloads.CLIENTS[name]() if name in downloads.CLIENTS else downloads.jars(name))
    elif args.verb == "start":
        settings = [s.partition("=")[::2] for s in args.set]
        for name, count in counts.items():
            nodes.start(name, count, args.node, settings, args.usual_ports, tied)
    elif args.verb == "health":
        if not all([nodes.health(name) for name in names]):
            raise Failed("not all are up")
    elif args.verb == "env":
        for key, value in nodes.env(names).items():
            print(f"{key}={value}")
    elif args.verb in ("kill", "stop"):
        for name in names:
            nodes.stop(name, args.node, signal.SIGKILL if args.verb == "kill" else signal.SIGTERM)
    else:
        raise Failed(f"{args.verb} is no command for here")


def forget_all():
    """Nobody needs the data any more, so nobody waits for an orderly end."""
    for name in KINDS:
        nodes.stop(name, how=signal.SIGKILL)
    shutil.rmtree(nodes.ROOT, ignore_errors=True)


def hold():
    """The process that tests tie services to. It must see the end of its input, so nothing else may end it early."""
    for ending in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    for line in sys.stdin:
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                obey(shlex.split(line), tied=True)
            end = "= done"
        except Failed as failure:
            said.write(f"{failure}\n")
            end = "= failed"
        try:
            print(said.getvalue() + end, flush=True)
        except BrokenPipeError:
            # Whoever asked is gone, and so is the end of the input.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return


def main():
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    words, command = words[:cut], words[cut + 1:]
    args, counts = parse(words)
    if args.verb not in ("hold", "run"):
        return obey(words)
    if nodes.ROOT.exists():
        raise Failed(f"{nodes.ROOT} is in use: give {args.verb} a folder of its own with SERVICES_DIR")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if args.verb == "hold":
            return hold()
        obey(["start", *args.service], tied=True)
        return subprocess.run(command, env={**os.environ, **nodes.env(counts)}).returncode
    finally:
        forget_all()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(str(failure))
