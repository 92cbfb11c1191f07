#!/usr/bin/env bash
# Keys, certificates and kubeconfig files, as kubeadm would make them, for a month.

API_SERVER=https://$CONTROL_ADDRESS:6443

make_server_pki() {
	local pki=$STATE/pki
	mkdir -p "$pki"
	openssl genrsa -out "$pki/service-account.key" 2048 2>/dev/null
	openssl rsa -in "$pki/service-account.key" -pubout -out "$pki/service-account.pub" 2>/dev/null
	authority ca
	authority front-proxy-ca
	certificate ca apiserver /CN=kube-apiserver \
		"subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$CONTROL_ADDRESS,IP:$API_SERVICE"
	certificate ca apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
	certificate front-proxy-ca front-proxy-client /CN=front-proxy-client
}

make_users() {
	local node
	user admin /O=system:masters/CN=kubernetes-admin
	user controller-manager /CN=system:kube-controller-manager
	user scheduler /CN=system:kube-scheduler
	user proxy /CN=system:kube-proxy
	user coredns /CN=coredns
	for node in "${NODES[@]}"; do
		user "$node" "/O=system:nodes/CN=system:node:$node"
	done
}

# make_certificate NAME SUBJECT OPTION...: a key and its certificate. The computer's own openssl.cnf has no say.
make_certificate() {
	openssl req -x509 -config <(printf '[req]\ndistinguished_name = name\n[name]\n') -days 30 -nodes \
		-newkey ec -pkeyopt ec_paramgen_curve:P-256 \
		-keyout "$STATE/pki/$1.key" -out "$STATE/pki/$1.crt" -subj "$2" "${@:3}" 2>>"$STATE/pki/openssl.log" ||
		die "openssl made no certificate for $1: $(tail -n 3 "$STATE/pki/openssl.log")"
}

authority() {
	make_certificate "$1" "/CN=veilwarden-test-$1" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
}

# certificate AUTHORITY NAME SUBJECT [EXTENSION]
certificate() {
	make_certificate "$2" "$3" -CA "$STATE/pki/$1.crt" -CAkey "$STATE/pki/$1.key" \
		-addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature \
		-addext extendedKeyUsage=serverAuth,clientAuth ${4:+-addext "$4"}
}

# A kubeconfig file that holds all it needs, for a certificate's subject.
user() {
	local pki=$STATE/pki
	certificate ca "$1" "$2"
	cat >"$pki/$1.kubeconfig" <<-E
		apiVersion: v1
		kind: Config
		current-context: veilwarden-test
		clusters:
		- name: veilwarden-test
		  cluster:
		    server: $API_SERVER
		    certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
		users:
		- name: $1
		  user:
		    client-certificate-data: $(base64 -w0 "$pki/$1.crt")
		    client-key-data: $(base64 -w0 "$pki/$1.key")
		contexts:
		- name: veilwarden-test
		  context:
		    cluster: veilwarden-test
		    user: $1
	E
	chmod 600 "$pki/$1.kubeconfig"
}
