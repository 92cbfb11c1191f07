//! The Kubernetes objects that a test needs: a namespace of its own, ServiceAccounts, pods, nodes, tokens.

use crate::control_plane::ControlPlane;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::PathBuf;

/// A namespace that one test has for itself.
pub struct Team {
    client: Client,
    pub namespace: String,
}

/// A pod as the API server stores it. No kubelet runs it; tokens can be bound to it all the same.
pub struct PodObject {
    pub name: String,
    pub uid: String,
}

impl Team {
    /// Makes the namespace. Its name must be one that no other test takes.
    pub async fn new(cluster: &ControlPlane, namespace: &str) -> Self {
        create(&Api::<Namespace>::all(cluster.admin()), json!({"metadata": {"name": namespace}})).await;
        Self::existing(cluster, namespace)
    }

    /// A namespace that is there already.
    pub fn existing(cluster: &ControlPlane, namespace: &str) -> Self {
        Self { client: cluster.admin(), namespace: namespace.to_owned() }
    }

    pub async fn service_account(&self, name: &str) {
        create(&self.api::<ServiceAccount>(), json!({"metadata": {"name": name}})).await;
    }

    pub async fn delete_service_account(&self, name: &str) {
        self.api::<ServiceAccount>().delete(name, &DeleteParams::default()).await.expect("the ServiceAccount is there");
    }

    /// Makes a pod that runs as `service_account`: on `node` (see [`node`]), or not scheduled.
    pub async fn pod(&self, name: &str, service_account: &str, node: Option<&str>) -> PodObject {
        let pod = json!({
            "metadata": {"name": name},
            "spec": {
                "serviceAccountName": service_account,
                "nodeName": node,
                "containers": [{"name": "main", "image": "workload.test/main:1"}],
            },
        });
        let pod = create(&self.api::<Pod>(), pod).await;
        PodObject { name: name.to_owned(), uid: pod.metadata.uid.expect("the API server gives a uid") }
    }

    /// Deletes a pod at once; there is no kubelet that would have to confirm it.
    pub async fn delete_pod(&self, name: &str) {
        let at_once = DeleteParams::default().grace_period(0);
        self.api::<Pod>().delete(name, &at_once).await.expect("the pod is there");
    }

    /// Says what a kubelet would say of a running pod.
    pub async fn running_at(&self, name: &str, address: &str) {
        let status = json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]});
        self.patch_status(name, status).await;
    }

    /// Says what a kubelet would say of a pod whose containers have ended. Its address stays in its status.
    pub async fn ended(&self, name: &str) {
        self.patch_status(name, json!({"phase": "Succeeded"})).await;
    }

    async fn patch_status(&self, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        let patched = self.api::<Pod>().patch_status(name, &PatchParams::default(), &patch).await;
        patched.unwrap_or_else(|error| panic!("the status of {name} is refused: {error}"));
    }

    /// Changes labels and annotations of a pod; `null` takes one away.
    pub async fn label_pod(&self, name: &str, metadata: Value) {
        let patch = Patch::Merge(json!({"metadata": metadata}));
        self.api::<Pod>().patch(name, &PatchParams::default(), &patch).await.expect("the pod is there");
    }

    /// Changes labels of the namespace; `null` takes one away.
    pub async fn label_namespace(&self, labels: Value) {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        let namespaces = Api::<Namespace>::all(self.client.clone());
        namespaces.patch(&self.namespace, &PatchParams::default(), &patch).await.expect("the namespace is there");
    }

    /// A token for `service_account` by TokenRequest, good for an hour. `audience: None` asks for the API server's own;
    /// with a pod the token is bound to it, as the ones that a kubelet projects are.
    pub async fn token(&self, service_account: &str, audience: Option<&str>, pod: Option<&PodObject>) -> String {
        self.token_for(service_account, &audience.into_iter().collect::<Vec<_>>(), pod, 3600).await
    }

    /// The token that a kubelet gives every pod, which the API server makes good for a year.
    pub async fn ordinary_token(&self, service_account: &str, pod: &PodObject) -> String {
        const WHAT_A_KUBELET_ASKS_FOR: u64 = 3607;
        self.token_for(service_account, &[], Some(pod), WHAT_A_KUBELET_ASKS_FOR).await
    }

    /// A token for these audiences, good for so many seconds.
    pub async fn token_for(
        &self,
        service_account: &str,
        audiences: &[&str],
        pod: Option<&PodObject>,
        seconds: u64,
    ) -> String {
        let bound = pod.map(|pod| json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}));
        let request: TokenRequest = from(json!({
            "spec": {
                "audiences": audiences,
                "expirationSeconds": seconds,
                "boundObjectRef": bound,
            },
        }));
        let answer = self
            .api::<ServiceAccount>()
            .create_token_request(service_account, &PostParams::default(), &request)
            .await
            .unwrap_or_else(|error| panic!("no token for {}/{service_account}: {error}", self.namespace));
        answer.status.expect("a TokenRequest is answered with a status").token
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Makes a Node object for pods to be bound to.
pub async fn node(cluster: &ControlPlane, name: &str) {
    create(&Api::<Node>::all(cluster.admin()), json!({"metadata": {"name": name}})).await;
}

/// A kubeconfig file for `namespace/veilwarden`, whose only right is the one that veilwarden needs: `tokenreviews: create`.
pub async fn reviewer(cluster: &ControlPlane, namespace: &str) -> PathBuf {
    let kubeconfig = powerless(cluster, namespace).await;
    let role = json!({
        "metadata": {"name": format!("{namespace}-tokenreview")},
        "rules": [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}],
    });
    create(&Api::<ClusterRole>::all(cluster.admin()), role).await;
    let binding = json!({
        "metadata": {"name": format!("{namespace}-tokenreview")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("{namespace}-tokenreview")},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": "veilwarden"}],
    });
    create(&Api::<ClusterRoleBinding>::all(cluster.admin()), binding).await;
    kubeconfig
}

/// Gives `namespace/veilwarden` what a component of `deploy/kubernetes` gives `veilwarden/veilwarden`, from its own files.
pub async fn grant(cluster: &ControlPlane, namespace: &str, component: &str) {
    let file = |name: &str| -> Value {
        let path = format!("{}/deploy/kubernetes/components/{component}/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let (role, mut binding) = (file("clusterrole"), file("clusterrolebinding"));
    // Tests share the role; each has a binding of its own.
    let roles = Api::<ClusterRole>::all(cluster.admin());
    let name = role["metadata"]["name"].as_str().expect("a name").to_owned();
    let apply = PatchParams::apply("cluster-tests").force();
    roles.patch(&name, &apply, &Patch::Apply(&role)).await.expect("the role is good");
    binding["metadata"]["name"] = format!("{namespace}-{component}").into();
    binding["subjects"][0]["namespace"] = namespace.into();
    create(&Api::<ClusterRoleBinding>::all(cluster.admin()), binding).await;
}

/// A kubeconfig file for `namespace/veilwarden` without any right.
pub async fn powerless(cluster: &ControlPlane, namespace: &str) -> PathBuf {
    let team = Team::new(cluster, namespace).await;
    team.service_account("veilwarden").await;
    cluster.kubeconfig(namespace, &team.token("veilwarden", None, None).await)
}

async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + Debug + Serialize + DeserializeOwned,
{
    let created = api.create(&PostParams::default(), &from(object.clone())).await;
    created.unwrap_or_else(|error| panic!("the API server refuses {object}: {error}"))
}

fn from<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object of this kind")
}
