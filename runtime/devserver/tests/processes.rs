//! Two processes that install at once.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// A `go` that counts how often it builds.
const GO: &str = "\
#!/bin/sh
echo built >>\"$BUILDS\"
mkdir \"$GOBIN\"
printf '#!/bin/sh\\necho nats-server: v2.15.1\\n' >\"$GOBIN/nats-server\"
";

#[test]
fn processes_that_ask_at_once_install_once_and_agree() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    fs::write(&go, GO).unwrap();
    fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
    // `mkdir` and whatever else a shell needs, and no nats-server.
    let tools = dir.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let mkdir = ["/bin/mkdir", "/usr/bin/mkdir"].map(std::path::PathBuf::from);
    let mkdir = mkdir.iter().find(|file| file.exists()).unwrap();
    std::os::unix::fs::symlink(mkdir, tools.join("mkdir")).unwrap();

    let builds = dir.path().join("builds");
    let processes: Vec<_> = (0..4)
        .map(|_| {
            Command::new(env!("CARGO_BIN_EXE_highwater-devserver"))
                .arg("locate")
                .env_remove("HIGHWATER_NATS_SERVER")
                .env("PATH", std::env::join_paths([dir.path(), &tools]).unwrap())
                .env("HIGHWATER_CACHE_DIR", dir.path().join("cache"))
                .env("HIGHWATER_NATS_RELEASES", "http://127.0.0.1:9")
                .env("BUILDS", &builds)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        let (said, complaint) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{complaint}");
        assert!(said.contains("cache/nats-server-v2.15.1-"), "{said}");
    }
    assert_eq!(fs::read_to_string(builds).unwrap(), "built\n");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
