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
mod servers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use document::ClientsPage;
use scene::Scene;
use servers::{HAPROXY, LARGE, NGINX};

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
    let real = servers_trials(&scene);
    let conclusion = libtest_mimic::run(&arguments, trials.chain(real).collect());
    scene.say_why(conclusion.has_failed());
    conclusion.exit_code()
}

/// curl through the proxy to servers that are nobody's play.
fn servers_trials(scene: &Arc<Scene>) -> Vec<Trial> {
    let trial = |name: &str, test: fn(&Scene)| {
        let scene = Arc::clone(scene);
        Trial::test(name, move || {
            test(&scene);
            Ok(())
        })
    };
    vec![
        trial("nginx::speaks_http2_to_us_and_sends_a_large_file", |scene| {
            assert_eq!(scene.curl(NGINX, "/protocol", "").trim(), "HTTP/2.0");
            for version in ["--http1.1", "--http2"] {
                let options = format!("{version} -o large -w '%{{http_version}} %{{size_download}}'");
                let version = version.trim_start_matches("--http").trim_start_matches("1.");
                let said = scene.curl(NGINX, "/large", &options);
                assert!(said.ends_with(&LARGE.to_string()) && said.contains(version), "{said}");
            }
        }),
        trial("haproxy::speaks_http1_to_us_and_takes_a_body", |scene| {
            for version in ["--http1.1", "--http2"] {
                let said = scene.curl(HAPROXY, "/", &format!("{version} --data-binary @veilwarden.yaml"));
                let length = scene.configuration_length();
                assert_eq!(said.trim(), format!("HTTP/1.1 {length}"));
            }
        }),
    ]
}
