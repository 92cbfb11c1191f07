//! The image's recipe. `scripts/image` and the end-to-end tests build it.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn r119_the_last_stage_is_empty_but_for_the_binary_and_runs_as_nobody() {
    let dockerfile = read("Dockerfile");
    let (compiler, last) = dockerfile.split_once("\nFROM scratch\n").expect("a stage from scratch");
    assert!(!last.contains("\nFROM "), "it is the last one");
    assert!(compiler.contains(" AS build\n"));
    let files: Vec<_> = last.lines().filter(|line| line.starts_with("COPY ") || line.starts_with("ADD ")).collect();
    assert_eq!(files, ["COPY --from=build --chmod=0555 /out/veilwarden /veilwarden"]);
    for line in ["USER 65532:65532", "EXPOSE 8088", "ENTRYPOINT [\"/veilwarden\"]"] {
        assert!(last.lines().any(|written| written == line), "{line}");
    }
}

#[test]
fn the_image_is_compiled_by_the_compiler_that_the_tests_use() {
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"')).unwrap();
    let from = format!("FROM docker.io/library/rust:{version}-");
    assert!(read("Dockerfile").lines().any(|line| line.starts_with(&from)), "{from}");
}

#[test]
fn the_build_sees_what_cargo_and_the_linker_read_and_nothing_else() {
    let ignored = read(".dockerignore");
    let rules: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(rules, ["*", "!Cargo.toml", "!Cargo.lock", "!src", "!layout", "!benches", "!tests"]);
}
