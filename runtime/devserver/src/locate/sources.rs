//! Reads where this machine's apt gets its packages, without changing it.
//!
//! Both formats of `sources.list(5)`: one line per source, and the stanzas
//! of deb822.

use std::fs;
use std::path::Path;

/// One enabled source of binary packages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Source {
    pub(super) uris: Vec<String>,
    pub(super) suites: Vec<String>,
    pub(super) components: Vec<String>,
    /// Keys that sign it, as a deb822 field value; a whole key has lines.
    pub(super) signed_by: Option<String>,
    /// The user's own word on whether its age matters.
    pub(super) check_valid_until: Option<String>,
}

/// Every source below an apt configuration folder, in apt's order.
pub(super) fn read(apt_dir: &Path) -> Vec<Source> {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let mut sources = one_line(&read(&apt_dir.join("sources.list")));
    let mut files: Vec<_> = fs::read_dir(apt_dir.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    for file in files {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("list") => sources.extend(one_line(&read(&file))),
            Some("sources") => sources.extend(deb822(&read(&file))),
            _ => {}
        }
    }
    sources
}

/// `deb [option=value …] uri suite component…`
fn one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(source_line).collect()
}

fn source_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t', '[']) {
        return None; // deb-src
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let option = |name: &str| {
        let mut options = options.split_whitespace().filter_map(|o| o.split_once('='));
        let (_, value) = options.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value.replace(',', " "))
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: option("signed-by"),
        check_valid_until: option("check-valid-until"),
    })
}

/// Stanzas of `Field: value`, separated by empty lines.
fn deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            sources.extend(stanza(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    sources
}

fn stanza(fields: &[(String, String)]) -> Option<Source> {
    let field = |name: &str| {
        let found = fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    };
    let words = |name: &str| -> Vec<String> {
        let value = field(name).unwrap_or_default();
        value.split_whitespace().map(str::to_owned).collect()
    };
    let off = ["no", "false", "without", "off", "disable"];
    let disabled = field("enabled").is_some_and(|value| off.contains(&value.as_str()));
    if disabled || !words("types").contains(&"deb".to_owned()) {
        return None;
    }
    Some(Source {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: field("signed-by"),
        check_valid_until: field("check-valid-until"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn source(uris: &str, suites: &str, components: &str) -> Source {
        Source { uris: words(uris), suites: words(suites), components: words(components), ..Source::default() }
    }

    #[test]
    fn one_line_sources_are_read_with_and_without_options() {
        let text = "\
# deb http://commented.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib # the usual
deb-src http://mirror.example/debian bookworm main
deb [ arch=amd64,arm64 Signed-By=/keys/a.gpg,/keys/b.gpg check-valid-until=no ] https://b.example/debian sid main
debris http://c.example x main
deb\thttp://tab.example/debian\tforky\tmain
";
        let signed = Source {
            signed_by: Some("/keys/a.gpg /keys/b.gpg".into()),
            check_valid_until: Some("no".into()),
            ..source("https://b.example/debian", "sid", "main")
        };
        let expected = [
            source("http://mirror.example/debian", "bookworm", "main contrib"),
            signed,
            source("http://tab.example/debian", "forky", "main"),
        ];
        assert_eq!(one_line(text), expected);
    }

    #[test]
    fn deb822_stanzas_are_read_with_lists_and_whole_keys() {
        let text = "\
Types: deb deb-src
URIs: http://mirror.example/debian
# in the middle
Suites: bookworm bookworm-updates
Components: main
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDME
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://off.example
Suites: x
Components: main
\t
Types: deb-src
URIs: http://only-source.example
Suites: x
Components: main

Types: deb
URIs: http://a.example
  http://b.example
Suites: sid
Components: main";
        let key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDME\n -----END PGP PUBLIC KEY BLOCK-----";
        let keyed = Source {
            signed_by: Some(key.into()),
            ..source("http://mirror.example/debian", "bookworm bookworm-updates", "main")
        };
        let expected = [keyed, source("http://a.example http://b.example", "sid", "main")];
        assert_eq!(deb822(text), expected);
    }

    #[test]
    fn a_folder_is_read_in_order_and_other_files_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let parts = dir.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        fs::write(dir.path().join("sources.list"), "deb http://first x main").unwrap();
        fs::write(parts.join("b.list"), "deb http://third x main").unwrap();
        let stanza = "Types: deb\nURIs: http://second\nSuites: x\nComponents: main\n";
        fs::write(parts.join("a.sources"), stanza).unwrap();
        fs::write(parts.join("c.list.disabled"), "deb http://never x main").unwrap();
        let uris: Vec<String> = read(dir.path()).into_iter().flat_map(|s| s.uris).collect();
        assert_eq!(uris, ["http://first", "http://second", "http://third"]);
        assert_eq!(read(Path::new("/nowhere")), []);
    }
}
