//! The proxy's own ServiceAccount token, which kubelet renews in place.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use super::token;

/// A token in a file, read anew for every use (reviews are few, and the file lies in memory), so that a renewed token
/// counts at once. While the file is missing, empty or unreadable the last good one stays in use.
pub struct OwnToken {
    path: PathBuf,
    last_good: ArcSwapOption<Good>,
}

/// What the file last held.
struct Good {
    authorization: HeaderValue,
    /// The unverified `sub` and `aud`. Nobody but whoever writes our token file can change them.
    username: Option<String>,
    audiences: Vec<String>,
}

impl OwnToken {
    /// The file may appear later.
    pub fn at(path: PathBuf) -> Self {
        Self { path, last_good: ArcSwapOption::empty() }
    }

    /// The value for `Authorization`; `None` as long as the file has never been good.
    pub async fn authorization(&self) -> Option<HeaderValue> {
        self.refresh().await;
        self.last_good.load().as_ref().map(|good| good.authorization.clone())
    }

    /// Whether the token last used names this user.
    pub fn is_of(&self, username: &str) -> bool {
        self.last_good.load().as_ref().is_some_and(|good| good.username.as_deref() == Some(username))
    }

    /// The audiences of the token last used.
    pub fn audiences(&self) -> Vec<String> {
        self.last_good.load().as_ref().map(|good| good.audiences.clone()).unwrap_or_default()
    }

    async fn refresh(&self) {
        let Ok(content) = tokio::fs::read_to_string(&self.path).await else { return };
        if let Some(good) = Good::from_content(content.trim()) {
            self.last_good.store(Some(Arc::new(good)));
        }
    }
}

impl Good {
    fn from_content(content: &str) -> Option<Good> {
        if content.is_empty() {
            return None;
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {content}")).ok()?;
        authorization.set_sensitive(true);
        let (username, audiences) = token::subject_and_audiences(content);
        Some(Good { authorization, username, audiences })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::played::mint;
    use serde_json::json;
    use std::fs;

    #[tokio::test]
    async fn h24_the_last_good_token_stays_while_the_file_is_empty_missing_or_garbage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let token = OwnToken::at(path.clone());
        assert_eq!(token.authorization().await, None);

        fs::write(&path, "first\n").unwrap();
        assert_eq!(token.authorization().await.unwrap(), "Bearer first");
        for garbage in ["", "\n", " \n ", "a\nb", "a\0b"] {
            fs::write(&path, garbage).unwrap();
            assert_eq!(token.authorization().await.unwrap(), "Bearer first", "{garbage:?}");
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(token.authorization().await.unwrap(), "Bearer first");
        fs::remove_file(&path).unwrap();
        assert_eq!(token.authorization().await.unwrap(), "Bearer first");

        fs::write(dir.path().join("next"), "second").unwrap();
        std::os::unix::fs::symlink("next", &path).unwrap();
        assert_eq!(token.authorization().await.unwrap(), "Bearer second");
    }

    #[tokio::test]
    async fn its_user_is_known_once_it_has_been_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, mint(&json!({"sub": "system:serviceaccount:veilwarden:proxy"}))).unwrap();
        let token = OwnToken::at(path);
        assert!(token.authorization().await.unwrap().is_sensitive());
        assert!(token.is_of("system:serviceaccount:veilwarden:proxy"));
        assert!(!token.is_of("system:serviceaccount:veilwarden:other"));
    }
}
