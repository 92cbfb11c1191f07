//! Secrets known at start: `value` and `env` entries.

use std::collections::HashMap;

use super::{Error, Secret, SecretStore};
use crate::BoxFuture;

/// Values that live as long as the configuration that named them.
#[derive(Debug, Default)]
pub struct Fixed {
    secrets: HashMap<String, Secret>,
}

impl Fixed {
    /// Adds a value. Ids are unique: the registry has seen to it.
    pub fn insert(&mut self, id: String, secret: Secret) {
        self.secrets.insert(id, secret);
    }

    pub fn contains(&self, id: &str) -> bool {
        self.secrets.contains_key(id)
    }
}

impl SecretStore for Fixed {
    fn fetch<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Secret, Error>> {
        Box::pin(std::future::ready(self.secrets.get(id).cloned().ok_or(Error::Unknown)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::tests::secret;

    #[tokio::test]
    async fn r102_a_known_id_gives_its_value_and_another_an_error() {
        let mut fixed = Fixed::default();
        fixed.insert("A".to_owned(), secret("a"));
        assert_eq!(fixed.fetch("A").await.unwrap().expose_secret(), "a");
        for id in ["B", "", "a"] {
            assert_eq!(fixed.fetch(id).await.unwrap_err(), Error::Unknown, "{id:?}");
        }
    }
}
