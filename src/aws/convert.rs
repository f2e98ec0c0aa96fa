//! SDK types ↔ [`types`](super::types): total, so an answer of unexpected shape is an error that says what is missing.
//!
//! Values that this version does not know are kept as AWS spelt them. Neighbours: `elb.rs` and `ec2.rs` here do it for one
//! service each; `reads.rs` and `writes.rs` use them.

pub(super) mod ec2;
pub(super) mod elb;

/// AWS showed something in a shape that its API does not document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("AWS shows {what} without a usable {missing}")]
pub(super) struct Unexpected {
    what: String,
    missing: &'static str,
}

type Converted<T> = Result<T, Unexpected>;

/// One object of an answer, named for errors.
struct Object<'a> {
    kind: &'static str,
    name: Option<&'a str>,
}

impl Object<'_> {
    fn missing(&self, missing: &'static str) -> Unexpected {
        let what = match self.name {
            Some(name) => format!("{} {name}", self.kind),
            None => format!("a {}", self.kind),
        };
        Unexpected { what, missing }
    }

    fn required<T>(&self, value: Option<T>, field: &'static str) -> Converted<T> {
        value.ok_or_else(|| self.missing(field))
    }

    fn text(&self, value: Option<&str>, field: &'static str) -> Converted<String> {
        self.required(value.filter(|text| !text.is_empty()).map(str::to_owned), field)
    }

    fn port(&self, value: Option<i32>, field: &'static str) -> Converted<u16> {
        self.required(value.and_then(|port| u16::try_from(port).ok()), field)
    }
}
