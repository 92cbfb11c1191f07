//! `veilwarden snippet`: a workload that calls through veilwarden, to be copied.

use super::args::snippet::{Language, Snippet, Workload};

/// What differs between the languages.
struct Program {
    image: &'static str,
    command: &'static str,
    file: &'static str,
    text: &'static str,
    /// Whether it writes files, for which the root file system is no place.
    needs_tmp: bool,
}

impl Language {
    fn program(self) -> Program {
        match self {
            Language::Curl => Program {
                image: "curlimages/curl:8.17.0",
                command: "sh, /program/call.sh",
                file: "call.sh",
                text: include_str!("snippet/call.sh"),
                needs_tmp: false,
            },
            Language::Go => Program {
                image: "golang:1.26-alpine",
                command: "go, run, /program/call.go",
                file: "call.go",
                text: include_str!("snippet/call.go"),
                needs_tmp: true,
            },
            Language::Python => Program {
                image: "python:3.14-alpine",
                command: "python3, /program/call.py",
                file: "call.py",
                text: include_str!("snippet/call.py"),
                needs_tmp: false,
            },
            Language::Node => Program {
                image: "node:24-alpine",
                command: "node, /program/call.mjs",
                file: "call.mjs",
                text: include_str!("snippet/call.mjs"),
                needs_tmp: false,
            },
        }
    }
}

/// YAML documents for `kubectl apply`: a ServiceAccount, the calling program in a ConfigMap, and the workload.
pub fn render(snippet: &Snippet) -> String {
    let (workload, template) = match snippet {
        Snippet::Pod(workload) => (workload, include_str!("snippet/pod.yaml")),
        Snippet::Deployment(workload) => (workload, include_str!("snippet/deployment.yaml")),
    };
    let Program { image, command, file, needs_tmp, .. } = workload.language.program();
    let only_with_tmp = |lines: &'static str| if needs_tmp { lines } else { "" };
    let (text, name) = (program(workload), workload.name.as_str());
    let spec = fill(
        include_str!("snippet/spec.yaml"),
        &[
            ("name", name),
            ("image", workload.image.as_deref().unwrap_or(image)),
            ("command", command),
            ("service", &workload.service),
            ("audience", &workload.audience),
            ("env", only_with_tmp("- name: GOCACHE\n  value: /tmp/go-build\n")),
            ("mounts", only_with_tmp("- name: tmp\n  mountPath: /tmp\n")),
            ("volumes", only_with_tmp("- name: tmp\n  emptyDir: {}\n")),
        ],
    );
    let head = fill(include_str!("snippet/program.yaml"), &[("name", name), ("file", file), ("program", &text)]);
    head + &fill(template, &[("name", name), ("spec", &spec)])
}

/// The calling program alone.
pub fn program(workload: &Workload) -> String {
    let text = workload.language.program().text;
    fill(text, &[("upstream", &workload.upstream), ("path", &workload.path)])
}

/// Replaces every `{{name}}`. One that stands alone on its line takes several lines at its own depth, or none.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    for line in template.lines() {
        let depth = line.len() - line.trim_start().len();
        match values.iter().find(|(name, _)| line.trim_start() == format!("{{{{{name}}}}}")) {
            Some((_, value)) => value.lines().for_each(|inner| push_line(&mut filled, &line[..depth], inner)),
            None => push_line(&mut filled, "", &inline(line, values)),
        }
    }
    filled
}

fn inline(line: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(line.to_owned(), |line, (name, value)| line.replace(&format!("{{{{{name}}}}}"), value))
}

/// An empty line gets no depth: nobody wants blanks at a line's end.
fn push_line(text: &mut String, depth: &str, line: &str) {
    if !line.is_empty() {
        text.push_str(depth);
    }
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_alone_on_its_line_takes_lines_at_its_depth_or_none() {
        let template = "a:\n  {{block}}\nb: {{value}}{{value}}\n  {{nothing}}\n";
        let values = [("block", "x\n\n  y\n"), ("value", "1"), ("nothing", "")];
        assert_eq!(fill(template, &values), "a:\n  x\n\n    y\nb: 11\n");
    }
}
