# Each target is one plain command or one script in tools/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

.PHONY: help
help: ## This list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 25

.PHONY: demo
demo: ## The tutorial, end to end: Service and Ingress -> NLB -> pods, on this machine
	@tools/demo.sh

.PHONY: up shell down
up: ## Leave the demo's cluster and emulator running
	@tools/up.sh up
shell: ## A shell inside it, with kubectl and the AWS CLI pointed at it
	@tools/up.sh shell
down: ## End it
	@tools/up.sh down

.PHONY: test
test: ## Everything: lint, unit, containers, integration on a real API server, traffic, docs
	@tools/test.sh

.PHONY: lint
lint: ## rustfmt, clippy, cargo deny
	@tools/lint.sh

.PHONY: unit
unit: ## The fast tests only
	@cargo test --workspace --lib --bins

.PHONY: it
it: ## Integration tests on the real API server and the emulator (FILTER=name runs some)
	@tools/integration.sh $(FILTER)

.PHONY: containers
containers: ## The emulator's image and the checks of tests/containers (starts Docker where none runs)
	@tools/docker.sh tools/containers.sh $(FILTER)

.PHONY: fuzz
fuzz: ## Fuzzes a parser for long (TARGET=http1|proxy_protocol|routes|forwarded, RUNS=number, SEED=number)
	@tools/fuzz.sh "$(TARGET)" "$(RUNS)" "$(SEED)"

.PHONY: bench-nlb
bench-nlb: ## AWS calls and times of the NLB controller, against the acceptance table
	@tools/bench-nlb.sh

.PHONY: bench-proxy
bench-proxy: ## CPU, memory and system calls of the data plane, beside nginx and haproxy
	@tools/bench-proxy.sh

.PHONY: bench-routes
bench-routes: ## What the route table costs, and how soon a change is in force with 1,000 Ingresses under load
	@tools/bench-routes.sh

.PHONY: bench-localstack
bench-localstack: ## What the emulator costs, beside moto and HAProxy
	@tools/bench-localstack.sh

.PHONY: witness-lbc
witness-lbc: ## The AWS Load Balancer Controller on the emulator (LBC_BIN=its binary, LBC_CRDS=its config/crd/bases)
	@tools/witness-lbc.sh "$(LBC_BIN)" "$(LBC_CRDS)"

.PHONY: witness-moto
witness-moto: ## The emulator's suite against moto, each disagreement explained
	@tools/witness-moto.sh

.PHONY: docs
docs: ## The book and the API docs
	@tools/docs.sh

.PHONY: image
image: ## Static binary in an image FROM scratch (needs Docker)
	@tools/image.sh
