//! `veilwarden snippet`: Kubernetes knows every field of it, and Pod Security admits it. `documents::marks` runs its
//! programs, which stand in the usage guide as well.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec, ServiceAccount};

use crate::documents::object;
use crate::programs::LANGUAGES;
use crate::world::process::{End, run};

/// What `snippet` prints.
async fn snippet(arguments: &[&str]) -> String {
    let (end, stdout, stderr) = run(&[&["snippet"], arguments].concat(), &[]).await;
    assert_eq!(end, End::Exit(0), "{stderr}");
    stdout + "\n"
}

/// Its ServiceAccount, its program, and the document of the workload.
fn documents(text: &str) -> (ServiceAccount, ConfigMap, &str) {
    let [account, program, workload] = text.split("---\n").collect::<Vec<_>>().try_into().expect("three documents");
    (object(account), object(program), workload)
}

/// The calling program that it prints for a language.
pub async fn program(language: &str) -> String {
    let text = snippet(&["pod", "--language", language]).await;
    let (_, program, _) = documents(&text);
    program.data.unwrap().pop_first().unwrap().1
}

fn assert_restricted(spec: &PodSpec) {
    let pod = spec.security_context.as_ref().unwrap();
    assert_eq!((pod.run_as_non_root, pod.run_as_user), (Some(true), Some(65532)));
    assert_eq!(pod.seccomp_profile.as_ref().unwrap().type_, "RuntimeDefault");
    let container = spec.containers[0].security_context.as_ref().unwrap();
    assert_eq!(container.allow_privilege_escalation, Some(false));
    assert_eq!(container.read_only_root_filesystem, Some(true));
    assert_eq!(container.capabilities.as_ref().unwrap().drop.as_deref(), Some(&["ALL".to_owned()][..]));
}

fn audience(spec: &PodSpec) -> Option<&str> {
    let volumes = spec.volumes.as_ref().unwrap();
    let sources = volumes[0].projected.as_ref().unwrap().sources.as_ref().unwrap();
    sources[0].service_account_token.as_ref().unwrap().audience.as_deref()
}

#[tokio::test]
async fn a_snippet_is_what_kubernetes_knows_and_restricted() {
    for language in LANGUAGES {
        let arguments =
            ["--language", language, "--audience", "https://vw.test", "--name", "a-b", "--service", "http://vw:1"];
        let pod = snippet(&[&["pod"], &arguments[..]].concat()).await;
        let deployment = snippet(&[&["deployment"], &arguments[..]].concat()).await;
        let (account, program, pod) = documents(&pod);
        let (_, same_program, deployment) = documents(&deployment);
        assert_eq!(program, same_program);
        assert_eq!(account.metadata.name.as_deref(), Some("a-b"));
        let pod: Pod = object(pod);
        let deployment: Deployment = object(deployment);
        let deployment = deployment.spec.unwrap();
        assert_eq!(deployment.selector.match_labels, deployment.template.metadata.unwrap().labels, "{language}");
        let spec = pod.spec.unwrap();
        assert_eq!(Some(&spec), deployment.template.spec.as_ref(), "{language}");
        assert_restricted(&spec);
        assert_eq!(audience(&spec), Some("https://vw.test"));
        assert_eq!(spec.service_account_name.as_deref(), Some("a-b"));
        let container = &spec.containers[0];
        assert_eq!(container.env.as_ref().unwrap()[0].value.as_deref(), Some("http://vw:1"));
        let file = container.command.as_ref().unwrap().last().unwrap().strip_prefix("/program/").unwrap().to_owned();
        assert!(program.data.unwrap().contains_key(&file), "{language}: {file}");
    }
}
