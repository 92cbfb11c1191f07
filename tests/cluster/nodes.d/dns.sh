#!/usr/bin/env bash
# The cluster's DNS: CoreDNS beside the API server instead of in a pod, which saves an image and its start. Pods see no
# difference: the Service is where it always is.

start_dns() {
	cat >"$STATE/control/Corefile" <<-E
		cluster.local in-addr.arpa ip6.arpa {
		  bind $CONTROL_ADDRESS
		  errors
		  kubernetes {
		    kubeconfig $STATE/pki/coredns.kubeconfig
		    pods insecure
		    ttl 5
		  }
		}
		. {
		  bind $CONTROL_ADDRESS
		  template ANY ANY { # there is no world outside
		    rcode NXDOMAIN
		  }
		}
	E
	kubectl apply --server-side -f - >/dev/null <"$HERE/dns.yaml"
	start_component control coredns coredns -conf "$STATE/control/Corefile"
}

# Asked as a node's programs and its pods ask: at the Service, which kube-proxy leads here.
dns_answers() {
	inside "$1" busybox nslookup kubernetes.default.svc.cluster.local "$DNS_SERVICE"
}
