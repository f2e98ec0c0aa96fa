#!/usr/bin/env bash
# The demo's steps, to be read as the tutorial (docs/tutorial/first-load-balancer.md). Runs inside a cluster, by landfall-cluster.
#
#   steps.sh all       all steps, up to the deletion
#   steps.sh prepare   up to the running backend, for `make up`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tools/demo/report.sh

# AWS's side, by its command line where that is installed, else as the emulator shows it.
show_load_balancers() {
  if command -v aws >/dev/null; then
    run aws elbv2 describe-load-balancers --output table \
      --query 'LoadBalancers[].{name:LoadBalancerName,state:State.Code,scheme:Scheme}'
  else
    aws_state | tr '{' '\n' | grep '"dns_name"' || true
  fi
  echo "load balancers: $(aws_state | grep -o '"dns_name"' | wc -l)"
}

# Everything in the account at this moment, in a stable order.
aws_state() {
  curl --silent --show-error --fail "$AWS_ENDPOINT_URL/_landfall/state?account=$AWS_ACCESS_KEY_ID&region=$AWS_REGION"
}

leader() {
  kubectl -n landfall-system get lease landfall-controller -o 'jsonpath={.spec.holderIdentity}'
}

host_name() {
  kubectl get service my-service -o 'jsonpath={.status.loadBalancer.ingress[0].hostname}'
}

# Until this file goes: one request after another, each by a connection of its own; one line each, the status or 000.
keep_asking() {
  while [[ -e $REQUESTS.on ]]; do
    curl --silent --max-time 5 --output /dev/null --write-out '%{http_code}\n' "http://$1/" >>"$REQUESTS" || true
  done
}

step "control plane and three nodes" "$LANDFALL_WORKDIR/logs/*.log"
started "${DEMO_START:-$EPOCHREALTIME}"
run kubectl get nodes -o wide

step "AWS: a VPC, three zones, three instances"
# A load balancer is "provisioning" for four seconds (AWS: minutes), and its interfaces outlive it for two.
run curl --silent --show-error --fail -X PUT "$AWS_ENDPOINT_URL/_landfall/durations" \
  --data '{"provisioning": 4, "load_balancer_interfaces_linger": 2, "deregistration": 1}' --output /dev/null
aws_state >"$LANDFALL_WORKDIR/aws-before.json"
vpc=$(grep -oE 'vpc-[0-9a-f]+' "$LANDFALL_WORKDIR/aws-before.json" | head -n 1)
if command -v aws >/dev/null; then
  run aws ec2 describe-subnets --output table \
    --query 'sort_by(Subnets,&CidrBlock)[].{subnet:Tags[?Key==`Name`]|[0].Value,zone:AvailabilityZone,cidr:CidrBlock}'
  run aws ec2 describe-instances --output table \
    --query 'Reservations[].Instances[].{instance:InstanceId,zone:Placement.AvailabilityZone,address:PrivateIpAddress,vpc:VpcId}'
else
  echo "$vpc; the AWS command line is not installed, so this is what the emulator shows:"
  tr '{' '\n' <"$LANDFALL_WORKDIR/aws-before.json" | grep address
fi

step "controller: deploy/controller.yaml, two pods" "$LANDFALL_WORKDIR/pods/landfall-system_*/controller.log"
run kubectl create namespace landfall-system
run kubectl -n landfall-system create configmap landfall-controller \
  --from-literal=LANDFALL_VPC_ID="$vpc" --from-literal=LANDFALL_CLAIM_CLASSLESS=true
run kubectl apply --server-side -f deploy/controller.yaml
run kubectl -n landfall-system rollout status deployment landfall-controller --timeout 60s
wait_for 30 "one of them to lead" '[[ -n $(leader) ]]'
run kubectl -n landfall-system get pods -o wide
echo "leader: $(leader)"

step "backend: a Deployment, app.kubernetes.io/name: MyApp, port 9376" "$LANDFALL_WORKDIR/pods/default_*/web.log"
run kubectl apply -f tools/demo/backend.yaml
run kubectl rollout status deployment my-app --timeout 60s

if [[ ${1:-all} == prepare ]]; then
  close_step ok
  exit
fi

step "Service: <pending>, then the NLB's name" "$LANDFALL_WORKDIR/pods/landfall-system_*/controller.log"
run kubectl apply -f tools/demo/my-service.yaml
echo "\$ kubectl get service my-service --watch"
watched=$LANDFALL_WORKDIR/watch.txt
kubectl get service my-service --watch > >(tee "$watched") &
watching=$!
wait_for 60 "the host name in the Service's status" 'grep -q "elb\.$AWS_REGION\.amazonaws\.com" "$watched"'
kill $watching
grep -q '<pending>' "$watched"
run kubectl get service my-service \
  -o 'jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}'
show_load_balancers

step "traffic: curl by that name, through NLB, node port and kube-proxy" "$LANDFALL_WORKDIR/pods/default_*/web.log"
name=$(host_name)
wait_for 30 "an answer from a pod" 'curl --silent --fail --max-time 2 --output /dev/null "http://$name/"'
for _ in 1 2 3; do run curl --silent --show-error --fail --max-time 5 "http://$name/"; done

step "rollout while requests flow: none fails" "$LANDFALL_WORKDIR/pods/default_*/web.log"
REQUESTS=$LANDFALL_WORKDIR/requests.txt
: >"$REQUESTS"
touch "$REQUESTS.on"
keep_asking "$name" &
asking=$!
wait_for 10 "requests to flow" '(($(wc -l <"$REQUESTS") > 10))'
run kubectl rollout restart deployment my-app
run kubectl rollout status deployment my-app --timeout 90s
wait_for 30 "the old pods to be gone" '(($(kubectl get pods -l app.kubernetes.io/name=MyApp --no-headers | wc -l) == 3))'
rm "$REQUESTS.on"
wait $asking
failed=$(grep -vc '^200$' "$REQUESTS" || true)
echo "requests sent: $(wc -l <"$REQUESTS"), failed: $failed"
[[ $failed == 0 ]]

step "failover: the leading pod is killed, the other takes over" "$LANDFALL_WORKDIR/pods/landfall-system_*/controller.log"
first=$(leader)
run kubectl -n landfall-system delete pod "$first" --force --grace-period 0
wait_for 30 "another leader than $first" '[[ -n $(leader) && $(leader) != "$first" ]]'
echo "leader: $(leader)"
run curl --silent --show-error --fail --max-time 5 "http://$name/"

step "deletion: AWS holds what it held before, and nothing else" "$LANDFALL_WORKDIR/pods/landfall-system_*/controller.log"
run kubectl delete service my-service --timeout 60s
show_load_balancers
wait_for 10 "AWS to be as it was" 'aws_state | cmp --silent - "$LANDFALL_WORKDIR/aws-before.json"'
echo "load balancers, target groups, listeners, security groups, rules, interfaces: all as before the controller came"
close_step ok
