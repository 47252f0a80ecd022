//! Certificates of an authority of one's own, for a server on loopback and for a client.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// Files with certificates and keys, in a folder that goes with this.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes `ca.pem`, `server.pem`, `server.key`, `client.pem` and `client.key`.
    pub fn new() -> anyhow::Result<Self> {
        let made = Self { folder: TempDir::new()? };
        let mut authority = CertificateParams::new([])?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        std::fs::write(made.path("ca.pem"), authority.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(authority, key);
        for (name, hosts) in [("server", ["127.0.0.1", "localhost"].as_slice()), ("client", &["app"])] {
            let key = KeyPair::generate()?;
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            let signed = CertificateParams::new(hosts)?.signed_by(&key, &issuer)?;
            std::fs::write(made.path(&format!("{name}.pem")), signed.pem())?;
            std::fs::write(made.path(&format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(made)
    }

    /// A file among them.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The server's configuration that demands a client's certificate.
    pub fn mutual_tls(&self) -> String {
        let [certificate, key, ca] =
            ["server.pem", "server.key", "ca.pem"].map(|name| self.path(name).display().to_string());
        format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {ca:?}, verify: true }}")
    }
}
