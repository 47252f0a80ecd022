//! Server addresses as people write them.

use async_nats::ServerAddr;

use crate::error::ConnectError;

/// Addresses, and the credentials that the first of them with any carries: async-nats reads only the former.
pub(super) struct Addresses {
    pub(super) servers: Vec<ServerAddr>,
    pub(super) user: Option<(String, Option<String>)>,
}

/// Reads a list of addresses separated by commas.
pub(super) fn parse(urls: &str) -> Result<Addresses, ConnectError> {
    let mut addresses = Addresses { servers: Vec::new(), user: None };
    for url in urls.split(',').map(str::trim).filter(|url| !url.is_empty()) {
        let refused = |reason: String| ConnectError::Address { url: without_secrets(url), reason };
        let server: ServerAddr = url.parse().map_err(|error: std::io::Error| refused(error.to_string()))?;
        if !matches!(server.scheme(), "nats" | "tls") {
            return Err(refused(format!("{}:// is not supported", server.scheme())));
        }
        if server.host().is_empty() {
            return Err(refused("it has no host".into()));
        }
        if addresses.user.is_none()
            && let Some(user) = server.username()
        {
            addresses.user = Some((decoded(user), server.password().map(decoded)));
        }
        addresses.servers.push(server);
    }
    if addresses.servers.is_empty() {
        return Err(ConnectError::Address { url: urls.into(), reason: "it is empty".into() });
    }
    Ok(addresses)
}

/// The addresses without what stands before `@`.
pub(super) fn without_secrets(urls: &str) -> String {
    let hide = |url: &str| match url.rsplit_once('@') {
        None => url.to_owned(),
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://{host}"),
            None => host.to_owned(),
        },
    };
    urls.split(',').map(|url| hide(url.trim())).collect::<Vec<_>>().join(",")
}

/// Undoes the `%41` of addresses.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_addresses_and_their_credentials_are_read() {
        let addresses = parse("nats://u:p%40ss@one:1, tls://two ,three:3").unwrap();
        assert_eq!(addresses.user, Some(("u".into(), Some("p@ss".into()))));
        let hosts: Vec<_> = addresses.servers.iter().map(|server| (server.host(), server.port())).collect();
        assert_eq!(hosts, [("one", 1), ("two", 4222), ("three", 3)]);
    }

    #[test]
    fn what_is_no_address_is_refused_without_telling_secrets() {
        for bad in ["", " , ", "http://host", "nats://me:hush@host:port", "nats://", "ws://host"] {
            match parse(bad).map(|_| ()) {
                Err(error @ ConnectError::Address { .. }) => assert!(!error.to_string().contains("hush"), "{error}"),
                other => panic!("{bad:?}: {other:?}"),
            }
        }
    }
}
