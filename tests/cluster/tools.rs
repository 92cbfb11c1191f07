//! kubectl and Helm, which `build-kubernetes` puts beside the API server, run as their users run them.

use crate::control_plane::ControlPlane;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The project's directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The two programs, and the kubeconfig with every right.
pub struct Tools {
    directory: PathBuf,
    kubeconfig: PathBuf,
}

impl Tools {
    pub fn new(cluster: &ControlPlane) -> Self {
        let directory = cluster.binaries().to_owned();
        for name in ["kubectl", "helm"] {
            assert!(directory.join(name).is_file(), "no {name} in {}: make test-integration", directory.display());
        }
        Self { directory, kubeconfig: cluster.admin_kubeconfig() }
    }

    /// `kubectl ARGUMENTS` with `input` on standard input. Fails with what it says on standard error, warnings of the API
    /// server included; its standard output otherwise.
    pub async fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        self.run("kubectl", arguments, input).await
    }

    /// `helm ARGUMENTS`; the same.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        self.run("helm", arguments, "").await
    }

    async fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut command = Command::new(self.directory.join(program));
        // Neither may read or leave anything where the user keeps such things.
        command.env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR")).env("KUBECONFIG", &self.kubeconfig);
        command.args(arguments).current_dir(root());
        let input = input.to_owned();
        let output = tokio::task::spawn_blocking(move || feed(&mut command, &input)).await.expect("no panic");
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        if output.status.success() && error.is_empty() { Ok(out) } else { Err(format!("{out}{error}")) }
    }

    /// What `kubectl kustomize DIRECTORY` renders.
    pub async fn kustomize(&self, directory: &str) -> Vec<Value> {
        objects(
            &self.kubectl(&["kustomize", directory], "").await.unwrap_or_else(|error| panic!("{directory}: {error}")),
        )
    }

    /// What kustomize renders of a directory with a component of ours put in.
    pub async fn kustomize_with(&self, directory: &str, component: &str) -> Vec<Value> {
        let own = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        // Kustomize takes no absolute path, so the way leads over the root.
        let up = "../".repeat(own.path().canonicalize().expect("it is there").components().count() - 1);
        let here = root().canonicalize().expect("it is there");
        let path = |of: &str| format!("{up}{}/{of}", here.display().to_string().trim_start_matches('/'));
        let component = path(&format!("deploy/kubernetes/components/{component}"));
        let kustomization = serde_json::json!({"resources": [path(directory)], "components": [component]});
        std::fs::write(own.path().join("kustomization.yaml"), kustomization.to_string()).expect("written");
        self.kustomize(&own.path().display().to_string()).await
    }

    /// What the chart renders with the values of an overlay and with settings (`KEY=VALUE`), for the version of the test's
    /// cluster.
    pub async fn chart(&self, overlay: Option<&str>, settings: &[&str]) -> Vec<Value> {
        let version = self.kubectl(&["version", "--output=json"], "").await.expect("the API server answers");
        let version: Value = serde_json::from_str(&version).expect("JSON");
        let version = version["serverVersion"]["gitVersion"].as_str().expect("a version").to_owned();
        let values = overlay.map(|name| format!("--values=deploy/helm/values/{name}.yaml"));
        let mut arguments = vec!["template", "veilwarden", "deploy/helm/veilwarden", "--namespace=veilwarden"];
        arguments.extend(["--set=namespace.create=true", "--kube-version", &version]);
        arguments.extend(values.as_deref());
        arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
        objects(&self.helm(&arguments).await.unwrap_or_else(|error| panic!("{overlay:?}: {error}")))
    }

    /// Asks the API server whether it would take these objects, every field known and no warning. Nothing is kept.
    pub async fn would_apply(&self, objects: &[Value]) -> Result<String, String> {
        self.apply(&["--dry-run=server", "--validate=strict"], objects).await
    }

    /// Applies objects for real, for `owner`: what one owner leaves out of an object, others keep in it.
    pub async fn apply_for_real(&self, owner: &str, objects: &[Value]) {
        let owner = format!("--field-manager={owner}");
        self.apply(&[&owner], objects).await.unwrap_or_else(|error| panic!("{error}"));
    }

    async fn apply(&self, options: &[&str], objects: &[Value]) -> Result<String, String> {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let arguments = [&["apply", "--server-side", "--force-conflicts", "--filename=-"], options].concat();
        self.kubectl(&arguments, &list).await
    }
}

fn feed(command: &mut Command, input: &str) -> Output {
    use std::io::Write;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // Our inputs are small, and both programs read all of theirs before they write.
    stdin.write_all(input.as_bytes()).ok(); // fails only when the program has ended, which its status tells
    drop(stdin);
    child.wait_with_output().expect("our own child can be waited for")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The documents of a YAML stream that are not empty.
pub fn objects(stream: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(stream).unwrap_or_else(|error| panic!("{error}\n{stream}"));
    all.into_iter().filter(|object| !object.is_null()).collect()
}
