//! `forward` and `state_dir`.

use super::meaning::given;
use super::*;
use crate::ca::Source;

fn made(path: &str) -> Option<Source> {
    Some(Source::Made { state_dir: path.into() })
}

#[test]
fn the_state_directory_is_the_first_that_is_named() {
    let flag = Overrides { state_dir: Some("/flag".to_owned()), ..Overrides::default() };
    let none = Overrides::default();
    let all = [
        ("VEILWARDEN_STATE_DIR", "/variable"),
        ("STATE_DIRECTORY", "/systemd:/second"),
        ("XDG_STATE_HOME", "/xdg"),
        ("HOME", "/home/a"),
    ];
    let key = format!("{ROUTE}state_dir: /key\n");
    for (text, flags, variables, expected) in [
        (&*key, &flag, &all[..], made("/flag")),
        (&key, &none, &all, made("/variable")),
        (&key, &none, &all[1..], made("/key")),
        (ROUTE, &none, &all[1..], made("/systemd")),
        (ROUTE, &none, &all[2..], made("/xdg/veilwarden")),
        (ROUTE, &none, &all[3..], made("/home/a/.local/state/veilwarden")),
        (ROUTE, &none, &[("XDG_STATE_HOME", "relative"), ("HOME", "/home/a")], made("/home/a/.local/state/veilwarden")),
        (ROUTE, &none, &[], None),
    ] {
        let forward = given(text, flags, variables).forward;
        assert_eq!(forward, Forward { enabled: true, ca: expected, reread: true }, "{variables:?}");
    }
}

#[test]
fn a_ca_is_given_as_two_files_or_not_at_all() {
    let forward = good(&format!("{ROUTE}forward: {{ca_cert_file: /c, ca_key_file: /k}}\n")).forward;
    assert_eq!(forward.ca, Some(Source::Given { cert: "/c".into(), key: "/k".into() }));
    for (one, other) in [("ca_cert_file", "ca_key_file"), ("ca_key_file", "ca_cert_file")] {
        let lines = wrong(&format!("{ROUTE}forward: {{{one}: /x}}\n"), &Overrides::default(), &laptop);
        assert!(lines[0].ends_with(&format!("forward.{one}: needs {other} beside it")), "{lines:?}");
    }
    assert!(!good(&format!("{ROUTE}forward: {{enabled: false}}\n")).forward.enabled);
}
