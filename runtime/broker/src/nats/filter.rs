//! What a subject with wildcards matches.

/// Whether `filter` matches `subject`: `*` is any one token, `>` at the end is any one or more.
pub(super) fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_in_nats() {
        for (filter, subject) in [("a.b", "a.b"), ("a.*", "a.b"), ("*.b", "a.b"), (">", "a"), ("a.>", "a.b.c")] {
            assert!(matches(filter, subject), "{filter} {subject}");
        }
        for (filter, subject) in
            [("a.b", "a"), ("a", "a.b"), ("a.*", "a"), ("a.*", "a.b.c"), ("a.>", "a"), ("b.>", "a.b")]
        {
            assert!(!matches(filter, subject), "{filter} {subject}");
        }
    }
}
