"""Runs a statement by cassandra-driver, other people's client, and prints its rows: cql.py NODES STATEMENT"""
import sys

from cassandra.cluster import Cluster


def main():
    nodes, statement = sys.argv[1:]
    hosts = [node.rpartition(":") for node in nodes.split(",")]
    cluster = Cluster([host for host, _, _ in hosts], port=int(hosts[0][2]), connect_timeout=30)
    try:
        rows = cluster.connect().execute(statement, timeout=30)
        names = rows.column_names or []
        cells = [[str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(names, *cells)]
        for row in [names, ["-" * width for width in widths], *cells]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
