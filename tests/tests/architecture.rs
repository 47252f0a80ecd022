//! Rules about the code itself, as `runtime/ARCHITECTURE.md` states them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in the workspace").to_owned()
}

/// The dependencies of each of our crates, as its manifest names them: those for building it, and those of its tests.
fn manifests() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let mut found = BTreeMap::new();
    let folders = ["runtime", "examples"].iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    for folder in folders.map(|entry| entry.unwrap().path()).chain([root().join("tests")]) {
        let Ok(text) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let (mut section, mut name) = (String::new(), String::new());
        let (mut normal, mut dev) = (BTreeSet::new(), BTreeSet::new());
        for line in text.lines().map(str::trim) {
            if let Some(header) = line.strip_prefix('[') {
                header.trim_end_matches(']').clone_into(&mut section);
            } else if let Some(value) = line.strip_prefix("name = ").filter(|_| section == "package") {
                value.trim_matches('"').clone_into(&mut name);
            } else if let Some((dependency, _)) = line.split_once(['.', ' ', '=']) {
                if section == "dependencies" || section.ends_with(".dependencies") {
                    normal.insert(dependency.to_owned());
                } else if section.ends_with("dev-dependencies") {
                    dev.insert(dependency.to_owned());
                }
            }
        }
        found.insert(name, (normal, dev));
    }
    assert!(found.len() >= 12, "the manifests were not found: {found:?}");
    found
}

fn ours(dependencies: &BTreeSet<String>) -> BTreeSet<&str> {
    dependencies
        .iter()
        .filter_map(|name| name.strip_prefix("highwater"))
        .map(|name| name.trim_start_matches('-'))
        .collect()
}

#[test]
fn our_crates_depend_downwards_only() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("protocol", &[][..]),
        ("core", &["protocol"]),
        ("broker", &["protocol"]),
        ("macros", &[]),
        ("telemetry", &["protocol"]),
        ("devserver", &[]),
        ("worker", &["protocol", "core", "broker"]),
        ("client", &["protocol", "core", "broker"]),
        ("testing", &["protocol", "core", "broker", "worker", "client"]),
        ("", &["protocol", "core", "broker", "worker", "client", "macros", "telemetry", "devserver", "testing"]),
    ]);
    let manifests = manifests();
    for (name, may) in allowed {
        let package = if name.is_empty() { "highwater".to_owned() } else { format!("highwater-{name}") };
        let (normal, _) = &manifests[&package];
        let forbidden: Vec<_> = ours(normal).into_iter().filter(|dependency| !may.contains(dependency)).collect();
        assert!(forbidden.is_empty(), "{package} may not depend on {forbidden:?}");
    }
}

#[test]
fn the_core_reaches_neither_tokio_nor_nats_and_only_the_broker_names_nats() {
    let manifests = manifests();
    for name in ["highwater-protocol", "highwater-core"] {
        let (normal, _) = &manifests[name];
        let impure: Vec<_> = normal
            .iter()
            .filter(|dependency| {
                ["tokio", "tokio-util", "async-nats", "reqwest", "ureq"].contains(&dependency.as_str())
            })
            .collect();
        assert!(impure.is_empty(), "{name} depends on {impure:?}");
    }
    for (name, (normal, dev)) in &manifests {
        let names_nats = normal.contains("async-nats") || dev.contains("async-nats");
        assert_eq!(names_nats, ["highwater-broker", "highwater-cli"].contains(&name.as_str()), "{name}");
    }
    // What the engine is held against must not go through the engine's broker. It is in one folder.
    let pattern = root().join("runtime/cli/src/commands/bench/pattern");
    for file in sources(&root().join("runtime/cli")) {
        let names_nats = fs::read_to_string(&file).unwrap().contains("async_nats");
        assert!(!names_nats || file.starts_with(&pattern), "{} names async-nats", file.display());
    }
}

#[test]
fn the_telemetry_sdk_is_in_no_build_that_does_not_ask_for_it() {
    let sdk = ["opentelemetry_sdk", "opentelemetry-otlp", "tracing-opentelemetry", "tracing-subscriber"];
    for (name, (normal, _)) in &manifests() {
        let named: Vec<_> = sdk.iter().filter(|dependency| normal.contains(**dependency)).collect();
        let may = ["highwater-telemetry", "highwater-tests"].contains(&name.as_str());
        assert!(may || named.is_empty(), "{name} depends on {named:?}");
    }
    let facade = fs::read_to_string(root().join("runtime/highwater/Cargo.toml")).unwrap();
    assert!(facade.contains("highwater-telemetry = { workspace = true, optional = true }"));
    assert!(!facade.lines().any(|line| line.starts_with("default = ")), "{facade}");
}

/// What a program builds that depends on a package with these features.
fn built_with(package: &str, features: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["tree", "--frozen", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let selected = ["--package", package, "--features", features];
    let output = Command::new(cargo).current_dir(root()).args(arguments).args(selected).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().filter_map(|line| line.split(' ').next()).map(ToOwned::to_owned).collect()
}

#[test]
fn users_build_neither_opentelemetry_nor_the_command_nor_a_server_unless_they_ask() {
    let heavy = |built: &BTreeSet<String>| -> Vec<String> {
        let unwanted = [
            "clap",
            "comfy-table",
            "divan",
            "gungraun",
            "hyper",
            "opentelemetry",
            "opentelemetry_sdk",
            "prost",
            "tonic",
            "ureq",
        ];
        let ours = ["highwater-cli", "highwater-devserver", "highwater-telemetry", "highwater-testing"];
        unwanted.into_iter().chain(ours).filter(|name| built.contains(*name)).map(ToOwned::to_owned).collect()
    };
    let plain = built_with("highwater", "");
    assert!(plain.contains("async-nats") && plain.len() < 200, "{} crates: {plain:?}", plain.len());
    assert_eq!(heavy(&plain), [""; 0]);
    assert_eq!(
        heavy(&built_with("highwater", "otlp")),
        ["hyper", "opentelemetry", "opentelemetry_sdk", "prost", "tonic", "highwater-telemetry"]
    );
    assert_eq!(heavy(&built_with("highwater", "opentelemetry")), ["opentelemetry"]);
    assert_eq!(heavy(&built_with("highwater", "dev")), ["ureq", "highwater-devserver"]);
}

#[test]
fn one_file_of_a_crate_names_opentelemetry() {
    for folder in ["protocol", "core", "broker", "worker", "client"] {
        for file in sources(&root().join("runtime").join(folder).join("src")) {
            let names = fs::read_to_string(&file).unwrap().contains("opentelemetry::");
            assert!(!names || file.ends_with("trace.rs"), "{} names OpenTelemetry", file.display());
        }
    }
}

#[test]
fn no_async_nats_type_is_in_the_public_api() {
    for file in sources(&root().join("runtime/broker/src")) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let public = line.trim_start().starts_with("pub ");
            assert!(!(public && line.contains("async_nats")), "{}:{}: {line}", file.display(), number + 1);
        }
    }
}

/// All Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && !entry.ends_with("target") {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
    found
}

fn all_sources() -> Vec<PathBuf> {
    let found: Vec<_> =
        ["runtime", "examples", "tests"].iter().flat_map(|folder| sources(&root().join(folder))).collect();
    assert!(found.len() > 50, "the sources were not found");
    found
}

#[test]
fn files_stay_below_800_lines() {
    for file in all_sources() {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 800, "{} has {lines} lines; split it by what it is about", file.display());
    }
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    let here = Path::new(file!()).file_name();
    for file in all_sources().into_iter().filter(|file| file.file_name() != here) {
        let text = fs::read_to_string(&file).unwrap();
        for word in ["#[ignore", "todo!(", "unimplemented!(", "dbg!("] {
            assert!(!text.contains(word), "{} has {word}", file.display());
        }
    }
}

#[test]
fn nobody_reads_the_wall_clock_where_the_servers_time_counts() {
    for folder in ["protocol", "core", "worker", "client"] {
        for file in sources(&root().join("runtime").join(folder).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("SystemTime"), "{} reads the wall clock", file.display());
        }
    }
}

#[test]
fn persisted_types_live_in_the_protocol() {
    // The broker speaks JSON with the server, which is no format of ours.
    for folder in ["core", "worker", "client"] {
        for file in sources(&root().join("runtime").join(folder).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let derives =
                code.lines().any(|line| line.trim_start().starts_with("#[derive(") && line.contains("Serialize"));
            let tests_only = ["test", "simulation"].iter().any(|part| file.to_string_lossy().contains(part));
            let stored = derives && !tests_only;
            assert!(!stored, "{} derives Serialize; stored types belong in protocol", file.display());
        }
    }
}

#[test]
fn every_invariant_names_tests_that_are_there() {
    let text = fs::read_to_string(root().join("runtime/ARCHITECTURE.md")).unwrap();
    let code: String = all_sources().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let invariants: Vec<&str> = text.split("\n\n").filter(|paragraph| paragraph.starts_with("*Invariant:*")).collect();
    assert!(invariants.len() >= 10, "the invariants were not found");
    for invariant in invariants {
        let named = invariant.split_once("(Test").map(|(_, tests)| tests).unwrap_or_default();
        let tests: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test is named for: {invariant}");
        for test in tests {
            assert!(code.contains(&format!("fn {test}(")), "there is no test {test}, which is named for: {invariant}");
        }
    }
}

#[test]
fn the_examples_are_held_to_the_list_that_users_get() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    assert_eq!(read("examples/clippy.toml"), read("runtime/highwater/lints/clippy.toml"));
}
