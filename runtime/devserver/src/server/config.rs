//! The configuration file that the server is started with.

use std::io;
use std::path::Path;

/// What a caller may choose about a server.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub(super) port: Option<u16>,
    pub(super) sync_always: bool,
    pub(super) max_payload: Option<u32>,
    pub(super) extra: String,
}

impl Options {
    /// The text of the configuration file; `port` 0 means any free one.
    pub(super) fn render(&self, store_dir: &Path, ports_dir: &Path, port: u16) -> io::Result<String> {
        // NATS takes -1 as "any free port" and 0 as its default one.
        let port = if port == 0 { -1 } else { i32::from(port) };
        let mut lines =
            vec![format!("listen: \"127.0.0.1:{port}\""), format!("ports_file_dir: {}", quoted(ports_dir)?)];
        lines.extend(self.max_payload.map(|bytes| format!("max_payload: {bytes}")));
        lines.push(format!("jetstream {{\n  store_dir: {}", quoted(store_dir)?));
        // Every namespace reserves some of this for what it may have to keep. By default the server counts with three
        // quarters of the free disk, and refuses further namespaces when that is promised, however little of it is in
        // use.
        lines.push("  max_file_store: 1TB".into());
        if self.sync_always {
            lines.push("  sync_interval: always".into());
        }
        lines.push("}".into());
        lines.push(self.extra.clone());
        Ok(lines.join("\n"))
    }

    /// Whether a client has to begin with a TLS handshake, so that one
    /// without the certificates cannot even read the greeting.
    pub(super) fn handshake_first(&self) -> bool {
        self.extra.contains("handshake_first")
    }
}

/// A path as a string of the configuration language.
fn quoted(path: &Path) -> io::Result<String> {
    let text = path.to_str().filter(|text| !text.contains(['\n', '\r']));
    let text = text.ok_or_else(|| {
        let message = format!("{} cannot be written in a NATS configuration", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })?;
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(format!("\"{escaped}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_loopback_the_store_and_every_choice() {
        let options =
            Options { port: None, sync_always: true, max_payload: Some(4096), extra: "server_name: here\n".into() };
        let text = options.render(Path::new("/data"), Path::new("/ports"), 0).unwrap();
        assert_eq!(
            text,
            "listen: \"127.0.0.1:-1\"\nports_file_dir: \"/ports\"\nmax_payload: 4096\n\
             jetstream {\n  store_dir: \"/data\"\n  max_file_store: 1TB\n  sync_interval: always\n}\nserver_name: here\n"
        );
    }

    #[test]
    fn quotes_and_backslashes_in_a_path_are_escaped() {
        assert_eq!(quoted(Path::new(r#"/a "b"\c"#)).unwrap(), r#""/a \"b\"\\c""#);
    }

    #[test]
    fn a_path_with_a_line_break_is_refused() {
        let error = quoted(Path::new("/a\nport: 1")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
