//! Which bytes may stand where. One table: a byte is looked up, not compared with range after range.

const TOKEN: u8 = 1;
const PATH: u8 = 2;
const NAME: u8 = 4;

const CLASSES: [u8; 256] = classes();

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "done by the compiler, for 256 bytes")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < table.len() {
        let byte = at as u8;
        let plain = byte.is_ascii_alphanumeric();
        if plain || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~') {
            table[at] |= TOKEN;
        }
        if plain || matches!(byte, b'!' | b'$'..=b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'_' | b'~') {
            table[at] |= PATH;
        }
        if plain || matches!(byte, b'-' | b'.' | b'_') {
            table[at] |= NAME;
        }
        at += 1;
    }
    table
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// Of a method or a field's name (RFC 9110 §5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// Of a path and its query, without doubt (RFC 3986 §3.3, §3.4).
pub(super) fn is_path(byte: u8) -> bool {
    is(byte, PATH)
}

/// Of a host's name.
pub(super) fn is_name(byte: u8) -> bool {
    is(byte, NAME)
}

/// What a header value is made of: no control character but the tab.
pub(super) fn is_text(byte: u8) -> bool {
    (byte >= b' ') & (byte != 0x7f) | (byte == b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(class: impl Fn(u8) -> bool) -> String {
        (0..=255).filter(|byte| class(*byte) && !byte.is_ascii_alphanumeric()).map(char::from).collect()
    }

    #[test]
    fn classes_are_those_of_the_rfcs() {
        assert_eq!(all(is_token), "!#$%&'*+-.^_`|~");
        assert_eq!(all(is_path), "!$%&'()*+,-./:;=?@_~");
        assert_eq!(all(is_name), "-._");
        for class in [is_token, is_path, is_name] {
            assert!((0..=255).filter(u8::is_ascii_alphanumeric).all(class));
        }
        let text: Vec<u8> = (0..=255).filter(|byte| is_text(*byte)).collect();
        let expected = std::iter::once(b'\t').chain(b' '..0x7f).chain(0x80..=255);
        assert_eq!(text, expected.collect::<Vec<_>>());
    }
}
