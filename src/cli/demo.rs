//! `veilwarden demo`: five real calls through a real proxy, with nothing installed and nothing configured.

mod call;
mod cases;
mod scene;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::signals::{STOP_OR_HANGUP, Signals};
use super::standard;
use cases::Case;
use scene::{Scene, Way};

/// Runs the demo. `once`: end after the calls, with success only if all of them went as they should.
/// `kubeconfig`: callers prove who they are with a real ServiceAccount token of that cluster.
pub async fn run(once: bool, kubeconfig: Option<PathBuf>) -> ExitCode {
    match play(once, kubeconfig).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            standard::complain(format_args!("demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A signal ends it in order, wherever it is; whether all went as it should.
async fn play(once: bool, kubeconfig: Option<PathBuf>) -> Result<bool> {
    let mut signals = Signals::listen(STOP_OR_HANGUP).context("no signal handler can be installed")?;
    let scene = tokio::select! {
        scene = set(kubeconfig) => scene?,
        _ = signals.next() => return Ok(false),
    };
    let good = tokio::select! {
        good = show(&scene) => good?,
        _ = signals.next() => {
            scene.close().await;
            return Ok(false);
        }
    };
    if !once {
        print(&scene.invitation())?;
        signals.next().await;
    }
    scene.close().await;
    Ok(good)
}

async fn set(kubeconfig: Option<PathBuf>) -> Result<Scene> {
    let way = match kubeconfig {
        Some(kubeconfig) => Way::kubernetes(kubeconfig).await.context("no ServiceAccount token")?,
        None => Way::session()?,
    };
    Scene::set(way).await
}

/// Makes the calls; whether all went as they should.
async fn show(scene: &Scene) -> Result<bool> {
    if let Some(cluster) = scene.cluster() {
        print(&format!("Tokens are judged by {cluster}.\n"))?;
    }
    print(&format!("veilwarden demo: a proxy on {}, an upstream that echoes behind it.\n", scene.proxy))?;
    print("The upstream wants an API key. Only veilwarden has it; the caller never sees it.\n\n")?;
    let mut good = true;
    for (number, case) in (1..).zip(Case::all(scene)) {
        let outcome = case.play(scene).await?;
        good &= outcome.mistakes.is_empty();
        print(&format!("{number}. {}\n{outcome}\n", case.title))?;
    }
    print(if good { "All five went as they should.\n" } else { "Not all calls went as they should.\n" })?;
    Ok(good)
}

fn print(text: &str) -> Result<()> {
    standard::print(text).context("standard output cannot be written")
}
