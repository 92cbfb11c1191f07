//! Real clients, unmodified, as docs/clients.md says to use them.
//!
//! `make test-clients` installs them and runs this; plain `cargo test` says so and passes. The document's own text is what
//! is run: its configuration starts veilwarden, its variables set the stage, its programs make the calls. Only the
//! upstreams are played, by one server on loopback that speaks their APIs over TLS and takes no credential but the real
//! one, which the programs never hold.

mod apis;
mod document;
mod git;
#[path = "../it/documents/markdown.rs"]
#[expect(dead_code, reason = "tests/it looks at more of a document")]
mod markdown;
#[path = "../it/documents/output.rs"]
mod output;
mod scene;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use document::ClientsPage;
use scene::Scene;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let Some(clients) = std::env::var_os("VEILWARDEN_CLIENTS").map(PathBuf::from) else {
        eprintln!("the real clients were not run: `make test-clients` installs them and runs them");
        return ExitCode::SUCCESS;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let page = ClientsPage::read();
    let scene = Arc::new(runtime.block_on(Scene::set(&page, clients)));
    let trials = page.programs.into_iter().flat_map(|program| {
        let scene = &scene;
        let program = Arc::new(program);
        program.ways.clone().into_iter().map(move |way| {
            let (scene, program) = (Arc::clone(scene), Arc::clone(&program));
            Trial::test(format!("{}::by_{}", program.name, way.name()), move || {
                scene.run(&program, way);
                Ok(())
            })
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    scene.say_why(conclusion.has_failed());
    conclusion.exit_code()
}
