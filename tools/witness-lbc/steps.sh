#!/usr/bin/env bash
# The life of a network load balancer under the AWS Load Balancer Controller. Runs inside a cluster, by landfall-cluster.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tools/demo/report.sh
work=$LANDFALL_WORKDIR
log=$work/lbc.log

# state QUERY : what a Python expression says of `s`, all that is in the account.
state() {
  curl --silent --show-error --fail "$AWS_ENDPOINT_URL/_landfall/state?account=$AWS_ACCESS_KEY_ID&region=$AWS_REGION" |
    python3 -c 'import json, sys; s = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"
}
# is QUERY VALUE
is() { [[ $(state "$1") == "$2" ]]; }

step "control plane, nodes, AWS" "$work/logs/*.log"
run kubectl get nodes -o wide
vpc=$(curl --silent --fail "$AWS_ENDPOINT_URL/_landfall/state?account=$AWS_ACCESS_KEY_ID&region=$AWS_REGION" | grep -oE 'vpc-[0-9a-f]+' | head -n 1)
before=$(state 'sorted(g["name"] for g in s["security_groups"])')
run kubectl apply -f tools/demo/backend.yaml
run kubectl rollout status deployment my-app --timeout 60s

step "the AWS Load Balancer Controller" "$log"
run kubectl apply --server-side -f "$LBC_CRDS"
mkdir -p "$work/webhook"
# Its webhook server wants a certificate; no webhook is registered with the API server.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
  -keyout "$work/webhook/tls.key" -out "$work/webhook/tls.crt" 2>/dev/null
e=$AWS_ENDPOINT_URL
"$LBC_BIN" --kubeconfig "$KUBECONFIG" --cluster-name "$CLUSTER_NAME" --aws-region "$AWS_REGION" --aws-vpc-id "$vpc" \
  --aws-api-endpoints "EC2=$e,Elastic Load Balancing v2=$e,ACM=$e,STS=$e,Resource Groups Tagging API=$e" \
  --enable-leader-election=false --enable-shield=false --enable-waf=false --enable-wafv2=false \
  --webhook-cert-dir "$work/webhook" --webhook-bind-port 19443 --metrics-bind-addr 127.0.0.1:18080 --health-probe-bind-addr 127.0.0.1:18081 \
  >"$log" 2>&1 &
lbc=$!
trap 'kill "$lbc" 2>/dev/null; finish' EXIT
wait_for 60 "it to be ready" 'curl --silent --fail --output /dev/null http://127.0.0.1:18081/readyz'

step "create" "$log"
run kubectl apply -f tools/witness-lbc/service.yaml
wait_for 120 "the host name in the Service's status" '[[ -n $(kubectl get service witness -o "jsonpath={.status.loadBalancer.ingress[0].hostname}") ]]'
wait_for 60 "one active load balancer" 'is "[b[\"state\"] for b in s[\"load_balancers\"]]" "['"'active'"']"'
wait_for 60 "targets on every node" 'is "sum(len(t) for t in s[\"targets\"].values())" 3'
note "$(state 's["load_balancers"][0]["dns_name"]')"

step "change: a second port, a tag, an attribute" "$log"
run kubectl annotate --overwrite service witness \
  service.beta.kubernetes.io/aws-load-balancer-attributes=load_balancing.cross_zone.enabled=true \
  service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags=team=b
run kubectl patch service witness --type json --patch \
  '[{"op": "add", "path": "/spec/ports/-", "value": {"name": "more", "protocol": "TCP", "port": 81, "targetPort": 9376}}]'
wait_for 60 "two listeners" 'is "sorted(l[\"port\"] for l in s[\"listeners\"])" "[80, 81]"'
wait_for 60 "the attribute" 'is "s[\"load_balancers\"][0][\"attributes\"].get(\"load_balancing.cross_zone.enabled\")" true'
wait_for 60 "the tag" 'is "s[\"load_balancers\"][0][\"tags\"].get(\"team\")" b'

step "delete" "$log"
run kubectl delete service witness --timeout 120s
wait_for 60 "nothing to be left" 'is "s[\"load_balancers\"] + s[\"listeners\"] + s[\"target_groups\"]" "[]"'
wait_for 60 "its security groups to be gone" '[[ $(state "sorted(g[\"name\"] for g in s[\"security_groups\"])") == "$before" ]]'

step "what it called"
curl --silent --fail "$AWS_ENDPOINT_URL/_landfall/journal" >"$work/journal.json"
run python3 tools/witness-lbc/calls.py "$work/journal.json"
close_step ok
