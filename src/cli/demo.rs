//! `veilwarden demo`: five real calls through a real proxy, with nothing installed and nothing configured.

mod call;
mod cases;
mod scene;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use cases::Case;
use scene::{Scene, Way};

/// Runs the demo. `once`: end after the calls, with success only if all of them went as they should.
/// `kubeconfig`: callers prove who they are with a real ServiceAccount token of that cluster.
pub async fn run(once: bool, kubeconfig: Option<PathBuf>) -> ExitCode {
    match play(once, kubeconfig).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play(once: bool, kubeconfig: Option<PathBuf>) -> Result<bool> {
    let way = match kubeconfig {
        Some(kubeconfig) => Way::kubernetes(kubeconfig).await.context("no ServiceAccount token")?,
        None => Way::session()?,
    };
    let scene = Scene::set(way).await?;
    println!("veilwarden demo: a proxy on {}, an upstream that echoes behind it.", scene.proxy);
    println!("The upstream wants an API key. Only veilwarden has it; the caller never sees it.\n");
    let mut good = true;
    for (number, case) in (1..).zip(Case::all(&scene)) {
        let outcome = case.play(&scene).await?;
        println!("{number}. {}", case.title);
        print!("{outcome}");
        for mistake in &outcome.mistakes {
            println!("   NOT AS IT SHOULD BE: {mistake}");
            good = false;
        }
        println!();
    }
    println!("{}", if good { "All five went as they should." } else { "Not all calls went as they should." });
    if once {
        scene.close().await;
        return Ok(good);
    }
    scene.print_invitation();
    tokio::signal::ctrl_c().await.context("no signal handler can be installed")?;
    scene.close().await;
    Ok(good)
}
