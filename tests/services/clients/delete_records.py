"""Has the brokers forget what comes before an offset of a partition, as retention does.

    delete_records.py BROKERS TOPIC PARTITION OFFSET
"""
import sys

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

brokers, topic, partition, offset = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": brokers})
for done in admin.delete_records([TopicPartition(topic, int(partition), int(offset))]).values():
    done.result()
