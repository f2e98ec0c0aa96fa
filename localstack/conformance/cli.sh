#!/usr/bin/env bash
# The life of a load balancer by the AWS CLI, the second foreign client: cli.sh AWS ENDPOINT. Says what failed, exits 1 if anything did.
set -euo pipefail
aws=$1 endpoint=$2
[[ -x $aws ]] || { echo "skipped: lacks $aws (pip could not install awscli)"; exit 0; }
export AWS_ACCESS_KEY_ID=999900000001 AWS_SECRET_ACCESS_KEY=secret AWS_DEFAULT_REGION=us-west-2 AWS_ENDPOINT_URL=$endpoint AWS_PAGER="" AWS_MAX_ATTEMPTS=1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
unset AWS_PROFILE AWS_SESSION_TOKEN
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

passed=0 failed=0
# expect TEXT COMMAND…: the command's output (both streams) is TEXT, as a pattern of bash.
expect() {
  local wanted=$1 got; shift
  got=$("$@" 2>&1) || true
  # shellcheck disable=SC2053
  if [[ $got == $wanted ]]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED aws ${*:2}: got ${got:0:400}, wanted $wanted"; fi
}
query() { "$aws" "${@:2}" --output text --query "$1" 2>/dev/null || true; }

"$(dirname "$aws")/python" - "$here" "$endpoint" "$AWS_ACCESS_KEY_ID" <<'PYTHON'
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from referee import Referee
from session import Server, Session
Session(Server(sys.argv[2], Referee()), sys.argv[3])
PYTHON

expect 999900000001 "$aws" sts get-caller-identity --query Account --output text
expect '\[\]' "$aws" elbv2 describe-load-balancers --query LoadBalancers --output json
vpc=$(query 'Vpcs[0].VpcId' ec2 describe-vpcs --filters Name=tag:Name,Values=conformance)
mapfile -t subnets < <(query 'Subnets[].SubnetId' ec2 describe-subnets --filters 'Name=tag:Name,Values=internal-*' | tr '\t' '\n')
expect 'vpc-*' echo "$vpc"
expect 3 echo "${#subnets[@]}"
lb=$(query 'LoadBalancers[0].LoadBalancerArn' elbv2 create-load-balancer --name cli --type network --scheme internal --subnets "${subnets[@]}" --tags Key=a,Value=b)
tg=$(query 'TargetGroups[0].TargetGroupArn' elbv2 create-target-group --name cli --protocol TCP --port 80 --target-type ip --vpc-id "$vpc")
ls=$(query 'Listeners[0].ListenerArn' elbv2 create-listener --load-balancer-arn "$lb" --protocol TCP --port 80 --default-actions "Type=forward,TargetGroupArn=$tg")
expect 'arn:aws:elasticloadbalancing:us-west-2:999900000001:listener/net/cli/*' echo "$ls"
expect active "$aws" elbv2 describe-load-balancers --names cli --query 'LoadBalancers[0].State.Code' --output text
expect '' "$aws" elbv2 wait load-balancer-available --names cli
expect b "$aws" elbv2 describe-tags --resource-arns "$lb" --query 'TagDescriptions[0].Tags[0].Value' --output text
expect '' "$aws" elbv2 register-targets --target-group-arn "$tg" --targets Id=127.20.1.99,Port=80
expect 127.20.1.99 "$aws" elbv2 describe-target-health --target-group-arn "$tg" --query 'TargetHealthDescriptions[0].Target.Id' --output text
expect "$tg" "$aws" elbv2 describe-target-groups --load-balancer-arn "$lb" --query 'TargetGroups[0].TargetGroupArn' --output text
expect "TCP	80	$tg" "$aws" elbv2 describe-listeners --load-balancer-arn "$lb" --query 'Listeners[0].[Protocol,Port,DefaultActions[0].TargetGroupArn]' --output text
other=$(query 'TargetGroups[0].TargetGroupArn' elbv2 create-target-group --name other --protocol TCP --port 80 --target-type ip --vpc-id "$vpc")
expect '*(DuplicateListener)*' "$aws" elbv2 create-listener --load-balancer-arn "$lb" --protocol TCP --port 80 --default-actions "Type=forward,TargetGroupArn=$other"
expect '' "$aws" elbv2 add-tags --resource-arns "$tg" --tags Key=stage,Value=test
expect '' "$aws" elbv2 remove-tags --resource-arns "$lb" --tag-keys a
expect test "$aws" elbv2 describe-tags --resource-arns "$lb" "$tg" --query 'TagDescriptions[].Tags[].Value' --output text
expect true "$aws" elbv2 modify-load-balancer-attributes --load-balancer-arn "$lb" --attributes Key=deletion_protection.enabled,Value=true --query "Attributes[?Key=='deletion_protection.enabled'].Value" --output text
expect '*(OperationNotPermitted)*' "$aws" elbv2 delete-load-balancer --load-balancer-arn "$lb"
expect false "$aws" elbv2 modify-load-balancer-attributes --load-balancer-arn "$lb" --attributes Key=deletion_protection.enabled,Value=false --query "Attributes[?Key=='deletion_protection.enabled'].Value" --output text
expect 0 "$aws" elbv2 modify-target-group-attributes --target-group-arn "$tg" --attributes Key=deregistration_delay.timeout_seconds,Value=0 --query "Attributes[?Key=='deregistration_delay.timeout_seconds'].Value" --output text
expect 120 "$aws" elbv2 modify-listener-attributes --listener-arn "$ls" --attributes Key=tcp.idle_timeout.seconds,Value=120 --query "Attributes[?Key=='tcp.idle_timeout.seconds'].Value" --output text
expect 10 "$aws" elbv2 modify-target-group --target-group-arn "$tg" --health-check-interval-seconds 10 --query 'TargetGroups[0].HealthCheckIntervalSeconds' --output text
expect 1 "$aws" elbv2 set-subnets --load-balancer-arn "$lb" --subnets "${subnets[0]}" --query 'length(AvailabilityZones)' --output text
expect "$other" "$aws" elbv2 modify-listener --listener-arn "$ls" --default-actions "Type=forward,TargetGroupArn=$other" --query 'Listeners[0].DefaultActions[0].TargetGroupArn' --output text
expect '*(ResourceInUse)*' "$aws" elbv2 delete-target-group --target-group-arn "$other"
expect '' "$aws" elbv2 deregister-targets --target-group-arn "$tg" --targets Id=127.20.1.99,Port=80
expect '' "$aws" elbv2 wait target-deregistered --target-group-arn "$tg" --targets Id=127.20.1.99,Port=80
expect '' "$aws" elbv2 delete-listener --listener-arn "$ls"
expect '' "$aws" elbv2 delete-load-balancer --load-balancer-arn "$lb"
expect '*(LoadBalancerNotFound)*' "$aws" elbv2 describe-load-balancers --names cli
expect '' "$aws" elbv2 wait load-balancers-deleted --load-balancer-arns "$lb"
expect '' "$aws" elbv2 delete-target-group --target-group-arn "$tg"
expect '' "$aws" elbv2 delete-target-group --target-group-arn "$other"
expect '\[\]' "$aws" elbv2 describe-target-groups --query TargetGroups --output json

echo "AWS CLI: $passed passed, $failed failed"
[[ $failed -eq 0 ]]
