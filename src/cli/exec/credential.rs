//! The caller's credential, from a file that changes: the kubelet renews a token long before it ends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};
use http::header::{HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::complain;
use crate::request::credential;
use crate::route::Template;
use crate::secrets::SecretStore;
use crate::secrets::file::Files;

/// How soon a changed file is noticed.
const REREAD: Duration = Duration::from_secs(1);

/// A file with a token or a session secret, as the value of `Proxy-Authorization`.
pub struct CredentialFile {
    path: PathBuf,
    files: Files,
    template: Template,
    last: Mutex<Last>,
}

struct Last {
    value: HeaderValue,
    read: Instant,
    /// The last attempt failed, which was said once.
    failed: bool,
}

impl CredentialFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// There is none, or it holds nothing that could be sent.
    pub async fn open(path: &Path) -> Result<CredentialFile> {
        let files = Files::default();
        let template = Template::parse("Bearer {{secret}}")?;
        let value = read(&files, &template, path).await?;
        let last = Mutex::new(Last { value, read: Instant::now(), failed: false });
        Ok(CredentialFile { path: path.to_owned(), files, template, last })
    }

    /// What the file says now, at most a second late. While it cannot be read, what it said last.
    pub async fn current(&self) -> HeaderValue {
        let mut last = self.last.lock().await;
        if last.read.elapsed() >= REREAD {
            match read(&self.files, &self.template, &self.path).await {
                Ok(value) => (last.value, last.failed) = (value, false),
                Err(error) => {
                    if !last.failed {
                        complain(format_args!("{error:#}; the last good credential is used on"));
                    }
                    last.failed = true;
                }
            }
            last.read = Instant::now();
        }
        last.value.clone()
    }
}

async fn read(files: &Files, template: &Template, path: &Path) -> Result<HeaderValue> {
    let text = path.to_str().ok_or_else(|| anyhow!("{}: the name is not UTF-8", path.display()))?;
    let secret = files.fetch(text).await.map_err(|error| anyhow!("{text}: {error}"))?;
    let value = template.render(&secret).ok_or_else(|| anyhow!("{text}: cannot stand in a header"))?;
    // Judged as veilwarden will judge it.
    let mut probe = HeaderMap::from_iter([(PROXY_AUTHORIZATION, value.clone())]);
    credential::take(&mut probe, true, &[]).map_err(|_| {
        anyhow!(
            "{text}: holds characters other than letters, digits and -._~+/= (`openssl rand -base64 32` has no others)"
        )
    })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rotated_token_is_sent_and_a_broken_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "a.b.c\n").unwrap();
        let credential = CredentialFile::open(&file).await.unwrap();
        let again = async || {
            credential.last.lock().await.read -= REREAD;
            credential.current().await
        };
        assert_eq!(again().await, "Bearer a.b.c");
        std::fs::write(&file, "d.e.f").unwrap();
        assert_eq!(credential.current().await, "Bearer a.b.c", "not yet read again");
        assert_eq!(again().await, "Bearer d.e.f");
        for broken in ["", "two words", "two\nlines"] {
            std::fs::write(&file, broken).unwrap();
            assert_eq!(again().await, "Bearer d.e.f", "{broken:?}");
        }
        std::fs::remove_file(&file).unwrap();
        assert_eq!(again().await, "Bearer d.e.f");
        std::fs::write(&file, "g.h.i\n").unwrap();
        assert_eq!(again().await, "Bearer g.h.i");
        assert!(credential.current().await.is_sensitive());
    }

    #[tokio::test]
    async fn a_file_without_a_credential_does_not_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        assert!(CredentialFile::open(&file).await.is_err(), "absent");
        for content in ["", "\n", "canary word", "canary\"x", "canary,x"] {
            std::fs::write(&file, content).unwrap();
            let error = format!("{:#}", CredentialFile::open(&file).await.err().expect(content));
            assert!(error.contains("token") && !error.contains("canary"), "{content:?}: {error}");
        }
    }
}
