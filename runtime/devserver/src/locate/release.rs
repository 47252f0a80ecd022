//! The releases that Highwater installs, pinned.

use std::env::consts;

/// The module version that `go install` builds; Go's checksum database
/// guards its content.
pub(super) const MODULE: &str = "github.com/nats-io/nats-server/v2@v2.15.1";

/// Where the release archives are.
pub(super) const URL: &str = "https://github.com/nats-io/nats-server/releases/download";

/// The version of the archives below.
const VERSION: &str = "2.15.0";

/// SHA-256 of `nats-server-v2.15.0-linux-*.tar.gz` by the release's name for
/// the architecture, as given in `2.15.x/alpine3.22/Dockerfile` of
/// <https://github.com/nats-io/nats-docker> at commit
/// `629985321b0b00d2c39c853782c776f91f3a3189`. Other systems' archives have
/// no digest from a second source and are not used.
const LINUX: [(&str, &str); 8] = [
    ("386", "f572eccdbb35ab5c7fef7703a5b6ca49e55d039e441920ba5478972ecdcf7a47"),
    ("amd64", "5d2c51caca950333aba84911df7d377f826f3a59ec36061c6539105084f65c92"),
    ("arm6", "e29421c251dda2003d16b8d503124a0d690d05f4e018923be7e5e64b446e42c2"),
    ("arm64", "cdc208f5a3f42963a52b6ab06ef65626bb870315dc936e26ba571780c6351112"),
    ("arm7", "ec5f4689d017e07cfa18442e10da051c0f3f9dd2e7f4dc7cdb55a11f1303c952"),
    ("loong64", "fdce4b595b4b3a9f83d07ee310334b68a0723c799e969c9ab77f3105158fd64e"),
    ("ppc64le", "a402bf73f91f674735cc85aa0e7d06d5dfa3044b98cda6ea9937cfee4e05a266"),
    ("s390x", "ac50bf4adc8fa6db575ed9293417b6fbec746e71cc9d360aea5cd447e4207bfc"),
];

/// An archive that is known by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archive {
    /// The path below the release URL.
    pub(super) path: String,
    pub(super) sha256: String,
}

impl Archive {
    /// The archive for the platform that this program was built for.
    pub(super) fn for_this_platform() -> Option<Self> {
        Self::of(consts::OS, consts::ARCH)
    }

    fn of(system: &str, architecture: &str) -> Option<Self> {
        if system != "linux" {
            return None;
        }
        let name = match architecture {
            "x86" => "386",
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            // The one for version 6 runs on version 7 too.
            "arm" => "arm6",
            "loongarch64" => "loong64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "s390x" => "s390x",
            _ => return None,
        };
        let (_, sha256) = LINUX.iter().find(|(known, _)| *known == name)?;
        Some(Self {
            path: format!("v{VERSION}/nats-server-v{VERSION}-linux-{name}.tar.gz"),
            sha256: (*sha256).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digest_has_the_form_of_a_sha_256_and_belongs_to_one_archive() {
        for (index, (name, digest)) in LINUX.iter().enumerate() {
            assert_eq!(digest.len(), 64, "{name}");
            assert!(digest.bytes().all(|b| b"0123456789abcdef".contains(&b)), "{name}");
            assert!(LINUX[..index].iter().all(|(_, other)| other != digest), "{name}");
        }
    }

    #[test]
    fn the_archive_of_a_platform_is_named_as_the_release_names_it() {
        let archive = Archive::of("linux", "x86_64").unwrap();
        assert_eq!(archive.path, "v2.15.0/nats-server-v2.15.0-linux-amd64.tar.gz");
        assert_eq!(archive.sha256, LINUX[1].1);
    }

    #[test]
    fn platforms_without_a_digest_have_no_archive() {
        assert_eq!(Archive::of("macos", "aarch64"), None);
        assert_eq!(Archive::of("windows", "x86_64"), None);
        assert_eq!(Archive::of("linux", "riscv64"), None);
    }

    #[test]
    fn what_is_pinned_is_new_enough() {
        let archive = semver::Version::parse(VERSION).unwrap();
        let module = semver::Version::parse(MODULE.rsplit("@v").next().unwrap()).unwrap();
        assert!(archive >= super::super::version::MINIMUM);
        assert!(module >= super::super::version::MINIMUM);
    }
}
