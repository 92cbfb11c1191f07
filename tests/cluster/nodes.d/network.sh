#!/usr/bin/env bash
# The network: the control plane's machine is the switch, and the way from node to node. Pods have their node's subnet, and
# every machine has routes to all of them. The computer's own network has no part in it, and nothing leads out.

# shellcheck disable=SC2034 # the files beside this one use them
CONTROL_ADDRESS=172.30.0.1
POD_NETWORK=10.244.0.0/16
SERVICE_NETWORK=10.96.0.0/16
API_SERVICE=10.96.0.1 # the first address of the network, always
DNS_SERVICE=10.96.0.10
CNI_BIN=/usr/lib/cni

address_of() { echo "172.30.0.1${1#node}"; }
pods_of() { echo "10.244.${1#node}.0/24"; }

connect_machines() {
	local node other
	inside control ip -batch - <<-E
		link add switch type bridge
		address add $CONTROL_ADDRESS/24 dev switch
		link set switch up
	E
	for node in "${NODES[@]}"; do
		# Made inside the control plane's machine: the other end's namespace is named by a process, and pids are its own there.
		nsenter --target "$(init_of control)" --net -- ip -batch - <<-E
			link add $node type veth peer name eth0 netns $(init_of "$node")
			link set $node master switch up
			route add $(pods_of "$node") via $(address_of "$node")
		E
		{
			echo "address add $(address_of "$node")/24 dev eth0"
			echo "link set eth0 up"
			echo "route add default via $CONTROL_ADDRESS"
			for other in "${NODES[@]}"; do
				[[ $other == "$node" ]] || echo "route add $(pods_of "$other") via $(address_of "$other")"
			done
		} | inside "$node" ip -batch -
	done
}

# Pods hang on cables of their own (ptp), so every packet is routed and Service rules apply also between neighbours, which
# on a bridge depends on a kernel module.
cni_configuration() {
	cat <<-E
		{
		  "cniVersion": "0.4.0",
		  "name": "pods",
		  "plugins": [
		    {
		      "type": "ptp",
		      "ipMasq": false,
		      "ipam": {
		        "type": "host-local",
		        "ranges": [[{"subnet": "$(pods_of "$1")"}]],
		        "routes": [{"dst": "0.0.0.0/0"}]
		      }
		    },
		    {"type": "portmap", "capabilities": {"portMappings": true}}
		  ]
		}
	E
}
