//! Paths as nginx reads them: percent-decoded, without `.` and `..`, each run of `/` one.

use std::borrow::Cow;

/// The path that rules are compared with. Decoded `/` and `.` count like plain ones, decoded `?`, `#` and `%` are characters
/// like any other (nginx: `ngx_http_parse_complex_uri`, `merge_slashes on`); the result need not be UTF-8.
///
/// Borrowed where nothing needs to be done. None: a broken escape, a NUL, `..` above the root, or no `/` at the beginning.
#[must_use]
pub fn normalise(raw: &str) -> Option<Cow<'_, [u8]>> {
    let raw = raw.as_bytes();
    match raw.first() {
        None => return Some(Cow::Borrowed(b"/")),
        Some(b'/') => {}
        Some(_) => return None,
    }
    if is_normal(raw) { Some(Cow::Borrowed(raw)) } else { rebuild(raw).map(Cow::Owned) }
}

fn is_normal(path: &[u8]) -> bool {
    let mut previous = 0;
    for byte in path {
        match byte {
            b'%' | b'#' | 0 => return false,
            // Not each dot after a slash is a segment of its own, but few paths have any.
            b'/' | b'.' if previous == b'/' => return false,
            _ => previous = *byte,
        }
    }
    true
}

fn rebuild(path: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(path.len() + 1);
    let mut rest = path.iter().copied();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            // A fragment: clients should not send it, and nginx ends the path there.
            b'#' => break,
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            plain => plain,
        };
        match byte {
            0 => return None,
            b'/' => end_segment(&mut out, true)?,
            other => out.push(other),
        }
    }
    end_segment(&mut out, false)?;
    Some(out)
}

/// Settles the segment that ends here, and opens the next one with a slash if there is one.
fn end_segment(out: &mut Vec<u8>, more: bool) -> Option<()> {
    let start = out.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    match out.get(start..)? {
        b"." => out.truncate(start),
        b".." => {
            // To before the slash of the segment above, which must be there.
            out.truncate(start.checked_sub(1)?);
            let above = out.iter().rposition(|byte| *byte == b'/')?;
            out.truncate(above + 1);
        }
        _ => {}
    }
    if more && out.last() != Some(&b'/') {
        out.push(b'/');
    }
    Some(())
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(raw: &str) -> Option<String> {
        normalise(raw).map(|path| String::from_utf8_lossy(&path).into_owned())
    }

    #[test]
    fn paths_are_normalised_as_nginx_does() {
        for (raw, expected) in [
            ("", "/"),
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("//", "/"),
            ("//a///b//", "/a/b/"),
            ("/.", "/"),
            ("/a/.", "/a/"),
            ("/a/./b", "/a/b"),
            ("/a/..", "/"),
            ("/a/../b", "/b"),
            ("/a/b/../../c", "/c"),
            ("/a//../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/...", "/..."),
            ("/.a/..b/c.", "/.a/..b/c."),
            ("/.well-known/x", "/.well-known/x"),
            ("/a.b", "/a.b"),
            ("/%61", "/a"),
            ("/a%2Fb%2f", "/a/b/"),
            ("/a%2F%2Fb", "/a/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/%2e/b", "/a/b"),
            ("/%2e%2e%2fa", "?"),
            ("/a%3Fb%23c%25d", "/a?b#c%d"),
            ("/%2561", "/%61"),
            ("/a+b;c=d", "/a+b;c=d"),
            ("/a#b/c", "/a"),
            ("/%C3%A4", "/ä"),
            ("/ä", "/ä"),
            ("/..", "?"),
            ("/../a", "?"),
            ("/a/../..", "?"),
            ("/%", "?"),
            ("/%4", "?"),
            ("/%4g", "?"),
            ("/%00", "?"),
            ("/%+1", "?"),
            ("*", "?"),
            ("a/b", "?"),
        ] {
            assert_eq!(normal(raw).as_deref().unwrap_or("?"), expected, "{raw}");
        }
        assert_eq!(normalise("/%FF").as_deref(), Some([b'/', 0xFF].as_slice()), "not UTF-8, and no error");
    }

    #[test]
    fn a_normal_path_is_not_copied() {
        assert!(matches!(normalise("/a/b.c/d-e_f/"), Some(Cow::Borrowed(_))));
        assert!(matches!(normalise(""), Some(Cow::Borrowed(_))));
    }

    proptest! {
        #[test]
        fn a_normal_path_stays_as_it_is(raw in "/([a-c./%]|%2[eEfF]|%41|//|/\\.\\./|\u{e4}){0,20}") {
            if let Some(path) = normalise(&raw) {
                prop_assert!(path.starts_with(b"/"));
                let text = String::from_utf8_lossy(&path).into_owned();
                prop_assert!(!text.contains("//") && !text.contains("/./") && !text.contains("/../"), "{}", text);
                prop_assert!(!text.ends_with("/.") && !text.ends_with("/.."), "{}", text);
                if !path.contains(&b'%') {
                    prop_assert_eq!(normal(&text), Some(text));
                }
            }
        }

        #[test]
        fn escaping_plain_characters_changes_nothing(raw in "/[a-z./]{0,16}") {
            let escaped: String = raw.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let escaped = escaped.replacen("%2f", "/", 1);
            prop_assert_eq!(normalise(&escaped), normalise(&raw));
        }

        #[test]
        fn any_text_is_read_or_refused(raw in "\\PC{0,40}") {
            let _ = normalise(&raw);
        }
    }
}
