# The entry points, the same for people and for continuous integration. `make` alone lists them.

.DEFAULT_GOAL := help
SHELL := /bin/sh
.DELETE_ON_ERROR:

TARGET := wasm32-wasip2
EXAMPLE := examples/products
PIPELINE := $(EXAMPLE)/pipeline.toml
MODULES := $(EXAMPLE)/modules
# Where `host build` keeps the tools that it fetches.
TOOLS := $(or $(BESPOKE_TOOLS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/bespoke/tools)
# Built modules. Given to cargo by name, so that the benches and tests find them whatever the environment says.
GUESTS := guests/target
# The reference modules in every language, by language and name. A language is a folder with these modules.
BUILT := guests/built
LANGUAGES := $(patsubst guests/%/processor/wit/,%,$(wildcard guests/*/processor/wit/))
# The sample modules that all languages have. Those of the example are the first two.
SAMPLES := processor analyzer orders shapes
SERVICES := python3 tests/services/services.py
# Tests that take minutes, by the beginnings of their names; the last ones with so many records, and services away for so
# many seconds, and one after the other.
SOAK := contract::kafka::at_least_once_log contract::kafka::new_protocol_log kafka::grown kafka::killed kafka::paused kafka::rebalance kafka::returned kafka::unheard
PROOF := kafka::outages kafka::proof cassandra::outages cassandra::nodes
RECORDS := 1000000
AWAY_SECS := 60
# Batches of damaged records, and damaged answers, that the boundary is tried with.
CASES := 30000
# Tests that also run in `make test`, with fewer swaps.
SWAPPED := swap::load swap::kills swap::kafka
SWAPS := 200
HOST := cargo run --quiet --locked --package host --

.PHONY: help demo cluster-demo cluster-demo-flow test soak lint docs guests guests-all guests-test bench bench-languages bench-kafka bench-cassandra services services-stop downloads python clean tools test-tools components target host

help: ## This list
	@echo 'Bespoke: sandboxed WebAssembly modules on Avro topics'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "    make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: guests host ## Runs the product feed through both modules into a table, and shows it
	@echo; echo '== the pipeline: $(PIPELINE)'
	@$(HOST) run --until-end $(PIPELINE)
	@echo; echo '== the table: the last analysis of each product'
	@$(HOST) table show product_analysis --top 10 --pipeline $(PIPELINE)
	@echo '   more: sqlite3 $(EXAMPLE)/data/products.db "select * from product_analysis where outlier"'
	@echo; echo '== the dead letters: records that could not be handled, and why'
	@$(HOST) dead-letters list --pipeline $(PIPELINE)
	@echo '   more: host dead-letters show --pipeline $(PIPELINE), and replay to send them again'
	@echo; echo '== the topics'
	@$(HOST) topics list --pipeline $(PIPELINE)
	@echo '   more: host topics read bespoke.avro.product.alerts --until-end --pipeline $(PIPELINE)'
	@echo; echo 'host is `$(HOST)` here. `make clean` removes what was made; without it the next run goes on where this one stopped.'

cluster-demo: guests host downloads ## The same through Kafka (three brokers) into Cassandra (three nodes), started for it and stopped
	@echo; echo '== starting three Kafka brokers, a schema registry and three Cassandra nodes'
	@SERVICES_DIR=.services/cluster-demo $(SERVICES) run kafka=3 registry cassandra=3 -- $(MAKE) --no-print-directory cluster-demo-flow

cluster-demo-flow:
	@echo; echo '== the pipeline: $(EXAMPLE)/cassandra.toml'
	@BROKERS=$$KAFKA_BOOTSTRAP REGISTRY=$$SCHEMA_REGISTRY_URL CASSANDRA=$$CASSANDRA_NODES \
	    $(HOST) run --until-end $(EXAMPLE)/cassandra.toml --set cassandra.replication=3
	@cql() { "$$($(SERVICES) fetch clients)" tests/services/clients/cql.py $$CASSANDRA_NODES "$$1"; }; \
	echo; echo '== the table, as CQL tells: the last analysis of each product, and when it was written'; \
	cql 'SELECT category, id, price, mean, deviation, outlier, writetime(mean) AS stamp FROM products.product_analysis LIMIT 10'; \
	cql 'SELECT count(*) AS analyses FROM products.product_analysis'; \
	echo; echo '== the alerts'; \
	cql 'SELECT * FROM products.product_alerts LIMIT 5'
	@echo; echo '== stopping all of it'
	@echo '   to look around by yourself: make services, and then host run --until-end $(EXAMPLE)/cassandra.toml'

test: test-tools guests-all guests-test lint docs downloads ## Runs every check and every test
	cargo test --locked --workspace -- $(foreach suite,$(SOAK) $(PROOF),--skip $(suite))
	cd guests && cargo test --locked --target-dir target

soak: guests downloads ## Tests on clusters, with hosts and nodes killed, paused and moved, and of any bytes: half an hour more
	BESPOKE_FUZZ_CASES=$(CASES) cargo test --locked --workspace --test fuzz
	cargo test --locked --package host --test all -- $(SOAK)
	BESPOKE_TEST_RECORDS=$(RECORDS) BESPOKE_TEST_AWAY_SECS=$(AWAY_SECS) \
	    cargo test --locked --package host --test all -- $(PROOF) --test-threads 1
	BESPOKE_TEST_SWAPS=$(SWAPS) cargo test --locked --package host --test all -- $(SWAPPED) --test-threads 1
	$(MAKE) cluster-demo

lint: components ## Formatting and lints, of the host and of the modules
	cargo fmt --all --check
	cd guests && cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cd guests && cargo clippy --locked --all-targets --target-dir target -- -D warnings

docs: tools ## The documentation of the code, without warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --quiet

guests: target ## Builds the modules and puts those of the example in place
	@echo '== building the modules'
	@cd guests && cargo build --quiet --locked --release --target $(TARGET) --target-dir target
	@mkdir -p $(MODULES)
	@for module in processor analyzer; do \
	    built=$(GUESTS)/$(TARGET)/release/$$module.wasm; \
	    cmp -s $$built $(MODULES)/$$module.wasm || \
	    { cp $$built $(MODULES)/$$module.new && mv $(MODULES)/$$module.new $(MODULES)/$$module.wasm; }; \
	done

guests-all: guests host ## Builds the sample modules in every language, with tools that are fetched the first time
	@echo '== building the modules in $(LANGUAGES)'
	@echo '   the first time componentize-py, zig, QuickJS, esbuild and tsc are fetched into the cache of the user (200 MB)'
	@for language in rust $(LANGUAGES); do mkdir -p $(BUILT)/$$language; done
	@for module in $(SAMPLES); do \
	    cp -p $(GUESTS)/$(TARGET)/release/$$module.wasm $(BUILT)/rust/ || exit 1; \
	    for language in $(LANGUAGES); do \
	        $(HOST) build guests/$$language/$$module --no-check \
	            --output $(BUILT)/$$language/$$module.wasm || exit 1; \
	    done; \
	done

guests-test: guests-all ## The tests of the modules and their helpers, each with the tools of its language
	@for module in python/processor python/analyzer python/shapes sdk/python; do \
	    echo "== guests/$$module"; (cd guests/$$module && python3 -m unittest --quiet) || exit 1; \
	done
	@for module in go/processor go/analyzer go/orders go/shapes sdk/go; do \
	    echo "== guests/$$module"; (cd guests/$$module && go vet $$(go list ./... | grep -v bindings) && \
	        go test $$(go list ./... | grep -v bindings)) || exit 1; \
	done
	@echo '== guests/sdk/javascript'; told=$$(node --test guests/sdk/javascript/*.test.js) || { echo "$$told"; exit 1; }
	@# Node 20 takes no TypeScript as it is; esbuild is there since the modules were built.
	@for module in processor analyzer shapes; do \
	    echo "== guests/typescript/$$module"; built=$(BUILT)/tests/typescript/$$module; rm -rf $$built; \
	    "$$(ls -t $(TOOLS)/javascript-*/node_modules/.bin/esbuild | head -1)" guests/typescript/$$module/*.test.ts --bundle \
	        --platform=node --format=esm --out-extension:.js=.mjs --log-level=warning --outdir=$$built || exit 1; \
	    told=$$(node --test $$built/*.mjs) || { echo "$$told"; exit 1; }; \
	done
	@mkdir -p $(BUILT)/tests/c; \
	can() { echo 'int main(void) { return 0; }' | cc $$1 -x c -o $(BUILT)/tests/c/none - 2>/dev/null && echo $$1; }; \
	flags="-Wall -Wextra -Werror -std=c17 $$(can -fsanitize=address,undefined)"; \
	echo '== guests/sdk/c'; cc $$flags -o $(BUILT)/tests/c/sdk guests/sdk/c/*.c && $(BUILT)/tests/c/sdk || exit 1; \
	for module in processor analyzer shapes; do \
	    echo "== guests/c/$$module"; folder=guests/c/$$module; \
	    cc $$flags -I $$folder/bindings -o $(BUILT)/tests/c/$$module $$folder/test/*.c \
	        $$(ls $$folder/*.c | grep -v 'module\.c$$') -lm && $(BUILT)/tests/c/$$module || exit 1; \
	done

bench: guests ## Benches: the boundary and the log alone, then the whole pipeline
	cargo bench --locked --package bespoke-boundary
	cargo bench --locked --package host --bench log
	cargo run --locked --release --package bench --bin bench
	cargo run --locked --release --package bench --bin swap

bench-languages: guests-all ## Bench: what the sample modules take in each language, from their source to their answers
	cargo run --locked --release --package bench --bin languages

bench-kafka: guests downloads ## Bench: the Kafka log against librdkafka alone and a straightforward program, on one broker
	cargo build --locked --release --package bench --bin kafka --package bench-plain --bin plain
	SERVICES_DIR=.services/bench $(SERVICES) run kafka=1 -- cargo run --quiet --locked --release --package bench --bin kafka

bench-cassandra: guests downloads ## Bench: rows into Cassandra, against its drivers alone, on one node
	cargo build --locked --release --package bench --bin cassandra
	PYTHON="$$($(SERVICES) fetch clients)" SERVICES_DIR=.services/bench $(SERVICES) run cassandra=1 -- \
	    cargo run --quiet --locked --release --package bench --bin cassandra

services: python ## Starts three Kafka brokers, a schema registry and Cassandra as processes of this machine
	@echo '== starting three Kafka brokers, a schema registry and Cassandra'
	@echo '   the first time they are downloaded from Maven Central into .services (260 MB); needs Java 17 and Maven'
	@$(SERVICES) start kafka=3 registry cassandra=1 --usual-ports
	@$(SERVICES) health kafka registry cassandra
	@echo
	@echo 'Kafka is at             localhost:9092,localhost:9093,localhost:9094'
	@echo 'the schema registry at  http://localhost:8081/apis/ccompat/v7'
	@echo 'Cassandra at            localhost:9042'
	@echo 'They keep their data in .services/run, and stop with `make services-stop`. More: tests/services/README.md'

downloads: python
	@$(SERVICES) fetch kafka registry cassandra clients java >/dev/null

python:
	@command -v python3 >/dev/null || { echo 'python3 is missing: install it (on Debian and Ubuntu: apt install python3 python3-venv)' >&2; exit 1; }

services-stop: python ## Stops them; `make services` goes on with the same data
	@$(SERVICES) stop kafka registry cassandra

clean: ## Removes what was built, and the data of the example
	cargo clean
	rm -rf $(GUESTS) $(BUILT) $(MODULES) $(EXAMPLE)/data

host: tools
	@echo '== building the host (some minutes the first time)'
	@cargo build --quiet --locked --package host

tools:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust from https://rustup.rs' >&2; exit 1; }
	@missing=$$(for tool in cc bash; do command -v $$tool >/dev/null || printf ' %s' $$tool; done; \
	    command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || printf ' c++'; \
	    perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null || printf ' perl (with its modules)'); \
	test -z "$$missing" || { echo "missing:$$missing; SQLite, librdkafka and OpenSSL are built from source" \
	    "(on Debian and Ubuntu: apt install build-essential perl)" >&2; exit 1; }

# All that the tests need beyond that, told before anything is built.
test-tools: tools
	@missing=$$(for tool in go node npm java mvn; do command -v $$tool >/dev/null || printf ' %s' $$tool; done; \
	    python3 -c 'import ensurepip, venv' 2>/dev/null || printf ' python3 (with venv)'); \
	test -z "$$missing" || { echo "missing:$$missing; the tests start real services and build modules in every language" \
	    "(Go 1.24, Node 20, Java 17, Maven; on Debian and Ubuntu: apt install golang nodejs npm openjdk-17-jdk-headless maven" \
	    "python3-venv, where these are new enough)" >&2; exit 1; }

components: tools
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || { \
	    command -v rustup >/dev/null || { echo 'rustfmt or clippy is missing: install Rust from https://rustup.rs' >&2; exit 1; }; \
	    echo '== installing rustfmt and clippy: rustup component add rustfmt clippy'; \
	    rustup component add rustfmt clippy; }

target: tools
	@test -d "$$(rustc --print sysroot)/lib/rustlib/$(TARGET)" || { \
	    command -v rustup >/dev/null || { echo 'the target $(TARGET) is missing: install Rust from https://rustup.rs' >&2; exit 1; }; \
	    echo '== installing the target $(TARGET): rustup target add $(TARGET)'; \
	    rustup target add $(TARGET); }
