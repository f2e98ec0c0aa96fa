//! Pages of a listing, with markers that say nothing and survive the deletion of what they point behind.
//!
//! Imports `error.rs`. A listing is a map ordered by identifier; a marker holds the last identifier shown.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Bound;

use crate::error::ApiError;

/// One page and, if there is more, the marker of the next.
pub(crate) struct Page<'a, T> {
    pub(crate) items: Vec<&'a T>,
    pub(crate) next: Option<String>,
}

/// The `size` items that pass `keep`, behind `marker`.
pub(crate) fn page<'a, T>(
    all: &'a BTreeMap<String, T>,
    marker: Option<&str>,
    size: usize,
    keep: impl Fn(&T) -> bool,
) -> Result<Page<'a, T>, ApiError> {
    let behind = match marker.filter(|marker| !marker.is_empty()) {
        Some(marker) => {
            Bound::Excluded(decode(marker).ok_or_else(|| ApiError::validation(format!("The marker '{marker}' is not valid")))?)
        }
        None => Bound::Unbounded,
    };
    let mut items = Vec::new();
    let mut last = None;
    let mut next = None;
    for (id, item) in all.range((behind, Bound::Unbounded)).filter(|(_, item)| keep(item)) {
        if items.len() == size {
            next = last.map(|id: &String| encode(id));
            break;
        }
        items.push(item);
        last = Some(id);
    }
    Ok(Page { items, next })
}

fn encode(id: &str) -> String {
    id.bytes().fold(String::with_capacity(id.len() * 2), |mut out, byte| {
        let _ = write!(out, "{:02x}", byte ^ MASK);
        out
    })
}

fn decode(marker: &str) -> Option<String> {
    let digits: Option<Vec<u8>> = marker.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    let bytes = digits?
        .chunks(2)
        .map(|pair| if let [high, low] = pair { Some((high << 4 | low) ^ MASK) } else { None })
        .collect::<Option<_>>()?;
    String::from_utf8(bytes).ok()
}

/// Nobody should read an identifier out of a marker and build on it.
const MASK: u8 = 0x5a;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_everything_once_even_when_the_marked_item_goes() {
        let mut all: BTreeMap<String, u32> = (0..7).map(|number| (format!("id-{number}"), number)).collect();
        let first = page(&all, None, 3, |_| true).unwrap();
        assert_eq!(first.items, [&0, &1, &2]);
        let marker = first.next.unwrap();
        assert!(!marker.contains("id-"));
        all.remove("id-2");
        let second = page(&all, Some(&marker), 3, |number| number % 2 == 1).unwrap();
        assert_eq!(second.items, [&3, &5]);
        assert_eq!(second.next, None);
        let exact = page(&all, Some(&marker), 4, |_| true).unwrap();
        assert_eq!((exact.items.len(), exact.next), (4, None), "a full last page has no successor");
        assert_eq!(page(&all, Some("zz"), 3, |_| true).map(|_| ()).unwrap_err().code, "ValidationError");
    }
}
