use secrecy::ExposeSecret;

use super::*;

mod clusters;
mod forward;
mod meaning;
mod pods;
mod rejection;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// One route that injects nothing: the least that a file must say.
const ROUTE: &str = "routes: [{upstream_host: a.test}]\n";

/// Kubernetes is off whatever machine the tests run on, and there is a session secret.
fn laptop(name: &str) -> Option<String> {
    match name {
        "VEILWARDEN_SESSION_SECRET" => Some(SECRET.to_owned()),
        "VEILWARDEN_K8S_ENABLED" => Some("false".to_owned()),
        _ => None,
    }
}

fn with<'v>(variables: &'v [(&'v str, &'v str)]) -> impl Fn(&str) -> Option<String> + 'v {
    move |name| {
        let found = variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned());
        found.or_else(|| laptop(name))
    }
}

fn parse(text: &str, flags: &Overrides, env: Environment) -> Result<Config, Mistakes> {
    Config::parse(text, Path::new("veilwarden.yaml"), flags, env)
}

fn good(text: &str) -> Config {
    parse(text, &Overrides::default(), &laptop).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The lines of the report without the count.
fn wrong(text: &str, flags: &Overrides, env: Environment) -> Vec<String> {
    match parse(text, flags, env) {
        Ok(_) => Vec::new(),
        Err(mistakes) => {
            let text = mistakes.to_string();
            let (lines, _) = text.rsplit_once('\n').expect("a count at the end");
            lines.lines().map(str::to_owned).collect()
        }
    }
}
