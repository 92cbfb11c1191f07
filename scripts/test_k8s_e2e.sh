#!/usr/bin/env bash
# The end-to-end tests: the image in a cluster of two nodes, called by ordinary pods; and what the documents say, typed into one.
#
# usage: scripts/test_k8s_e2e.sh            start a cluster, test, and remove it however that ends
#        scripts/test_k8s_e2e.sh begin      start it and what has to grow old in it; the tests come later
#        scripts/test_k8s_e2e.sh end        remove what was begun
#        scripts/test_k8s_e2e.sh documents  type the documents into an empty cluster of their own, and remove it
#
# VEILWARDEN_KEEP_CLUSTER=1 leaves a failed one up, to be looked at.
# With a Docker daemon that answers it is a kind cluster, else tests/cluster/nodes, which needs root and no daemon.
# Wanted before: `make image` and, without Docker, `make cluster-tools`. The tests themselves need only KUBECONFIG and kubectl.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=veilwarden-e2e
if [[ ${1:-run} == documents ]]; then
	name=veilwarden-documents
	export VEILWARDEN_CLUSTER=$PWD/.cache/documents-cluster
fi
client=veilwarden.test/client:1
# What the documents call their client's image; any with curl and a shell will do.
documented=curlimages/curl:8.17.0
# What the component `socket` has chown from.
busybox=docker.io/library/busybox:1.37.0

docker_answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

kind_up() {
	command -v kind >/dev/null || {
		echo "test_k8s_e2e: there is a Docker daemon, and no kind: https://kind.sigs.k8s.io has it" >&2
		exit 1
	}
	kind create cluster --name "$name" --wait 5m --kubeconfig ".cache/$name.kubeconfig" --config - <<-'END'
		kind: Cluster
		apiVersion: kind.x-k8s.io/v1alpha4
		nodes: [{role: control-plane}, {role: worker}, {role: worker}]
	END
	docker load --input .cache/image/veilwarden.tar
	docker pull "$documented"
	docker tag "$documented" "$client"
	docker pull "$busybox"
	kind load docker-image veilwarden:v0.2.0 "$client" "$documented" "$busybox" --name "$name"
}

kind_environment() {
	export KUBECONFIG=$PWD/.cache/$name.kubeconfig VEILWARDEN_KUBECTL
	VEILWARDEN_KUBECTL=$(command -v kubectl)
	# kubelet starts the API server again at once, because it is a static pod.
	export VEILWARDEN_RESTART_API_SERVER="docker exec $name-control-plane pkill -x kube-apiserver"
}

nodes_up() {
	tests/cluster/nodes up
	tests/cluster/nodes load .cache/images/client.tar .cache/image/veilwarden.tar
	for node in node1 node2; do
		tests/cluster/nodes exec "$node" ctr --namespace k8s.io images tag "$client" "docker.io/$documented" "$busybox" >/dev/null
	done
}

nodes_environment() {
	eval "$(tests/cluster/nodes env)"
	export VEILWARDEN_RESTART_API_SERVER="tests/cluster/nodes restart-apiserver"
}

if docker_answers; then kind=kind; else kind=nodes; fi

down() {
	if [[ $kind == kind ]]; then kind delete cluster --name "$name"; else tests/cluster/nodes down; fi
}

# What is in the image: a cluster that runs another program is begun anew.
program() { sha256sum target/x86_64-unknown-linux-gnu/release/veilwarden | cut -d' ' -f1; }

is_up() { [[ $(cat ".cache/$name.up" 2>/dev/null) == "$(program)" ]] && "$VEILWARDEN_KUBECTL" get nodes >/dev/null 2>&1; }

up() {
	rm -f ".cache/$name.up"
	down >/dev/null 2>&1 || true
	"${kind}_up"
	"${kind}_environment"
}

begin() {
	up
	VEILWARDEN_E2E=install cargo test --locked --test e2e
	program >".cache/$name.up"
}

# At the end of `begin` a good cluster stays, and so does a failed one that is to be looked at.
clean_up() {
	local status=$?
	if [[ $status != 0 && ${VEILWARDEN_KEEP_CLUSTER:-} == 1 ]]; then
		echo "test_k8s_e2e: failed; the cluster is still there to be looked at (make kubectl ARGS='…', make cluster-down)" >&2
	elif [[ $status != 0 || $1 != begin ]]; then
		rm -f ".cache/$name.up"
		down
	fi
	exit "$status"
}

case ${1:-run} in
begin)
	trap 'clean_up begin' EXIT
	begin
	;;
documents)
	trap 'clean_up documents' EXIT
	up
	cargo test --locked --test cluster -- guide::
	;;
end)
	clean_up end
	;;
run)
	trap 'clean_up run' EXIT
	"${kind}_environment"
	is_up || begin
	VEILWARDEN_E2E=run cargo test --locked --test e2e
	;;
*)
	sed -n '4,9s/^# //p' "$0" >&2
	exit 2
	;;
esac
