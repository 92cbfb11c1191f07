//! Go's spelling of long flags: `-config x` and `-config=x`.

use std::ffi::OsString;

/// `argv` with a second dash before every known long flag that was typed with one. Nothing behind `--`, and nothing
/// behind `exec`, which runs somebody else's command line, is touched.
pub(super) fn double_dashes(argv: impl IntoIterator<Item = OsString>, command: &clap::Command) -> Vec<OsString> {
    let mut flags = Vec::new();
    collect(command, &mut flags);
    let mut ours = true;
    argv.into_iter()
        .map(|arg| {
            ours &= arg != "--" && arg != "exec";
            match arg.to_str().and_then(|text| text.strip_prefix('-')) {
                Some(rest) if ours && flags.iter().any(|flag| flag == rest.split('=').next().unwrap_or_default()) => {
                    OsString::from(format!("--{rest}"))
                }
                _ => arg,
            }
        })
        .collect()
}

/// The long flags of a command and all below it, aliases included.
fn collect(command: &clap::Command, flags: &mut Vec<String>) {
    flags.extend(["help".to_owned(), "version".to_owned()]);
    for arg in command.get_arguments() {
        flags.extend(arg.get_long_and_visible_aliases().into_iter().flatten().map(str::to_owned));
        flags.extend(arg.get_all_aliases().into_iter().flatten().map(str::to_owned));
    }
    command.get_subcommands().for_each(|below| collect(below, flags));
}
