#!/usr/bin/env bash
# LocalStack's init hook: a VPC with an internet gateway and two public subnets. For landfall-localstack the same is a file, --seed.
set -euo pipefail

# create KIND QUERY ARGUMENT... : makes it, and prints its id.
create() { awslocal ec2 "create-$1" --output text --query "$2" "${@:3}"; }
named() { echo "ResourceType=$1,Tags=[{Key=Name,Value=$2},{Key=kubernetes.io/role/elb,Value=1}]"; }

vpc=$(create vpc Vpc.VpcId --cidr-block 10.20.0.0/16)
gateway=$(create internet-gateway InternetGateway.InternetGatewayId)
awslocal ec2 attach-internet-gateway --internet-gateway-id "$gateway" --vpc-id "$vpc"
table=$(create route-table RouteTable.RouteTableId --vpc-id "$vpc")
create route Return --route-table-id "$table" --destination-cidr-block 0.0.0.0/0 --gateway-id "$gateway" >/dev/null
net=0
for zone in a b; do
  subnet=$(create subnet Subnet.SubnetId --vpc-id "$vpc" --cidr-block "10.20.$net.0/24" \
    --availability-zone "${AWS_DEFAULT_REGION:-us-east-1}$zone" --tag-specifications "$(named subnet "public-$zone")")
  awslocal ec2 associate-route-table --route-table-id "$table" --subnet-id "$subnet" >/dev/null
  net=$((net + 1))
done
echo "network.sh: $vpc with two public subnets"
