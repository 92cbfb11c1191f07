//! The image that `scripts/image` built, if `VEILWARDEN_IMAGE` names its archive: `make test-image`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

/// The most bytes that the archive may have.
const MOST_BYTES: u64 = 20_000_000;

/// An image's configuration, and the one layer with all its files.
struct Image {
    config: Value,
    root: TempDir,
}

impl Image {
    /// `None`, and says so, when there is none to look at.
    fn unpack() -> Option<Image> {
        let Some(archive) = std::env::var_os("VEILWARDEN_IMAGE") else {
            eprintln!("not run: VEILWARDEN_IMAGE names no image; `make test-image` builds one");
            return None;
        };
        let size = fs::metadata(&archive).unwrap().len();
        assert!(size < MOST_BYTES, "{size} bytes");
        let directory = TempDir::with_prefix_in("image-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        untar(Path::new(&archive), directory.path());
        let read =
            |name: &str| -> Value { serde_json::from_slice(&fs::read(directory.path().join(name)).unwrap()).unwrap() };
        let manifest = &read("manifest.json")[0];
        let config = read(manifest["Config"].as_str().unwrap());
        let layers = manifest["Layers"].as_array().unwrap();
        assert_eq!(layers.len(), 1, "{layers:?}");
        let root = TempDir::with_prefix_in("root-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        untar(&directory.path().join(layers[0].as_str().unwrap()), root.path());
        Some(Image { config, root })
    }
}

fn untar(archive: &Path, directory: &Path) {
    let status = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(directory).status().unwrap();
    assert!(status.success(), "{}", archive.display());
}

#[test]
fn r119_the_image_is_one_static_binary_that_nobody_runs_as_root() {
    let Some(image) = Image::unpack() else { return };
    let config = &image.config["config"];
    assert_eq!((&config["User"], &config["Entrypoint"]), (&json!("65532:65532"), &json!(["/veilwarden"])));
    assert_eq!(config["ExposedPorts"], json!({"8088/tcp": {}}));
    for label in ["title", "description", "licenses", "version", "revision"] {
        let value = config["Labels"][format!("org.opencontainers.image.{label}")].as_str().unwrap_or_default();
        assert!(!value.is_empty() && value != "unknown", "{label}: {value}");
    }
    let files: Vec<_> = fs::read_dir(image.root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["veilwarden"]);
    assert!(is_static(&image.root.path().join("veilwarden")));
}

/// Whether no program header of the ELF file asks for a loader (`PT_INTERP`).
fn is_static(binary: &Path) -> bool {
    const PT_INTERP: u32 = 3;
    let bytes = fs::read(binary).unwrap();
    assert!(bytes.starts_with(b"\x7fELF\x02\x01"), "a 64-bit little-endian ELF file");
    let short = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
    let first = usize::try_from(u64::from_le_bytes(bytes[32..40].try_into().unwrap())).unwrap();
    let (size, count) = (short(54), short(56));
    let kind = |index: usize| {
        let at = first + index * size;
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    };
    count > 0 && (0..count).all(|index| kind(index) != PT_INTERP)
}

#[test]
fn the_binary_runs_where_there_is_nothing_else() {
    let Some(image) = Image::unpack() else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: chroot needs root");
        return;
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg("--userspec=65532:65532").arg(image.root.path()).arg("/veilwarden").args(arguments);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    assert_eq!(run(&["version"]), (true, format!("veilwarden {}\n", env!("CARGO_PKG_VERSION"))));
    // The demonstration needs a place for its files, which pods get by a volume.
    let tmp = image.root.path().join("tmp");
    fs::create_dir(&tmp).unwrap();
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777)).unwrap();
    let (good, out) = run(&["demo", "--once"]);
    assert!(good, "{out}");
}
