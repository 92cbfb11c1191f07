//! The decorator, on an index that the test fills itself.

mod metadata;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::bound::Bound;
use super::index::{Health, Index};
use super::object::Kind;
use super::{Binding, Metadata, Namespace, Pod, Settings, Texts};
use crate::BoxFuture;
use crate::authn::{Authenticator, Error, Identity, Source, Unavailable, User, Workload};
use crate::request::Credential;

/// `prod/api` in pod `api-1` on `node-1`.
pub fn workload() -> Workload {
    Workload {
        namespace: "prod".into(),
        service_account: "api".into(),
        username: "system:serviceaccount:prod:api".into(),
        service_account_uid: None,
        pod_name: Some("api-1".into()),
        pod_uid: Some("uid-1".into()),
        node_name: Some("node-1".into()),
        groups: Vec::new(),
        audiences: vec!["veilwarden".into()],
        expires_at: None,
        cluster: None,
        metadata: Metadata::default(),
    }
}

/// Those of `node-1`, in the only cluster that there is.
pub fn settings(binding: Binding, metadata: bool) -> Settings {
    Settings { cluster: None, node_name: "node-1".into(), binding, metadata }
}

/// Always says the same.
struct Knows(Arc<Identity>);

impl Authenticator for Knows {
    fn authenticate<'a>(&'a self, _: &'a Credential, _: Source) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

struct World {
    bound: Bound,
    pods: watch::Sender<Index<Pod>>,
    namespaces: watch::Sender<Index<Namespace>>,
    results: Arc<Mutex<Vec<&'static str>>>,
}

fn world(identity: Identity, binding: Binding, metadata: bool) -> World {
    world_of(identity, settings(binding, metadata))
}

fn world_of(identity: Identity, settings: Settings) -> World {
    let metadata = settings.metadata;
    let (pods, known_pods) = watch::channel(Index::new(metadata));
    let (namespaces, known_namespaces) = watch::channel(Index::new(metadata));
    let results = Arc::new(Mutex::new(Vec::new()));
    let observed = results.clone();
    let on_binding = Box::new(move |result| observed.lock().unwrap().push(result));
    let known_namespaces = metadata.then_some(known_namespaces);
    let bound = Bound::new(Box::new(Knows(Arc::new(identity))), settings, known_pods, known_namespaces, on_binding);
    World { bound, pods, namespaces, results }
}

fn kubernetes(binding: Binding, metadata: bool) -> World {
    world(Identity::Kubernetes(workload()), binding, metadata)
}

fn put<T: Kind>(index: &watch::Sender<Index<T>>, object: Value) {
    index.send_modify(|index| {
        index.health = Health::Live;
        assert!(index.put(serde_json::from_value(object).unwrap()));
    });
}

fn pod(addresses: &[&str], label: &str) -> Value {
    let addresses: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
    let metadata = json!({"namespace": "prod", "name": "api-1", "uid": "uid-1", "labels": {"tier": label}, "annotations": {"a": "b"}});
    json!({"metadata": metadata, "status": {"podIPs": addresses}})
}

fn namespace(label: &str) -> Value {
    json!({"metadata": {"name": "prod", "labels": {"env": label}}})
}

impl World {
    async fn from(&self, peer: &str) -> Result<Arc<Identity>, Error> {
        let credential = Credential::Token(SecretString::from("a.b.c"));
        self.bound.authenticate(&credential, peer.parse::<IpAddr>().unwrap().into()).await
    }

    async fn metadata(&self) -> Metadata {
        match &*self.from("10.0.0.1").await.unwrap() {
            Identity::Kubernetes(workload) => workload.metadata.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn results(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.results.lock().unwrap())
    }
}

fn one(name: &str, value: &str) -> Option<Arc<Texts>> {
    Some(Arc::new(Texts::Whole([(name.to_owned(), value.to_owned())].into())))
}

#[tokio::test(start_paused = true)]
async fn enforce_refuses_what_warn_lets_through_and_both_count_it() {
    for (binding, peer, accepted, result) in [
        (Binding::Enforce, "10.0.0.1", true, &["match"][..]),
        (Binding::Enforce, "::ffff:10.0.0.1", true, &["match"]),
        (Binding::Enforce, "10.0.0.2", false, &["wrong_address"]),
        (Binding::Warn, "10.0.0.1", true, &["match"]),
        (Binding::Warn, "10.0.0.2", true, &["wrong_address"]),
        (Binding::Off, "10.0.0.2", true, &[]),
    ] {
        let world = kubernetes(binding, false);
        put(&world.pods, pod(&["10.0.0.1"], "x"));
        let answer = world.from(peer).await;
        assert_eq!(answer.is_ok(), accepted, "{binding:?} {peer}: {answer:?}");
        assert!(accepted || matches!(answer, Err(Error::Pod(_))), "{answer:?}");
        assert_eq!(world.results(), result, "{binding:?} {peer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_never_listed_is_unavailable_to_enforce_and_no_obstacle_to_warn() {
    let failing = Health::Failing("RBAC".into());
    for (health, binding, accepted) in [
        (Health::Starting, Binding::Enforce, false),
        (failing.clone(), Binding::Enforce, false),
        (Health::Starting, Binding::Warn, true),
        (failing.clone(), Binding::Warn, true),
    ] {
        let world = kubernetes(binding, false);
        world.pods.send_modify(|index| index.health = health.clone());
        let asked = Instant::now();
        let answer = world.from("10.0.0.1").await;
        assert_eq!(answer.is_ok(), accepted, "{health:?} {binding:?}");
        assert!(accepted || matches!(answer, Err(Error::Unavailable(Unavailable::Pods(_)))), "{answer:?}");
        assert_eq!(world.results(), ["unavailable"]);
        // Nobody waits for a watch that is known to fail.
        let waited = if health == failing { Duration::ZERO } else { Duration::from_millis(500) };
        assert_eq!(asked.elapsed().as_millis(), waited.as_millis(), "{health:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_is_waited_for_and_so_is_its_address() {
    let world = kubernetes(Binding::Enforce, false);
    let (answer, ()) = tokio::join!(world.from("10.0.0.1"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.pods.send_modify(|index| index.health = Health::Live);
        tokio::time::sleep(Duration::from_millis(100)).await;
        put(&world.pods, pod(&[], "x"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        put(&world.pods, pod(&["10.0.0.1"], "x"));
    });
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_and_what_is_known_then_decides() {
    let world = kubernetes(Binding::Enforce, false);
    world.pods.send_modify(|index| index.health = Health::Live);
    let asked = Instant::now();
    let answer = world.from("10.0.0.1").await;
    assert!(matches!(answer, Err(Error::Pod(super::Refusal::UnknownPod { .. }))), "{answer:?}");
    assert_eq!(asked.elapsed().as_millis(), 500);
    put(&world.pods, pod(&[], "x"));
    let answer = world.from("10.0.0.1").await;
    assert!(matches!(answer, Err(Error::Unavailable(Unavailable::Pods(_)))), "no address yet: {answer:?}");
    assert_eq!(world.results(), ["unknown_pod", "unavailable"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_another_node_and_a_token_without_a_pod_are_refused_at_once() {
    for (change, result) in [
        ((|w| w.node_name = Some("node-2".into())) as fn(&mut Workload), "unknown_pod"),
        (|w| w.pod_uid = None, "no_pod"),
    ] {
        let mut workload = workload();
        change(&mut workload);
        let world = world(Identity::Kubernetes(workload), Binding::Enforce, false);
        put(&world.pods, pod(&["10.0.0.1"], "x"));
        let asked = Instant::now();
        assert!(matches!(world.from("10.0.0.1").await, Err(Error::Pod(_))));
        assert_eq!((world.results(), asked.elapsed()), (vec![result], Duration::ZERO));
    }
}

/// The same names may be there in both clusters, and the pod's address too.
#[tokio::test(start_paused = true)]
async fn a_workload_of_another_cluster_is_never_taken_for_a_pod_of_this_node() {
    let bound_to = |has_pod: bool, cluster: Option<&str>| {
        let of_a_pod = Workload { cluster: cluster.map(str::to_owned), ..workload() };
        if has_pod { of_a_pod } else { Workload { pod_name: None, pod_uid: None, node_name: None, ..of_a_pod } }
    };
    for (ours, theirs, is_ours) in [
        (Some("default"), Some("default"), true),
        (Some("default"), Some("east"), false),
        (Some("default"), None, false),
        (None, None, true),
        (None, Some("east"), false),
    ] {
        for (has_pod, binding, metadata) in [
            (true, Binding::Enforce, false),
            (true, Binding::Enforce, true),
            (true, Binding::Off, true),
            (true, Binding::Warn, true),
            (true, Binding::Warn, false),
            (false, Binding::Off, true),
            (false, Binding::Warn, true),
        ] {
            let settings = Settings { cluster: ours.map(str::to_owned), ..settings(binding, metadata) };
            let world = world_of(Identity::Kubernetes(bound_to(has_pod, theirs)), settings);
            put(&world.pods, pod(&["10.0.0.1"], "x"));
            if metadata {
                put(&world.namespaces, namespace("test"));
            }
            let asked = Instant::now();
            let answer = world.from("10.0.0.1").await;
            let what = format!("{ours:?} {theirs:?} {has_pod} {binding:?} {metadata}: {answer:?}");
            // Only `warn` by itself refuses nobody.
            let passes = is_ours || (binding == Binding::Warn && !metadata);
            assert_eq!(answer.is_ok(), passes, "{what}");
            if !is_ours {
                let other = matches!(answer, Ok(_) | Err(Error::Pod(super::Refusal::OtherCluster { .. })));
                assert!(other && asked.elapsed() == Duration::ZERO, "{what}");
                let counted: &[_] = if binding == Binding::Off { &[] } else { &["other_cluster"] };
                assert_eq!(world.results(), counted, "{what}");
            }
        }
    }
}

/// What judges begins and gets ready as it does without the look at pods.
#[tokio::test(start_paused = true)]
async fn what_judges_is_begun_and_asked_whether_it_is_ready() {
    struct Begun(std::sync::atomic::AtomicBool);
    impl Authenticator for Begun {
        fn authenticate<'a>(&'a self, _: &'a Credential, _: Source) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
            Box::pin(std::future::ready(Err(Error::Missing)))
        }

        fn begin(&self) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }

        fn ready(&self) -> bool {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }
    let (_, pods) = watch::channel(Index::new(false));
    let inner = Box::new(Begun(false.into()));
    let bound = Bound::new(inner, settings(Binding::Enforce, false), pods, None, Box::new(|_| ()));
    assert!(!bound.ready());
    bound.begin();
    assert!(bound.ready());
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_is_no_workload_has_no_pod_and_passes() {
    let world = world(Identity::Static(User::default()), Binding::Enforce, true);
    assert!(world.from("127.0.0.1").await.is_ok());
    assert!(world.results().is_empty());
}
