"""Writes rows by cassandra-driver, and tells what it took: write_rows.py NODES KEYSPACE ROWS.jsonl IN_FLIGHT"""
import json
import os
import sys
import time

from cassandra.cluster import Cluster
from cassandra.concurrent import execute_concurrent_with_args


def main():
    nodes, keyspace, path, in_flight = sys.argv[1:]
    hosts = [node.rpartition(":") for node in nodes.split(",")]
    cluster = Cluster([host for host, _, _ in hosts], port=int(hosts[0][2]), connect_timeout=30)
    session = cluster.connect()
    session.default_timeout = 60
    session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = "
                    "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}")
    session.execute(f"CREATE TABLE {keyspace}.product (id text, name text, category text, price double, quantity int, "
                    "updated timestamp, in_stock boolean, rating float, PRIMARY KEY (id, updated))")
    insert = session.prepare(f"INSERT INTO {keyspace}.product (id, name, category, price, quantity, updated, in_stock, "
                             "rating) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?")
    with open(path, encoding="utf-8") as lines:
        rows = [tuple(json.loads(line).values()) for line in lines]
    rows = [(*row, row[5] * 1000 + at) for at, row in enumerate(rows)]
    wall, cpu = time.monotonic(), time.process_time()
    execute_concurrent_with_args(session, insert, rows, concurrency=int(in_flight))
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    sys.stdout.write(json.dumps({"rows": len(rows), "wall_s": wall, "cpu_s": cpu}))
    sys.stdout.flush()
    # Its threads may take their time.
    os._exit(0)


if __name__ == "__main__":
    main()
