#!/usr/bin/env bash
# Everything: lint, unit, emulator conformance, containers, integration and traffic on the real API server, docs. Says where the time went.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo unshare ip iptables curl make git
trap times EXIT

stage "Kubernetes control plane (from Go modules, cached)" kubernetes
stage "build" cargo build --quiet --workspace --all-targets
stage "unit tests" cargo test --quiet --workspace --lib --bins
stage "system calls per request" cargo test --quiet --bench proxy -- calls
stage "emulator conformance (foreign clients)" localstack/conformance/run.sh "$TARGET/debug/landfall-localstack"
stage "emulator's page (Chromium)" localstack/conformance/page.sh "$TARGET/debug/landfall-localstack"
stage "containers" tools/docker.sh tools/containers.sh
stage "integration and traffic" tools/integration.sh
stage "lint" tools/lint.sh
stage "docs" tools/docs.sh
