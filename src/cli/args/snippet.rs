//! `snippet`: what can be asked of it. Every value is checked here, so that none can end a quotation in what is printed.

use clap::{Args, Subcommand, ValueEnum};

use crate::request::host::Host;

/// `snippet`.
#[derive(Debug, Subcommand)]
pub enum Snippet {
    /// A pod
    Pod(Workload),
    /// A Deployment
    Deployment(Workload),
}

/// The workload that the snippet describes.
#[derive(Debug, Clone, Args)]
pub struct Workload {
    /// What the calling program is written in
    #[arg(long, value_enum, default_value = "curl")]
    pub language: Language,

    /// The audience of its token: `kubernetes.audience` of the configuration
    #[arg(long, default_value = "veilwarden", value_parser = quotable)]
    pub audience: String,

    /// Where veilwarden is reached
    #[arg(long, value_name = "URL", default_value = "http://veilwarden.veilwarden.svc:8088", value_parser = service)]
    pub service: String,

    /// The name of the workload and of its ServiceAccount
    #[arg(long, default_value = "my-app", value_parser = label)]
    pub name: String,

    /// The image [default: the language's own]
    #[arg(long, value_parser = quotable)]
    pub image: Option<String>,

    /// The host it calls; veilwarden needs a route for it
    #[arg(long, value_name = "HOST", default_value = "api.github.com", value_parser = host)]
    pub upstream: String,

    /// The path it calls
    #[arg(long, default_value = "/zen", value_parser = path)]
    pub path: String,
}

/// `--language`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Curl,
    Go,
    Python,
    Node,
}

/// Visible ASCII that means nothing in a quoted YAML scalar; not empty.
fn quotable(text: &str) -> Result<String, String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/@+=".contains(&b);
    match !text.is_empty() && text.bytes().all(fine) {
        true => Ok(text.to_owned()),
        false => Err("only letters, digits and - . _ ~ : / @ + = can be put into a snippet".to_owned()),
    }
}

/// A base URL without a path, since the paths of calls are put behind it.
fn service(text: &str) -> Result<String, String> {
    let wrong = || "this is no URL such as http://veilwarden.veilwarden.svc:8088".to_owned();
    let authority = text.strip_prefix("http://").ok_or_else(wrong)?;
    Host::parse(authority).map_err(|_| wrong())?;
    quotable(text)
}

/// A DNS label of RFC 1123, which every kind of object takes as its name, with room for a suffix.
fn label(text: &str) -> Result<String, String> {
    const LONGEST: usize = 50;
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    match !text.is_empty()
        && text.len() <= LONGEST
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
    {
        true => Ok(text.to_owned()),
        false => Err(format!("a name has at most {LONGEST} lower-case letters, digits and inner hyphens")),
    }
}

fn host(text: &str) -> Result<String, String> {
    Host::parse(text).map(|host| host.to_string()).map_err(|error| error.to_string())
}

/// A path and query that no language's quotation ends in.
fn path(text: &str) -> Result<String, String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/@+=%?&,;".contains(&b);
    match text.starts_with('/') && text.bytes().all(fine) {
        true => Ok(text.to_owned()),
        false => Err("a path starts with / and has letters, digits and - . _ ~ : / @ + = % ? & , ; in it".to_owned()),
    }
}
