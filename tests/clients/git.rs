//! A git repository behind git's own CGI program (git-http-backend(1)), for cloning and pushing over HTTP.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};

use crate::apis::Answer;

/// The repositories below one directory: one bare one, `team/project.git`, with one commit.
pub struct Repository(PathBuf);

impl Repository {
    pub fn new(root: &Path) -> Repository {
        let bare = root.join("team/project.git");
        let seed = root.join("seed");
        let text = format!(
            "set -e; export HOME={0}
            git init --quiet --bare --initial-branch main {1}; git -C {1} config http.receivepack true
            git clone --quiet {1} {2} 2>/dev/null; cd {2}; echo hello >README; git add README
            git -c user.name=Test -c user.email=test@example.com commit --quiet --message first; git push --quiet origin HEAD:main",
            root.display(),
            bare.display(),
            seed.display()
        );
        std::fs::create_dir_all(&bare).expect("our directory");
        let status = Command::new("sh").args(["-c", &text]).status().expect("sh");
        assert!(status.success(), "no repository");
        Repository(root.to_owned())
    }

    /// One request, handed to git as RFC 3875 says.
    pub fn answer(&self, request: &Parts, body: &[u8]) -> Answer {
        let field =
            |name: HeaderName| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut child = Command::new("git")
            .arg("http-backend")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.0)
            .env("GIT_PROJECT_ROOT", &self.0)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", request.method.as_str())
            .env("PATH_INFO", request.uri.path())
            .env("QUERY_STRING", request.uri.query().unwrap_or_default())
            .env("CONTENT_TYPE", field(CONTENT_TYPE))
            .env("HTTP_CONTENT_ENCODING", field(CONTENT_ENCODING))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("GIT_PROTOCOL", field(HeaderName::from_static("git-protocol")))
            .env("REMOTE_USER", "test")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("git");
        child.stdin.take().expect("a pipe").write_all(body).expect("git reads it");
        let output = child.wait_with_output().expect("git ends");
        response(&output.stdout)
    }
}

/// A CGI response: fields, an empty line, the body.
fn response(mut output: &[u8]) -> Answer {
    let mut response = Response::new(());
    loop {
        let mut line = String::new();
        output.read_line(&mut line).expect("text");
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name == "Status" {
            *response.status_mut() = StatusCode::from_bytes(&value.as_bytes()[..3]).expect("a status");
        } else {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a field's name");
            response.headers_mut().append(name, HeaderValue::from_str(value).expect("a field's value"));
        }
    }
    response.map(|()| Full::from(Bytes::copy_from_slice(output)).boxed())
}
