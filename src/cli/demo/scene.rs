//! What the demo needs: an upstream, a proxy before it, and a caller's credential.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing_appender::non_blocking::WorkerGuard;

use super::token;
use crate::app::{App, Running};
use crate::cli::{echo, log};
use crate::config::{Config, Endpoint, Overrides};

const CONFIG: &str = include_str!("config.yaml");
const POLICY: &str = include_str!("policy.rego");

/// How callers prove who they are.
pub struct Way {
    /// The name of the field that carries the credential, and what stands before it.
    pub field: (&'static str, &'static str),
    pub credential: String,
    /// A credential of the same form that is not good.
    pub forged: String,
    kubernetes: String,
}

impl Way {
    /// A session secret, made for this run.
    pub fn session() -> Result<Way> {
        Ok(Way {
            field: ("X-Session-Secret", ""),
            credential: random_hex()?,
            forged: "not-the-session-secret".to_owned(),
            kubernetes: "{enabled: false}".to_owned(),
        })
    }

    /// A token that the cluster issues for the ServiceAccount `default` of the namespace `default`.
    pub async fn kubernetes(kubeconfig: PathBuf) -> Result<Way> {
        let credential = token::request(&kubeconfig).await?;
        let forged = token::forge(&credential);
        let path = serde_json::to_string(&kubeconfig.to_string_lossy()).context("the kubeconfig's path")?;
        Ok(Way {
            field: ("Authorization", "Bearer "),
            credential,
            forged,
            kubernetes: format!("{{enabled: true, kubeconfig: {path}}}"),
        })
    }

    fn is_kubernetes(&self) -> bool {
        self.field.0 == "Authorization"
    }
}

/// The stage, set.
pub struct Scene {
    pub way: Way,
    pub proxy: SocketAddr,
    /// What the upstream wants to see and the caller never does.
    pub key: String,
    cluster: Option<String>,
    directory: Directory,
    running: Running,
    echo: JoinHandle<std::io::Result<()>>,
    _log: WorkerGuard,
}

impl Scene {
    /// Starts the upstream and, from the embedded configuration and policy, the same proxy that `serve` starts.
    pub async fn set(way: Way) -> Result<Scene> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the upstream")?;
        let upstream = listener.local_addr()?;
        let echo = tokio::spawn(echo::serve(listener, echo::Manner::default()));
        let directory = Directory::make()?;
        let key = format!("demo-{}", random_hex()?);
        let (running, cluster, log) = start(&way, &key, upstream, &directory.0).await?;
        let proxy =
            running.listen.first().and_then(Endpoint::address).ok_or_else(|| anyhow!("the proxy does not listen"))?;
        Ok(Scene { way, proxy, key, cluster, directory, running, echo, _log: log })
    }

    /// Where the proxy writes its audit records.
    pub fn audit_file(&self) -> PathBuf {
        self.directory.0.join("audit.jsonl")
    }

    /// Who the caller is, in words.
    pub fn caller(&self) -> &'static str {
        if self.way.is_kubernetes() {
            "ServiceAccount default of namespace default, by its token"
        } else {
            "alice, by session secret"
        }
    }

    /// Ends everything. What was written is removed, here or when the scene is dropped.
    pub async fn close(self) {
        self.running.stop().await;
        self.echo.abort();
    }

    /// Lines to try.
    pub fn invitation(&self) -> String {
        let (field, before) = self.way.field;
        let (proxy, credential, audit) = (self.proxy, &self.way.credential, self.audit_file());
        let call =
            format!("-H \"{field}: {before}$SECRET\" -H 'X-Upstream-Host: api.demo.test' http://{proxy}/v1/models");
        let mut text = format!(
            "\nThe proxy stays up. Try it from another terminal (Ctrl-C ends it):\n\n  SECRET='{credential}'\n  \
             curl -i {call}\n  curl -i -X DELETE {call}\n  \
             curl -i -H 'X-Upstream-Host: api.demo.test' http://{proxy}/v1/models\n  tail {}\n",
            audit.display()
        );
        if let Some(admin) = self.running.admin_listen {
            text.push_str(&format!("  curl http://{admin}/metrics\n"));
        }
        text.push_str("\nNext: put your own routes and secrets into veilwarden.yaml and run `veilwarden check`.\n");
        text
    }

    /// Which cluster judges the caller's token.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }
}

async fn start(
    way: &Way,
    key: &str,
    upstream: SocketAddr,
    directory: &Path,
) -> Result<(Running, Option<String>, WorkerGuard)> {
    let policies = directory.join("policies");
    fs::create_dir(&policies).context("no directory for the policy")?;
    fs::write(policies.join("demo.rego"), POLICY).context("the policy cannot be written")?;
    let text = CONFIG
        .replace("{KUBERNETES}", &way.kubernetes)
        .replace("{KEY}", key)
        .replace("{ECHO}", &upstream.to_string())
        .replace("{DIRECTORY}", &directory.to_string_lossy());
    // The demo is the same everywhere: nothing of the caller's environment takes part.
    let session = (!way.is_kubernetes()).then(|| way.credential.clone());
    let environment = |name: &str| session.clone().filter(|_| name == "VEILWARDEN_SESSION_SECRET");
    let config = Config::parse(&text, Path::new("demo"), &Overrides::default(), &environment)
        .map_err(|mistakes| anyhow!("the embedded configuration is broken:\n{mistakes}"))?;
    let log = log::init(config.log);
    let app = App::build(config).await?;
    let cluster = app.cluster().map(ToOwned::to_owned);
    Ok((app.start().await?, cluster, log))
}

/// A directory that only we can read, removed when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn make() -> Result<Directory> {
        let path = std::env::temp_dir().join(format!("veilwarden-demo-{}", random_hex()?));
        DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn random_hex() -> Result<String> {
    let mut random = [0u8; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow!("the system has no randomness"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
