"""Decides whether numbered products went through a guard, the processor and the analyzer as promised: reads all topics with
confluent-kafka, committed records only, and computes what each stage must have made of the topic before it.

    judge.py GUARANTEE BROKERS REGISTRY PREFIX COUNT TRAP POISON

GUARANTEE is exactly-once or at-least-once. The number of a product is its `updated`, from 0 to COUNT. The guard passes all
but those of the quantity TRAP, and POISON values that are no products at all. Prints what it has seen, or the first thing
that is wrong.
"""
import io
import json
import math
import struct
import sys
import time
import urllib.request
from collections import Counter, defaultdict

import fastavro
from confluent_kafka import Consumer, KafkaError, TopicPartition

MAX_PRICE = 1e7
THRESHOLD, MIN_SAMPLES = 3.0, 30
DISCOUNTS = [(100, 0.10), (50, 0.05), (10, 0.02)]
SETTLED = 90  # seconds after which no transaction that a killed host has left is open any more


class Wrong(Exception):
    """A promise is broken."""


def must(holds, what):
    if not holds:
        raise Wrong(what)


class Cluster:
    def __init__(self, brokers, registry):
        self.registry, self.schemas = registry, {}
        base = {"bootstrap.servers": brokers, "group.id": "judge", "enable.auto.commit": False,
                "enable.partition.eof": True, "auto.offset.reset": "error"}
        self.committed = Consumer({**base, "isolation.level": "read_committed"})
        self.all = Consumer({**base, "isolation.level": "read_uncommitted"})

    def ends(self, topic, partitions):
        """Waits until all is decided, so that nothing is hidden behind an open transaction."""
        deadline = time.monotonic() + SETTLED
        while True:
            wanted, decided = ([c.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in partitions]
                               for c in (self.all, self.committed))
            if wanted == decided:
                return
            must(time.monotonic() < deadline, f"{topic}: open transactions: {decided} of {wanted}")
            time.sleep(0.2)

    def messages(self, topic):
        """All that is committed, by partition, in order."""
        known = self.all.list_topics(topic, 10).topics[topic]
        must(known.error is None, f"{topic}: {known.error}")
        partitions = sorted(known.partitions)
        self.ends(topic, partitions)
        self.committed.assign([TopicPartition(topic, p, 0) for p in partitions])
        found, open_ = {p: [] for p in partitions}, set(partitions)
        came = time.monotonic()
        while open_:
            # Returns after that time, or when there are so many.
            batch = self.committed.consume(10_000, 0.5)
            came = time.monotonic() if batch else came
            must(time.monotonic() - came < 60, f"{topic}: nothing comes")
            for message in batch:
                if message.error() is None:
                    found[message.partition()].append(message)
                else:
                    must(message.error().code() == KafkaError._PARTITION_EOF, f"{topic}: {message.error()}")
                    open_.discard(message.partition())
        self.committed.unassign()
        return found

    def datum(self, value):
        schema_id, = struct.unpack(">I", value[1:5])
        if schema_id not in self.schemas:
            with urllib.request.urlopen(f"{self.registry}/schemas/ids/{schema_id}") as answer:
                self.schemas[schema_id] = fastavro.parse_schema(plain(json.loads(json.load(answer)["schema"])))
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), self.schemas[schema_id])

    def records(self, topic):
        return {p: [self.datum(m.value()) for m in messages] for p, messages in self.messages(topic).items()}


def processed(product):
    """What the processor makes of a product; None if it refuses it."""
    price = product["price"]
    if not (math.isfinite(price) and 0 < price <= MAX_PRICE):
        return None
    category = "-".join(product["category"].lower().split())
    discount = next((share for least, share in DISCOUNTS if product["quantity"] >= least), 0.0)
    band = "budget" if price < 20 else "standard" if price < 100 else "premium"
    return {**product, "category": category, "discount": discount, "price_band": band}


class Analysis:
    """What the analyzer makes of a partition: the textbook's running mean and deviation."""

    def __init__(self):
        self.categories, self.products = {}, {}

    def row(self, product):
        price, category = product["price"], product["category"]
        count, mean, squares = self.categories.get(category, (0.0, 0.0, 0.0))
        score = None
        if count >= MIN_SAMPLES and squares > 0:
            score = (price - mean) / math.sqrt(squares / count)
        expected, count = mean, count + 1
        delta = price - mean
        mean += delta / count
        squares += delta * (price - mean)
        self.categories[category] = count, mean, squares
        last = self.products.get(product["id"])
        self.products[product["id"]] = price
        row = {"category": category, "id": product["id"], "price": price, "updated": product["updated"],
               "samples": int(count), "mean": mean, "deviation": math.sqrt(squares / count),
               "move_percent": None if last is None else (price - last) / abs(last) * 100,
               "z_score": score, "outlier": score is not None and abs(score) > THRESHOLD}
        names = ("category", "id", "price", "updated", "z_score")
        alert = {**{name: row[name] for name in names}, "expected": expected} if row["outlier"] else None
        return row, alert


def number(record):
    return record["updated"]


def plain(schema):
    """Without logical types: times stay numbers."""
    if isinstance(schema, dict):
        return {key: plain(value) for key, value in schema.items() if key != "logicalType"}
    return [plain(part) for part in schema] if isinstance(schema, list) else schema


def once(name, wanted, found):
    """`wanted` and `found` have records by partition. Each is there once, as it should be, and from one partition to
    another in order."""
    places = {}
    for partition, records in wanted.items():
        for at, record in enumerate(records):
            places[number(record)] = partition, at, record
    seen, last = set(), {}
    for partition, records in found.items():
        for record in records:
            n = number(record)
            must(n in places, f"{name}: {n} should not be there: {record}")
            must(n not in seen, f"{name}: {n} is there twice")
            seen.add(n)
            source, at, right = places[n]
            # As text, because NaN is not equal to itself.
            must(record == right or repr(record) == repr(right), f"{name}: {n} is {record}, not {right}")
            must(last.get((source, partition), -1) < at, f"{name}: {n} came too late in {source} -> {partition}")
            last[source, partition] = at
    missing = places.keys() - seen
    must(not missing, f"{name}: {len(missing)} are missing, the first {min(missing, default=None)}")


def letters(cluster, topic):
    """By stage and kind, the places that dead letters tell of."""
    found = defaultdict(Counter)
    for messages in cluster.messages(topic).values():
        for message in messages:
            told = {name: value.decode() for name, value in message.headers()}
            place = int(told["bespoke.error.partition"]), int(told["bespoke.error.offset"])
            found[told["bespoke.error.stage"], told["bespoke.error.kind"]][place, message.value()] += 1
    return found


def split(cluster, messages, trap):
    """Products that the guard passes, and the places of the others."""
    passed, poison, traps = {}, Counter(), Counter()
    for partition, run in messages.items():
        passed[partition] = []
        for message in run:
            place = (partition, message.offset()), message.value()
            if message.value().startswith(b"poison"):
                poison[place] += 1
                continue
            product = cluster.datum(message.value())
            if product["quantity"] == trap:
                traps[place] += 1
            else:
                passed[partition].append(product)
    return passed, poison, traps


def order_of_keys(messages):
    """Each key's numbers grow, in each partition that it was ever sent to."""
    for run in messages.values():
        last = {}
        for product in run:
            must(last.get(product["id"], -1) < number(product), f"{number(product)} came too late for its key")
            last[product["id"]] = number(product)


def exactly_once(cluster, prefix, count, trap, poison):
    raw = cluster.messages(f"{prefix}raw")
    passed, poisons, traps = split(cluster, raw, trap)
    must(sum(poisons.values()) == poison, f"{sum(poisons.values())} of {poison} poison records are there")
    trapped = Counter(number(cluster.datum(value)) for _, value in traps)
    fed = trapped + Counter(number(product) for run in passed.values() for product in run)
    must(all(times == 1 for times in fed.values()), "the feed has sent a record twice")
    must(fed.keys() == set(range(count)), f"the feed has sent {len(fed)} of {count}")
    order_of_keys(passed)
    told = letters(cluster, f"{prefix}work.dead-letters")
    must(told.pop(("guard", "decode"), Counter()) == poisons, "not one dead letter for each poison record")
    must(told.pop(("guard", "trap"), Counter()) == traps, "not one dead letter for each trap")
    checked = cluster.messages(f"{prefix}checked")
    refused = told.pop(("processor", "rejected"), Counter())
    must(not told, f"other dead letters: {list(told)}")
    wrong = Counter(((p, m.offset()), m.value()) for p, run in checked.items() for m in run
                    if processed(cluster.datum(m.value())) is None)
    must(refused == wrong, f"{sum(refused.values())} dead letters for {sum(wrong.values())} impossible prices")
    checked = {p: [cluster.datum(m.value()) for m in run] for p, run in checked.items()}
    once("checked", passed, checked)
    done = cluster.records(f"{prefix}processed")
    answers = {p: [answer for answer in map(processed, run) if answer] for p, run in checked.items()}
    once("processed", answers, done)
    rows, alerts = {}, {}
    for partition, run in done.items():
        analysis = Analysis()
        both = [analysis.row(product) for product in run]
        rows[partition] = [row for row, _ in both]
        alerts[partition] = [alert for _, alert in both if alert]
    once("analysis", rows, cluster.records(f"{prefix}analysis"))
    once("alerts", alerts, cluster.records(f"{prefix}alerts"))
    counted = {}
    for run in cluster.messages(f"{prefix}work.guard.state").values():
        counted.update((message.key(), struct.unpack("<I", message.value())[0]) for message in run)
    must(sum(counted.values()) == sum(map(len, checked.values())), f"the guard has counted {counted}")
    return len(fed), {"traps": len(traps), "refused": len(wrong), "alerts": sum(map(len, alerts.values()))}


def at_least_once(cluster, prefix, count, trap, poison):
    passed, poisons, traps = split(cluster, cluster.messages(f"{prefix}raw"), trap)
    numbers = lambda runs: {number(record) for run in runs.values() for record in run}
    trapped = {number(cluster.datum(value)) for _, value in traps}
    must(numbers(passed) | trapped == set(range(count)), "the feed has lost records")
    told = letters(cluster, f"{prefix}work.dead-letters")
    must(len(poisons) == poison and told["guard", "decode"].keys() == poisons.keys(), "a poison record is lost")
    must(told["guard", "trap"].keys() == traps.keys(), "a record that traps is lost")
    must(numbers(passed) == numbers(cluster.records(f"{prefix}checked")), "the guard has lost records")
    answers = {p: [product for product in run if processed(product)] for p, run in passed.items()}
    for name in ["processed", "analysis"]:
        must(numbers(answers) == numbers(cluster.records(f"{prefix}{name}")), f"{name}: records are lost")
    refused = {number(product) for run in passed.values() for product in run} - numbers(answers)
    kept = {number(cluster.datum(value)) for _, value in told["processor", "rejected"]}
    must(refused == kept, "a refused record is lost")
    return count, {"traps": len(traps), "refused": len(refused)}


if __name__ == "__main__":
    guarantee, brokers, registry, prefix, *numbers = sys.argv[1:]
    judge = {"exactly-once": exactly_once, "at-least-once": at_least_once}[guarantee]
    try:
        print(*judge(Cluster(brokers, registry), prefix, *map(int, numbers)))
    except Wrong as wrong:
        sys.exit(f"broken: {wrong}")
