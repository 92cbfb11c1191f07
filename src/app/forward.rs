//! The CA of forward mode.

use std::sync::Arc;

use crate::ca::{Authority, Ca, Error};
use crate::config::Forward;

/// The CA that is there already; a bad one stops the start. Makes nothing.
pub fn read(settings: &Forward) -> Result<Option<Authority>, Error> {
    match &settings.ca {
        Some(source) if settings.enabled => source.read(),
        _ => Ok(None),
    }
}

/// The CA to intercept with, made if it is still to be. Without a place to make one, the start goes on: nobody may need
/// it, and whoever does is told.
pub fn ready(settings: &Forward, there: Option<Authority>) -> Option<Arc<Ca>> {
    if !settings.enabled {
        return None;
    }
    let made = match (there, &settings.ca) {
        (Some(authority), _) => Ok(authority),
        (None, Some(source)) => source.read_or_make(),
        (None, None) => {
            tracing::info!("no CA, so CONNECT is refused: set state_dir, or forward.ca_cert_file and ca_key_file");
            return None;
        }
    };
    match made {
        Ok(authority) => Some(Arc::new(Ca::new(authority))),
        Err(error) => {
            tracing::info!(%error, "no CA can be made, so CONNECT is refused: set state_dir, or forward.ca_cert_file and ca_key_file");
            None
        }
    }
}
