"""Values as confluent-kafka's Avro serializers write and read them, without a broker.

    avro.py write REGISTRY TOPIC FORM STRATEGY SCHEMA_FILE     a record as JSON a line -> {"value", "headers"} a line
    avro.py read REGISTRY TOPIC                                the other way round

Bytes are hexadecimal, FORM is prefix or header, STRATEGY is topic, record or topic-record.
"""
import json
import sys
from datetime import datetime
from pathlib import Path

from confluent_kafka import schema_registry
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

FORMS = {"prefix": schema_registry.prefix_schema_id_serializer, "header": schema_registry.header_schema_id_serializer}
STRATEGIES = {
    "topic": schema_registry.topic_subject_name_strategy,
    "record": schema_registry.record_subject_name_strategy,
    "topic-record": schema_registry.topic_record_subject_name_strategy,
}


def lines():
    return map(json.loads, sys.stdin)


def write(client, topic, form, strategy, schema):
    config = {"schema.id.serializer": FORMS[form], "subject.name.strategy": STRATEGIES[strategy]}
    serialize = AvroSerializer(client, Path(schema).read_text(), conf=config)
    for record in lines():
        context = SerializationContext(topic, MessageField.VALUE, [])
        value = serialize(record, context)
        yield {"value": value.hex(), "headers": [[name, data.hex()] for name, data in context.headers]}


def read(client, topic):
    deserialize = AvroDeserializer(client)
    for record in lines():
        headers = [(name, bytes.fromhex(data)) for name, data in record["headers"]]
        context = SerializationContext(topic, MessageField.VALUE, headers)
        yield deserialize(bytes.fromhex(record["value"]), context)


def plain(value):
    """Times as Avro stores them."""
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    raise TypeError(f"{value!r} is not of JSON")


if __name__ == "__main__":
    verb, registry, *rest = sys.argv[1:]
    client = schema_registry.SchemaRegistryClient({"url": registry})
    for answer in {"write": write, "read": read}[verb](client, *rest):
        print(json.dumps(answer, default=plain))
