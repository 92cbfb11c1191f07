#!/usr/bin/env bash
# A node: containerd with runc, kubelet, kube-proxy. Their directories are the usual ones, which are the machine's own.

PAUSE_IMAGE=$ROOT/.cache/images/pause.tar

start_containerd() {
	local node=$1 configuration=$STATE/$1/configuration
	mkdir -p "$configuration/cni"
	make_cgroup "$node"
	cni_configuration "$node" >"$configuration/cni/10-pods.conflist"
	containerd_configuration "$node" >"$configuration/containerd.toml"
	start_component "$node" containerd containerd --config "$configuration/containerd.toml"
	await "containerd answers on $node" 30 inside "$node" ctr version
	import_image "$node" "$PAUSE_IMAGE"
}

# AppArmor profiles would be loaded into the computer's kernel and stay there.
containerd_configuration() {
	cat <<-E
		version = 2
		disabled_plugins = ["io.containerd.internal.v1.opt"]
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "veilwarden.test/pause:1"
		  restrict_oom_score_adj = true
		  disable_apparmor = true
		  [plugins."io.containerd.grpc.v1.cri".containerd]
		    snapshotter = "$(snapshotter "$1")"
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "$CNI_BIN"
		    conf_dir = "$STATE/$1/configuration/cni"
	E
}

# An overlay cannot lie on another one, which is what a container's own files mostly are: then layers are copied.
snapshotter() {
	local try=$STATE/$1/tmp/overlay
	mkdir -p "$try"/{lower,upper,work,merged}
	if inside "$1" mount -t overlay overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" "$try/merged" 2>/dev/null; then
		inside "$1" umount "$try/merged"
		echo overlayfs
	else
		echo native
	fi
}

start_kubelet_and_proxy() {
	local node=$1 configuration=$STATE/$1/configuration
	kubelet_configuration "$node" >"$configuration/kubelet.yaml"
	start_component "$node" kubelet kubelet --config "$configuration/kubelet.yaml" \
		--kubeconfig "$STATE/pki/$node.kubeconfig" --hostname-override "$node" --node-ip "$(address_of "$node")"
	# The connection table's size is the whole computer's: left alone.
	start_component "$node" kube-proxy kube-proxy --kubeconfig "$STATE/pki/proxy.kubeconfig" --proxy-mode iptables \
		--cluster-cidr "$POD_NETWORK" --hostname-override "$node" --conntrack-max-per-core 0
}

# The disk is a developer's and may be rather full: no eviction, no collection of images.
kubelet_configuration() {
	cat <<-E
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		authentication:
		  anonymous: {enabled: false}
		  webhook: {enabled: true}
		  x509: {clientCAFile: $STATE/pki/ca.crt}
		authorization: {mode: Webhook}
		cgroupDriver: cgroupfs
		cgroupRoot: /$(cgroup_of "$1")
		containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
		clusterDomain: cluster.local
		clusterDNS: [$DNS_SERVICE]
		resolvConf: ""
		failSwapOn: false
		oomScoreAdj: 0
		volumePluginDir: /var/lib/kubelet/volume-plugins
		evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
		imageGCHighThresholdPercent: 100
	E
}

nodes_are_ready() {
	kubectl wait --for=create "${NODES[@]/#/node/}" --timeout=20s &&
		kubectl wait --for=condition=Ready "${NODES[@]/#/node/}" --timeout=20s
}

import_image() {
	inside "$1" ctr --namespace k8s.io images import - <"$2" >/dev/null
}

load_images() {
	local image node
	for image in "$@"; do
		for node in "${NODES[@]}"; do
			import_image "$node" "$image"
		done
	done
}
