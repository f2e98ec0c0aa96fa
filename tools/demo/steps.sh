#!/usr/bin/env bash
# The demo's steps, to be read as the tutorial (docs/tutorial/first-load-balancer.md). Runs inside a cluster, by landfall-cluster.
#
#   steps.sh all       all steps, up to the deletion
#   steps.sh prepare   up to the running backend and data plane, for `make up`
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
  echo "load balancers: $(load_balancers)"
}

# How many there are.
load_balancers() { aws_state | grep -o '"dns_name"' | wc -l; }

# Everything in the account at this moment, in a stable order.
aws_state() {
  curl --silent --show-error --fail "$AWS_ENDPOINT_URL/_landfall/state?account=$AWS_ACCESS_KEY_ID&region=$AWS_REGION"
}

leader() {
  kubectl -n landfall-system get lease landfall-controller -o 'jsonpath={.spec.holderIdentity}'
}

# host_name KIND NAME [ARGUMENT...] : the load balancer's name in its status.
host_name() {
  kubectl get "$@" -o 'jsonpath={.status.loadBalancer.ingress[0].hostname}'
}

# answers URL : somebody answers 200.
answers() { curl --silent --fail --max-time 2 --output /dev/null "$1"; }

# pods_are COUNT ARGUMENT... : so many pods are there, leaving ones included.
pods_are() {
  local count=$1
  shift
  (($(kubectl get pods "$@" --no-headers 2>/dev/null | wc -l) == count))
}

# ask_all_the_time URL SORT... : clients of these sorts (tests/cluster/src/bin/load.rs) at work, once all addresses have answered.
ask_all_the_time() {
  local url=$1 sort sorts=()
  shift
  for sort in "$@"; do sorts+=(--sort "$sort"); done
  : >"$LANDFALL_WORKDIR/load.txt"
  echo "\$ landfall-load $url ${sorts[*]} &"
  "$LANDFALL_LOAD" "$url" "${sorts[@]}" >"$LANDFALL_WORKDIR/load.txt" &
  load=$!
  wait_for 30 "requests to flow" 'grep -q "^requests flow" "$LANDFALL_WORKDIR/load.txt"'
  cat "$LANDFALL_WORKDIR/load.txt"
}

# What came of the requests; for the closing table, too. Fails if one of them did.
stop_asking() {
  local status=0
  kill "$load"
  wait "$load" || status=$?
  local told
  told=$(grep ' requests sent ' "$LANDFALL_WORKDIR/load.txt")
  echo "$told"
  note "$(sed -E 's/^([0-9]+) requests sent .*, ([0-9]+) failed,.*/\1 sent, \2 failed/' <<<"$told")"
  return $status
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

step "data plane: deploy/ingress-nginx.yaml, two pods" "$LANDFALL_WORKDIR/pods/ingress-nginx_*/controller.log"
run kubectl apply --server-side -f deploy/ingress-nginx.yaml
run kubectl -n ingress-nginx rollout status deployment ingress-nginx-controller --timeout 60s

if [[ ${1:-all} == prepare ]]; then
  close_step ok
  exit
fi

step "Ingress: online-boutique-ing, for a frontend on port 80" "$LANDFALL_WORKDIR/pods/ingress-nginx_*/controller.log"
run kubectl apply -f tools/demo/frontend.yaml
run kubectl rollout status deployment frontend --timeout 60s
run kubectl apply -f tools/demo/online-boutique-ing.yaml
wait_for 60 "the host name in the Ingress's status" '[[ -n $(host_name ingress online-boutique-ing) ]]'
run kubectl -n ingress-nginx get service ingress-nginx-controller
run kubectl get ingress online-boutique-ing
ingress_name=$(host_name ingress online-boutique-ing)
WAITED_FOR="the same name in the status of Service and Ingress"
[[ $ingress_name == "$(host_name service ingress-nginx-controller -n ingress-nginx)" ]]

step "traffic: curl by that name, through NLB, node port and data plane" "$LANDFALL_WORKDIR/pods/ingress-nginx_*/controller.log"
wait_for 30 "an answer from a frontend pod" 'answers "http://$ingress_name/"'
for _ in 1 2 3; do run curl --silent --show-error --fail --max-time 5 "http://$ingress_name/"; done

step "Service: <pending>, then the NLB's name" "$LANDFALL_WORKDIR/pods/landfall-system_*/controller.log"
run kubectl apply -f tools/demo/my-service.yaml
echo "\$ kubectl get service my-service --watch"
watched=$LANDFALL_WORKDIR/watch.txt
: >"$watched"
kubectl get service my-service --watch > >(tee --append "$watched") &
watching=$!
wait_for 60 "the host name in the Service's status" 'grep -q "elb\.$AWS_REGION\.amazonaws\.com" "$watched"'
kill $watching
grep -q '<pending>' "$watched"
run kubectl get service my-service \
  -o 'jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}'
show_load_balancers

step "traffic: curl by that name, through NLB, node port and kube-proxy" "$LANDFALL_WORKDIR/pods/default_*/web.log"
name=$(host_name service my-service)
wait_for 30 "an answer from a pod" 'answers "http://$name/"'
for _ in 1 2 3; do run curl --silent --show-error --fail --max-time 5 "http://$name/"; done

step "my-app rolled while requests flow: none fails" "$LANDFALL_WORKDIR/pods/default_*/web.log"
ask_all_the_time "http://$name/" kept new
run kubectl rollout restart deployment my-app
run kubectl rollout status deployment my-app --timeout 90s
wait_for 30 "the old pods to be gone" 'pods_are 3 -l app.kubernetes.io/name=MyApp'
stop_asking

step "frontend rolled while requests flow: none fails" "$LANDFALL_WORKDIR/pods/default_frontend*/server.log"
ask_all_the_time "http://$ingress_name/" kept new http2
run kubectl rollout restart deployment frontend
run kubectl rollout status deployment frontend --timeout 90s
wait_for 30 "the old pods to be gone" 'pods_are 2 -l app=frontend'
stop_asking

step "ingress pods rolled while requests flow: none fails" "$LANDFALL_WORKDIR/pods/ingress-nginx_*/controller.log"
ask_all_the_time "http://$ingress_name/" kept new http2
run kubectl -n ingress-nginx rollout restart deployment ingress-nginx-controller
run kubectl -n ingress-nginx rollout status deployment ingress-nginx-controller --timeout 90s
echo "the old pods serve on until the load balancer has surely seen that they are leaving (--shutdown-grace-period=45) ..."
wait_for 90 "the old pods to be gone" 'pods_are 2 -n ingress-nginx'
stop_asking

step "the Ingress and the data plane are deleted, and their NLB" "$LANDFALL_WORKDIR/pods/landfall-system_*/controller.log"
run kubectl delete -f tools/demo/online-boutique-ing.yaml -f tools/demo/frontend.yaml --timeout 60s
echo "not waited for: the data plane's pods serve on for their 45 s"
run kubectl delete --wait=false -f deploy/ingress-nginx.yaml
wait_for 60 "one load balancer to be left" '(($(load_balancers) == 1))'
show_load_balancers

step "failover: the leading pod is killed, the other takes over" "$LANDFALL_WORKDIR/pods/landfall-system_*/controller.log"
first=$(leader)
run kubectl -n landfall-system delete pod "$first" --force --grace-period 0
wait_for 30 "another leader than $first" '[[ -n $(leader) && $(leader) != "$first" ]]'
echo "leader: $(leader)"
run curl --silent --show-error --fail --max-time 5 "http://$name/"

step "deletion: AWS holds what it held before, and nothing else" "$LANDFALL_WORKDIR/pods/landfall-system_*/controller.log"
run kubectl delete -f tools/demo/my-service.yaml --timeout 60s
show_load_balancers
wait_for 10 "AWS to be as it was" 'aws_state | cmp --silent - "$LANDFALL_WORKDIR/aws-before.json"'
echo "load balancers, target groups, listeners, security groups, rules, interfaces: all as before the controller came"
run kubectl delete -f tools/demo/backend.yaml --timeout 60s
run kubectl delete -f deploy/controller.yaml --timeout 60s
# Not for the namespace: Kubernetes looks at it again after half of its pods' terminationGracePeriodSeconds, 150 s.
wait_for 90 "the data plane's pods to be gone" 'pods_are 0 --namespace ingress-nginx'
close_step ok
