#!/usr/bin/env bash
# The life of a network load balancer under the AWS Load Balancer Controller. Runs inside a cluster, by landfall-cluster.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tools/demo/report.sh
work=$LANDFALL_WORKDIR
log=$work/lbc.log
prefix=service.beta.kubernetes.io/aws-load-balancer

# state EXPRESSION : what a Python expression says of `s`, all that is in the account, and of its short names.
state() {
  curl --silent --show-error --fail "$AWS_ENDPOINT_URL/_landfall/state?account=$AWS_ACCESS_KEY_ID&region=$AWS_REGION" |
    python3 tools/witness-lbc/state.py "$1"
}

# comes WHAT EXPRESSION : waits until the expression is true.
comes() {
  EXPRESSION=$2
  wait_for 90 "$1" '[[ $(state "$EXPRESSION") == True ]]'
}

# ec2 PARAMETER... : a call of EC2.
ec2() {
  local parameter data=()
  for parameter in Version=2016-11-15 "$@"; do data+=(--data "$parameter"); done
  curl --silent --show-error --fail --output /dev/null --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
    --aws-sigv4 "aws:amz:$AWS_REGION:ec2" "${data[@]}" "$AWS_ENDPOINT_URL"
}

host_name() { kubectl get service witness -o 'jsonpath={.status.loadBalancer.ingress[0].hostname}'; }

# answers PORT : a pod does, through the load balancer.
answers() { curl --silent --fail --max-time 2 --output /dev/null "http://$(host_name):$1/"; }

annotate() {
  local arguments=() pair
  for pair in "$@"; do arguments+=("$prefix-$pair"); done
  run kubectl annotate --overwrite service witness "${arguments[@]}"
}

step "control plane, nodes, AWS" "$work/logs/*.log"
run kubectl get nodes -o wide
vpc=$(state vpc)
before=$(state leftovers)
# What the VPC CNI does: pods' addresses are secondary ones of their node's interface, by which the controller finds its security group.
while read -r interface net; do
  parameters=("NetworkInterfaceId=$interface")
  for i in {1..14}; do parameters+=("PrivateIpAddress.$i=$net.$((128 + i))"); done
  ec2 Action=AssignPrivateIpAddresses "${parameters[@]}"
done < <(state interfaces)
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
trap 'status=$?; kill "$lbc" 2>/dev/null || true; (exit "$status") || finish; finish' EXIT
wait_for 60 "it to be ready" 'curl --silent --fail --output /dev/null http://127.0.0.1:18081/readyz'

step "create, with instance targets" "$log"
run kubectl apply -f tools/witness-lbc/service.yaml
wait_for 120 "the host name in the Service's status" '[[ -n $(host_name) ]]'
comes "one active internal load balancer in three zones" '[(b["state"], b["scheme"], len(b["zones"])) for b in balancers] == [("active", "internal", 3)]'
comes "the status to have its name" 'balancers[0]["dns_name"] == "'"$(host_name)"'"'
comes "every node to be a healthy target" 'kinds == {"instance"} and [t["state"] for t in targets] == ["healthy"] * 3'
comes "the nodes to let its security group in" 'any(r["peer"] in balancers[0]["security_groups"] for r in rules("nodes"))'
wait_for 30 "an answer through it" 'answers 80'
note "$(host_name)"

step "change: a second port, tags, attributes, the health check" "$log"
annotate attributes=load_balancing.cross_zone.enabled=true,deletion_protection.enabled=true \
  target-group-attributes=deregistration_delay.timeout_seconds=5,preserve_client_ip.enabled=false \
  additional-resource-tags=team=b,stage=test \
  healthcheck-protocol=HTTP healthcheck-path=/healthz healthcheck-port=traffic-port healthcheck-interval=10
run kubectl patch service witness --type json --patch \
  '[{"op": "add", "path": "/spec/ports/-", "value": {"name": "more", "protocol": "TCP", "port": 81, "targetPort": 9376}}]'
comes "two listeners" 'ports == [80, 81]'
comes "the attributes" 'attributes(balancers[0], "load_balancing.cross_zone.enabled", "deletion_protection.enabled") == ["true", "true"]'
comes "the groups' attributes" 'all(attributes(g, "deregistration_delay.timeout_seconds", "preserve_client_ip.enabled") == ["5", "false"] for g in groups)'
comes "the tags" 'all((r["tags"].get("team"), r["tags"].get("stage")) == ("b", "test") for r in balancers + groups + s["listeners"])'
comes "the health check" 'len(groups) == 2 and all((g["health_check_protocol"], g["health_check_path"]) == ("HTTP", "/healthz") for g in groups)'
comes "every node to be healthy on both" '[t["state"] for t in targets] == ["healthy"] * 6'
wait_for 30 "answers through both" 'answers 80 && answers 81'

step "change: one port less, other ports' targets" "$log"
annotate attributes=load_balancing.cross_zone.enabled=false,deletion_protection.enabled=false additional-resource-tags=team=c
run kubectl patch service witness --type json --patch \
  '[{"op": "remove", "path": "/spec/ports/0"}, {"op": "replace", "path": "/spec/ports/0/port", "value": 8080}]'
comes "one listener and its group" 'ports == [8080] and len(groups) == 1'
comes "the attributes" 'attributes(balancers[0], "load_balancing.cross_zone.enabled", "deletion_protection.enabled") == ["false", "false"]'
comes "the tags" 'all((r["tags"].get("team"), r["tags"].get("stage")) == ("c", None) for r in balancers + groups + s["listeners"])'
wait_for 30 "an answer through it" 'answers 8080'

step "change: ip targets, which follow the endpoints" "$log"
annotate nlb-target-type=ip target-group-attributes=preserve_client_ip.enabled=false,deregistration_delay.timeout_seconds=5
comes "the pods to be the targets" 'kinds == {"ip"} and [(t["port"], t["state"]) for t in targets] == [(9376, "healthy")] * 3'
run kubectl scale deployment my-app --replicas 5
comes "five targets" '[t["state"] for t in targets] == ["healthy"] * 5'
run kubectl scale deployment my-app --replicas 1
comes "one target" '[t["state"] for t in targets] == ["healthy"]'
run kubectl rollout restart deployment my-app
run kubectl rollout status deployment my-app --timeout 60s
# One that is on its way out still counts as running.
pods() { kubectl get pods -l app.kubernetes.io/name=MyApp -o 'jsonpath={.items[*].status.podIP}'; }
wait_for 60 "the old pod to be gone" '[[ $(pods | wc -w) == 1 ]]'
comes "the new pod to be the target" '[t["id"] for t in targets if t["state"] == "healthy"] == ["'"$(pods)"'"]'
wait_for 30 "an answer through it" 'answers 8080'

step "delete" "$log"
run kubectl delete service witness --timeout 120s
comes "nothing to be left" 'balancers + s["listeners"] + groups == []'
wait_for 60 "its security groups and rules to be gone" '[[ $(state leftovers) == "$before" ]]'

step "what it called"
curl --silent --fail "$AWS_ENDPOINT_URL/_landfall/journal" >"$work/journal.json"
run python3 tools/witness-lbc/calls.py "$work/journal.json"
close_step ok
