#!/usr/bin/env bash
# The control plane: etcd, API server, controller manager and scheduler, with the settings of kubeadm where they matter.

start_api_server_and_etcd() {
	start_component control etcd etcd --data-dir "$STATE/control/etcd" --unsafe-no-fsync \
		--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380 # the data need not survive the computer
	start_api_server
}

start_api_server() {
	local pki=$STATE/pki
	# Service addresses mean nothing on this machine, which has no kube-proxy: webhooks and aggregated API servers are called
	# at their pods' addresses (enable-aggregator-routing).
	start_component control kube-apiserver kube-apiserver \
		--etcd-servers http://127.0.0.1:2379 \
		--advertise-address "$CONTROL_ADDRESS" --secure-port 6443 \
		--tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
		--client-ca-file "$pki/ca.crt" \
		--requestheader-client-ca-file "$pki/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
		--requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
		--requestheader-extra-headers-prefix X-Remote-Extra- \
		--proxy-client-cert-file "$pki/front-proxy-client.crt" --proxy-client-key-file "$pki/front-proxy-client.key" \
		--enable-aggregator-routing \
		--kubelet-client-certificate "$pki/apiserver-kubelet-client.crt" \
		--kubelet-client-key "$pki/apiserver-kubelet-client.key" --kubelet-preferred-address-types InternalIP \
		--service-account-issuer https://kubernetes.default.svc.cluster.local \
		--service-account-key-file "$pki/service-account.pub" \
		--service-account-signing-key-file "$pki/service-account.key" \
		--authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
		--service-cluster-ip-range "$SERVICE_NETWORK" --allow-privileged
}

# curl instead of kubectl, which takes more of the processor than the API server can spare now.
api_server_is_ready() { (run curl --silent --fail --max-time 2 --cacert "$STATE/pki/ca.crt" "$API_SERVER/readyz"); }

await_api_server() {
	await "the API server is ready" 60 api_server_is_ready
}

start_controllers() {
	local pki=$STATE/pki
	start_component control kube-controller-manager kube-controller-manager \
		--kubeconfig "$pki/controller-manager.kubeconfig" --use-service-account-credentials --leader-elect=false \
		--authentication-kubeconfig "$pki/controller-manager.kubeconfig" \
		--authorization-kubeconfig "$pki/controller-manager.kubeconfig" \
		--service-account-private-key-file "$pki/service-account.key" --root-ca-file "$pki/ca.crt" \
		--cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key"
	start_component control kube-scheduler kube-scheduler \
		--kubeconfig "$pki/scheduler.kubeconfig" --leader-elect=false \
		--authentication-kubeconfig "$pki/scheduler.kubeconfig" --authorization-kubeconfig "$pki/scheduler.kubeconfig"
}
