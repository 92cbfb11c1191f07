//! `veilwarden ca`: the CA of forward mode, made, exported and shown.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::args::ca::{Ca, Init, Where};
use crate::ca::{Authority, Description, Kept, Source};
use crate::config::{Forward, Overrides, file_path, process_environment};

/// What to print on standard output.
pub fn run(command: &Ca) -> Result<String> {
    match command {
        Ca::Init(Init { out_dir: Some(directory), .. }) => init_in(directory),
        Ca::Init(Init { place, .. }) => init(&source(place)?),
        Ca::Export(place) => Ok(source(place)?.read_or_make()?.pem().to_owned()),
        Ca::Show(place) => show(&authority(&source(place)?)?),
    }
}

fn source(place: &Where) -> Result<Source> {
    if let Some(state_dir) = &place.state_dir {
        return Ok(Source::Made { state_dir: state_dir.clone() });
    }
    let path = file_path(place.config.clone(), &process_environment);
    let forward = Forward::load(&path, &Overrides::default(), &process_environment)?;
    forward.ca.context("there is no place for a CA: set state_dir, or HOME, or name one with --state-dir")
}

fn authority(source: &Source) -> Result<Authority> {
    source.read()?.context("there is no CA yet: \"veilwarden ca init\" makes one, and so does the first start")
}

fn init(source: &Source) -> Result<String> {
    let there = source.read()?.is_some();
    let authority = source.read_or_make()?;
    let verb = if there { "There is one already" } else { "Made" };
    Ok(format!("{verb}:\n{}", show(&authority)?))
}

/// Made in Kubernetes by hand, because every veilwarden there has to have the same.
fn init_in(directory: &Path) -> Result<String> {
    let kept = Kept::within(directory);
    for path in [&kept.cert, &kept.key] {
        if path.exists() {
            bail!("{} is there already; name another directory", path.display());
        }
    }
    let authority = kept.make_with_directory(directory)?;
    let (cert, key) = (kept.cert.display(), kept.key.display());
    Ok(format!(
        "Made {cert} and {key}:\n{}\nIn Kubernetes:\n  \
         kubectl -n veilwarden create secret tls veilwarden-ca --cert={cert} --key={key}\n  \
         kubectl -n NAMESPACE create configmap veilwarden-ca --from-file=ca.crt={cert}    # for the pods that call\n\
         Then remove {key} from here.\n",
        show(&authority)?
    ))
}

fn show(authority: &Authority) -> Result<String> {
    let Description { subject, not_before, not_after, fingerprint } = Description::of(authority.pem())?;
    Ok(format!(
        "  subject      {subject}\n  valid from   {not_before}\n  valid until  {not_after}\n  SHA-256      {fingerprint}\n"
    ))
}
