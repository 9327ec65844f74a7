import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.apicurio.registry.resolver.strategy.ArtifactReference;
import io.apicurio.registry.serde.Legacy4ByteIdHandler;
import io.apicurio.registry.serde.avro.AvroKafkaDeserializer;
import io.apicurio.registry.serde.avro.AvroKafkaSerializer;
import io.apicurio.registry.serde.headers.HeadersHandler;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Records as Java's own Kafka client and Apicurio's Avro serializers write and read them.
 *
 * <pre>
 * Client write BROKERS REGISTRY TOPIC FORM SCHEMA_FILE   {"key", "value"} a line, in Avro's JSON -> {"partition", "offset"}
 *                                                        a line
 * Client read BROKERS REGISTRY TOPIC FORM                every committed record: {"partition", "offset", "timestamp", "key",
 *                                                        "headers", "value"} a line, partition by partition
 * </pre>
 *
 * REGISTRY is the registry's own address, without /apis. FORM is prefix or header.
 */
public class Client {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", arguments[1]);
        settings.put("apicurio.registry.url", arguments[2] + "/apis/registry/v2");
        settings.put("apicurio.registry.id-handler", Legacy4ByteIdHandler.class.getName());
        settings.put("apicurio.registry.use-id", "contentId");
        settings.put("apicurio.registry.headers.enabled", arguments[4].equals("header"));
        settings.put("apicurio.registry.headers.handler", Guids.class.getName());
        settings.put("apicurio.registry.auto-register", true);
        switch (arguments[0]) {
            case "write" -> write(settings, arguments[3], Path.of(arguments[5]));
            case "read" -> read(settings, arguments[3]);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static void write(Map<String, Object> settings, String topic, Path schemaFile) throws Exception {
        Schema schema = new Schema.Parser().parse(Files.readString(schemaFile));
        settings.put("key.serializer", StringSerializer.class);
        settings.put("value.serializer", AvroKafkaSerializer.class);
        settings.put("acks", "all");
        try (KafkaProducer<String, GenericRecord> producer = new KafkaProducer<>(settings)) {
            BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = input.readLine(); line != null; line = input.readLine()) {
                JsonNode record = JSON.readTree(line);
                var decoder = DecoderFactory.get().jsonDecoder(schema, record.get("value").toString());
                GenericRecord value = new GenericDatumReader<GenericRecord>(schema).read(null, decoder);
                var sent = producer.send(new ProducerRecord<>(topic, record.path("key").textValue(), value)).get();
                System.out.println(JSON.createObjectNode().put("partition", sent.partition()).put("offset", sent.offset()));
            }
        }
    }

    private static void read(Map<String, Object> settings, String topic) throws Exception {
        settings.put("key.deserializer", StringDeserializer.class);
        settings.put("value.deserializer", AvroKafkaDeserializer.class);
        settings.put("isolation.level", "read_committed");
        try (KafkaConsumer<String, GenericRecord> consumer = new KafkaConsumer<>(settings)) {
            for (var partition : consumer.partitionsFor(topic)) {
                TopicPartition one = new TopicPartition(topic, partition.partition());
                consumer.assign(List.of(one));
                consumer.seekToBeginning(List.of(one));
                // The last stable offset, since transactions that are open do not count.
                long end = consumer.endOffsets(List.of(one)).get(one);
                while (consumer.position(one) < end) {
                    for (ConsumerRecord<String, GenericRecord> record : consumer.poll(Duration.ofSeconds(1))) {
                        if (record.offset() < end) {
                            System.out.println(json(record));
                        }
                    }
                }
            }
        }
    }

    private static ObjectNode json(ConsumerRecord<String, GenericRecord> record) throws Exception {
        ObjectNode json = JSON.createObjectNode();
        json.put("partition", record.partition()).put("offset", record.offset()).put("timestamp", record.timestamp());
        json.put("key", record.key());
        ObjectNode headers = json.putObject("headers");
        for (Header header : record.headers()) {
            headers.put(header.key(), header.value() == null ? null : HexFormat.of().formatHex(header.value()));
        }
        json.set("value", record.value() == null ? JSON.nullNode() : JSON.readTree(record.value().toString()));
        return json;
    }

    /**
     * The header in which Confluent's serializers name a schema: 1 and a GUID. The registry here has no GUIDs; those of the
     * tests are twelve bytes that are always the same, and the id.
     */
    public static class Guids implements HeadersHandler {
        private static final String NAME = "__value_schema_id";
        private static final byte[] GUID = "bespoke test".getBytes(StandardCharsets.UTF_8);

        @Override
        public void writeHeaders(Headers headers, ArtifactReference schema) {
            ByteBuffer value = ByteBuffer.allocate(1 + GUID.length + Integer.BYTES).put((byte) 1).put(GUID);
            headers.add(NAME, value.putInt(schema.getContentId().intValue()).array());
        }

        @Override
        public ArtifactReference readHeaders(Headers headers) {
            byte[] value = headers.lastHeader(NAME).value();
            long id = ByteBuffer.wrap(value).getInt(1 + GUID.length);
            return ArtifactReference.builder().contentId(id).build();
        }
    }
}
