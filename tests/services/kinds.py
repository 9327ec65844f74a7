"""What differs between the services: their ports, their command, how to ask a node whether it is up."""
import http.client
import json
import socket
import struct
import subprocess

from downloads import HERE, java
from problems import Failed


class Kafka:
    """Brokers that are controllers too."""
    config, separator, is_cluster = "server.properties", "=", True
    ports = {"client": 9092, "controller": 9192}

    def values(self, nodes):
        return {"rf": min(3, len(nodes)), "isr": min(2, len(nodes)),
                "voters": ",".join(f"{n['id']}@{n['host']}:{n['controller']}" for n in nodes)}

    def command(self, lib, node, folder, conf):
        base = [java("kafka"), f"@{HERE}/kafka/jvm.options", f"-Dlog4j2.configurationFile={HERE}/kafka/log4j2.xml",
                "-cp", f"{lib}/*"]
        if not (folder / "data/meta.properties").exists():
            tool = ["kafka.tools.StorageTool", "format", "-t", node["cluster"], "-c", str(conf)]
            done = subprocess.run(base + tool, capture_output=True, text=True)
            if done.returncode:
                raise Failed(done.stdout + done.stderr)
        return base + ["kafka.Kafka", str(conf)]

    def knows(self, node):
        """DescribeCluster v0, the lightest call in every 4.x."""
        request = struct.pack(">hhih", 60, 0, 1, -1) + b"\0" + b"\0\0"
        with socket.create_connection((node["host"], node["client"]), 2) as s:
            s.sendall(struct.pack(">i", len(request)) + request)
            size, = struct.unpack(">i", read(s, 4))
            reply = read(s, size)
        at = 4 + 1 + 4 + 2                      # correlation id, tags, throttle time, error code
        for _ in range(2):                      # error message, cluster id: compact strings
            at += max(1, reply[at])
        return reply[at + 4] - 1                # after the controller id: compact array of brokers

    def settle(self, node):
        """Nothing to do."""

    def env(self, nodes):
        return {"KAFKA_BOOTSTRAP": ",".join(f"{n['host']}:{n['client']}" for n in nodes)}


class Cassandra:
    """Nodes share ports, each on its own address. All are seeds, so that they may start together."""
    config, separator, is_cluster = "cassandra.yaml", ": ", True
    ports = {"client": 9042, "storage": 7000, "jmx": 7199}

    def values(self, nodes):
        return {"seeds": ",".join(n["host"] for n in nodes)}

    def command(self, lib, node, folder, conf):
        return [java("cassandra"), f"-javaagent:{next(lib.glob('jamm-*.jar'))}", f"@{HERE}/cassandra/jvm.options",
                f"-Dcassandra.config=file://{conf}", f"-Dcassandra.storagedir={folder}/data",
                f"-Dlogback.configurationFile={HERE}/cassandra/logback.xml", f"-Dcassandra.jmx.local.port={node['jmx']}",
                "-cp", f"{lib}/*", "org.apache.cassandra.service.CassandraDaemon"]

    def knows(self, node):
        """STARTUP, then rows of system.peers_v2, by native protocol v4. A node that asks who is there is told its first user."""
        def call(s, op, body):
            s.sendall(struct.pack(">BBhBi", 4, 0, 0, op, len(body)) + body)
            _, _, _, op, size = struct.unpack(">BBhBi", read(s, 9))
            return op, read(s, size)
        with socket.create_connection((node["host"], node["client"]), 2) as s:
            s.settimeout(10)
            op, _ = call(s, 1, b"\0\1" + b"\0\x0bCQL_VERSION" + b"\0\x053.0.0")
            if op == 3:
                token = b"\0cassandra\0cassandra"
                call(s, 15, struct.pack(">i", len(token)) + token)
            query = b"SELECT peer FROM system.peers_v2"
            op, reply = call(s, 7, struct.pack(">i", len(query)) + query + struct.pack(">hB", 1, 2))  # ONE, no metadata
        return 1 + struct.unpack(">i", reply[12:16])[0] if op == 8 else 0

    def settle(self, node):
        """Nothing to do."""

    def env(self, nodes):
        return {"CASSANDRA_NODES": ",".join(f"{n['host']}:{n['client']}" for n in nodes)}


class Registry:
    """Apicurio, by that part of it that speaks as Confluent's registry does. Its nodes know nothing of each other."""
    config, separator, is_cluster = "application.properties", "=", False
    ports = {"client": 8081, "management": 8181}
    api = "/apis/ccompat/v7"

    def values(self, nodes):
        return {}

    def command(self, lib, node, folder, conf):
        jar = next(lib.glob("*-runner.jar"), lib / "quarkus-run.jar")
        return [java("registry"), f"@{HERE}/registry/jvm.options", f"-Dquarkus.config.locations={conf}", "-jar", str(jar)]

    def knows(self, node):
        return int(self.call(node, "GET", "/subjects")[0] == 200)

    def settle(self, node):
        """As Confluent's registry is when nothing is set: Apicurio accepts anything."""
        status, said = self.call(node, "PUT", "/config", {"compatibility": "BACKWARD"})
        if status != 200:
            raise Failed(f"the registry refuses its configuration: {status} {said}")

    def call(self, node, method, path, body=None):
        link = http.client.HTTPConnection(node["host"], node["client"], timeout=10)
        try:
            kind = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
            link.request(method, self.api + path, body and json.dumps(body), kind)
            reply = link.getresponse()
            return reply.status, reply.read()
        finally:
            link.close()

    def env(self, nodes):
        return {"SCHEMA_REGISTRY_URL": ",".join(f"http://{n['host']}:{n['client']}{self.api}" for n in nodes)}


KINDS = {"kafka": Kafka(), "cassandra": Cassandra(), "registry": Registry()}


def read(s, size):
    data = b""
    while len(data) < size:
        more = s.recv(size - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data
