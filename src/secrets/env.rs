//! `env` entries: a variable of our own environment, read once at start.

use std::env::VarError;

use super::{Error, Secret};

/// Reads and checks one variable. An error names the variable, never its value.
pub fn read(name: &str) -> Result<Secret, Error> {
    match std::env::var(name) {
        Ok(value) => {
            Secret::new(value).map_err(|error| Error::Misconfigured(format!("environment variable {name}: {error}")))
        }
        Err(VarError::NotPresent) => Err(Error::Misconfigured(format!("environment variable {name} is not set"))),
        Err(VarError::NotUnicode(_)) => {
            Err(Error::Misconfigured(format!("environment variable {name}: its value is not UTF-8")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_is_the_value() {
        let expected = std::env::var("PATH").unwrap();
        assert_eq!(read("PATH").unwrap().expose_secret(), expected);
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = read("VEILWARDEN_TEST_ABSENT").unwrap_err();
        assert_eq!(error.to_string(), "environment variable VEILWARDEN_TEST_ABSENT is not set");
    }
}
