//! Annotations: one table says which exist, what their values are, and what is done with them; it is the parser, the
//! validation and the reference page.
//!
//! `annotations/table.rs` holds the table, `annotations/reference.rs` prints it. Only keys that begin like a load balancer's are
//! judged; values are read as AWS Load Balancer Controller ("LBC") reads them. Uses `codes` and nothing else of `build`.

mod reference;
mod table;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;

use super::codes::{self, Findings, quote};
pub use reference::markdown;
pub use table::TABLE;
pub(super) use table::*;

/// What all keys of the table begin with.
pub const PREFIX: &str = "service.beta.kubernetes.io/";

/// Keys that are ours to judge begin like this (after [`PREFIX`]); all others belong to somebody else.
const OURS: &[&str] = &["aws-load-balancer-", "load-balancer-source-ranges", "actions."];

/// What the value of an annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// As Go's `strconv.ParseBool` has it.
    Boolean,
    /// Decimal, within these bounds.
    Integer {
        /// Least allowed.
        min: i32,
        /// Most allowed.
        max: i32,
    },
    /// Separated by commas; blanks around items and empty items do not count.
    List,
    /// `key=value` separated by commas; `\,` stands for a comma within a value.
    Map,
    /// JSON text.
    Json,
    /// One of some words.
    Choice {
        /// Those that are supported.
        allowed: &'static [&'static str],
        /// Those that exist but are not supported yet.
        later: &'static [&'static str],
        /// Whether upper and lower case are the same.
        ignore_case: bool,
    },
}

/// How far this version goes with an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It is read.
    Full,
    /// It is refused, because leaving it out would not give what the user asked for.
    Later,
    /// It belongs to Classic Load Balancers, and is refused for the same reason.
    Classic,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Annotation {
    /// Key without [`PREFIX`]. One that ends in `.` is the beginning of a family of keys, such as one for each port.
    pub key: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What counts when it is absent, in Markdown.
    pub default: &'static str,
    /// What it does, in Markdown.
    pub doc: &'static str,
    /// How far it is supported.
    pub support: Support,
}

impl Annotation {
    /// The key as it stands in the Service.
    #[must_use]
    pub fn full_key(&self) -> String {
        format!("{PREFIX}{}", self.key)
    }

    fn covers(&self, key: &str) -> bool {
        if self.key.ends_with('.') { key.len() > self.key.len() && key.starts_with(self.key) } else { key == self.key }
    }
}

impl Kind {
    /// What a value may be, for a message or the reference page.
    fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::List => "items separated by commas".to_owned(),
            Self::Map => "`key=value` pairs separated by commas".to_owned(),
            Self::Json => "JSON".to_owned(),
            Self::Choice { allowed: [only], .. } => format!("`{only}`"),
            Self::Choice { allowed, .. } => format!("one of `{}`", allowed.join("`, `")),
        }
    }
}

/// The annotations of one Service that are ours to judge.
#[derive(Debug)]
pub(super) struct Annotations<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Annotations<'a> {
    /// Picks ours; judges nothing yet.
    pub(super) fn of(service: &'a Service) -> Self {
        let all = service.metadata.annotations.iter().flatten();
        let ours = all.filter_map(|(key, value)| {
            let key = key.strip_prefix(PREFIX).filter(|key| OURS.iter().any(|ours| key.starts_with(ours)))?;
            Some((key, value.as_str()))
        });
        Self(ours.collect())
    }

    /// Key (without prefix) to value.
    pub(super) fn into_inner(self) -> BTreeMap<&'a str, &'a str> {
        self.0
    }

    /// Refuses unknown keys, with the nearest known one, and known keys that are not supported.
    pub(super) fn check(&self, findings: &mut Findings) {
        for key in self.0.keys() {
            let field = format!("{PREFIX}{key}");
            match TABLE.iter().find(|annotation| annotation.covers(key)).map(|annotation| annotation.support) {
                Some(Support::Full) => {}
                Some(Support::Later) => findings.refuse(
                    codes::UNSUPPORTED_ANNOTATION,
                    field,
                    "this annotation is not supported yet",
                    "remove it if the load balancer is right without it",
                ),
                Some(Support::Classic) => findings.refuse(
                    codes::UNSUPPORTED_ANNOTATION,
                    field,
                    "this annotation is for Classic Load Balancers only",
                    "remove it; it has no effect on a Network Load Balancer",
                ),
                None => {
                    let nearest = nearest(key, TABLE.iter().map(|annotation| annotation.key)).unwrap_or_default();
                    findings.refuse(
                        codes::UNKNOWN_ANNOTATION,
                        field,
                        "no annotation of this name is known",
                        format!("remove it, or use the nearest one, `{PREFIX}{nearest}`"),
                    );
                }
            }
        }
    }

    /// The value as written.
    pub(super) fn text(&self, annotation: &Annotation) -> Option<&'a str> {
        self.0.get(annotation.key).copied()
    }

    /// A Boolean value; `None` if absent or, which is then a problem, not one.
    pub(super) fn boolean(&self, annotation: &Annotation, findings: &mut Findings) -> Option<bool> {
        let text = self.text(annotation)?;
        match text {
            "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
            "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
            _ => refuse(annotation, text, findings),
        }
    }

    /// A number within the annotation's bounds; `None` as for [`Self::boolean`].
    pub(super) fn integer(&self, annotation: &Annotation, findings: &mut Findings) -> Option<i32> {
        let text = self.text(annotation)?;
        let Kind::Integer { min, max } = annotation.kind else { return refuse(annotation, text, findings) };
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) => Some(number),
            _ => refuse(annotation, text, findings),
        }
    }

    /// One of the annotation's words, as the table spells it; `None` as for [`Self::boolean`].
    pub(super) fn choice(&self, annotation: &Annotation, findings: &mut Findings) -> Option<&'static str> {
        let text = self.text(annotation)?;
        let Kind::Choice { allowed, later, ignore_case } = annotation.kind else {
            return refuse(annotation, text, findings);
        };
        let is = |word: &&&str| if ignore_case { word.eq_ignore_ascii_case(text) } else { **word == text };
        if let Some(word) = allowed.iter().find(is) {
            return Some(word);
        }
        if later.iter().any(|word| is(&word)) {
            findings.refuse(
                codes::UNSUPPORTED_ANNOTATION,
                annotation.full_key(),
                format!("the value {} is not supported yet", quote(text)),
                format!("use {}", annotation.kind.describe()),
            );
            return None;
        }
        refuse(annotation, text, findings)
    }

    /// The items of a list; none if absent or empty.
    pub(super) fn list(&self, annotation: &Annotation) -> Vec<&'a str> {
        let text = self.text(annotation).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
    }

    /// The pairs of a map; `None` as for [`Self::boolean`].
    pub(super) fn map(&self, annotation: &Annotation, findings: &mut Findings) -> Option<BTreeMap<String, String>> {
        let text = self.text(annotation)?;
        let mut pairs = BTreeMap::new();
        for item in split_unescaped(text) {
            let fault = match item.split_once('=') {
                None => "has no `=`",
                Some((key, _)) if key.trim().is_empty() => "has no key",
                Some((key, value)) => match pairs.insert(key.trim().to_owned(), value.trim().to_owned()) {
                    Some(other) if other != value.trim() => "gives a key its second value",
                    _ => continue,
                },
            };
            findings.refuse(
                codes::INVALID_ANNOTATION,
                annotation.full_key(),
                format!("{} {fault}", quote(&item)),
                "write `key=value` pairs separated by commas, and `\\,` for a comma within a value",
            );
            return None;
        }
        Some(pairs)
    }
}

fn refuse<T>(annotation: &Annotation, text: &str, findings: &mut Findings) -> Option<T> {
    findings.refuse(
        codes::INVALID_ANNOTATION,
        annotation.full_key(),
        format!("{} is not allowed", quote(text)),
        format!("use {}", annotation.kind.describe()),
    );
    None
}

/// Splits at commas that no backslash precedes, takes those backslashes away, and drops what is empty.
fn split_unescaped(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next_if_eq(&',').is_some() => items.last_mut().into_iter().for_each(|item| item.push(',')),
            ',' => items.push(String::new()),
            _ => items.last_mut().into_iter().for_each(|item| item.push(character)),
        }
    }
    items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// The candidate that a mistyped word most probably stands for; the first of several.
pub(super) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    // The distance costs time and memory in proportion to both lengths, and no candidate is that long.
    let word: String = word.chars().take(128).collect();
    candidates.min_by_key(|candidate| strsim::damerau_levenshtein(&word, candidate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nlb::build::fixtures::{built, problems, rejected};

    fn key(name: &str, value: &str) -> String {
        format!("service.beta.kubernetes.io/aws-load-balancer-{name}: '{value}'")
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest() {
        let rejection = rejected(&key("helthcheck-path", "/"));
        assert_eq!(rejection.problems.len(), 1);
        assert_eq!(rejection.problems[0].code, "UnknownAnnotation");
        assert_eq!(rejection.problems[0].field, "service.beta.kubernetes.io/aws-load-balancer-helthcheck-path");
        assert!(rejection.problems[0].fix.contains("aws-load-balancer-healthcheck-path"), "{rejection}");
    }

    #[test]
    fn known_keys_of_later_versions_are_refused() {
        for (name, value) in [
            ("ssl-cert", "arn:aws:acm:us-west-2:1:certificate/x"),
            ("target-group-attributes.80", "a=b"),
            ("listener-attributes.TCP-80", "a=b"),
            ("connection-idle-timeout", "60"),
            ("ip-address-type", "dualstack"),
            ("backend-protocol", "ssl"),
        ] {
            assert_eq!(problems(&key(name, value)), ["UnsupportedAnnotation"], "{name}");
        }
        assert_eq!(problems("service.beta.kubernetes.io/actions.TCP-80: '{}'"), ["UnsupportedAnnotation"]);
        assert_eq!(problems(&key("target-group-attributes.", "a=b")), ["UnknownAnnotation"]);
    }

    #[test]
    fn foreign_keys_are_left_alone() {
        built("service.beta.kubernetes.io/azure-load-balancer-internal: 'maybe'");
        built("example.com/aws-load-balancer-schema: 'x'");
        built("service.beta.kubernetes.io/do-loadbalancer-name: 'x'");
    }

    #[test]
    fn wrong_values_name_the_allowed_ones() {
        for (name, value, allowed) in [
            ("scheme", "public", "`internal`, `internet-facing`"),
            ("scheme", "Internal", "`internal`, `internet-facing`"),
            ("nlb-target-type", "ipp", "`instance`, `ip`"),
            ("type", "clb", "`external`, `nlb`, `nlb-ip`"),
            ("internal", "yes", "`true` or `false`"),
            ("healthcheck-interval", "4", "from 5 to 300"),
            ("healthcheck-interval", "5s", "from 5 to 300"),
            ("healthcheck-timeout", "121", "from 2 to 120"),
            ("healthcheck-healthy-threshold", "1", "from 2 to 10"),
            ("proxy-protocol", "true", "`*`"),
            ("backend-protocol", "tpc", "`tcp`"),
            ("additional-resource-tags", "a", "key=value"),
            ("additional-resource-tags", "=a", "key=value"),
            ("additional-resource-tags", "a=1,a=2", "key=value"),
        ] {
            let rejection = rejected(&key(name, value));
            assert_eq!(rejection.problems.len(), 1, "{rejection}");
            assert_eq!(rejection.problems[0].code, "InvalidAnnotation", "{rejection}");
            assert!(rejection.problems[0].field.ends_with(name), "{rejection}");
            assert!(rejection.problems[0].fix.contains(allowed), "{rejection}");
        }
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let annotations = [key("scheme", "x"), key("bogus", "x"), key("internal", "x"), key("healthcheck-path", "x")];
        let mut codes = problems(&annotations.join("\n    "));
        codes.sort_unstable();
        assert_eq!(codes, ["InvalidAnnotation", "InvalidAnnotation", "InvalidAnnotation", "UnknownAnnotation"]);
    }

    #[test]
    fn values_are_split_as_lbc_splits_them() {
        assert_eq!(split_unescaped(r" a=1, b=2\,3 ,,c=\x"), ["a=1", "b=2,3", r"c=\x"]);
        assert!(split_unescaped("").is_empty());
        let annotations = BTreeMap::from([(SUBNETS.key, " a, ,b,")]);
        assert_eq!(Annotations(annotations).list(&SUBNETS), ["a", "b"]);
    }

    #[test]
    fn keys_are_unique_and_ours_to_judge() {
        let mut keys: Vec<&str> = TABLE.iter().map(|annotation| annotation.key).collect();
        assert!(keys.iter().all(|key| OURS.iter().any(|ours| key.starts_with(ours))), "{keys:?}");
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
